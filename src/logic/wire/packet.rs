//! Packets: what a frame holds, in both directions. Checks their form, never their sense.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::frame;
use super::proto::{self, request, response};

/// The protocol version spoken here; the oldest and the newest.
pub const PROTOCOL: u32 = 1;

/// A heartbeat's answer, framed.
pub const HEARTBEAT_ANSWER: &[u8] = &[2, 0x12, 0];
/// A heartbeat, framed, as terminals send it.
pub const HEARTBEAT: &[u8] = &[2, 0x12, 0];
/// A logout's answer, framed.
pub const LOGOUT_ANSWER: &[u8] = &[2, 0x1a, 0];

/// A packet for a terminal.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// Always the same bytes.
    HeartbeatAnswer,
    /// Always the same bytes.
    LogoutAnswer,
    /// Any other.
    Response(Box<response::Packet>),
}

impl Eq for Packet {}

impl Packet {
    /// The framed bytes of a packet that is always the same.
    #[must_use]
    pub fn constant(&self) -> Option<&'static [u8]> {
        match self {
            Self::HeartbeatAnswer => Some(HEARTBEAT_ANSWER),
            Self::LogoutAnswer => Some(LOGOUT_ANSWER),
            Self::Response(_) => None,
        }
    }

    /// The framed bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::HeartbeatAnswer => HEARTBEAT_ANSWER.to_vec(),
            Self::LogoutAnswer => LOGOUT_ANSWER.to_vec(),
            Self::Response(packet) => encode(&proto::Response {
                packet: Some(*packet),
            }),
        }
    }
}

/// The framed bytes of any message.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(length + 5);
    frame::put_length(length, &mut bytes);
    message.encode_raw(&mut bytes);
    bytes
}

/// A packet from a terminal.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// See `gateway.proto`.
    Login(Box<proto::Login>),
    /// See `gateway.proto`.
    Heartbeat,
    /// See `gateway.proto`.
    Logout,
    /// The app went to the background (`true`) or came back.
    Background(bool),
    /// A packet of a later protocol.
    Unknown,
}

/// The bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads the packet of one frame. Gives with it the number of unknown fields, which were ignored.
///
/// # Errors
/// If the bytes are no protobuf message, or a known field has a wrong type.
pub fn read(bytes: &[u8]) -> Result<(Incoming, u64), Malformed> {
    let request = proto::Request::decode(bytes).map_err(|_| Malformed)?;
    let (incoming, fields_max) = match request.packet {
        Some(request::Packet::Login(login)) => (Incoming::Login(Box::new(login)), LOGIN_FIELDS),
        Some(request::Packet::Heartbeat(_)) => (Incoming::Heartbeat, 0),
        Some(request::Packet::Logout(_)) => (Incoming::Logout, 0),
        Some(request::Packet::Background(background)) => (Incoming::Background(background.background), 1),
        None => return Ok((Incoming::Unknown, 0)),
    };
    Ok((incoming, unknown_fields(bytes, fields_max)?))
}

/// The highest field numbers of `Request` and `Login`.
const REQUEST_FIELDS: u32 = 4;
const LOGIN_FIELDS: u32 = 10;

/// Counts the fields of a request, and of the packet in it, with numbers above the known ones.
fn unknown_fields(mut bytes: &[u8], packet_fields_max: u32) -> Result<u64, Malformed> {
    let mut unknown = 0;
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| Malformed)?;
        if number <= REQUEST_FIELDS && wire_type == WireType::LengthDelimited {
            let length = prost::encoding::decode_varint(&mut bytes).map_err(|_| Malformed)?;
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let (packet, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
            unknown += fields_above(packet, packet_fields_max)?;
            bytes = rest;
        } else {
            skip_field(wire_type, number, &mut bytes, DecodeContext::default()).map_err(|_| Malformed)?;
            unknown += 1;
        }
    }
    Ok(unknown)
}

fn fields_above(mut bytes: &[u8], number_max: u32) -> Result<u64, Malformed> {
    let mut above = 0;
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| Malformed)?;
        skip_field(wire_type, number, &mut bytes, DecodeContext::default()).map_err(|_| Malformed)?;
        above += u64::from(number > number_max);
    }
    Ok(above)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], expected: Result<(Incoming, u64), Malformed>) {
        assert_eq!(read(bytes), expected);
    }

    #[test]
    fn constants_are_what_the_protocol_says() {
        let heartbeat = proto::Request {
            packet: Some(request::Packet::Heartbeat(proto::Heartbeat {})),
        };
        assert_eq!(encode(&heartbeat), HEARTBEAT);
        let answer = proto::Response {
            packet: Some(response::Packet::HeartbeatAnswer(proto::HeartbeatAnswer {})),
        };
        assert_eq!(encode(&answer), HEARTBEAT_ANSWER);
        let answer = proto::Response {
            packet: Some(response::Packet::LogoutAnswer(proto::LogoutAnswer {})),
        };
        assert_eq!(encode(&answer), LOGOUT_ANSWER);
    }

    #[test]
    fn reads_what_is_known_and_counts_what_is_not() {
        check(&HEARTBEAT[1..], Ok((Incoming::Heartbeat, 0)));
        check(&[0x1a, 0], Ok((Incoming::Logout, 0)));
        check(&[0x22, 2, 0x08, 1], Ok((Incoming::Background(true), 0)));
        check(&[], Ok((Incoming::Unknown, 0)));
        check(&[0x7a, 0], Ok((Incoming::Unknown, 0)));
        // A field 15 beside the heartbeat, and a field 3 inside a background packet.
        check(&[0x12, 0, 0x7a, 0], Ok((Incoming::Heartbeat, 1)));
        check(&[0x22, 4, 0x08, 1, 0x18, 7], Ok((Incoming::Background(true), 1)));
        check(&[0x12], Err(Malformed));
        check(&[0xff; 9], Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_login_comes_back_as_it_was_sent(user in "[ -~]{0,40}", sig in "[a-zA-Z0-9*_-]{0,300}", session: u64,
                                             instance: u64, background: bool) {
            let login = proto::Login { protocol: 1, user_id: user, user_sig: sig, session, instance, background,
                platform: proto::Platform::Ipad.into(), ..Default::default() };
            let request = proto::Request { packet: Some(request::Packet::Login(login.clone())) };
            prop_assert_eq!(read(&request.encode_to_vec()), Ok((Incoming::Login(Box::new(login)), 0)));
        }
    }
}
