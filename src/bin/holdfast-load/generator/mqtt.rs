//! MQTT 3.1.1 as far as a terminal needs it: to connect, to ping and to leave. Pure: bytes in, bytes out.
//! Source: OASIS, MQTT Version 3.1.1, sections 2.2 and 3.

/// Section 3.12.
pub(crate) const PINGREQ: &[u8] = &[0xC0, 0];
/// Section 3.13.
pub(crate) const PINGRESP: &[u8] = &[0xD0, 0];
/// Section 3.14.
pub(crate) const DISCONNECT: &[u8] = &[0xE0, 0];

const CONNECT_TYPE: u8 = 0x10;
/// The answer to a CONNECT, up to its two bytes of flags and return code (section 3.2).
const CONNACK_HEAD: &[u8] = &[0x20, 2];
const PROTOCOL: &str = "MQTT";
/// The protocol level of 3.1.1.
const LEVEL: u8 = 4;
/// A user name, a password, and a clean session (section 3.1.2.3).
const CONNECT_FLAGS: u8 = 0x80 | 0x40 | 0x02;
/// Seconds; the server closes nobody for silence (section 3.1.2.10).
const KEEP_ALIVE_NEVER_S: u16 = 0;

/// What a server says to a terminal that subscribes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MqttPacket {
    /// Return code 0, and no session from before.
    Accepted,
    /// Another return code.
    Refused(u8),
    PingAnswer,
}

/// What bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParsedPacket<'a> {
    /// A whole packet, and the bytes behind it.
    Packet(MqttPacket, &'a [u8]),
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

/// Reads one packet from a server.
pub(crate) fn next(bytes: &[u8]) -> ParsedPacket<'_> {
    if let Some(behind) = bytes.strip_prefix(PINGRESP) {
        return ParsedPacket::Packet(MqttPacket::PingAnswer, behind);
    }
    match bytes.strip_prefix(CONNACK_HEAD) {
        Some([0, 0, behind @ ..]) => ParsedPacket::Packet(MqttPacket::Accepted, behind),
        // A refusal is of no session either.
        Some([0, code, behind @ ..]) => ParsedPacket::Packet(MqttPacket::Refused(*code), behind),
        Some([] | [0]) => ParsedPacket::Incomplete,
        Some(_) => ParsedPacket::Malformed,
        None if PINGRESP.starts_with(bytes) || CONNACK_HEAD.starts_with(bytes) => ParsedPacket::Incomplete,
        None => ParsedPacket::Malformed,
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
    fn what_is_none_of_it_is_malformed() {
        // A session from before, a length of 3, a PUBLISH, a PINGRESP with a body, and a PINGREQ.
        for bytes in [
            &[0x20, 2, 1, 0][..],
            &[0x20, 3],
            &[0x30, 0],
            &[0xD0, 1],
            &[0xC0, 0],
        ] {
            check(bytes, ParsedPacket::Malformed);
        }
    }

    #[test]
    fn packets_are_incomplete_up_to_their_last_byte() {
        for packet in [&[0x20, 2, 0, 0][..], &[0x20, 2, 0, 5], PINGRESP] {
            for length in 0..packet.len() {
                check(&packet[..length], ParsedPacket::Incomplete);
            }
        }
    }
}
