//! Whose request a proxy passes on, by `X-Forwarded-For`. Believes nobody but networks that are listed.

use std::net::{IpAddr, SocketAddr};

/// The client of a request that came from `peer`. Each proxy appends the address that it was asked from, so they are read from
/// the last one on, as long as who said it is trusted. `entries` are those of all headers, in order.
#[must_use]
pub(super) fn client<'a>(
    peer: IpAddr,
    entries: impl DoubleEndedIterator<Item = &'a str>,
    is_trusted: &dyn Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer;
    for entry in entries.rev() {
        match address(entry.trim()) {
            Some(address) if is_trusted(client) => client = address,
            _ => break,
        }
    }
    client
}

/// An address, as proxies write it: some put a port behind it, or brackets around it.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    let address = bare.parse().ok();
    address.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, entries: &str, expected: &str) {
        let is_trusted = |of: IpAddr| of.to_string().starts_with("10.");
        let [peer, expected] = [peer, expected].map(|text| address(text).unwrap());
        assert_eq!(
            client(peer, entries.split(','), &is_trusted),
            expected,
            "{entries}"
        );
    }

    #[test]
    fn the_last_address_that_no_proxy_has_is_the_clients() {
        check("192.0.2.1", "198.51.100.7", "192.0.2.1");
        check("10.0.0.1", "198.51.100.7", "198.51.100.7");
        check("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7");
        check("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7");
        check("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
        check("10.0.0.1", "", "10.0.0.1");
        check("10.0.0.1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2");
    }

    #[test]
    fn an_address_may_have_a_port_or_brackets() {
        for (entry, expected) in [
            ("198.51.100.7:4711", Some("198.51.100.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("[2001:db8::7]:4711", Some("2001:db8::7")),
            ("unknown", None),
            ("198.51.100.300", None),
        ] {
            assert_eq!(
                address(entry),
                expected.map(|text| text.parse().unwrap()),
                "{entry}"
            );
        }
    }
}
