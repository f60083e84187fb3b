//! What a connection begins with: the hello of a client of TLS, or something else. Reads no more of a hello than where it
//! ends; rustls judges what is in it.

use crate::protocol::transport::other_protocol::{is_http, may_become_http};
use crate::protocol::transport::tls::session::{CONTENT_BYTES_MAX, HEADER_BYTES};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// The first part of a hello, or nothing.
    Incomplete,
    /// A whole hello, or TLS that can be judged at once.
    Hello,
    /// A request of HTTP.
    Http,
    /// No TLS.
    Other,
}

/// Bytes that a client may send before its handshake is done, and that are kept. Hellos have 300 to 2,000, a chain of a
/// client's certificates 1,000 to 10,000; one record may have 16,640.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1_024;

/// The types of records that a client's handshake may begin with: an alert is judged by rustls, too.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const MESSAGE_HEADER_BYTES: usize = 4;

/// What some bytes begin with.
#[must_use]
pub fn look(bytes: &[u8]) -> FirstBytes {
    match bytes {
        [] => FirstBytes::Incomplete,
        [HANDSHAKE, ..] => {
            if is_whole(bytes) {
                FirstBytes::Hello
            } else {
                FirstBytes::Incomplete
            }
        }
        [ALERT, ..] => FirstBytes::Hello,
        _ if is_http(bytes) => FirstBytes::Http,
        _ if may_become_http(bytes) => FirstBytes::Incomplete,
        _ => FirstBytes::Other,
    }
}

/// Whether the first message is whole, in however many records; or can never be, which rustls says.
fn is_whole(mut bytes: &[u8]) -> bool {
    let mut header = [0; MESSAGE_HEADER_BYTES];
    let mut message_bytes = 0;
    while let [kind, major, _, high, low, behind @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != 3 || length == 0 || length > CONTENT_BYTES_MAX {
            return true;
        }
        let Some((body, next)) = behind.split_at_checked(length) else {
            return false;
        };
        for (place, byte) in header.iter_mut().skip(message_bytes).zip(body) {
            *place = *byte;
        }
        message_bytes += length;
        let [_, high, middle, low] = header.map(usize::from);
        let wanted = MESSAGE_HEADER_BYTES + (high << 16 | middle << 8 | low);
        if message_bytes >= wanted {
            return true;
        }
        bytes = next;
    }
    false
}

/// The length of the first record and what it costs; `None` if it is not whole. What can never be whole is all that is there, for
/// rustls to judge. A handshake record in the clear is heavy: a signature may be due behind it.
pub fn next_record(bytes: &[u8]) -> Option<(usize, RecordWeight)> {
    let [kind, major, _, high, low, ..] = bytes else {
        return None;
    };
    let end = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if *major != 3 || end > HANDSHAKE_BYTES_MAX {
        return Some((bytes.len(), RecordWeight::Light));
    }
    let weight = if *kind == HANDSHAKE {
        RecordWeight::Heavy
    } else {
        RecordWeight::Light
    };
    (bytes.len() >= end).then_some((end, weight))
}

/// What a record of a handshake costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordWeight {
    /// Some microseconds.
    Light,
    /// Up to a millisecond: a key exchange and a signature may be due.
    Heavy,
}
