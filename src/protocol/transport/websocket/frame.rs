//! Frames of RFC 6455, section 5.2: the header as bytes and back, and masks. Keeps nothing, and knows no messages.

use super::close::{CloseCode, FrameFault};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further part of a message.
    Continuation = 0,
    /// The first part of a text, or all of it.
    Text = 1,
    /// The first part of a binary message, or all of it.
    Binary = 2,
    /// The last frame.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// Answers a ping, or is a sign of life.
    Pong = 10,
}

impl Opcode {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it may stand between the frames of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// Who has sent a frame: a client masks what it sends, and a server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSender {
    /// The end that asked for the WebSocket.
    Client,
    /// The end that answered.
    Server,
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it is.
    pub opcode: Opcode,
    /// Whether the message ends with this frame.
    pub is_last: bool,
    /// What the payload is masked with; zeros if it is not.
    pub mask: [u8; 4],
    /// Bytes of the payload.
    pub length: u64,
}

/// Payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// Lengths that say how many bytes behind them have the length.
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;

impl FrameHeader {
    /// The header that `bytes` begin with, and its own bytes; `None` if they are only a part of it. Fails as soon as it is
    /// none that `sender` may send.
    pub fn read(bytes: &[u8], sender: FrameSender) -> Result<Option<(Self, usize)>, FrameFault> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(FrameFault::protocol("a reserved bit is set"));
        }
        let opcode = Opcode::of(first & OPCODE).ok_or(FrameFault::protocol("a reserved opcode"))?;
        let is_last = first & LAST != 0;
        check_mask(*second, sender)?;
        let short_length = second & !MASKED;
        if opcode.is_control() {
            check_control(is_last, short_length)?;
        }
        let Some((length, rest)) = read_length(short_length, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match sender {
            FrameSender::Server => ([0; 4], rest),
            FrameSender::Client => match rest.split_first_chunk() {
                Some((mask, rest)) => (*mask, rest),
                None => return Ok(None),
            },
        };
        let header = Self {
            opcode,
            is_last,
            mask,
            length,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Appends it as bytes, as `sender` sends it.
    pub fn put(&self, sender: FrameSender, out: &mut Vec<u8>) {
        let last = if self.is_last { LAST } else { 0 };
        let masked = match sender {
            FrameSender::Client => MASKED,
            FrameSender::Server => 0,
        };
        out.push(last | self.opcode as u8);
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length), _) if length < LENGTH_IN_2_BYTES => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | LENGTH_IN_2_BYTES);
                out.extend_from_slice(&length.to_be_bytes());
            }
            (_, Err(_)) => {
                out.push(masked | LENGTH_IN_8_BYTES);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if masked != 0 {
            out.extend_from_slice(&self.mask);
        }
    }
}

fn check_mask(second: u8, sender: FrameSender) -> Result<(), FrameFault> {
    match (sender, second & MASKED != 0) {
        (FrameSender::Client, false) => Err(FrameFault::protocol("a frame of a client without mask")),
        (FrameSender::Server, true) => Err(FrameFault::protocol("a frame of a server with a mask")),
        (FrameSender::Client, true) | (FrameSender::Server, false) => Ok(()),
    }
}

fn check_control(is_last: bool, length: u8) -> Result<(), FrameFault> {
    if !is_last {
        return Err(FrameFault::protocol("a control frame in parts"));
    }
    if usize::from(length) > CONTROL_BYTES_MAX {
        return Err(FrameFault::protocol("a control frame of more than 125 bytes"));
    }
    Ok(())
}

/// A payload's length, and the bytes behind it. Fails if fewer bytes could have said the same.
fn read_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameFault> {
    let (length, min, rest) = match short {
        LENGTH_IN_2_BYTES => match bytes.split_first_chunk() {
            Some((length, rest)) => (
                u64::from(u16::from_be_bytes(*length)),
                u64::from(LENGTH_IN_2_BYTES),
                rest,
            ),
            None => return Ok(None),
        },
        LENGTH_IN_8_BYTES => match bytes.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), 1 << 16, rest),
            None => return Ok(None),
        },
        _ => (u64::from(short), 0, bytes),
    };
    // The highest bit must be 0.
    if length < min || length > i64::MAX as u64 {
        return Err(FrameFault::protocol("a length that is not written as it must be"));
    }
    Ok(Some((length, rest)))
}

/// Masks a payload, or takes its mask away, which is the same.
pub fn mask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a whole frame of a server.
pub fn put_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        is_last: true,
        mask: [0; 4],
        length: payload.len() as u64,
    };
    header.put(FrameSender::Server, out);
    out.extend_from_slice(payload);
}

/// Appends a close frame of a server. Of `reason` it carries as much as fits.
pub fn put_close(code: Option<CloseCode>, reason: &str, out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.number().to_be_bytes());
        let length = reason.floor_char_boundary(CONTROL_BYTES_MAX - payload.len());
        payload.extend_from_slice(&reason.as_bytes()[..length]);
    }
    put_frame(Opcode::Close, &payload, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], sender: FrameSender, expected: Result<Option<(Opcode, u64, usize)>, &str>) {
        let read = FrameHeader::read(bytes, sender);
        let read = read.map(|read| read.map(|(header, own)| (header.opcode, header.length, own)));
        assert_eq!(read.map_err(|fault| fault.reason), expected, "{bytes:?}");
    }

    #[test]
    fn a_header_is_read_or_has_a_fault() {
        let (client, server) = (FrameSender::Client, FrameSender::Server);
        check(&[], client, Ok(None));
        check(&[0x82], client, Ok(None));
        check(&[0x82, 0x85, 1, 2, 3], client, Ok(None));
        check(
            &[0x82, 0x85, 1, 2, 3, 4, 9],
            client,
            Ok(Some((Opcode::Binary, 5, 6))),
        );
        check(&[0x01, 0x05, 9], server, Ok(Some((Opcode::Text, 5, 2))));
        check(&[0x82, 0x05], client, Err("a frame of a client without mask"));
        check(&[0x82, 0x85], server, Err("a frame of a server with a mask"));
        for reserved in [0xc2, 0xa2, 0x92] {
            check(&[reserved, 0x85], client, Err("a reserved bit is set"));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode, 0x85], client, Err("a reserved opcode"));
        }
        for opcode in [8, 9, 10] {
            check(&[opcode, 0x85], client, Err("a control frame in parts"));
            check(
                &[0x80 | opcode, 0xfe],
                client,
                Err("a control frame of more than 125 bytes"),
            );
        }
    }

    #[test]
    fn a_length_has_one_form() {
        let wrong = Err("a length that is not written as it must be");
        let check = |bytes: &[u8], expected| check(bytes, FrameSender::Server, expected);
        check(&[0x82, 126, 0], Ok(None));
        check(&[0x82, 126, 0, 125], wrong);
        check(&[0x82, 126, 0, 126], Ok(Some((Opcode::Binary, 126, 4))));
        check(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff], Ok(None));
        check(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], wrong);
        check(
            &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0],
            Ok(Some((Opcode::Binary, 65_536, 10))),
        );
        check(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], wrong);
    }

    #[test]
    fn a_header_comes_back_as_it_was_put() {
        for length in [0, 1, 125, 126, 65_535, 65_536, i64::MAX as u64] {
            for (sender, mask) in [(FrameSender::Client, [1, 2, 3, 4]), (FrameSender::Server, [0; 4])] {
                let header = FrameHeader {
                    opcode: Opcode::Binary,
                    is_last: length % 2 == 0,
                    mask,
                    length,
                };
                let mut bytes = Vec::new();
                header.put(sender, &mut bytes);
                assert_eq!(FrameHeader::read(&bytes, sender), Ok(Some((header, bytes.len()))));
            }
        }
    }

    #[test]
    fn a_close_carries_as_much_of_its_reason_as_fits() {
        let mut frame = Vec::new();
        put_close(Some(CloseCode::NORMAL), &"\u{e4}".repeat(80), &mut frame);
        assert_eq!(frame[..5], [0x88, 124, 3, 0xe8, 0xc3]);
        assert_eq!(frame.len(), 2 + 2 + 122);
        frame.clear();
        put_close(None, "not told without a code", &mut frame);
        assert_eq!(frame, [0x88, 0]);
    }
}
