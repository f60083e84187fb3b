//! What connections ask of a kernel, and what carries it out: a ring, or a model of one. Values and one trait; it does nothing.

use std::net::SocketAddrV4;

use super::token::MoveToken;
use crate::base::ids::{ConnKey, ShardId};

/// What a connection asks of the kernel. Each ends in a [`ConnectionEvent`](super::completion::ConnectionEvent), unless it says
/// otherwise.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Receive into a provided buffer.
    Receive(ReceiveMode),
    /// Wait until there is something to read, or the link has ended.
    Poll,
    /// Send bytes that are always the same, now or never. Tells only of failure.
    SendConstant(&'static [u8]),
    /// Send bytes, and wait while the peer does not read.
    Send {
        /// Kept by the kernel until the end.
        bytes: Vec<u8>,
        /// Where in them it begins.
        start: usize,
    },
    /// Cancel an operation, which then ends as it always does. The cancel itself has no end.
    Cancel(Cancel),
    /// Reset the connection, which ends all that is armed for it. It has no end; the socket is still to be closed.
    Abort,
    /// Free the slot. Nothing may be armed.
    Close,
    /// Put the socket into the table of that shard's ring, too. Nothing may be armed.
    Move(ShardId, MoveToken),
    /// Make a socket in the slot, bind it to an address, and connect it.
    Connect {
        /// Port 0: the kernel chooses.
        source: SocketAddrV4,
        /// Where to.
        target: SocketAddrV4,
    },
}

/// Whether a receive waits for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveMode {
    /// It ends when bytes have come.
    Wait,
    /// It ends at once.
    DontWait,
}

/// An operation that can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The receive that waits.
    Receive,
    /// The poll.
    Poll,
    /// The send that waits.
    Send,
}

/// What carries out operations: a ring, or a model of one.
pub trait Kernel {
    /// What received bytes are in.
    type Buffer;

    /// Begins an operation of a connection.
    fn begin(&mut self, key: ConnKey, operation: Operation);

    /// The bytes that came.
    fn bytes<'a>(&'a self, buffer: &'a Self::Buffer) -> &'a [u8];

    /// Takes a buffer back.
    fn recycle(&mut self, buffer: Self::Buffer);
}

/// The kernel, for one connection.
pub(super) struct KernelOf<'a, K> {
    pub(super) key: ConnKey,
    pub(super) kernel: &'a mut K,
}

impl<K: Kernel> KernelOf<'_, K> {
    pub(super) fn begin(&mut self, operation: Operation) {
        self.kernel.begin(self.key, operation);
    }
}
