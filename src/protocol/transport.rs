//! What a dialect's bytes travel in: turns a socket's bytes into the dialect's and back, and says what of a connection is
//! kept between two reads. Knows no packets.

pub mod ending;
pub mod unwrapped;

pub mod websocket;

use std::borrow::Cow;

use crate::protocol::outgoing::Outgoing;

/// How a terminal's bytes reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Plain TCP: the socket's bytes are the dialect's.
    Tcp,
}

/// What is kept of one connection between two reads: bytes of the dialect that are not read yet, since they are the first part
/// of a packet, or wait behind one. A connection at rest keeps nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    unread: Vec<u8>,
}

impl Kept {
    /// Of bytes that a dialect has not read.
    #[must_use]
    pub fn of(unread: &[u8]) -> Self {
        Self {
            unread: unread.to_vec(),
        }
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// The dialect's bytes that are not read yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Keeps more bytes of the dialect, behind those that are there.
    pub fn push(&mut self, unread: &[u8]) {
        self.unread.extend_from_slice(unread);
    }
}

impl Transport {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
        }
    }

    /// A socket gave `bytes`. Gives all bytes of the dialect that are to be read: those that were kept, then the new ones.
    #[must_use]
    pub fn unwrap<'a>(self, kept: Option<Kept>, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match (self, kept) {
            (Self::Tcp, None) => Cow::Borrowed(bytes),
            (Self::Tcp, Some(mut kept)) => {
                kept.push(bytes);
                Cow::Owned(kept.unread)
            }
        }
    }

    /// What the socket gets, so that the far end's transport gives `bytes`.
    #[must_use]
    pub fn wrap(self, bytes: Outgoing) -> Outgoing {
        match self {
            Self::Tcp => bytes,
        }
    }
}
