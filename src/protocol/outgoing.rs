//! Bytes on their way to a terminal. Holds them; sends nothing.

/// One packet's bytes, as the socket gets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Always the same, so nothing is allocated for them.
    Constant(&'static [u8]),
    /// Any others.
    Bytes(Vec<u8>),
}

impl Outgoing {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Constant(bytes) => bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}
