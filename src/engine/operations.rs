//! What a ring can be asked to do, one method an operation. Each only queues; [`Ring::submit`] hands over.

use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::{DestinationSlot, Fd, Fixed};

use super::ring::Ring;
use super::setup::BUFFER_GROUP;
use super::token::{MoveToken, Token};
use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::RECEIVE_BUFFER_BYTES;

/// Whether a receive waits for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It ends when bytes have come.
    Waits,
    /// It ends at once.
    AtOnce,
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

/// Connecting a socket to no address resets its connection.
static NO_ADDRESS: [u8; size_of::<libc::sockaddr_storage>()] = [0; size_of::<libc::sockaddr_storage>()];

const POLL_EVENTS: i32 = libc::POLLIN as i32 | libc::POLLRDHUP as i32;
const SEND_FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

impl Ring {
    /// Makes accepts pending until each listener has `count_each`, or all that the ring has. Ends in `Accepted` or
    /// `NotAccepted` each.
    pub fn accept(&mut self, count_each: u32) {
        for listener in 0..self.listeners.len() {
            while self.memory.accepts.pending_of(listener) < count_each && self.accept_one(listener) {}
        }
    }

    fn accept_one(&mut self, listener: usize) -> bool {
        let Some((number, room)) = self.memory.accepts.begin(listener) else {
            return false;
        };
        let (address, length) = (&raw mut room.address, &raw mut room.length);
        let listener = Fd(self.listeners[listener].as_raw_fd());
        let entry = opcode::Accept::new(listener, address.cast(), length)
            .file_index(Some(DestinationSlot::auto_target()));
        self.push_using_memory(entry.build(), Token::Accept(number));
        true
    }

    /// How many accepts are pending.
    #[must_use]
    pub fn accepts_pending(&self) -> u32 {
        self.memory.accepts.pending_count()
    }

    /// Cancels all pending accepts. Those that did not meet a connection end in `NotAccepted`.
    pub fn cancel_accepts(&mut self) {
        let pending: Vec<u32> = self.memory.accepts.pending().collect();
        for number in pending {
            self.cancel_token(Token::Accept(number));
        }
    }

    /// Receives into a provided buffer. Ends in `Received`.
    pub fn receive(&mut self, key: ConnKey, patience: Patience) {
        let length = u32::try_from(RECEIVE_BUFFER_BYTES).expect("a small number");
        let flags = match patience {
            Patience::Waits => 0,
            Patience::AtOnce => libc::MSG_DONTWAIT,
        };
        let entry = opcode::Recv::new(Fixed(key.slot), null_mut(), length)
            .flags(flags)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        self.push_using_memory(entry, Token::Receive(key));
    }

    /// Waits until there is something to read, or the link has ended, be it so already. Ends in `Polled`.
    ///
    /// It is no multishot poll: that one would still be armed when its connection ends, and a cancel looks it up in one of 256
    /// chains among all that the ring has armed.
    pub fn poll(&mut self, key: ConnKey) {
        let entry = opcode::PollAdd::new(Fixed(key.slot), POLL_EVENTS.unsigned_abs());
        self.push(entry.build(), Token::Poll(key));
    }

    /// Sends bytes that are always the same, now or never. Tells only of failure, by `ConstantNotSent`.
    pub fn send_constant(&mut self, key: ConnKey, bytes: &'static [u8]) {
        let length = u32::try_from(bytes.len()).expect("a small packet");
        let entry = opcode::Send::new(Fixed(key.slot), bytes.as_ptr(), length)
            .flags(SEND_FLAGS | libc::MSG_DONTWAIT)
            .build()
            .flags(Flags::SKIP_SUCCESS);
        self.push(entry, Token::SendConstant(key));
    }

    /// Sends `bytes` from `start` on, and waits while the peer does not read. The ring keeps the bytes until `Sent`.
    ///
    /// # Panics
    /// If the connection has a send in flight.
    pub fn send(&mut self, key: ConnKey, bytes: Vec<u8>, start: usize) {
        let length = u32::try_from(bytes[start..].len()).expect("a bounded way out");
        let address = self.keep(key, bytes).wrapping_add(start);
        let entry = opcode::Send::new(Fixed(key.slot), address, length).flags(SEND_FLAGS);
        self.push_using_memory(entry.build(), Token::Send(key));
    }

    /// Cancels one operation of a connection, which then ends as it always does.
    pub fn cancel(&mut self, key: ConnKey, what: Cancel) {
        self.cancel_token(match what {
            Cancel::Receive => Token::Receive(key),
            Cancel::Poll => Token::Poll(key),
            Cancel::Send => Token::Send(key),
        });
    }

    /// Frees the slot, and with it the socket if it was not moved. Ends in `Closed`. Join what is armed first: a close
    /// with an armed poll leaks the socket.
    pub fn close(&mut self, key: ConnKey) {
        self.push(opcode::Close::new(Fixed(key.slot)).build(), Token::Close(key));
    }

    /// Resets the connection at once, which ends all that is armed for it. The socket is still to be closed.
    pub fn abort(&mut self, key: ConnKey) {
        let length = u32::try_from(NO_ADDRESS.len()).expect("128");
        let entry = opcode::Connect::new(Fixed(key.slot), NO_ADDRESS.as_ptr().cast(), length);
        self.push(entry.build().flags(Flags::SKIP_SUCCESS), Token::Ignored);
    }

    /// Puts the connection's socket also into a free slot of another ring's table, which is told of it by `Arrived` with
    /// `token`. Ends in `Left` here. Nothing of the connection may be armed.
    pub fn move_to(&mut self, key: ConnKey, target: ShardId, token: MoveToken) {
        let there = DestinationSlot::auto_target();
        let bits = Token::Moved(token).pack();
        let entry = opcode::MsgRingSendFd::new(
            self.others[usize::from(target.0)].fd(),
            Fixed(key.slot),
            there,
            bits,
        );
        self.push(entry.build(), Token::Move(key));
    }

    fn cancel_token(&mut self, token: Token) {
        let entry = opcode::AsyncCancel::new(token.pack()).build();
        self.push(entry.flags(Flags::SKIP_SUCCESS), Token::Ignored);
    }
}
