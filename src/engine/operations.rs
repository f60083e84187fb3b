//! What a ring can be asked to do, one method an operation. Each only queues; [`Ring::submit`] hands over.

use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::{DestinationSlot, Fd, Fixed};

use super::buffers::Buffer;
use super::kernel::{Cancel, Kernel, Operation, ReceiveMode};
use super::ring::Ring;
use super::setup::BUFFER_GROUP;
use super::token::{MoveToken, OperationToken};
use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::RECEIVE_BUFFER_BYTES;

/// Connecting a socket to no address resets its connection.
static NO_ADDRESS: [u8; size_of::<libc::sockaddr_storage>()] = [0; size_of::<libc::sockaddr_storage>()];

const POLL_EVENTS: i32 = libc::POLLIN as i32 | libc::POLLRDHUP as i32;
const SEND_FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

impl Kernel for Ring {
    type Buffer = Buffer;

    fn begin(&mut self, key: ConnKey, operation: Operation) {
        match operation {
            Operation::Receive(mode) => self.receive(key, mode),
            Operation::Poll => self.poll(key),
            Operation::SendConstant(bytes) => self.send_constant(key, bytes),
            Operation::Send { bytes, start } => self.send(key, bytes, start),
            Operation::Cancel(what) => self.cancel(key, what),
            Operation::Abort => self.abort(key),
            Operation::Close => self.close(key),
            Operation::Move(target, token) => self.move_to(key, target, token),
            Operation::Connect { source, target } => self.connect(key, source, target),
        }
    }

    fn bytes<'a>(&'a self, buffer: &'a Buffer) -> &'a [u8] {
        self.memory.buffers.bytes(buffer)
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.memory.buffers.recycle(buffer);
    }
}

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
        self.push_using_memory(entry.build(), OperationToken::Accept(number));
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
            self.cancel_token(OperationToken::Accept(number));
        }
    }

    /// Receives into a provided buffer. Ends in `Received`.
    pub(super) fn receive(&mut self, key: ConnKey, mode: ReceiveMode) {
        let length = u32::try_from(RECEIVE_BUFFER_BYTES).expect("a small number");
        let flags = match mode {
            ReceiveMode::Wait => 0,
            ReceiveMode::DontWait => libc::MSG_DONTWAIT,
        };
        let entry = opcode::Recv::new(Fixed(key.slot), null_mut(), length)
            .flags(flags)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        self.push_using_memory(entry, OperationToken::Receive(key));
    }

    /// Waits until there is something to read, or the link has ended, be it so already. Ends in `Polled`.
    ///
    /// It is no multishot poll: that one would still be armed when its connection ends, and a cancel looks it up in one of 256
    /// chains among all that the ring has armed.
    pub(super) fn poll(&mut self, key: ConnKey) {
        let entry = opcode::PollAdd::new(Fixed(key.slot), POLL_EVENTS.unsigned_abs());
        self.push(entry.build(), OperationToken::Poll(key));
    }

    /// Sends bytes that are always the same, now or never. Tells only of failure, by `ConstantNotSent`.
    pub(super) fn send_constant(&mut self, key: ConnKey, bytes: &'static [u8]) {
        let length = u32::try_from(bytes.len()).expect("a small packet");
        let entry = opcode::Send::new(Fixed(key.slot), bytes.as_ptr(), length)
            .flags(SEND_FLAGS | libc::MSG_DONTWAIT)
            .build()
            .flags(Flags::SKIP_SUCCESS);
        self.push(entry, OperationToken::SendConstant(key));
    }

    /// Sends `bytes` from `start` on, and waits while the peer does not read. The ring keeps the bytes until `Sent`.
    ///
    /// # Panics
    /// If the connection has a send in flight.
    pub(super) fn send(&mut self, key: ConnKey, bytes: Vec<u8>, start: usize) {
        let length = u32::try_from(bytes[start..].len()).expect("a bounded way out");
        let address = self.keep(key, bytes).wrapping_add(start);
        let entry = opcode::Send::new(Fixed(key.slot), address, length).flags(SEND_FLAGS);
        self.push_using_memory(entry.build(), OperationToken::Send(key));
    }

    /// Cancels one operation of a connection, which then ends as it always does.
    pub(super) fn cancel(&mut self, key: ConnKey, what: Cancel) {
        self.cancel_token(match what {
            Cancel::Receive => OperationToken::Receive(key),
            Cancel::Poll => OperationToken::Poll(key),
            Cancel::Send => OperationToken::Send(key),
        });
    }

    /// Frees the slot, and with it the socket if it was not moved. Ends in `Closed`. Join what is armed first: a close
    /// with an armed poll leaks the socket.
    pub(super) fn close(&mut self, key: ConnKey) {
        self.push(
            opcode::Close::new(Fixed(key.slot)).build(),
            OperationToken::Close(key),
        );
    }

    /// Resets the connection at once, which ends all that is armed for it. The socket is still to be closed.
    pub(super) fn abort(&mut self, key: ConnKey) {
        let length = u32::try_from(NO_ADDRESS.len()).expect("128");
        let entry = opcode::Connect::new(Fixed(key.slot), NO_ADDRESS.as_ptr().cast(), length);
        self.push(entry.build().flags(Flags::SKIP_SUCCESS), OperationToken::Ignored);
    }

    /// Puts the connection's socket also into a free slot of another ring's table, which is told of it by `Arrived` with
    /// `token`. Ends in `Left` here. Nothing of the connection may be armed.
    pub(super) fn move_to(&mut self, key: ConnKey, target: ShardId, token: MoveToken) {
        let there = DestinationSlot::auto_target();
        let bits = OperationToken::Moved(token).pack();
        let entry = opcode::MsgRingSendFd::new(
            self.others[usize::from(target.0)].fd(),
            Fixed(key.slot),
            there,
            bits,
        );
        self.push(entry.build(), OperationToken::Move(key));
    }

    fn cancel_token(&mut self, token: OperationToken) {
        let entry = opcode::AsyncCancel::new(token.pack()).build();
        self.push(entry.flags(Flags::SKIP_SUCCESS), OperationToken::Ignored);
    }
}
