//! Frames to packets. Checks their form, never their sense.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::frame;
use super::proto::{self, request};
use crate::base::ids::Platform;
use crate::protocol::packet::{Login, MessageAck, NextPacket, TerminalPacket};

/// A heartbeat, framed, as terminals send it.
pub const HEARTBEAT: &[u8] = &[2, 0x12, 0];

/// Reads the first frame of `bytes`. Its packet may have at most `limit` bytes.
#[must_use]
pub fn next(bytes: &[u8], limit: usize) -> NextPacket<'_> {
    match frame::next(bytes, limit) {
        frame::Next::Packet(packet, rest) => match read(packet) {
            Ok((packet, unknown_fields)) => NextPacket::Packet {
                packet,
                unknown_fields,
                rest,
            },
            Err(Malformed) => NextPacket::Unreadable,
        },
        frame::Next::Incomplete => NextPacket::Incomplete,
        frame::Next::TooLarge => NextPacket::TooLarge,
        frame::Next::Malformed => NextPacket::Malformed,
    }
}

/// The bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// Reads the packet of one frame. Gives with it the number of unknown fields, which were ignored. Fails if the bytes are no
/// protobuf message, or a known field has a wrong type.
fn read(bytes: &[u8]) -> Result<(TerminalPacket, u64), Malformed> {
    let request = proto::Request::decode(bytes).map_err(|_| Malformed)?;
    let (packet, fields_max) = match request.packet {
        Some(request::Packet::Login(login)) => (TerminalPacket::Login(Box::new(plain(login))), LOGIN_FIELDS),
        Some(request::Packet::Heartbeat(_)) => (TerminalPacket::Heartbeat, 0),
        Some(request::Packet::Logout(_)) => (TerminalPacket::Logout, 0),
        Some(request::Packet::Background(background)) => {
            (TerminalPacket::Background(background.background), 1)
        }
        Some(request::Packet::MessageAck(proto::MessageAck { id, reply, refused })) => {
            let ack = MessageAck {
                ids: id,
                reply,
                refused,
            };
            (TerminalPacket::MessageAck(Box::new(ack)), MESSAGE_ACK_FIELDS)
        }
        None => return Ok((TerminalPacket::Unknown, 0)),
    };
    Ok((packet, unknown_fields(bytes, fields_max)?))
}

fn plain(login: proto::Login) -> Login {
    // The numbers of platforms are those of the protocol.
    let platform = Platform::ALL
        .into_iter()
        .find(|platform| *platform as i32 == login.platform);
    Login {
        protocol: login.protocol,
        features: login.features,
        user_id: login.user_id,
        user_sig: login.user_sig,
        platform,
        instance: login.instance,
        session: login.session,
        sdk_version: login.sdk_version,
        app_version: login.app_version,
        background: login.background,
    }
}

/// The highest field numbers of `Request`, `Login` and `MessageAck`.
const REQUEST_FIELDS: u32 = 5;
const LOGIN_FIELDS: u32 = 10;
const MESSAGE_ACK_FIELDS: u32 = 3;

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

    use super::super::write::encode;
    use super::*;

    fn check(bytes: &[u8], expected: Result<(TerminalPacket, u64), Malformed>) {
        assert_eq!(read(bytes), expected);
    }

    #[test]
    fn a_heartbeat_is_what_the_protocol_says() {
        let packet = Some(request::Packet::Heartbeat(proto::Heartbeat {}));
        assert_eq!(encode(&proto::Request { packet }), HEARTBEAT);
    }

    #[test]
    fn reads_what_is_known_and_counts_what_is_not() {
        check(&HEARTBEAT[1..], Ok((TerminalPacket::Heartbeat, 0)));
        check(&[0x1a, 0], Ok((TerminalPacket::Logout, 0)));
        check(&[0x22, 2, 0x08, 1], Ok((TerminalPacket::Background(true), 0)));
        check(&[], Ok((TerminalPacket::Unknown, 0)));
        check(&[0x7a, 0], Ok((TerminalPacket::Unknown, 0)));
        // A field 15 beside the heartbeat, and a field 3 inside a background packet.
        check(&[0x12, 0, 0x7a, 0], Ok((TerminalPacket::Heartbeat, 1)));
        check(
            &[0x22, 4, 0x08, 1, 0x18, 7],
            Ok((TerminalPacket::Background(true), 1)),
        );
        let ack = |ids: &[u64], refused| MessageAck {
            ids: ids.to_vec(),
            refused,
            ..MessageAck::default()
        };
        // A field 4 inside an acknowledgement of one message, and one of two messages.
        let one = [0x2a, 12, 0x0a, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0x20, 1];
        check(
            &one,
            Ok((TerminalPacket::MessageAck(Box::new(ack(&[7], false))), 1)),
        );
        let two = [
            0x2a, 20, 0x0a, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x18, 1,
        ];
        check(
            &two,
            Ok((TerminalPacket::MessageAck(Box::new(ack(&[1, 2], true))), 0)),
        );
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
            prop_assert_eq!(read(&request.encode_to_vec()), Ok((TerminalPacket::Login(Box::new(plain(login))), 0)));
        }
    }
}
