//! Who may ask at all. A web page that a person at this machine opens could send requests here, so foreign hosts and
//! origins are refused at the admin listener, also on loopback, and so is everything that a form could post. The same
//! holds at the backend's listener while its secret is the one that everyone knows. Reads no body.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};
use sha2::Sha256;

use crate::base::secret::Secret;
use crate::protocol::usersig::DEVELOPMENT_SECRET;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::throttle::RefusalReason;
use crate::services::http::settings::HttpSettings;

/// The content type of JSON.
pub(crate) const JSON: &str = "application/json";

/// The content type of JSON, one object a line.
pub(crate) const LINES: &str = "application/x-ndjson";

/// Of a URL that names none (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;

/// What browsers say of where a request comes from, and no page can change.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a form can post, and with it any page, without being asked whether it may, and that can pass for JSON.
const FORM_TYPES: [&str; 2] = ["text/plain", "multipart/form-data"];

/// A request that is not let in.
#[derive(Debug)]
pub(crate) struct Denied {
    /// For what it is counted; `None` for a mistake of someone who may ask.
    pub(crate) reason: Option<RefusalReason>,
    pub(crate) status: StatusCode,
    /// For people.
    pub(crate) text: &'static str,
}

impl Denied {
    fn stranger(text: &'static str) -> Self {
        Self {
            reason: Some(RefusalReason::Stranger),
            status: StatusCode::FORBIDDEN,
            text,
        }
    }
}

/// Lets a request to the admin listener in that asks for nothing secret: it was sent to a name of this gateway, and by no page
/// of another.
pub(crate) fn admit_unproven(settings: &HttpSettings, peer: &HttpPeer, head: &Parts) -> Result<(), Denied> {
    let names = HostNames { settings, peer };
    let host = text(&head.headers, &HOST).unwrap_or("");
    if !names.has(host) || !names.has_target(head) {
        return Err(Denied::stranger("the Host is not one of admin.hosts"));
    }
    check_page(&names, head)
}

/// Lets a request to the admin listener in, whatever it asks for.
pub(crate) fn admit(settings: &HttpSettings, peer: &HttpPeer, head: &Parts) -> Result<(), Denied> {
    admit_unproven(settings, peer, head)?;
    if let Some(token) = &settings.admin_token
        && !holds(&head.headers, token)
    {
        return Err(Denied {
            reason: Some(RefusalReason::Token),
            status: StatusCode::UNAUTHORIZED,
            text: "send the header `Authorization: Bearer <admin.token>`",
        });
    }
    let wanted = head.method != Method::POST || content_type(head).eq_ignore_ascii_case(JSON);
    wanted.then_some(()).ok_or(Denied {
        reason: None,
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        text: "send the header `Content-Type: application/json`",
    })
}

/// Whether a request's body is one JSON object a line.
pub(crate) fn is_lines(head: &Parts) -> bool {
    content_type(head).eq_ignore_ascii_case(LINES)
}

/// Lets a request to the backend's listener in. Who sends it is checked by its UserSig, which any page could make with the
/// development secret.
pub(crate) fn admit_backend(settings: &HttpSettings, peer: &HttpPeer, head: &Parts) -> Result<(), Denied> {
    let names = HostNames { settings, peer };
    let mut keys = settings.keys.iter();
    let is_secret = keys.all(|key| key.secret.expose() != DEVELOPMENT_SECRET);
    let is_meant = names.has_target(head) || is_secret && is_of_host(head);
    if !is_meant {
        return Err(Denied {
            // It has shown no proof yet, good or bad.
            reason: None,
            status: StatusCode::MISDIRECTED_REQUEST,
            text: "this is no proxy: send the path alone, or a URL with the same host as the header Host",
        });
    }
    if is_secret {
        return Ok(());
    }
    // A browser always names the host; what names none is none.
    if head.headers.contains_key(HOST) && !text(&head.headers, &HOST).is_some_and(|host| names.has(host)) {
        return Err(Denied::stranger(
            "with the development secret the Host has to be one of loopback, or of admin.hosts",
        ));
    }
    check_page(&names, head)?;
    let kind = content_type(head);
    if FORM_TYPES.iter().any(|form| form.eq_ignore_ascii_case(kind)) {
        return Err(Denied::stranger(
            "with the development secret, send the header `Content-Type: application/json`",
        ));
    }
    Ok(())
}

/// Whether a request that names its host in the first line, as to a proxy, names the same one as its header: servers have to
/// take that form, too (RFC 9112, 3.2.2).
fn is_of_host(head: &Parts) -> bool {
    let Some(target) = head.uri.authority() else {
        return true;
    };
    let Some(host) = head.headers.get(HOST) else {
        return true;
    };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let port = |authority: &Authority| authority.port_u16().unwrap_or(HTTP_PORT);
    host.is_some_and(|host| host.host().eq_ignore_ascii_case(target.host()) && port(&host) == port(target))
}

/// Refuses what a page of another name sends.
fn check_page(names: &HostNames<'_>, head: &Parts) -> Result<(), Denied> {
    let foreign =
        || Denied::stranger("a page of another host sent this: the Origin is not one of admin.hosts");
    if let Some(origin) = head.headers.get(ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.filter(|(_, host)| names.has(host)).ok_or_else(foreign)?;
    }
    let site = text(&head.headers, &SEC_FETCH_SITE).unwrap_or("none");
    if head.method == Method::POST && site == "cross-site" {
        return Err(foreign());
    }
    Ok(())
}

/// Without its parameters.
fn content_type(head: &Parts) -> &str {
    let whole = text(&head.headers, &CONTENT_TYPE).unwrap_or("");
    whole.split(';').next().unwrap_or("").trim()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What this gateway is called: a page can have its own name resolve to this address, but cannot have one of these.
struct HostNames<'a> {
    settings: &'a HttpSettings,
    peer: &'a HttpPeer,
}

impl HostNames<'_> {
    /// Whether a `host[:port]` is of loopback, the address that was reached, or configured.
    fn has(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => host.split(':').next().unwrap_or(host),
        };
        let is_own = |address: IpAddr| address.is_loopback() || Some(address) == self.peer.reached;
        let mut configured = self.settings.admin_hosts.iter();
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse()
                .is_ok_and(|address: IpAddr| is_own(address.to_canonical()))
            || configured.any(|ours| ours.eq_ignore_ascii_case(name))
    }

    /// Whether a request that names its host in the first line, as to a proxy, names this one.
    fn has_target(&self, head: &Parts) -> bool {
        head.uri
            .authority()
            .is_none_or(|target| self.has(target.as_str()))
    }
}

/// Whether the request holds the token. Compared by MACs, so that the time tells nothing of it.
fn holds(headers: &HeaderMap, token: &Secret) -> bool {
    let sent = text(headers, &AUTHORIZATION).and_then(bearer);
    let mac = |token: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
        mac.chain_update(b"holdfast admin")
    };
    sent.is_some_and(|sent| {
        mac(token.expose())
            .verify(&mac(sent).finalize().into_bytes())
            .is_ok()
    })
}

/// What stands behind the scheme, which is the same in any case (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_start())
}
