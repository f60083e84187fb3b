//! How requests outside of the vendor's dialect are answered: with JSON or text, or with a refusal that says why. Knows no page.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde_json::{Value, json as object};

use crate::services::http::pending::NoReply;
use crate::services::http::server::access::JSON;

/// What a page makes of a request.
pub(super) type JsonAnswer = Result<Response<Full<Bytes>>, JsonRefusal>;

/// A request that is not served.
#[derive(Debug)]
pub(super) struct JsonRefusal {
    status: StatusCode,
    body: Value,
    header: Option<(HeaderName, HeaderValue)>,
}

impl JsonRefusal {
    /// With a text for people.
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let body = object!({ "error": text.into() });
        Self {
            status,
            body,
            header: None,
        }
    }

    /// With something more for programs.
    pub(super) fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }

    /// With a header that says what would do.
    pub(super) fn with(mut self, header: (HeaderName, HeaderValue)) -> Self {
        self.header = Some(header);
        self
    }

    /// What is said to a request that no shard answered.
    pub(super) fn of_no_reply(why: NoReply) -> Self {
        match why {
            NoReply::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests are open"),
            NoReply::Late => Self::new(StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
        }
    }

    /// What says it among the answers to several requests.
    pub(super) fn into_line(self) -> String {
        let status = self.status.as_u16();
        self.and("status", status).body.to_string()
    }

    /// The answer that says it.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = response(self.status, JSON, self.body.to_string());
        response.headers_mut().extend(self.header);
        response
    }
}

/// A good answer of one JSON object.
pub(super) fn json_response(value: &Value) -> Response<Full<Bytes>> {
    response(StatusCode::OK, JSON, value.to_string())
}

/// An answer of any kind. It tells of users, or of the gateway at this moment: nobody keeps it, and a browser takes it for
/// nothing else.
pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().extend([
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response
}
