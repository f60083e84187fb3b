//! The terminal's side, for programs that are terminals: requests to bytes, and bytes to what a gateway says. A gateway itself
//! never needs it.

use prost::Message;

use super::frame;
use super::proto::{self, request, response};
use super::write::encode;

/// What bytes of a gateway begin with.
#[derive(Debug)]
pub enum NextResponse<'a> {
    /// A packet, and the bytes behind it. `None`: one of a later protocol.
    Packet(Option<response::Packet>, &'a [u8]),
    /// A part of a packet, or nothing.
    Incomplete,
    /// No packet, and why not.
    Malformed(String),
}

/// A request as bytes.
#[must_use]
pub fn request(packet: request::Packet) -> Vec<u8> {
    encode(&proto::Request { packet: Some(packet) })
}

/// Reads one packet of at most `limit` bytes.
#[must_use]
pub fn next(bytes: &[u8], limit: usize) -> NextResponse<'_> {
    match frame::next(bytes, limit) {
        frame::Next::Packet(packet, behind) => match proto::Response::decode(packet) {
            Ok(response) => NextResponse::Packet(response.packet, behind),
            Err(error) => NextResponse::Malformed(format!("a packet cannot be read: {error}")),
        },
        frame::Next::Incomplete => NextResponse::Incomplete,
        frame::Next::TooLarge | frame::Next::Malformed => {
            NextResponse::Malformed("the bytes are no frame".to_owned())
        }
    }
}
