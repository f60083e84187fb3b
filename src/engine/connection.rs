//! The life of one connection: something happened to it, or is wished for it; operations for the kernel come out. Pure: no ring,
//! no clock, no bytes. Shards, the load generator and the tests' model of a kernel all go by it.
//!
//! ```text
//! accepted, arrived ─> Open ──stay──> Settled ──close──> Draining ──sent──> Ending ──joined──> Closing ──> Free
//!                       │ ^              ^ └──────── lost, reset ─────────────^ ^                 ^
//!                       │ └─not left─┐   │                                      │                 │
//!                       ├──move──> Moving┼──────────────────left────────────────┼─────────────────┘
//!                       ├──close─> Draining                                     │
//!                       └──lost, reset───┼──────────────────────────────────────┤
//! connect ─> Connecting ──connected──────┘                                      │
//!                 └──refused────────────────────────────────────────────────────┘
//! ```

use super::completion::{KernelRefusal, LossCause, Unread};
use super::kernel::{Cancel, Kernel, KernelOf, Operation, ReceiveMode};
use super::token::MoveToken;
use crate::base::ids::ShardId;
use crate::base::limits::DISCARDED_BUFFERS_MAX;

/// What a connection's owner has to know.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnectionNews<B> {
    /// Bytes came. When they were read and the buffer is back, [`ConnectionTable::read_on`] is called.
    ///
    /// [`ConnectionTable::read_on`]: super::connection_table::ConnectionTable::read_on
    Bytes {
        /// Where they are.
        buffer: B,
        /// What waits behind them.
        unread: Unread,
    },
    /// The link is lost. The connection ends by itself.
    Lost(LossCause),
    /// All buffers are taken. It receives again by [`ConnectionTable::feed`].
    ///
    /// [`ConnectionTable::feed`]: super::connection_table::ConnectionTable::feed
    NoBuffer,
    /// It is in the other ring's table.
    Left,
    /// It could not be put there, and is still here. It is not read.
    NotLeft,
    /// It is made, and polled; or not, and ends by itself.
    Connected(Result<(), KernelRefusal>),
    /// Its slot is free. Nobody is told if the kernel gave the slot again before.
    Gone,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStage {
    /// The slot has no socket.
    Free,
    /// It is being made. Nothing else is in flight, and it cannot be ended before.
    Connecting,
    /// It may have to move: at most one receive waits, and there is no poll.
    Open,
    /// On its way to another shard: what is on its way out is being sent, then nothing but the move is in flight.
    Moving,
    /// It stays: it is polled whenever nothing is being received.
    Settled,
    /// Its owner has forgotten it; what is on its way out is being sent.
    Draining,
    /// What was armed is cancelled and joined; then what came is thrown away.
    Ending {
        /// Buffers that may still be thrown away before the close.
        discards_left: u8,
    },
    /// The close is in flight, and nothing else.
    Closing,
}

use ConnectionStage::{Closing, Connecting, Draining, Ending, Free, Moving, Open, Settled};

/// What is in the kernel's hands for one connection, besides sends that tell nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InFlight(u8);

impl InFlight {
    const NOTHING: Self = Self(0);
    const RECEIVE: Self = Self(1);
    const POLL: Self = Self(2);
    pub(super) const SEND: Self = Self(4);

    fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    fn remove(&mut self, what: Self) {
        self.0 &= !what.0;
    }
}

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    stage: ConnectionStage,
    in_flight: InFlight,
}

impl Connection {
    pub(super) fn new(stage: ConnectionStage) -> Self {
        Self {
            stage,
            in_flight: InFlight::NOTHING,
        }
    }

    pub(super) fn stage(self) -> ConnectionStage {
        self.stage
    }

    /// Whether its owner hears of it and may have something sent.
    pub(super) fn is_live(self) -> bool {
        matches!(self.stage, Open | Settled)
    }

    pub(super) fn is_sending(self) -> bool {
        self.in_flight.has(InFlight::SEND)
    }

    /// A send begins or ends.
    pub(super) fn send(&mut self, bytes: Vec<u8>, start: usize, to: &mut KernelOf<'_, impl Kernel>) {
        self.in_flight.add(InFlight::SEND);
        to.begin(Operation::Send { bytes, start });
    }

    pub(super) fn send_ended(&mut self) {
        self.in_flight.remove(InFlight::SEND);
    }

    fn receive(&mut self, mode: ReceiveMode, to: &mut KernelOf<'_, impl Kernel>) {
        if !self.in_flight.has(InFlight::RECEIVE) {
            self.in_flight.add(InFlight::RECEIVE);
            to.begin(Operation::Receive(mode));
        }
    }

    /// Waits for more, unless something is under way that will tell of it.
    fn poll(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        if !self.in_flight.has(InFlight::POLL) && !self.in_flight.has(InFlight::RECEIVE) {
            self.in_flight.add(InFlight::POLL);
            to.begin(Operation::Poll);
        }
    }

    /// Reads on, if it is read at all; an ending connection goes on ending.
    pub(super) fn read_on(&mut self, unread: Unread, to: &mut KernelOf<'_, impl Kernel>) {
        match (self.stage, unread) {
            (Open, _) => self.receive(ReceiveMode::Wait, to),
            (Settled, Unread::Perhaps) => self.receive(ReceiveMode::DontWait, to),
            (Settled, Unread::Nothing) => self.poll(to),
            (Ending { .. }, _) => self.join(to),
            (Free | Connecting | Moving | Draining | Closing, _) => {}
        }
    }

    pub(super) fn stay(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        if self.stage == Open {
            self.stage = Settled;
            self.poll(to);
        }
    }

    pub(super) fn connected(
        &mut self,
        result: Result<(), KernelRefusal>,
        to: &mut KernelOf<'_, impl Kernel>,
    ) {
        match result {
            Ok(()) => {
                self.stage = Settled;
                self.poll(to);
            }
            Err(_) => self.end(0, to),
        }
    }

    pub(super) fn polled(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        self.in_flight.remove(InFlight::POLL);
        match self.stage {
            Settled | Ending { .. } => self.read_on(Unread::Perhaps, to),
            Draining => {}
            Free | Connecting | Open | Moving | Closing => {
                unreachable!("only a settled connection is polled, and its end is joined")
            }
        }
    }

    pub(super) fn received(&mut self) {
        self.in_flight.remove(InFlight::RECEIVE);
    }

    /// A buffer of bytes that nobody reads is thrown away.
    pub(super) fn discarded(&mut self) {
        if let Ending { discards_left } = &mut self.stage {
            *discards_left = discards_left.saturating_sub(1);
        }
    }

    /// There is nothing more to read, or to throw away.
    pub(super) fn read_empty(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        if let Ending { discards_left } = &mut self.stage {
            *discards_left = 0;
        }
        self.read_on(Unread::Nothing, to);
    }

    /// An operation has ended. Whether that was waited for.
    pub(super) fn join_if_ending(&mut self, to: &mut KernelOf<'_, impl Kernel>) -> bool {
        let is_ending = matches!(self.stage, Ending { .. });
        if is_ending {
            self.join(to);
        }
        is_ending
    }

    /// The receive found the link's end.
    pub(super) fn link_ended(&mut self, to: &mut KernelOf<'_, impl Kernel>) -> Option<LossCause> {
        let lost = self.is_live().then_some(LossCause::Peer);
        match self.stage {
            Open | Settled | Draining => self.end(0, to),
            Ending { .. } => self.read_empty(to),
            Free | Connecting | Moving | Closing => {}
        }
        lost
    }

    /// Something could not be sent. A peer that is gone may have said goodbye before: what it sent is read first, and the read
    /// behind it tells of the end. One that was to move moves all the same: who awaits it finds the end.
    pub(super) fn not_sent(
        &mut self,
        refusal: KernelRefusal,
        then_move: Option<(ShardId, MoveToken)>,
        to: &mut KernelOf<'_, impl Kernel>,
    ) -> Option<LossCause> {
        if let Some((target, token)) = then_move {
            if !refusal.is_of_gone_peer() {
                to.begin(Operation::Abort);
            }
            to.begin(Operation::Move(target, token));
            return None;
        }
        if refusal.is_of_gone_peer() && self.is_live() {
            return None;
        }
        self.reset(to).then_some(match refusal {
            KernelRefusal::FULL => LossCause::SlowReader,
            KernelRefusal(_) => LossCause::Peer,
        })
    }

    /// Resets the connection, if it has not begun to end. Whether its owner has to hear of it. One that waits to move still
    /// moves: who awaits it finds its end.
    pub(super) fn reset(&mut self, to: &mut KernelOf<'_, impl Kernel>) -> bool {
        let lost = self.is_live();
        if lost || self.drains() {
            to.begin(Operation::Abort);
        }
        if lost || self.stage == Draining {
            self.end_when_joined(0, to);
        }
        lost
    }

    /// Whether it closes or moves once all is sent.
    pub(super) fn drains(self) -> bool {
        self.stage == Draining || (self.stage == Moving && self.is_sending())
    }

    /// What is on its way out goes first. Whether something is.
    pub(super) fn close(&mut self, to: &mut KernelOf<'_, impl Kernel>) -> bool {
        if !self.is_live() {
            return false;
        }
        self.stage = Draining;
        if !self.is_sending() {
            self.drained(None, to);
        }
        self.stage == Draining
    }

    /// Nothing is on its way out any more: one that waits for that ends, or moves.
    pub(super) fn drained(
        &mut self,
        then_move: Option<(ShardId, MoveToken)>,
        to: &mut KernelOf<'_, impl Kernel>,
    ) {
        if self.stage == Draining {
            self.end(DISCARDED_BUFFERS_MAX, to);
        } else if let Some((target, token)) = then_move {
            to.begin(Operation::Move(target, token));
        }
    }

    /// Cancels what is armed. When all of it has ended the connection is closed: a close before would leak the
    /// socket.
    fn end(&mut self, discards_left: u8, to: &mut KernelOf<'_, impl Kernel>) {
        for (what, cancel) in [
            (InFlight::RECEIVE, Cancel::Receive),
            (InFlight::POLL, Cancel::Poll),
            (InFlight::SEND, Cancel::Send),
        ] {
            if self.in_flight.has(what) {
                to.begin(Operation::Cancel(cancel));
            }
        }
        self.end_when_joined(discards_left, to);
    }

    fn end_when_joined(&mut self, discards_left: u8, to: &mut KernelOf<'_, impl Kernel>) {
        self.stage = Ending { discards_left };
        self.join(to);
    }

    fn join(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        let Ending { discards_left } = self.stage else {
            unreachable!("only what ends is joined");
        };
        if self.in_flight != InFlight::NOTHING {
            return;
        }
        match discards_left {
            0 => self.free_slot(to),
            _ => self.receive(ReceiveMode::DontWait, to),
        }
    }

    fn free_slot(&mut self, to: &mut KernelOf<'_, impl Kernel>) {
        self.stage = Closing;
        to.begin(Operation::Close);
    }

    /// Whether a move can begin, at once or when all is sent.
    pub(super) fn may_move(self) -> bool {
        self.stage == Open && !self.in_flight.has(InFlight::RECEIVE)
    }

    pub(super) fn move_to(
        &mut self,
        (target, token): (ShardId, MoveToken),
        to: &mut KernelOf<'_, impl Kernel>,
    ) {
        assert!(self.may_move(), "something that is armed would stay behind");
        self.stage = Moving;
        if !self.is_sending() {
            to.begin(Operation::Move(target, token));
        }
    }

    /// The socket is in the other ring's table, or could not be put there.
    pub(super) fn left(&mut self, result: Result<(), KernelRefusal>, to: &mut KernelOf<'_, impl Kernel>) {
        match result {
            Ok(()) => self.free_slot(to),
            Err(refusal) => {
                if refusal == KernelRefusal::UNTOLD {
                    // Nobody knows where in the other table it is, so it cannot be closed there. A reset
                    // tells the peer.
                    to.begin(Operation::Abort);
                }
                self.stage = Open;
            }
        }
    }
}
