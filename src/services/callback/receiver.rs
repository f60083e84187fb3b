//! The receiver's address, read once: what is posted to is what was checked. Sends nothing.

use std::fmt;
use std::net::Ipv6Addr;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};

/// Characters that Tencent's console refuses, since the query is always ours; and a name with a password: an address is
/// shown.
const NOT_IN_URL: [char; 6] = ['!', '$', '&', '?', '@', '#'];

/// Where callbacks go.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl {
    text: String,
    uri: Uri,
}

/// Why a text is no receiver's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// A character that cannot be in it.
    #[error("a URL has none of ! $ & ? @ # and spaces: the query is added to it")]
    Character,
    /// It is no URL with a host.
    #[error("a URL begins with http:// or https:// and names a host")]
    Form,
    /// Its port is none.
    #[error("a URL's port is a number from 1 to 65535")]
    Port,
}

impl ReceiverUrl {
    /// Reads it.
    ///
    /// # Errors
    /// Says what would do.
    pub fn read(text: &str) -> Result<Self, UrlError> {
        let plain = |character: char| character.is_ascii_graphic() && !NOT_IN_URL.contains(&character);
        if !text.chars().all(plain) {
            return Err(UrlError::Character);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Form)?;
        let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        let authority = uri.authority().filter(|_| known).ok_or(UrlError::Form)?;
        check_host(authority.host())?;
        check_port(authority)?;
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address of one request.
    pub(super) fn with_query(&self, query: &str) -> Uri {
        let mut parts = self.uri.clone().into_parts();
        let path = format!("{}?{query}", self.uri.path());
        parts.path_and_query = Some(
            path.parse()
                .expect("a path of a URL, and a query of plain characters"),
        );
        Uri::from_parts(parts).expect("a URL stays one with another query")
    }

    /// The host it names, for people: a name, or an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().expect("it was checked")
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_host(host: &str) -> Result<(), UrlError> {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address
            .parse::<Ipv6Addr>()
            .map(|_| ())
            .map_err(|_| UrlError::Form),
        None if host.is_empty() || host.contains(['[', ']']) => Err(UrlError::Form),
        None => Ok(()),
    }
}

/// What the library cannot read as a port it takes for none.
fn check_port(authority: &Authority) -> Result<(), UrlError> {
    let behind = &authority.as_str()[authority.host().len()..];
    let Some(port) = behind.strip_prefix(':') else {
        return if behind.is_empty() {
            Ok(())
        } else {
            Err(UrlError::Form)
        };
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        Ok(_) | Err(_) => Err(UrlError::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_have_plain_urls() {
        for good in [
            "http://127.0.0.1:8080/cb",
            "https://example.com",
            "http://[::1]:1/x/y",
            "HTTPS://Example.com:65535/x%20y",
        ] {
            assert_eq!(ReceiverUrl::read(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "example.com",
            "/callback",
            "//a/callback",
            "ftp://example.com",
            "http://",
            "http:///x",
            "http://:80/",
            "http://[::1/",
            "http://[fe80]/",
            "http://[::1]x/",
        ] {
            assert_eq!(ReceiverUrl::read(bad), Err(UrlError::Form), "{bad}");
        }
        for bad in [
            "http://a/?b",
            "http://a/b c",
            "http://a/$b",
            "http://u:p@a/",
            "http://a#f",
            "http://\u{e9}/",
        ] {
            assert_eq!(ReceiverUrl::read(bad), Err(UrlError::Character), "{bad}");
        }
    }

    #[test]
    fn a_port_is_a_number_from_1_to_65535_and_what_is_posted_to() {
        for (port, expected) in [("1", 1), ("443", 443), ("080", 80), ("65535", 65_535)] {
            let url = ReceiverUrl::read(&format!("http://a:{port}/")).unwrap();
            assert_eq!(url.uri.port_u16(), Some(expected));
        }
        for bad in ["0", "99999", "65536", "8o", "+80", "-1", "", "1:2"] {
            let refused = ReceiverUrl::read(&format!("http://a:{bad}/"));
            assert!(
                matches!(refused, Err(UrlError::Port | UrlError::Form)),
                "{bad}: {refused:?}"
            );
            assert!(
                ReceiverUrl::read(&format!("https://[::1]:{bad}")).is_err(),
                "{bad}"
            );
        }
        assert_eq!(ReceiverUrl::read("http://a:99999/"), Err(UrlError::Port));
    }
}
