//! What peers speak who came to a listener that does not speak it: TLS or HTTP, by their first bytes, and the answer that says so
//! in their own language. Keeps nothing.

use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::kind::Transport;

/// A protocol that a listener does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherProtocol {
    /// A client's hello begins.
    Tls,
    /// A request begins.
    Http,
}

/// What begins like a record of a handshake. A packet that begins like the rest is none of protobuf: no field has the number 0.
const TLS_HANDSHAKE: &[u8] = &[22, 3];

/// The record of a fatal alert, unexpected_message (RFC 8446, 5.1 and 6).
pub const TLS_ANSWER: &[u8] = &[21, 3, 3, 0, 2, 2, 10];

/// What a client of HTTP gets where terminals speak without it.
pub const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 72\r\n\
    Connection: close\r\n\r\nThis port is for terminals. It speaks no HTTP, and takes no WebSocket.\r\n";

const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI ",
];

/// Whether a request of HTTP begins.
#[must_use]
pub fn is_http(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| bytes.starts_with(method))
}

/// Whether more bytes could make it a request of HTTP.
#[must_use]
pub fn may_become_http(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| method.starts_with(bytes))
}

impl OtherProtocol {
    /// What the first bytes of a connection are, where they are no packet. What is in messages is never another protocol.
    #[must_use]
    pub fn at(transport: Transport, bytes: &[u8]) -> Option<Self> {
        match transport {
            Transport::Tcp if bytes.starts_with(TLS_HANDSHAKE) => Some(Self::Tls),
            Transport::Tcp | Transport::Tls if is_http(bytes) => Some(Self::Http),
            Transport::Tcp | Transport::Tls | Transport::WebSocket | Transport::SecureWebSocket => None,
        }
    }

    /// What the peer is told.
    #[must_use]
    pub fn answer(self) -> &'static [u8] {
        match self {
            Self::Tls => TLS_ANSWER,
            Self::Http => HTTP_ANSWER,
        }
    }

    /// What it is counted as.
    #[must_use]
    pub fn mistake(self) -> TransportMistake {
        match self {
            Self::Tls => TransportMistake::UnexpectedTls,
            Self::Http => TransportMistake::UnexpectedHttp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_is_spoken_where_it_is_not_expected() {
        use OtherProtocol::{Http, Tls};
        let all = [
            Transport::Tcp,
            Transport::Tls,
            Transport::WebSocket,
            Transport::SecureWebSocket,
        ];
        let check = |bytes: &[u8], expected: [Option<OtherProtocol>; 4]| {
            let found = all.map(|transport| OtherProtocol::at(transport, bytes));
            assert_eq!(found, expected, "{bytes:?}");
        };
        check(&[22, 3, 1, 2, 0, 1], [Some(Tls), None, None, None]);
        check(&[22, 3], [Some(Tls), None, None, None]);
        check(&[22, 8, 1], [None; 4]);
        check(&[22], [None; 4]);
        check(b"GET / HTTP/1.1\r\n", [Some(Http), Some(Http), None, None]);
        check(b"OPTIONS ", [Some(Http), Some(Http), None, None]);
        check(b"GET", [None; 4]);
        check(b"GOT / HTTP/1.1\r\n", [None; 4]);
        check(&[2, 0x12, 0], [None; 4]);
        check(b"", [None; 4]);
    }

    #[test]
    fn the_answer_to_a_request_is_whole() {
        let (head, body) = std::str::from_utf8(HTTP_ANSWER)
            .unwrap()
            .split_once("\r\n\r\n")
            .unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "));
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    }
}
