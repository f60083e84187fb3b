//! Who may ask the admin listener. A web page that a person at this machine opens could send requests here, so foreign
//! hosts and origins are refused, also on loopback, and so is everything that a form could post.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use sha2::Sha256;

use super::admin::{JSON, Refusal};
use super::{Settings, Token};

/// Lets a request in, whatever it asks for.
pub(super) fn admit(settings: &Settings, head: &Parts) -> Result<(), Refusal> {
    check_hosts(settings, head)?;
    if let Some(token) = &settings.admin_token
        && !holds(&head.headers, token)
    {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "send the header `Authorization: Bearer <admin.token>`",
        ));
    }
    if head.method == Method::GET {
        return Ok(());
    }
    let content_type = text(&head.headers, &CONTENT_TYPE).unwrap_or("");
    let content_type = content_type.split(';').next().unwrap_or("").trim();
    if !content_type.eq_ignore_ascii_case(JSON) {
        let text = "send the header `Content-Type: application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(())
}

/// Refuses names that are not ours: a page can have its own name resolve to this address.
fn check_hosts(settings: &Settings, head: &Parts) -> Result<(), Refusal> {
    let host = text(&head.headers, &HOST).unwrap_or("");
    let authority = head
        .uri
        .authority()
        .map_or(host, hyper::http::uri::Authority::as_str);
    if !is_ours(settings, host) || !is_ours(settings, authority) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the Host is not one of admin.hosts",
        ));
    }
    if !head.headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = text(&head.headers, &ORIGIN).and_then(|origin| origin.split_once("://"));
    match origin {
        Some((_, host)) if is_ours(settings, host) => Ok(()),
        Some(_) | None => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the Origin is not one of admin.hosts",
        )),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a `host[:port]` is of loopback or configured.
fn is_ours(settings: &Settings, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || settings
            .admin_hosts
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Whether the request holds the token. Compared by MACs, so that the time tells nothing of it.
fn holds(headers: &HeaderMap, token: &Token) -> bool {
    let sent = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let mac = |token: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
        mac.chain_update(b"holdfast admin")
    };
    sent.is_some_and(|sent| mac(&token.0).verify(&mac(sent).finalize().into_bytes()).is_ok())
}
