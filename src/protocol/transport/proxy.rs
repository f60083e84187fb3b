//! The header of a proxy, before anything else of a connection: whom it speaks for. Versions 1 and 2 of haproxy's
//! `proxy-protocol.txt`. Believes nobody: whether the peer may speak for others is asked before.

use std::net::IpAddr;

use ppp::{v1, v2};

/// Whether a listener's connections begin with the header of a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// None does.
    #[default]
    Off,
    /// Each does, in the text of version 1.
    V1,
    /// Each does, in the bytes of version 2.
    V2,
    /// Each does, in either version.
    Any,
}

/// A whole header of version 2. Addresses need at most 216 bytes behind the first 16; the rest are what proxies add, such as a
/// name from TLS or an id of a cloud.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;

/// A whole header of version 1, with its line end. The specification's own number.
const TEXT_BYTES_MAX: usize = 107;
const TEXT_BEGIN: &[u8] = b"PROXY ";
const UNKNOWN_BEGIN: &[u8] = b"PROXY UNKNOWN";
/// What the length of version 2 is behind, with it.
const BINARY_BEGIN_BYTES: usize = 16;

/// The header of one connection, as long as it is not whole.
#[derive(Debug)]
pub struct ProxyHeader {
    mode: ProxyMode,
    bytes: Vec<u8>,
}

/// What came of a header's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderRead {
    /// They are a part of one.
    Incomplete,
    /// They are none, or none that the listener takes.
    Wrong,
    /// It is whole.
    Whole {
        /// Whom the proxy speaks for; `None` if for itself, or for somebody without an address of IP.
        client: Option<IpAddr>,
        /// The bytes behind it.
        behind: Vec<u8>,
    },
}

/// What some bytes begin with.
enum Begin {
    /// A header of so many bytes, and whom it names.
    Header(usize, Option<IpAddr>),
    Incomplete,
    Wrong,
}

impl ProxyHeader {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(mode: ProxyMode) -> Self {
        let bytes = Vec::new();
        Self { mode, bytes }
    }

    /// Bytes came.
    #[must_use]
    pub fn receive(&mut self, bytes: &[u8]) -> HeaderRead {
        self.bytes.extend_from_slice(bytes);
        match self.begin() {
            Begin::Incomplete => HeaderRead::Incomplete,
            Begin::Wrong => HeaderRead::Wrong,
            Begin::Header(length, client) => HeaderRead::Whole {
                client,
                behind: self.bytes.split_off(length),
            },
        }
    }

    fn begin(&self) -> Begin {
        let (text, binary) = match self.mode {
            ProxyMode::Off => (false, false),
            ProxyMode::V1 => (true, false),
            ProxyMode::V2 => (false, true),
            ProxyMode::Any => (true, true),
        };
        if text && begins_like(&self.bytes, TEXT_BEGIN) {
            of_text(&self.bytes)
        } else if binary && begins_like(&self.bytes, v2::PROTOCOL_PREFIX) {
            of_binary(&self.bytes)
        } else {
            Begin::Wrong
        }
    }
}

/// Whether bytes have the same beginning, as far as they go.
fn begins_like(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(one, other)| one == other)
}

fn of_text(bytes: &[u8]) -> Begin {
    let line_end = bytes.iter().take(TEXT_BYTES_MAX).position(|byte| *byte == b'\n');
    let Some(line_end) = line_end else {
        return if bytes.len() < TEXT_BYTES_MAX {
            Begin::Incomplete
        } else {
            Begin::Wrong
        };
    };
    let length = line_end + 1;
    let line = &bytes[..length];
    if line.starts_with(UNKNOWN_BEGIN) && line.ends_with(b"\r\n") {
        // Whatever stands behind it is to be ignored.
        return Begin::Header(length, None);
    }
    match v1::Header::try_from(line).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(ends)) => Begin::Header(length, Some(ends.source_address.into())),
        Ok(v1::Addresses::Tcp6(ends)) => Begin::Header(length, Some(ends.source_address.into())),
        Ok(v1::Addresses::Unknown) => Begin::Header(length, None),
        Err(_) => Begin::Wrong,
    }
}

fn of_binary(bytes: &[u8]) -> Begin {
    let Some(begin) = bytes.first_chunk::<BINARY_BEGIN_BYTES>() else {
        return Begin::Incomplete;
    };
    let [.., high, low] = *begin;
    let length = BINARY_BEGIN_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_HEADER_BYTES_MAX {
        return Begin::Wrong;
    }
    let Some(header) = bytes.get(..length) else {
        return Begin::Incomplete;
    };
    match v2::Header::try_from(header) {
        Ok(header) => Begin::Header(length, client_of(&header)),
        Err(_) => Begin::Wrong,
    }
}

/// Whom a proxy speaks for; `None` if for itself, or for somebody without an address of IP.
fn client_of(header: &v2::Header<'_>) -> Option<IpAddr> {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ends)) => Some(ends.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ends)) => Some(ends.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_))
        | (v2::Command::Local, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    const BEHIND: &[u8] = b"\x02\x12\x00";

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, rest].concat()
    }

    fn ipv4() -> Vec<u8> {
        binary(1, 0x11, &[203, 0, 113, 7, 10, 0, 0, 9, 1, 2, 3, 4])
    }

    /// In two pieces, cut at every place.
    fn check(mode: ProxyMode, header: &[u8], client: Option<IpAddr>) {
        let bytes = [header, BEHIND].concat();
        let whole = |behind: &[u8]| HeaderRead::Whole {
            client,
            behind: behind.to_vec(),
        };
        for cut in 0..=bytes.len() {
            let mut layer = ProxyHeader::new(mode);
            let read = layer.receive(&bytes[..cut]);
            if cut >= header.len() {
                assert_eq!(read, whole(&bytes[header.len()..cut]), "{cut}");
            } else {
                assert_eq!(read, HeaderRead::Incomplete, "{cut}");
                assert_eq!(layer.receive(&bytes[cut..]), whole(BEHIND), "{cut}");
            }
        }
    }

    fn check_wrong(mode: ProxyMode, bytes: &[u8]) {
        let read = ProxyHeader::new(mode).receive(bytes);
        assert_eq!(read, HeaderRead::Wrong, "{bytes:?}");
    }

    #[test]
    fn a_header_names_the_client_wherever_it_is_cut() {
        let text = b"PROXY TCP4 203.0.113.7 10.0.0.9 258 772\r\n";
        let ipv6 = Ipv6Addr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let six = [&ipv6.octets()[..], &[0; 20]].concat();
        for mode in [ProxyMode::V1, ProxyMode::Any] {
            check(mode, text, Some(CLIENT));
            check(mode, b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", Some(ipv6.into()));
        }
        for mode in [ProxyMode::V2, ProxyMode::Any] {
            check(mode, &ipv4(), Some(CLIENT));
            check(mode, &binary(1, 0x21, &six), Some(ipv6.into()));
        }
    }

    #[test]
    fn what_proxies_add_is_passed_over() {
        let more = [
            &[203, 0, 113, 7, 10, 0, 0, 9, 1, 2, 3, 4][..],
            &[4, 0, 3, 1, 2, 3],
        ]
        .concat();
        check(ProxyMode::V2, &binary(1, 0x11, &more), Some(CLIENT));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_is_its_own_client() {
        check(ProxyMode::V2, &binary(0, 0, &[]), None);
        check(ProxyMode::V2, &binary(0, 0x11, &[9; 12]), None);
        check(ProxyMode::V2, &binary(1, 0, &[1, 2, 3]), None);
        check(ProxyMode::V2, &binary(1, 0x31, &[0; 216]), None);
        check(ProxyMode::V1, b"PROXY UNKNOWN\r\n", None);
        check(
            ProxyMode::V1,
            b"PROXY UNKNOWN it may say what it likes and more of it\r\n",
            None,
        );
    }

    #[test]
    fn what_is_no_header_of_the_listener_is_a_mistake() {
        check_wrong(ProxyMode::V1, &ipv4());
        check_wrong(ProxyMode::V2, b"PROXY TCP4 203.0.113.7 10.0.0.9 258 772\r\n");
        check_wrong(ProxyMode::Any, BEHIND);
        check_wrong(ProxyMode::Any, b"PROXY TCP4 203.0.113.7\r\n");
        check_wrong(ProxyMode::Any, b"PROXY TCP4 203.0.113.7 10.0.0.9 258 772\n");
        check_wrong(ProxyMode::Any, b"PROXY TCP4 203.0.113.257 10.0.0.9 258 772\r\n");
        check_wrong(ProxyMode::V2, &binary(7, 0x11, &[0; 12]));
        check_wrong(ProxyMode::V2, &binary(1, 0x11, &[0; 11]));
    }

    #[test]
    fn a_header_has_its_limit() {
        let longest = PROXY_HEADER_BYTES_MAX - BINARY_BEGIN_BYTES;
        check(ProxyMode::V2, &binary(0, 0, &vec![0; longest]), None);
        let begin = binary(0, 0, &vec![0; longest + 1]);
        check_wrong(ProxyMode::V2, &begin[..BINARY_BEGIN_BYTES]);
        let line = |length: usize| {
            let begin = b"PROXY UNKNOWN ".to_vec();
            let filled = begin.into_iter().chain(std::iter::repeat(b'x'));
            filled.take(length - 2).chain(*b"\r\n").collect::<Vec<u8>>()
        };
        check(ProxyMode::V1, &line(TEXT_BYTES_MAX), None);
        check_wrong(ProxyMode::V1, &line(TEXT_BYTES_MAX + 1)[..TEXT_BYTES_MAX]);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in any::<bool>()) {
            let begin = if text { TEXT_BEGIN } else { v2::PROTOCOL_PREFIX };
            let _ = ProxyHeader::new(ProxyMode::Any).receive(&bytes);
            let _ = ProxyHeader::new(ProxyMode::Any).receive(&[begin, &bytes].concat());
        }
    }
}
