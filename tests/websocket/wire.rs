//! The client's side of the cases, apart from the code that they try: frames as bytes, and bytes of a server as what is seen.

/// Something that a server sends besides its close.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

/// What came of a server.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    unread: Vec<u8>,
    pub(crate) seen: Vec<Seen>,
    /// The code of its close frame, if it has one.
    pub(crate) close: Option<Option<u16>>,
}

const MASK: [u8; 4] = [0x5a, 0x01, 0xfe, 0x93];

/// The head of a client's frame, by its first byte.
pub(crate) fn header(first: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes
}

/// Appends the first part of a payload, masked.
pub(crate) fn put_payload(bytes: &mut Vec<u8>, payload: &[u8]) {
    bytes.extend(
        payload
            .iter()
            .enumerate()
            .map(|(place, byte)| byte ^ MASK[place % 4]),
    );
}

fn of(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len());
    put_payload(&mut bytes, payload);
    bytes
}

/// A frame that ends its message.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    of(0x80 | opcode, payload)
}

/// A frame that does not.
pub(crate) fn fragment(opcode: u8, payload: &[u8]) -> Vec<u8> {
    of(opcode, payload)
}

impl Arrivals {
    /// Takes bytes of a server. Fails at a frame that a server must not send.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.unread.extend_from_slice(bytes);
        while let Some((first, payload, length)) = next(&self.unread)? {
            if self.close.is_some() {
                return Err("something follows the close".to_owned());
            }
            match first {
                0x81 => self.seen.push(Seen::Text(payload)),
                0x82 => self.seen.push(Seen::Binary(payload)),
                0x8a => self.seen.push(Seen::Pong(payload)),
                0x88 => self.close = Some(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
                _ => return Err(format!("a frame begins with {first:#x}")),
            }
            self.unread.drain(..length);
        }
        Ok(())
    }
}

/// The first byte of the first frame, its payload and its length.
fn next(bytes: &[u8]) -> Result<Option<(u8, Vec<u8>, usize)>, String> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (length, header) = match (second, rest) {
        (0..126, _) => (usize::from(*second), 2),
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (usize::try_from(length).expect("a length"), 10)
        }
        (126 | 127, _) => return Ok(None),
        (128.., _) => return Err("a frame of a server has a mask".to_owned()),
    };
    let payload = bytes.get(header..header + length).map(<[u8]>::to_vec);
    Ok(payload.map(|payload| (*first, payload, header + length)))
}
