//! One HTTP request to the gateway, and whether it is the right listener of one that answers. Keeps no connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::host_port::{HostPort, Listener, RequestKind};
use super::outcome::CommandFault;
use super::signing::sign;
use super::tls::{TlsAdvice, fault_of_tls, secured};
use crate::node::config::{CertificateFiles, Config};
use crate::protocol::transport::other_protocol::HTTP_ANSWER;
use crate::services::http::server::url;

/// Long enough for a question: the gateway itself gives up after 3 s.
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(10);

/// What deals with all that is on record takes a minute for tens of millions: a dry run of a reload reads every user, and
/// `callbacks` deals with every callback that is late or was given up.
const CHANGED_WITHIN_MAX: Duration = Duration::from_secs(600);

/// What listeners of terminals are, though they tell it in HTTP.
const NO_HTTP: &str = "it does not speak HTTP, as terminals.listen and ports with TLS do not";

/// Where there is no TLS.
const ADVICE: TlsAdvice = TlsAdvice {
    plain: "give the gateway's own --config FILE",
    untrusted: "have this system trust who did, or run the command on the gateway's host",
};

/// How long an answer is waited for.
fn within_max(purpose: RequestKind) -> Duration {
    match purpose {
        RequestKind::Query => ANSWER_WITHIN_MAX,
        RequestKind::Change => CHANGED_WITHIN_MAX,
    }
}

/// So many characters of an unexpected answer are shown. It may be anything: a page of HTML, or what would move the cursor.
const QUOTED_CHARACTERS_MAX: usize = 200;

/// The first line of what somebody answered, as far as it is fit to be shown.
pub(super) fn quoted(said: &str) -> String {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    let mut shown = line.unwrap_or_default().chars().filter(|one| !one.is_control());
    let mut text: String = shown.by_ref().take(QUOTED_CHARACTERS_MAX).collect();
    if shown.next().is_some() {
        text.push('…');
    }
    text
}

/// A UserSig for one request needs no long life.
const USERSIG_LIFETIME_S: u64 = 300;

/// Asks the REST interface as the first of the configuration's administrators.
pub(super) async fn ask(config: &Config, command: &str, body: &Value) -> anyhow::Result<Value> {
    let place = rest_place(config);
    let request = Request::post(rest_target(config, command)).body(Full::new(body.to_string().into()))?;
    let (status, body) = exchange(
        (Listener::Rest, &place, Scheme::of(&config.http_certificates)),
        request,
        (RequestKind::Query, ANSWER_WITHIN_MAX),
    )
    .await?;
    let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(code) = reply["ErrorCode"].as_i64() {
        return known_here(code, reply);
    }
    let what = match reply["error"].as_str() {
        Some(_) => "it answers as admin.listen does".to_owned(),
        None => format!("it answers with HTTP status {status} and nothing of the dialect"),
    };
    Err(place.mistaken(Listener::Rest, &what).into())
}

/// Where the REST interface is looked for.
pub(super) fn rest_place(config: &Config) -> HostPort {
    HostPort::of(first(&config.http))
}

/// The reply, unless it says that the gateway does not know the caller: then another configuration is needed.
fn known_here(code: i64, reply: Value) -> anyhow::Result<Value> {
    // The dialect's numbers: 1047/34348.
    let setting = match code {
        60_006 => "app.sdk_app_id",
        60_004 | 60_010 => "app.administrators",
        70_001..=70_099 => "usersig.keys",
        _ => return Ok(reply),
    };
    let text = quoted(reply["ErrorInfo"].as_str().unwrap_or_default());
    Err(CommandFault::Refused(format!(
        "the gateway refuses the request: {text} ({code}); its {setting} is another: give its own --config FILE, or --set {setting}=…"
    ))
    .into())
}

/// The path and query of a REST command, with a fresh UserSig.
pub(super) fn rest_target(config: &Config, command: &str) -> String {
    let caller = config
        .administrators
        .first()
        .expect("a configuration has an administrator");
    let app = config.logic.sdk_app_id;
    let sig = sign(config, caller, USERSIG_LIFETIME_S);
    let caller = url::encode(caller.as_str());
    format!("/v4/{command}?sdkappid={app}&identifier={caller}&usersig={sig}&random=1&contenttype=json")
}

/// Asks the admin listener for all that is known of a user; `None` if there is no such account.
pub(super) async fn inspect(config: &Config, user: &str) -> anyhow::Result<Option<Value>> {
    let path = format!("/v1/users/{}", url::encode(user));
    let answer = get(config, &path).await?;
    match answer.status {
        404 => Ok(None),
        _ => Ok(Some(json(&answer.place, answer.page()?)?)),
    }
}

/// Asks the admin listener for a page of JSON, one object a line.
pub(super) async fn lines(config: &Config, path: &str) -> anyhow::Result<Vec<Value>> {
    let answer = get(config, path).await?;
    let lines = answer.page()?.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(|line| json(&answer.place, line)).collect()
}

/// Asks the admin listener how the cluster stands, as its node knows it.
pub(super) async fn cluster(config: &Config) -> anyhow::Result<Value> {
    let answer = get(config, "/v1/cluster").await?;
    json(&answer.place, answer.page()?)
}

/// Asks the admin listener for its metrics.
pub(super) async fn metrics(config: &Config) -> anyhow::Result<String> {
    metrics_at(config, &admin_place(config)).await
}

/// The same of another node, which has the token of the configuration, and TLS if the configuration has it.
pub(super) async fn metrics_at(config: &Config, place: &HostPort) -> anyhow::Result<String> {
    let request = Request::get("/metrics");
    let answer = ask_admin_at(config, place, request, Bytes::new(), RequestKind::Query).await?;
    let text = String::from_utf8_lossy(answer.page()?);
    if !text.contains("\nholdfast_") {
        let what = "its metrics are not those of a gateway";
        return Err(answer.place.mistaken(Listener::Admin, what).into());
    }
    Ok(text.into_owned())
}

/// Posts a command to the admin listener. Gives the HTTP status and the answer's JSON.
pub(super) async fn command(config: &Config, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let request = Request::post(path).header("Content-Type", "application/json");
    let answer = ask_admin(config, request, body.to_string().into(), RequestKind::Change).await?;
    Ok((answer.status, json(&answer.place, &answer.body)?))
}

/// What the admin listener answered.
struct HttpAnswer {
    place: HostPort,
    status: u16,
    body: Bytes,
}

impl HttpAnswer {
    /// What was asked for.
    fn page(&self) -> anyhow::Result<&[u8]> {
        if self.status != 200 {
            let said = quoted(&String::from_utf8_lossy(&self.body));
            bail!("{} answers with HTTP status {}: {said}", self.place, self.status);
        }
        Ok(&self.body)
    }

    /// The same answer, if it is one of the admin listener, which lets us in.
    fn checked(self) -> Result<Self, CommandFault> {
        let dialect: Option<Value> = serde_json::from_slice(&self.body).ok();
        if dialect.is_some_and(|dialect| dialect.get("ErrorCode").is_some()) {
            return Err(self
                .place
                .mistaken(Listener::Admin, "it answers as http.listen does"));
        }
        if self.status == 401 {
            return Err(CommandFault::Refused(format!(
                "the gateway at {} refuses this admin.token: name the one that it runs by, with its own --config FILE or --set admin.token=… (the old one, if a reload is to change it)",
                self.place
            )));
        }
        Ok(self)
    }
}

async fn get(config: &Config, path: &str) -> anyhow::Result<HttpAnswer> {
    ask_admin(config, Request::get(path), Bytes::new(), RequestKind::Query).await
}

async fn ask_admin(
    config: &Config,
    request: Builder,
    body: Bytes,
    purpose: RequestKind,
) -> anyhow::Result<HttpAnswer> {
    ask_admin_at(config, &admin_place(config), request, body, purpose).await
}

/// Where the admin listener is looked for.
pub(super) fn admin_place(config: &Config) -> HostPort {
    HostPort::of(first(&config.admin))
}

async fn ask_admin_at(
    config: &Config,
    place: &HostPort,
    request: Builder,
    body: Bytes,
    purpose: RequestKind,
) -> anyhow::Result<HttpAnswer> {
    let request = match &config.admin_token {
        Some(token) => request.header("Authorization", format!("Bearer {}", token.expose())),
        None => request,
    };
    let (status, body) = exchange(
        (Listener::Admin, place, Scheme::of(&config.admin_certificates)),
        request.body(Full::new(body))?,
        (purpose, within_max(purpose)),
    )
    .await?;
    let place = place.clone();
    Ok(HttpAnswer { place, status, body }.checked()?)
}

fn json(place: &HostPort, body: &[u8]) -> anyhow::Result<Value> {
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|_| place.mistaken(Listener::Admin, "its answer is not JSON").into())
}

fn first(addresses: &[SocketAddr]) -> SocketAddr {
    *addresses
        .first()
        .expect("a configuration has an address for each listener")
}

/// How a listener is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// By its certificates.
    fn of(certificates: &[CertificateFiles]) -> Self {
        if certificates.is_empty() {
            Self::Http
        } else {
            Self::Https
        }
    }
}

async fn exchange(
    (listener, place, scheme): (Listener, &HostPort, Scheme),
    mut request: Request<Full<Bytes>>,
    (purpose, within_max): (RequestKind, Duration),
) -> anyhow::Result<(u16, Bytes)> {
    let host = HeaderValue::try_from(place.to_string()).context("an address is a header's value")?;
    request.headers_mut().insert(HOST, host);
    let stream = place.connect(within_max.min(ANSWER_WITHIN_MAX)).await;
    let stream = stream.map_err(|error| place.unreached(listener, &error))?;
    let answer = async {
        Ok(match scheme {
            Scheme::Http => answer(stream, request).await,
            Scheme::Https => answer(secured(stream, place.host()).await?, request).await,
        })
    };
    let answer = tokio::time::timeout(within_max, answer).await;
    let late = format!("has not answered for {within_max:?}");
    let answer = answer.map_err(|_| place.unanswered(listener, purpose, &late))?;
    let no_tls =
        |error: io::Error| CommandFault::Unreached(format!("{place}: {}", fault_of_tls(&error, &ADVICE)));
    let (status, body) = answer.map_err(no_tls)?.map_err(|error| match error.is_parse() {
        true => place.mistaken(listener, NO_HTTP),
        false => {
            let ended = format!("ended the connection without an answer ({error})");
            place.unanswered(listener, purpose, &ended)
        }
    })?;
    if !body.is_empty() && HTTP_ANSWER.ends_with(&body) {
        return Err(place.mistaken(listener, NO_HTTP).into());
    }
    Ok((status, body))
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(u16, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response: Response<_> = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may end just before the answer was taken from it.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_listener_that_does_not_answer_in_time_is_no_wrong_one_and_may_still_do_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // It takes connections, and reads nothing.
        let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = HostPort::of(busy.local_addr().unwrap());
        let check = |purpose, says_unknown: bool| {
            let request = Request::post("/v1/callbacks/drop").body(Full::default()).unwrap();
            let waited = (purpose, Duration::from_millis(20));
            let fault = runtime
                .block_on(exchange((Listener::Admin, &place, Scheme::Http), request, waited))
                .unwrap_err();
            let text = fault.to_string();
            let lost = matches!(fault.downcast_ref(), Some(CommandFault::Lost(_)));
            assert!(lost && text.contains("took the request"), "{text}");
            assert_eq!(text.contains("is not known"), says_unknown, "{text}");
        };
        check(RequestKind::Change, true);
        check(RequestKind::Query, false);
    }

    #[test]
    fn a_listener_without_tls_is_told_from_another_service() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = HostPort::of(plain.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = plain.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Until the other end closes: a reset would take the answer away.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let request = Request::get("/metrics").body(Full::default()).unwrap();
        let waited = (RequestKind::Query, ANSWER_WITHIN_MAX);
        let fault = runtime
            .block_on(exchange(
                (Listener::Admin, &place, Scheme::Https),
                request,
                waited,
            ))
            .unwrap_err();
        let expected = format!("{place}: it does not speak TLS: give the gateway's own --config FILE");
        assert_eq!(fault.to_string(), expected);
        assert!(matches!(fault.downcast_ref(), Some(CommandFault::Unreached(_))));
        server.join().unwrap();
    }

    #[test]
    fn of_an_unexpected_answer_its_first_line_is_shown_and_not_too_much_of_it() {
        assert_eq!(quoted("\r\n  no such page\r\n<html>"), "no such page");
        assert_eq!(quoted("\x1b[2Jred\u{7}"), "[2Jred");
        assert_eq!(quoted(""), "");
        let most = "ü".repeat(QUOTED_CHARACTERS_MAX);
        assert_eq!(quoted(&most), most);
        assert_eq!(quoted(&format!("{most}x")), format!("{most}…"));
    }
}
