//! All connections of one ring, by their slots: tells each what happened to it, and its owner what that means. Asks nothing of a
//! ring but by [`Kernel`]; reads no bytes.

use std::collections::VecDeque;
use std::mem::{replace, take};
use std::net::SocketAddrV4;

use hashbrown::HashMap;

use super::completion::{ConnectionEvent, KernelRefusal, LossCause, ReceiveEnd, SendEnd, Unread};
use super::connection::{Connection, ConnectionNews, ConnectionStage};
use super::kernel::{Kernel, KernelOf, Operation};
use super::sending::{Sending, SpareRoom};
use super::token::MoveToken;
use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::{DRAIN_MS_MAX, OUTBOUND_BYTES_MAX};
use crate::base::time::Instant;

/// One slot of the table.
#[derive(Debug, Clone, Copy)]
struct TableSlot {
    generation: u32,
    connection: Connection,
}

const _: () = assert!(
    size_of::<TableSlot>() == 8,
    "8 B of each idle connection's budget"
);

/// All slots, by their number.
#[derive(Debug)]
pub struct ConnectionTable {
    /// Reserved in full, so it never moves; grows by use, so that slots never used cost no memory.
    slots: Vec<TableSlot>,
    /// By slot: apart from the connections, since few are being sent something.
    sends: HashMap<u32, Sending>,
    slots_max: u32,
    open: u32,
    generation: u32,
    /// When each connection that drains before it closes or moves is reset, in this order.
    drains: VecDeque<(Instant, ConnKey)>,
    /// Connections that found no receive buffer.
    waiting: Vec<ConnKey>,
    spare: SpareRoom,
}

impl ConnectionTable {
    /// A table with so many slots, all free.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self {
            slots: Vec::with_capacity(slots as usize),
            sends: HashMap::new(),
            slots_max: slots,
            open: 0,
            generation: 0,
            drains: VecDeque::new(),
            waiting: Vec::new(),
            spare: SpareRoom::default(),
        }
    }

    /// Sockets in the table.
    #[must_use]
    pub fn open_count(&self) -> u32 {
        self.open
    }

    /// Slots without a socket.
    #[must_use]
    pub fn free_count(&self) -> u32 {
        self.slots_max - self.open
    }

    /// Whether something is on its way out.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        !self.sends.is_empty()
    }

    /// Whether connections wait for [`ConnectionTable::feed`].
    #[must_use]
    pub fn waits_for_buffers(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When [`ConnectionTable::expire`] has to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.drains.front().map(|(due, _)| *due)
    }

    /// Where the connection is in its life; `Free` if it is gone.
    #[must_use]
    pub fn stage(&self, key: ConnKey) -> ConnectionStage {
        match self.slots.get(key.slot as usize) {
            Some(slot) if slot.generation == key.generation => slot.connection.stage(),
            _ => ConnectionStage::Free,
        }
    }

    /// The connection that has this slot, or had it last.
    #[must_use]
    pub fn key(&self, slot: u32) -> ConnKey {
        let generation = self.slots.get(slot as usize).map_or(0, |slot| slot.generation);
        ConnKey { slot, generation }
    }

    /// The kernel has put a socket into `slot`: so whatever was there is closed, even if the word of it is still under
    /// way. It is not read before [`ConnectionTable::read_on`].
    ///
    /// # Panics
    /// If the slot has a socket.
    pub fn open(&mut self, slot: u32) -> ConnKey {
        self.begin(slot, ConnectionStage::Open)
    }

    /// Makes a connection in `slot`.
    ///
    /// # Panics
    /// If the slot has a socket.
    pub fn connect(
        &mut self,
        slot: u32,
        (source, target): (SocketAddrV4, SocketAddrV4),
        kernel: &mut impl Kernel,
    ) -> ConnKey {
        let key = self.begin(slot, ConnectionStage::Connecting);
        kernel.begin(key, Operation::Connect { source, target });
        key
    }

    fn begin(&mut self, slot: u32, stage: ConnectionStage) -> ConnKey {
        assert!(
            slot < self.slots_max,
            "the kernel's table has as many slots as ours"
        );
        while self.slots.len() <= slot as usize {
            self.slots.push(TableSlot {
                generation: 0,
                connection: Connection::new(ConnectionStage::Free),
            });
        }
        let earlier = &mut self.slots[slot as usize];
        match earlier.connection.stage() {
            ConnectionStage::Free => self.open += 1,
            ConnectionStage::Closing => {}
            ConnectionStage::Connecting
            | ConnectionStage::Open
            | ConnectionStage::Moving
            | ConnectionStage::Settled
            | ConnectionStage::Draining
            | ConnectionStage::Ending { .. } => panic!("the kernel gave slot {slot} away twice"),
        }
        self.generation = self.generation.wrapping_add(1);
        *earlier = TableSlot {
            generation: self.generation,
            connection: Connection::new(stage),
        };
        ConnKey {
            slot,
            generation: self.generation,
        }
    }

    /// The connection and its way to the kernel, if it is not gone. A slot may have a newer one.
    fn at<'a, K>(
        slots: &'a mut [TableSlot],
        key: ConnKey,
        kernel: &'a mut K,
    ) -> Option<(&'a mut Connection, KernelOf<'a, K>)> {
        let slot = slots.get_mut(key.slot as usize)?;
        let is_it = slot.generation == key.generation && slot.connection.stage() != ConnectionStage::Free;
        is_it.then_some((&mut slot.connection, KernelOf { key, kernel }))
    }

    /// What the kernel says of a connection. What comes late, of one that is gone, changes nothing.
    pub fn complete<K: Kernel>(
        &mut self,
        key: ConnKey,
        event: ConnectionEvent<K::Buffer>,
        kernel: &mut K,
    ) -> Option<ConnectionNews<K::Buffer>> {
        let (connection, mut to) = Self::at(&mut self.slots, key, kernel)?;
        match event {
            ConnectionEvent::Polled => {
                connection.polled(&mut to);
                None
            }
            ConnectionEvent::Received(end) => self.received(key, end, kernel),
            ConnectionEvent::ConstantNotSent(refusal) => connection
                .not_sent(refusal, None, &mut to)
                .map(ConnectionNews::Lost),
            ConnectionEvent::Sent(end) => self.sent(key, end, kernel).map(ConnectionNews::Lost),
            ConnectionEvent::Left(result) => {
                connection.left(result, &mut to);
                Some(result.map_or(ConnectionNews::NotLeft, |()| ConnectionNews::Left))
            }
            ConnectionEvent::Connected(result) => {
                connection.connected(result, &mut to);
                Some(ConnectionNews::Connected(result))
            }
            ConnectionEvent::Closed => {
                *connection = Connection::new(ConnectionStage::Free);
                self.open -= 1;
                Some(ConnectionNews::Gone)
            }
        }
    }

    fn received<K: Kernel>(
        &mut self,
        key: ConnKey,
        end: ReceiveEnd<K::Buffer>,
        kernel: &mut K,
    ) -> Option<ConnectionNews<K::Buffer>> {
        let (connection, mut to) = Self::at(&mut self.slots, key, kernel)?;
        connection.received();
        match end {
            ReceiveEnd::Bytes { buffer, unread } if connection.is_live() => {
                return Some(ConnectionNews::Bytes { buffer, unread });
            }
            ReceiveEnd::Bytes { buffer, unread } => {
                to.kernel.recycle(buffer);
                connection.discarded();
                connection.read_on(unread, &mut to);
            }
            ReceiveEnd::EndWith(buffer) => {
                to.kernel.recycle(buffer);
                return connection.link_ended(&mut to).map(ConnectionNews::Lost);
            }
            ReceiveEnd::End => return connection.link_ended(&mut to).map(ConnectionNews::Lost),
            ReceiveEnd::Nothing => connection.read_empty(&mut to),
            ReceiveEnd::NoBuffer => {
                self.waiting.push(key);
                return Some(ConnectionNews::NoBuffer);
            }
            ReceiveEnd::Cancelled => {
                connection.join_if_ending(&mut to);
            }
        }
        None
    }

    fn sent(&mut self, key: ConnKey, end: SendEnd, kernel: &mut impl Kernel) -> Option<LossCause> {
        let (connection, mut to) = Self::at(&mut self.slots, key, kernel)?;
        connection.send_ended();
        if connection.join_if_ending(&mut to) {
            self.sends.remove(&key.slot);
            return None;
        }
        let count = match end.sent {
            Ok(count @ 1..) => count,
            Ok(0) | Err(_) => {
                let refusal = end.sent.err().unwrap_or(KernelRefusal::NOTHING);
                let sending = self.sends.remove(&key.slot);
                return connection.not_sent(refusal, sending.and_then(|sending| sending.then_move), &mut to);
            }
        };
        let sending = self.sends.get_mut(&key.slot).expect("a send in flight has one");
        let mut rest = end.bytes;
        sending.start += count;
        if sending.start == rest.len() {
            self.spare.put(replace(&mut rest, take(&mut sending.queue)));
            sending.start = 0;
        }
        if rest.is_empty() {
            connection.drained(sending.then_move, &mut to);
            self.sends.remove(&key.slot);
        } else {
            connection.send(rest, sending.start, &mut to);
        }
        None
    }

    /// Reads on: after bytes that were read, or for the first time.
    pub fn read_on(&mut self, key: ConnKey, unread: Unread, kernel: &mut impl Kernel) {
        if let Some((connection, mut to)) = Self::at(&mut self.slots, key, kernel) {
            connection.read_on(unread, &mut to);
        }
    }

    /// The connection is not going to move.
    pub fn stay(&mut self, key: ConnKey, kernel: &mut impl Kernel) {
        if let Some((connection, mut to)) = Self::at(&mut self.slots, key, kernel) {
            connection.stay(&mut to);
        }
    }

    /// Sends bytes that are always the same, if nothing is on its way out: without a copy, and without a completion. Says if the
    /// connection is lost by that.
    pub fn send_constant(
        &mut self,
        key: ConnKey,
        bytes: &'static [u8],
        kernel: &mut impl Kernel,
    ) -> Option<LossCause> {
        let (connection, mut to) = Self::at(&mut self.slots, key, kernel)?;
        // One that may still move could be gone before the word of a failure comes.
        if connection.stage() == ConnectionStage::Settled && !connection.is_sending() {
            to.begin(Operation::SendConstant(bytes));
            return None;
        }
        self.send(key, bytes.to_vec(), kernel)
    }

    /// Empty room for what is to be sent.
    #[must_use]
    pub fn room_to_send(&mut self) -> Vec<u8> {
        self.spare.take()
    }

    /// Sends bytes, at least one, behind what is on its way out. A peer that does not read is lost: says if so.
    pub fn send(&mut self, key: ConnKey, bytes: Vec<u8>, kernel: &mut impl Kernel) -> Option<LossCause> {
        let (connection, mut to) = Self::at(&mut self.slots, key, kernel)?;
        if !connection.is_live() {
            return None;
        }
        if !connection.is_sending() {
            self.sends.insert(key.slot, Sending::default());
            connection.send(bytes, 0, &mut to);
            return None;
        }
        let sending = self.sends.get_mut(&key.slot).expect("a send in flight has one");
        sending.queue.extend_from_slice(&bytes);
        self.spare.put(bytes);
        let is_too_much = sending.queue.len() > OUTBOUND_BYTES_MAX;
        (is_too_much && connection.reset(&mut to)).then_some(LossCause::SlowReader)
    }

    /// Whether [`ConnectionTable::move_to`] may be called.
    #[must_use]
    pub fn may_move(&self, key: ConnKey) -> bool {
        let slot = self.slots.get(key.slot as usize);
        slot.is_some_and(|slot| slot.generation == key.generation && slot.connection.may_move())
    }

    /// Puts the socket into another ring's table, once what is on its way out is sent: up to a deadline, at which it is reset,
    /// and moves. Ends in `Left` or `NotLeft`.
    ///
    /// # Panics
    /// If the connection may not move.
    pub fn move_to(
        &mut self,
        now: Instant,
        key: ConnKey,
        to_where: (ShardId, MoveToken),
        kernel: &mut impl Kernel,
    ) {
        let (connection, mut to) =
            Self::at(&mut self.slots, key, kernel).expect("its caller asked whether it may move");
        connection.move_to(to_where, &mut to);
        if let Some(sending) = self.sends.get_mut(&key.slot) {
            sending.then_move = Some(to_where);
            self.drains.push_back((Instant(now.0 + DRAIN_MS_MAX), key));
        }
    }

    /// Its owner has forgotten the connection: what is on its way out goes first, up to a deadline. One that is being made is not
    /// ended.
    pub fn close(&mut self, now: Instant, key: ConnKey, kernel: &mut impl Kernel) {
        if let Some((connection, mut to)) = Self::at(&mut self.slots, key, kernel)
            && connection.close(&mut to)
        {
            self.drains.push_back((Instant(now.0 + DRAIN_MS_MAX), key));
        }
    }

    /// Its owner has forgotten the connection, and resets it. One that is being made is not ended.
    pub fn reset(&mut self, key: ConnKey, kernel: &mut impl Kernel) {
        if let Some((connection, mut to)) = Self::at(&mut self.slots, key, kernel) {
            connection.reset(&mut to);
        }
    }

    /// Resets the peers that did not read in time what goes before their close or their move.
    pub fn expire(&mut self, now: Instant, kernel: &mut impl Kernel) {
        while let Some((due, key)) = self.drains.front().copied() {
            let at = Self::at(&mut self.slots, key, kernel);
            if let Some((connection, mut to)) = at.filter(|(connection, _)| connection.drains()) {
                if due > now {
                    return;
                }
                connection.reset(&mut to);
            }
            self.drains.pop_front();
        }
    }

    /// Buffers came back since: those that found none try again.
    pub fn feed(&mut self, kernel: &mut impl Kernel) {
        for key in take(&mut self.waiting) {
            self.read_on(key, Unread::Perhaps, kernel);
        }
    }
}

#[cfg(test)]
mod tests;
