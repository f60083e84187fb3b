//! Which texts may be secrets, keys, addresses, networks, paths and origins. Knows no setting, and repeats nothing of a secret.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::Value;

use crate::base::limits::PUBLIC_ADDRESS_BYTES_MAX;

/// What stands in the place of a secret when the configuration is printed.
pub(super) const HIDDEN: &str = "<set>";

/// The vendor's secret keys have 64 characters.
pub(super) const KEY_BYTES_MIN: usize = 16;

/// Far beyond what anyone uses.
pub(super) const SECRET_BYTES_MAX: usize = 1_024;

/// Names of clusters stand in keys of the store, and in what nodes prove to each other.
pub(super) const NAME_BYTES_MAX: usize = 32;

pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

pub(super) fn is_word(text: &str) -> bool {
    text.len() <= PUBLIC_ADDRESS_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where a server of the shared store is. A password in it would be shown with it.
pub(super) fn is_store_url(text: &str) -> bool {
    let Some(("redis" | "rediss", authority)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@,".contains(&byte);
    !host.is_empty()
        && host.bytes().all(plain)
        && (is_ipv6 || !host.contains(':'))
        && port.is_none_or(|port| port.parse().is_ok_and(|port: u16| port != 0))
}

pub(super) fn is_list(value: &Value, length_min: usize, takes: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|list| {
        list.len() >= length_min && list.iter().all(|entry| entry.as_str().is_some_and(&takes))
    })
}

pub(super) fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>()
        .is_ok_and(|address| address.port() != 0)
}

/// The network that a text names: one address is a network of its own.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).ok()
}

pub(super) fn is_request_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
}

/// Browsers send a scheme, a host in lower case, and a port unless it is the scheme's own. What is written otherwise would match
/// no page.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let is_own = |port: &str| matches!((scheme, port), ("http", "80") | ("https", "443"));
    let is_port = |port: &str| port.parse().is_ok_and(|number: u16| number.to_string() == port);
    let plain =
        |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"/?#@*,".contains(&byte);
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    [scheme, host]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(plain))
        && (is_ipv6 || !host.contains(':'))
        && port.is_none_or(|port| is_port(port) && !is_own(port))
}

/// Shorter ones can be guessed; printed place-holders are none.
pub(super) fn is_secret(text: &str, bytes_min: usize) -> bool {
    fault_of_text(text, bytes_min).is_none()
}

/// What keeps a text from being a secret; nothing of the text.
pub(super) fn fault_of_text(text: &str, bytes_min: usize) -> Option<String> {
    if text.contains('\n') {
        Some("more than one line".to_owned())
    } else if text == HIDDEN {
        Some("what stands for a secret when the configuration is printed".to_owned())
    } else if text.len() < bytes_min {
        Some(format!("fewer than {bytes_min} characters"))
    } else if text.len() > SECRET_BYTES_MAX {
        Some(format!("more than {SECRET_BYTES_MAX} characters"))
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("a character that is not printable ASCII, or a space".to_owned())
    } else {
        None
    }
}

pub(super) fn is_key(key: &Value) -> bool {
    let Some(key) = key.as_table() else { return false };
    let known = |name: &String| ["secret", "secret_file", "not_after"].contains(&&**name);
    let known = key.keys().all(known);
    let secret = match (key.get("secret"), key.get("secret_file")) {
        (Some(secret), None) => secret.as_str().is_some_and(|text| is_secret(text, KEY_BYTES_MIN)),
        (None, Some(path)) => path
            .as_str()
            .is_some_and(|path| !path.is_empty() && !path.contains('\0')),
        (Some(_), Some(_)) | (None, None) => false,
    };
    known && secret && key.get("not_after").is_none_or(|end| not_after_s(end).is_some())
}

/// The Unix second of a `not_after`: a date-time of TOML, or a text of the same form.
#[must_use]
pub(super) fn not_after_s(value: &Value) -> Option<u64> {
    let text = match value.as_datetime() {
        Some(at) => at.to_string(),
        None => value.as_str()?.to_owned(),
    };
    let at = humantime::parse_rfc3339(&text).ok()?;
    Some(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}
