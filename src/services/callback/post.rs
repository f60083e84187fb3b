//! Posts callbacks: hyper's client with kept connections, plain or over TLS, each exchange within its time. Decides nothing
//! and retries nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::receiver::ReceiverUrl;
use crate::services::callback::request::{
    self, ATTEMPT, CHANGE, ID, PREVIOUS, QueryContext, REPLAYED, SESSION,
};
use crate::services::callback::resolver::Resolver;
use crate::services::callback::settings::CallbackSettings;

/// What is read of an answer: it has three short fields.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long a connection is kept that nothing is sent on.
const IDLE_KEPT: Duration = Duration::from_secs(60);

/// A client of one receiver.
pub(super) struct Poster {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    settings: Arc<CallbackSettings>,
    store_id: u64,
}

impl Poster {
    pub(super) fn new(settings: Arc<CallbackSettings>, store_id: u64, resolver: Resolver) -> Self {
        let mut plain = HttpConnector::new_with_resolver(resolver);
        // Each of several addresses has its share, so that one that is dead does not keep the next from its turn.
        plain.set_connect_timeout(Some(settings.timeout));
        plain.set_nodelay(true);
        plain.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(settings.trust.config()))
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_KEPT)
            .pool_max_idle_per_host(settings.parallel)
            .build(connector);
        Self {
            client,
            settings,
            store_id,
        }
    }

    /// Makes one attempt.
    pub(super) async fn post(&self, attempt: &Attempt, now_s: u64) -> AttemptOutcome {
        let Some(url) = &self.settings.url else {
            return AttemptOutcome::Unsent;
        };
        let exchange = self.exchange(self.request(url, attempt, now_s));
        match tokio::time::timeout(self.settings.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => AttemptOutcome::Unreachable(format!("no answer within {:?}", self.settings.timeout)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> AttemptOutcome {
        // Errors of the client name addresses and what went wrong, never the URL's query.
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) => return AttemptOutcome::Unreachable(reason(&error)),
        };
        let status = answer.status();
        if status != StatusCode::OK {
            return AttemptOutcome::Unreachable(format!("the answer's HTTP status is {}", status.as_u16()));
        }
        match Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => request::read_answer(&body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                AttemptOutcome::Refused(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"))
            }
            Err(error) => AttemptOutcome::Unreachable(format!("the answer cannot be read: {error}")),
        }
    }

    fn request(&self, url: &ReceiverUrl, attempt: &Attempt, now_s: u64) -> Request<Full<Bytes>> {
        let placed = &attempt.placed;
        let recorded = &placed.recorded;
        let context = QueryContext {
            sdk_app_id: self.settings.sdk_app_id,
            token: self.settings.token.as_ref().map(|token| token.expose()),
            now_s,
        };
        let previous = recorded.previous.unwrap_or_default();
        let mut request = Request::post(url.with_query(&request::query(context, &recorded.change)))
            .header(CONTENT_TYPE, "application/json")
            .header(CHANGE, recorded.change.number.0)
            .header(PREVIOUS, previous.0)
            .header(ID, format!("{:016x}-{}", self.store_id, placed.position.0))
            .header(SESSION, recorded.session.0)
            .header(ATTEMPT, attempt.number);
        if attempt.origin == AttemptOrigin::Dead {
            request = request.header(REPLAYED, 1);
        }
        let request = request.body(Full::from(request::body(placed)));
        request.expect("its parts are numbers, plain texts and a URL")
    }
}

/// The innermost reason: the outer ones only say that a request failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
