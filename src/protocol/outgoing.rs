//! Bytes on their way to a terminal. Holds them; sends nothing.

/// One packet's bytes, as the socket gets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Always the same, so nothing is allocated for them.
    Constant(ConstantBytes),
    /// Any others.
    Bytes(Vec<u8>),
}

/// Bytes that are always the same, also where they are in a message of WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConstantBytes {
    /// As they are.
    pub bytes: &'static [u8],
    /// With a frame's header before them.
    message: &'static [u8],
}

impl ConstantBytes {
    /// What is in a whole binary message.
    ///
    /// # Panics
    /// If it is no such message.
    #[must_use]
    pub const fn of_message(message: &'static [u8]) -> Self {
        const BINARY_AND_LAST: u8 = 0x82;
        let [BINARY_AND_LAST, length, bytes @ ..] = message else {
            panic!("no binary message");
        };
        assert!(*length as usize == bytes.len() && bytes.len() < 126);
        Self { bytes, message }
    }

    /// The same in a message.
    #[must_use]
    pub fn in_message(self) -> Self {
        Self {
            bytes: self.message,
            message: self.message,
        }
    }
}

impl Outgoing {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Constant(constant) => constant.bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}
