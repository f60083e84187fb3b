//! What the kernel tells a ring's owner, in words that it has to match one by one. Holds values only.

use std::net::SocketAddr;

use super::buffers::Buffer;
use super::token::MoveToken;
use crate::base::ids::ConnKey;

/// The end of an operation, or news of one that goes on.
#[derive(Debug)]
pub enum Completion {
    /// A connection was accepted into a slot of the table.
    Accepted {
        /// Its slot.
        slot: u32,
        /// Who it is.
        peer: SocketAddr,
        /// The listener that it came in by, counted from 0.
        listener: usize,
    },
    /// A pending accept ended without a connection.
    NotAccepted(AcceptEnd),
    /// Another ring's connection was put into this slot of the table.
    Arrived(MoveToken, u32),
    /// An operation of a connection of the table ended.
    Of(ConnKey, ConnectionEvent),
}

/// How an operation of a connection ended. `B` is what received bytes are in.
#[derive(Debug)]
pub enum ConnectionEvent<B = Buffer> {
    /// A receive.
    Received(ReceiveEnd<B>),
    /// A poll: something can be read, or the link has ended, and a receive says which; or the poll was cancelled.
    Polled,
    /// Constant bytes were not sent, or not all.
    ConstantNotSent(KernelRefusal),
    /// A send.
    Sent(SendEnd),
    /// Its slot of the table is free again.
    Closed,
    /// It was put into another ring's table, or was not. Its own slot is still open.
    Left(Result<(), KernelRefusal>),
    /// A connect. Whatever came of it, its slot is to be closed.
    Connected(Result<(), KernelRefusal>),
}

/// How a receive ended.
#[derive(Debug)]
pub enum ReceiveEnd<B = Buffer> {
    /// Bytes came.
    Bytes {
        /// Where they are.
        buffer: B,
        /// What waits behind them.
        unread: Unread,
    },
    /// The link has ended.
    End,
    /// The link has ended, and a buffer was taken for it all the same.
    EndWith(B),
    /// There is nothing to read.
    Nothing,
    /// All buffers are taken; the bytes wait in the socket.
    NoBuffer,
    /// It was cancelled.
    Cancelled,
}

/// What waits in a socket behind the bytes that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// There may be more at once.
    Perhaps,
    /// There was no more.
    Nothing,
}

/// A send that has ended.
#[derive(Debug)]
pub struct SendEnd {
    /// All bytes that the send was given.
    pub bytes: Vec<u8>,
    /// How many of those that were to be sent, from where it began, were sent.
    pub sent: Result<usize, KernelRefusal>,
}

/// Why a link is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The peer closed or reset it, or the network did.
    Peer,
    /// The peer did not read what it was sent.
    SlowReader,
}

/// The kernel's word for why it did not, as an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRefusal(pub i32);

impl KernelRefusal {
    /// The socket is in the other ring's table, but the other ring was not told where.
    pub const UNTOLD: Self = Self(libc::EOVERFLOW);
    /// The peer does not read, and the kernel holds no more for it.
    pub const FULL: Self = Self(libc::EAGAIN);
    /// The kernel took not one byte, and did not say why.
    pub const NOTHING: Self = Self(libc::EIO);

    /// Whether it says that the peer is gone: the socket has ended in both directions, and what came before can still be read.
    #[must_use]
    pub fn is_of_gone_peer(self) -> bool {
        matches!(self.0, libc::EPIPE | libc::ECONNRESET)
    }
}

/// Why a pending accept ended without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptEnd {
    /// The connection was gone before it was accepted, or the like: accept again.
    Passing,
    /// It was cancelled.
    Cancelled,
    /// The table, or the system, had no room. The connection is lost.
    NoRoom,
}
