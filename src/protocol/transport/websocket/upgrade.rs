//! The request for a WebSocket, and its answer: RFC 6455, section 4.2. Takes part of a request and says whether it is enough;
//! keeps nothing, and opens nothing.

use std::net::IpAddr;

use httparse::{Header, Request, Status};

use super::accept::{accept, is_key};
use super::forwarded;
use crate::protocol::transport::other_protocol::TLS_ANSWER;

/// The language of terminals, as a WebSocket's subprotocol: packets of `proto/gateway.proto`, as over TCP.
pub const SUBPROTOCOL: &str = "holdfast.v1";

/// A request with its headers. Cookies are the longest part of them, and browsers keep 4 KiB of each.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Headers of a request. A browser sends some 15, and proxies add a handful.
pub const REQUEST_HEADERS_MAX: usize = 64;

/// Which requests a listener takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRules {
    /// The path, without a query.
    pub path: String,
    /// The pages whose browsers may ask, such as `https://chat.example`; none: all pages. A request without `Origin` comes from
    /// no browser, and may always ask.
    pub origins: Vec<String>,
}

impl Default for UpgradeRules {
    /// The root, so that an address without a path is enough, and any page.
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            origins: Vec::new(),
        }
    }
}

/// What a request is judged by.
#[derive(Clone, Copy)]
pub struct UpgradeContext<'a> {
    /// The listener's rules.
    pub rules: &'a UpgradeRules,
    /// The other end of the socket.
    pub peer: IpAddr,
    /// Whether an address is one of a proxy whose `X-Forwarded-For` is believed.
    pub is_trusted: &'a dyn Fn(IpAddr) -> bool,
}

/// A request that is granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The bytes of the request: what is behind them are frames.
    pub length: usize,
    /// The answer.
    pub answer: String,
    /// Who asked: the socket's other end, or whom a trusted proxy names.
    pub client: IpAddr,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeFault {
    /// The first bytes of TLS, where none is spoken.
    TlsBytes,
    /// No HTTP at all, such as a login without WebSocket.
    NotHttp,
    /// HTTP that cannot be read, or a WebSocket's request without a header that it needs.
    BadRequest,
    /// More bytes or headers than a request may have.
    RequestTooLarge,
    /// A request for another path.
    WrongPath,
    /// A request that asks for no WebSocket.
    NoUpgrade,
    /// A version of WebSocket that is not spoken.
    WrongVersion,
    /// A page that is not listed.
    WrongOrigin,
}

impl UpgradeFault {
    /// The answer, in the language of the peer, after which the connection is closed.
    #[must_use]
    pub fn answer(self) -> Vec<u8> {
        let (status, header, text) = match self {
            Self::TlsBytes => return TLS_ANSWER.to_vec(),
            Self::NotHttp => (
                "400 Bad Request",
                "",
                "This is no HTTP: terminals reach this listener by WebSocket.",
            ),
            Self::BadRequest => (
                "400 Bad Request",
                "",
                "The request cannot be read, or lacks Host or a Sec-WebSocket-Key of 16 bytes.",
            ),
            Self::RequestTooLarge => (
                "431 Request Header Fields Too Large",
                "",
                "The request has too many bytes or headers.",
            ),
            Self::WrongPath => ("404 Not Found", "", "There is no WebSocket at this path."),
            Self::NoUpgrade => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\n",
                "This is a listener for terminals, which ask for a WebSocket.",
            ),
            Self::WrongVersion => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                "Only version 13 of WebSocket is spoken here.",
            ),
            Self::WrongOrigin => ("403 Forbidden", "", "Pages of this origin may not connect."),
        };
        refusal(status, header, text).into_bytes()
    }
}

/// A complete answer that grants nothing. `header` is whole lines.
pub(super) fn refusal(status: &str, header: &str, text: &str) -> String {
    let option = if header.is_empty() {
        "close"
    } else {
        "close, Upgrade"
    };
    format!(
        "HTTP/1.1 {status}\r\n{header}Connection: {option}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{text}\n",
        text.len() + 1
    )
}

/// Judges the request that `bytes` begin with; `None` if they are only a part of it.
pub fn upgrade(bytes: &[u8], context: UpgradeContext<'_>) -> Result<Option<Upgrade>, UpgradeFault> {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(&bytes[..bytes.len().min(REQUEST_BYTES_MAX)]) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(UpgradeFault::RequestTooLarge);
        }
        Err(_) => return Err(unreadable(bytes)),
    };
    let headers = &*request.headers;
    if request.path.map(path_of) != Some(&context.rules.path) {
        return Err(UpgradeFault::WrongPath);
    }
    if !asks_for_websocket(&request) {
        return Err(UpgradeFault::NoUpgrade);
    }
    if !items(headers, "sec-websocket-version").eq(["13"]) {
        return Err(UpgradeFault::WrongVersion);
    }
    let (Some(_), Some(key)) = (the_only(headers, "host"), the_only(headers, "sec-websocket-key")) else {
        return Err(UpgradeFault::BadRequest);
    };
    if !is_key(key) {
        return Err(UpgradeFault::BadRequest);
    }
    if !is_origin_allowed(headers, &context.rules.origins) {
        return Err(UpgradeFault::WrongOrigin);
    }
    Ok(Some(Upgrade {
        length,
        answer: granted(key, headers),
        client: forwarded::client(
            context.peer,
            items(headers, "x-forwarded-for"),
            context.is_trusted,
        ),
    }))
}

/// The path of a request's target, which may be a whole address.
fn path_of(target: &str) -> &str {
    let target = target.split_once('?').map_or(target, |(path, _)| path);
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |path| &rest[path..]),
        _ => target,
    }
}

/// What bytes are that HTTP has no use for. They are HTTP if they begin with a method.
fn unreadable(bytes: &[u8]) -> UpgradeFault {
    const TLS_HANDSHAKE: u8 = 22;
    let mut behind_method = bytes.iter().skip_while(|byte| byte.is_ascii_alphanumeric());
    match (bytes.first(), behind_method.next()) {
        (Some(&TLS_HANDSHAKE), _) => UpgradeFault::TlsBytes,
        (_, Some(b' ')) => UpgradeFault::BadRequest,
        _ => UpgradeFault::NotHttp,
    }
}

fn asks_for_websocket(request: &Request<'_, '_>) -> bool {
    let has = |name, item: &str| items(request.headers, name).any(|one| one.eq_ignore_ascii_case(item));
    let is_get_of_1_1 = request.method == Some("GET") && request.version == Some(1);
    is_get_of_1_1 && has("upgrade", "websocket") && has("connection", "upgrade")
}

/// The subprotocol is named if the client offers it. A client that offers only others is not refused, since the RFC leaves it to
/// the client what to do without one: browsers give up.
fn granted(key: &str, headers: &[Header<'_>]) -> String {
    let offers = items(headers, "sec-websocket-protocol").any(|offer| offer == SUBPROTOCOL);
    let subprotocol = match offers {
        true => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        false => String::new(),
    };
    let accept = accept(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
    )
}

fn is_origin_allowed(headers: &[Header<'_>], allowed: &[String]) -> bool {
    let is_listed = |origin: &str| allowed.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
    allowed.is_empty() || values(headers, "origin").all(is_listed)
}

/// The values of all headers of a name, which is in lower case. What is no UTF-8 is as good as nothing.
fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim_ascii())
}

/// The items of lists that all headers of a name have.
fn items<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    values(headers, name).flat_map(|value| value.split(',').map(str::trim_ascii))
}

/// The value of the only header of a name.
fn the_only<'a>(headers: &'a [Header<'a>], name: &'a str) -> Option<&'a str> {
    let mut values = values(headers, name);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests;
