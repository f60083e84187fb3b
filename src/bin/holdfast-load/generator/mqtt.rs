//! MQTT 3.1.1 as far as a terminal and a sender of messages need it. Pure: bytes in, bytes out.
//! Source: OASIS, MQTT Version 3.1.1, sections 2.2 and 3.

/// Section 3.12.
pub(crate) const PINGREQ: &[u8] = &[0xC0, 0];
/// Section 3.14.
pub(crate) const DISCONNECT: &[u8] = &[0xE0, 0];

const CONNECT_TYPE: u8 = 0x10;
const PROTOCOL: &str = "MQTT";
/// The protocol level of 3.1.1.
const LEVEL: u8 = 4;
/// A user name, a password, and a clean session (section 3.1.2.3).
const CONNECT_FLAGS: u8 = 0x80 | 0x40 | 0x02;
/// Seconds; the server closes nobody for silence (section 3.1.2.10).
const KEEP_ALIVE_NEVER_S: u16 = 0;

/// A SUBSCRIBE, and a PUBLISH that is acknowledged, have a number (section 2.3.1).
const SUBSCRIBE_TYPE: u8 = 0x82;
const SUBACK_TYPE: u8 = 0x90;
const PUBLISH_TYPE: u8 = 0x30;
const PUBACK_HEAD: [u8; 2] = [0x40, 2];
/// The bits of a PUBLISH that tell its quality of service.
const QUALITY_BITS: u8 = 0x06;
/// The number of a terminal's only SUBSCRIBE.
const SUBSCRIPTION: u16 = 1;
/// Above 2^21 no length is told here.
const LENGTH_BYTES_MAX: usize = 3;

/// How a message is delivered (section 4.3). Each side acknowledges to the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    AtMostOnce,
    AtLeastOnce,
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MqttPacket<'a> {
    /// Return code 0, and no session from before.
    Accepted,
    /// Another return code.
    Refused(u8),
    PingAnswer,
    /// The terminal's subscription counts.
    Subscribed,
    /// A message, with its number if it is to be acknowledged.
    Message {
        number: Option<u16>,
        body: &'a [u8],
    },
    /// The server has the message with this number.
    Acked(u16),
}

/// What bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParsedPacket<'a> {
    /// A whole packet, and the bytes behind it.
    Packet(MqttPacket<'a>, &'a [u8]),
    Incomplete,
    /// Nothing that a server may say here.
    Malformed,
}

/// The packet that logs a client in with a clean session and without keep-alive.
///
/// # Panics
/// If a text has more than 65,535 bytes.
pub(crate) fn connect(client: &str, user: &str, password: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, PROTOCOL);
    body.extend([LEVEL, CONNECT_FLAGS]);
    body.extend(KEEP_ALIVE_NEVER_S.to_be_bytes());
    for one in [client, user, password] {
        text(&mut body, one);
    }
    let mut packet = vec![CONNECT_TYPE];
    remaining_length(&mut packet, body.len());
    packet.extend(body);
    packet
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("texts of a login are short");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

/// Seven bits a byte, the lowest first (section 2.2.3).
fn remaining_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let bits = (rest % 128) as u8;
        rest /= 128;
        if rest == 0 {
            return out.push(bits);
        }
        out.push(bits | 128);
    }
}

/// Asks for what is published to a topic, with the best quality that its senders choose.
///
/// # Panics
/// If the topic has more than 65,535 bytes.
pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
    let mut body = SUBSCRIPTION.to_be_bytes().to_vec();
    text(&mut body, topic);
    body.push(1);
    let mut packet = vec![SUBSCRIBE_TYPE];
    remaining_length(&mut packet, body.len());
    packet.extend(body);
    packet
}

/// A message. Its number counts only if it is acknowledged.
///
/// # Panics
/// If the topic has more than 65,535 bytes.
pub(crate) fn publish(topic: &str, (quality, number): (Quality, u16), body: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(topic.len() + body.len() + 4);
    text(&mut rest, topic);
    let bits = match quality {
        Quality::AtMostOnce => 0,
        Quality::AtLeastOnce => {
            rest.extend(number.to_be_bytes());
            2
        }
    };
    rest.extend(body);
    let mut packet = vec![PUBLISH_TYPE | bits];
    remaining_length(&mut packet, rest.len());
    packet.extend(rest);
    packet
}

/// Acknowledges a message.
pub(crate) fn puback(number: u16) -> Vec<u8> {
    [&PUBACK_HEAD[..], &number.to_be_bytes()].concat()
}

/// Reads one packet from a server.
pub(crate) fn next(bytes: &[u8]) -> ParsedPacket<'_> {
    if bytes.is_empty() {
        return ParsedPacket::Incomplete;
    }
    let mut length = 0;
    for (place, byte) in bytes[1..].iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 127) << (7 * place);
        if byte & 128 == 0 {
            let rest = &bytes[place + 2..];
            if length > length_max(bytes[0]) {
                return ParsedPacket::Malformed;
            }
            let Some((body, behind)) = rest.split_at_checked(length) else {
                return ParsedPacket::Incomplete;
            };
            let packet = whole(bytes[0], body);
            return packet.map_or(ParsedPacket::Malformed, |packet| {
                ParsedPacket::Packet(packet, behind)
            });
        }
    }
    if bytes.len() > LENGTH_BYTES_MAX {
        ParsedPacket::Malformed
    } else {
        ParsedPacket::Incomplete
    }
}

/// The most bytes that may follow the length of such a packet; 0 for what no server says here, and for what has none.
fn length_max(head: u8) -> usize {
    match head & 0xF0 {
        PUBLISH_TYPE => usize::MAX,
        0x20 | 0x40 => 2,
        SUBACK_TYPE => 3,
        _ => 0,
    }
}

fn whole(head: u8, body: &[u8]) -> Option<MqttPacket<'_>> {
    match (head, body) {
        (0xD0, []) => Some(MqttPacket::PingAnswer),
        (0x20, [0, 0]) => Some(MqttPacket::Accepted),
        // A refusal is of no session either.
        (0x20, [0, code]) => Some(MqttPacket::Refused(*code)),
        (0x40, [high, low]) => Some(MqttPacket::Acked(u16::from_be_bytes([*high, *low]))),
        // The number, and the quality that is granted: 128 is a refusal.
        (SUBACK_TYPE, [0, 1, 0 | 1]) => Some(MqttPacket::Subscribed),
        (head, [high, low, rest @ ..]) if head & 0xF0 == PUBLISH_TYPE => {
            let (_, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
            match (head & QUALITY_BITS, rest) {
                (0, body) => Some(MqttPacket::Message { number: None, body }),
                (2, [high, low, body @ ..]) => Some(MqttPacket::Message {
                    number: Some(u16::from_be_bytes([*high, *low])),
                    body,
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: ParsedPacket<'_>) {
        assert_eq!(next(bytes), expected, "{bytes:02X?}");
    }

    #[test]
    fn a_connect_is_as_the_standard_has_it() {
        let expected = [
            &[0x10, 21, 0, 4][..],
            b"MQTT",
            &[4, 0xC2, 0, 0],
            &[0, 2],
            b"id",
            &[0, 1],
            b"u",
            &[0, 2],
            b"pw",
        ];
        assert_eq!(connect("id", "u", "pw"), expected.concat());
    }

    #[test]
    fn a_long_connect_has_two_bytes_of_length() {
        let packet = connect("id", "u", &"p".repeat(302));
        // 10 bytes of header, three lengths of 2 bytes, and 305 bytes of text: 321 = 65 + 2 * 128.
        assert_eq!(packet[..3], [0x10, 65 | 128, 2]);
        assert_eq!(packet.len(), 3 + 321);
    }

    #[test]
    fn lengths_are_those_of_the_standard() {
        let expected: [(usize, &[u8]); 5] = [
            (0, &[0]),
            (127, &[0x7F]),
            (128, &[0x80, 1]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 1]),
        ];
        for (length, bytes) in expected {
            let mut out = Vec::new();
            remaining_length(&mut out, length);
            assert_eq!(out, bytes, "{length}");
        }
    }

    #[test]
    fn a_server_accepts_refuses_and_answers_pings() {
        check(&[0x20, 2, 0, 0], ParsedPacket::Packet(MqttPacket::Accepted, &[]));
        for code in 1..=5 {
            check(
                &[0x20, 2, 0, code, 7],
                ParsedPacket::Packet(MqttPacket::Refused(code), &[7]),
            );
        }
        check(
            &[0xD0, 0, 0xD0, 0],
            ParsedPacket::Packet(MqttPacket::PingAnswer, &[0xD0, 0]),
        );
    }

    #[test]
    fn messages_come_as_they_were_published() {
        let subscribed = [0x82, 10, 0, 1, 0, 5, b't', b'o', b'p', b'i', b'c', 1];
        assert_eq!(subscribe("topic"), subscribed);
        check(
            &[0x90, 3, 0, 1, 1, 9],
            ParsedPacket::Packet(MqttPacket::Subscribed, &[9]),
        );
        let body = &[b'x'; 300][..];
        for (quality, number) in [(Quality::AtMostOnce, None), (Quality::AtLeastOnce, Some(0x0102))] {
            let packet = publish("topic", (quality, 0x0102), body);
            check(
                &packet,
                ParsedPacket::Packet(MqttPacket::Message { number, body }, &[]),
            );
        }
        let acked = ParsedPacket::Packet(MqttPacket::Acked(0x0102), &[]);
        check(&puback(0x0102), acked);
    }

    #[test]
    fn what_is_none_of_it_is_malformed() {
        // A session from before, a length of 3, messages without a topic, with half of one and of quality 2, a refused
        // subscription, a PINGRESP with a body, and a PINGREQ.
        for bytes in [
            &[0x20, 2, 1, 0][..],
            &[0x20, 3],
            &[0x30, 0],
            &[0x30, 3, 0, 2, b't'],
            &[0x34, 5, 0, 1, b't', 0, 7],
            &[0x90, 3, 0, 1, 128],
            &[0xD0, 1],
            &[0xC0, 0],
        ] {
            check(bytes, ParsedPacket::Malformed);
        }
    }

    #[test]
    fn packets_are_incomplete_up_to_their_last_byte() {
        let message = publish("topic", (Quality::AtLeastOnce, 7), &[b'x'; 300]);
        for packet in [
            &[0x20, 2, 0, 0][..],
            &[0x20, 2, 0, 5],
            &[0x90, 3, 0, 1, 1],
            &[0xD0, 0],
            &puback(7),
            &message,
        ] {
            for length in 0..packet.len() {
                check(&packet[..length], ParsedPacket::Incomplete);
            }
        }
    }
}
