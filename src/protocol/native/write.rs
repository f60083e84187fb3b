//! Packets to frames. Decides nothing of what they say.

use prost::Message;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint};

use super::frame;
use super::proto::{self, go_away, response};
use crate::base::ids::Platform;
use crate::protocol::outgoing::{ConstantBytes, Outgoing};
use crate::protocol::packet::{GatewayPacket, LoginAnswer, MessageContent, SessionTerms};
use crate::protocol::verdict::{Code, Verdict, WhatNext};

/// The version of the protocol that is spoken here; the oldest and the newest.
pub const PROTOCOL: u32 = 1;

/// A heartbeat's answer, framed.
pub const HEARTBEAT_ANSWER: &[u8] = CONSTANT_HEARTBEAT_ANSWER.bytes;
/// A logout's answer, framed.
pub const LOGOUT_ANSWER: &[u8] = CONSTANT_LOGOUT_ANSWER.bytes;

const CONSTANT_HEARTBEAT_ANSWER: ConstantBytes = ConstantBytes::of_message(&[0x82, 3, 2, 0x12, 0]);
const CONSTANT_LOGOUT_ANSWER: ConstantBytes = ConstantBytes::of_message(&[0x82, 3, 2, 0x1a, 0]);

/// The framed bytes of a packet.
#[must_use]
pub fn write(packet: &GatewayPacket) -> Outgoing {
    let packet = match packet {
        GatewayPacket::HeartbeatAnswer => return Outgoing::Constant(CONSTANT_HEARTBEAT_ANSWER),
        GatewayPacket::LogoutAnswer => return Outgoing::Constant(CONSTANT_LOGOUT_ANSWER),
        GatewayPacket::Message {
            content,
            ttl_ms,
            wants_ack,
        } => return Outgoing::Bytes(message(content, *ttl_ms, *wants_ack)),
        GatewayPacket::LoginAnswer(answer) => response::Packet::LoginAnswer(login_answer(answer)),
        GatewayPacket::ForceOffline(why, winner) => response::Packet::ForceOffline(proto::ForceOffline {
            verdict: Some(verdict(why)),
            winner: platform(*winner),
        }),
        GatewayPacket::GoAway(why, address) => response::Packet::GoAway(proto::GoAway {
            verdict: Some(verdict(why)),
            reason: reason(why.code).into(),
            address: text(address.as_deref()),
        }),
        GatewayPacket::Error(why) => response::Packet::Error(proto::Error {
            verdict: Some(verdict(why)),
        }),
    };
    let packet = Some(packet);
    Outgoing::Bytes(encode(&proto::Response { packet }))
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

/// A message, framed. It is written from the content that all its devices share, which the generated type would have copied.
fn message(content: &MessageContent, ttl_ms: u32, wants_ack: bool) -> Vec<u8> {
    let length = encoding::fixed64::encoded_len(ID, &content.id)
        + text_len(FROM, &content.from)
        + text_len(KIND, &content.kind)
        + unless_empty(
            content.body.len(),
            encoding::bytes::encoded_len(BODY, &content.body),
        )
        + encoding::uint32::encoded_len(TTL_MS, &ttl_ms)
        + unless_empty(
            usize::from(wants_ack),
            encoding::bool::encoded_len(WANTS_ACK, &wants_ack),
        );
    // The key has one byte.
    let packet = 1 + encoded_len_varint(length as u64) + length;
    let mut bytes = Vec::with_capacity(packet + 5);
    frame::put_length(packet, &mut bytes);
    encode_key(MESSAGE, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    encoding::fixed64::encode(ID, &content.id, &mut bytes);
    put_text(FROM, &content.from, &mut bytes);
    put_text(KIND, &content.kind, &mut bytes);
    if !content.body.is_empty() {
        encoding::bytes::encode(BODY, &content.body, &mut bytes);
    }
    encoding::uint32::encode(TTL_MS, &ttl_ms, &mut bytes);
    if wants_ack {
        encoding::bool::encode(WANTS_ACK, &wants_ack, &mut bytes);
    }
    bytes
}

/// Of `Response`: the number of the message.
const MESSAGE: u32 = 7;
/// Of `Message`: the numbers of its fields.
const ID: u32 = 1;
const FROM: u32 = 2;
const KIND: u32 = 3;
const BODY: u32 = 4;
const TTL_MS: u32 = 5;
const WANTS_ACK: u32 = 6;

/// A field that is empty is not written.
fn unless_empty(length: usize, encoded_len: usize) -> usize {
    if length == 0 { 0 } else { encoded_len }
}

fn text_len(tag: u32, text: &String) -> usize {
    unless_empty(text.len(), encoding::string::encoded_len(tag, text))
}

fn put_text(tag: u32, text: &String, out: &mut Vec<u8>) {
    if !text.is_empty() {
        encoding::string::encode(tag, text, out);
    }
}

fn login_answer(answer: &LoginAnswer) -> proto::LoginAnswer {
    let refused = proto::LoginAnswer {
        verdict: Some(verdict(&answer.verdict)),
        winner: platform(answer.winner),
        address: text(answer.address.as_deref()),
        ..Default::default()
    };
    match &answer.session {
        Some(terms) => logged_in(refused, terms),
        None if answer.verdict.code == Code::ProtocolUnsupported => proto::LoginAnswer {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            ..refused
        },
        None => refused,
    }
}

fn logged_in(answer: proto::LoginAnswer, terms: &SessionTerms) -> proto::LoginAnswer {
    let forced_off = terms.forced_off.iter();
    proto::LoginAnswer {
        protocol: PROTOCOL,
        features: terms.features,
        session: terms.session,
        heartbeat_interval_ms: terms.heartbeat_interval_ms,
        heartbeat_timeout_ms: terms.heartbeat_timeout_ms,
        server_time_ms: terms.server_time_ms,
        forced_off: forced_off.map(|platform| *platform as i32).collect(),
        ..answer
    }
}

fn reason(code: Code) -> go_away::Reason {
    if code == Code::Elsewhere {
        go_away::Reason::Drain
    } else {
        go_away::Reason::Stop
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// The numbers of platforms are those of the protocol.
fn platform(platform: Option<Platform>) -> i32 {
    platform.map_or(0, |platform| platform as i32)
}

fn verdict(verdict: &Verdict) -> proto::Verdict {
    proto::Verdict {
        code: verdict.code as i32,
        text: verdict.text.clone().into_owned(),
        retry_after_ms: verdict.retry_after_ms,
        what_next: match verdict.code.what_next() {
            WhatNext::Nothing => proto::WhatNext::Unspecified,
            WhatNext::Retry => proto::WhatNext::Retry,
            WhatNext::LogInAfresh => proto::WhatNext::LogInAfresh,
            WhatNext::Stop => proto::WhatNext::Stop,
            WhatNext::RenewUsersig => proto::WhatNext::RenewUsersig,
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_what_the_protocol_says() {
        let answers = [
            (
                GatewayPacket::HeartbeatAnswer,
                response::Packet::HeartbeatAnswer(proto::HeartbeatAnswer {}),
            ),
            (
                GatewayPacket::LogoutAnswer,
                response::Packet::LogoutAnswer(proto::LogoutAnswer {}),
            ),
        ];
        for (packet, expected) in answers {
            let packet_bytes = write(&packet);
            let packet = Some(expected);
            assert_eq!(packet_bytes.as_slice(), encode(&proto::Response { packet }));
        }
    }

    #[test]
    fn a_message_is_what_the_generated_type_writes() {
        let bodies = [0, 1, 100, 128, 16_384, 60 * 1024];
        let texts = [
            "",
            "shop",
            "a kind of sixty-four bytes, which is as long as one may be......",
        ];
        for (body, text) in bodies.into_iter().flat_map(|body| texts.map(|text| (body, text))) {
            for (ttl_ms, wants_ack) in [(1, false), (60_000, true), (u32::MAX, true)] {
                let content = MessageContent {
                    id: u64::MAX - 7,
                    from: text.to_owned(),
                    kind: text.to_owned(),
                    body: vec![7; body],
                };
                let theirs = proto::Message {
                    id: content.id,
                    from: content.from.clone(),
                    kind: content.kind.clone(),
                    body: content.body.clone(),
                    ttl_ms,
                    wants_ack,
                };
                let packet = Some(response::Packet::Message(theirs));
                let bytes = message(&content, ttl_ms, wants_ack);
                assert_eq!(
                    bytes,
                    encode(&proto::Response { packet }),
                    "{body} {text:?} {ttl_ms}"
                );
            }
        }
    }

    #[test]
    fn codes_and_platforms_have_the_protocols_names_and_numbers() {
        for code in Code::ALL {
            let theirs = proto::Code::try_from(*code as i32).unwrap();
            assert_eq!(theirs.as_str_name(), format!("CODE_{}", code.name()));
        }
        let known = (0..100_000).filter(|number| proto::Code::try_from(*number).is_ok());
        assert_eq!(known.count(), Code::ALL.len());
        for ours in Platform::ALL {
            let theirs = proto::Platform::try_from(ours as i32).unwrap();
            assert_eq!(
                theirs.as_str_name(),
                format!("PLATFORM_{}", ours.name().to_uppercase())
            );
        }
    }
}
