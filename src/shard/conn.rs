//! One socket's life, and the table of all. Knows what is in flight for a connection; asks nothing of the ring.
//!
//! ```text
//! accepted, arrived ─> Greeting ──stay──> Settled ──close──> Draining ──sent──> Ending ──joined──> Closing ─> Free
//!                         │                  └──────────── link lost ───────────^                    ^
//!                         ├──move──> Moving ──left───────────────────────────────────────────────────┘
//!                         ├──close─> Draining
//!                         └──link lost──> Ending
//! ```

use hashbrown::HashMap;

use crate::base::ids::ConnKey;

/// Where a socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// The slot has no socket.
    Free,
    /// Not known to be at its user's home: at most one receive waits, and there is no poll.
    Greeting,
    /// On its way to another shard: nothing but the move is in flight.
    Moving,
    /// At home: it is polled whenever nothing is being received.
    Settled,
    /// Logic has forgotten it; what is on its way out is being sent.
    Draining,
    /// What was armed is cancelled and joined; then what came is thrown away.
    Ending,
    /// The close is in flight, and nothing else.
    Closing,
}

/// What is in the kernel's hands for one connection, besides sends that tell nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InFlight(u8);

impl InFlight {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const RECEIVE: Self = Self(1);
    pub(super) const POLL: Self = Self(2);
    pub(super) const SEND: Self = Self(4);

    pub(super) fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    pub(super) fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    pub(super) fn remove(&mut self, what: Self) {
        self.0 &= !what.0;
    }
}

/// What waits behind a send in flight. A connection has one as long as [`InFlight::SEND`] says that it is being sent something.
#[derive(Debug, Default)]
pub(super) struct Busy {
    /// From where on the send in flight sends its bytes.
    pub(super) start: usize,
    /// What comes after it.
    pub(super) queue: Vec<u8>,
}

/// One slot of the table.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) generation: u32,
    pub(super) stage: Stage,
    pub(super) in_flight: InFlight,
    /// Buffers that may still be thrown away before the close.
    pub(super) discards_left: u8,
}

const _: () = assert!(size_of::<Conn>() == 8, "8 B of each idle connection's budget");

/// All slots, by their number.
#[derive(Debug)]
pub(super) struct Table {
    /// Reserved in full, so it never moves; grows by use, so that slots never used cost no memory.
    conns: Vec<Conn>,
    /// By slot: apart from the connections, since few are being sent something.
    busy: HashMap<u32, Busy>,
    slots: u32,
    open: u32,
    generation: u32,
}

impl Table {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            conns: Vec::with_capacity(slots as usize),
            busy: HashMap::new(),
            slots,
            open: 0,
            generation: 0,
        }
    }

    /// Sockets in the table.
    pub(super) fn open_count(&self) -> u32 {
        self.open
    }

    /// Slots without a socket.
    pub(super) fn free_count(&self) -> u32 {
        self.slots - self.open
    }

    /// The kernel has put a socket into `slot`: so whatever was there is closed, even if the word of it is still under
    /// way.
    pub(super) fn open(&mut self, slot: u32) -> ConnKey {
        assert!(slot < self.slots, "the kernel's table has as many slots as ours");
        while self.conns.len() <= slot as usize {
            self.conns.push(Conn::free());
        }
        let conn = &mut self.conns[slot as usize];
        match conn.stage {
            Stage::Free => self.open += 1,
            Stage::Closing => {}
            Stage::Greeting | Stage::Moving | Stage::Settled | Stage::Draining | Stage::Ending => {
                panic!("the kernel gave slot {slot} away twice")
            }
        }
        self.generation = self.generation.wrapping_add(1);
        *conn = Conn {
            stage: Stage::Greeting,
            generation: self.generation,
            ..Conn::free()
        };
        ConnKey {
            slot,
            generation: self.generation,
        }
    }

    /// The connection, if it is not gone. A slot may have a newer one.
    pub(super) fn get(&mut self, key: ConnKey) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(key.slot as usize)?;
        (conn.generation == key.generation && conn.stage != Stage::Free).then_some(conn)
    }

    /// A send of this connection begins, from here on in flight.
    pub(super) fn begin_send(&mut self, key: ConnKey) {
        self.busy.insert(key.slot, Busy::default());
        self.get(key)
            .expect("its caller has looked")
            .in_flight
            .add(InFlight::SEND);
    }

    /// What waits behind the send in flight of this connection.
    pub(super) fn busy(&mut self, key: ConnKey) -> &mut Busy {
        self.busy.get_mut(&key.slot).expect("a send in flight has one")
    }

    /// The send of this connection has ended, and nothing waits behind it.
    pub(super) fn end_send(&mut self, key: ConnKey) {
        self.busy.remove(&key.slot);
    }

    /// Where the connection is in its life.
    pub(super) fn stage(&self, key: ConnKey) -> Stage {
        match self.conns.get(key.slot as usize) {
            Some(conn) if conn.generation == key.generation => conn.stage,
            _ => Stage::Free,
        }
    }

    /// The close has ended.
    pub(super) fn free(&mut self, key: ConnKey) {
        if let Some(conn) = self.get(key) {
            conn.stage = Stage::Free;
            self.open -= 1;
        }
    }
}

impl Conn {
    fn free() -> Self {
        Self {
            generation: 0,
            stage: Stage::Free,
            in_flight: InFlight::NOTHING,
            discards_left: crate::base::limits::DISCARDED_BUFFERS_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_may_be_given_again_before_the_word_of_its_close() {
        let mut table = Table::new(4);
        let old = table.open(2);
        table.get(old).unwrap().stage = Stage::Closing;
        let new = table.open(2);
        assert_eq!(table.open_count(), 1);
        assert_eq!(table.stage(old), Stage::Free);
        table.free(old);
        assert_eq!((table.stage(new), table.open_count()), (Stage::Greeting, 1));
        table.free(new);
        assert_eq!((table.stage(new), table.free_count()), (Stage::Free, 4));
        assert!(table.get(new).is_none());
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn a_slot_in_use_is_not_given_again() {
        let mut table = Table::new(4);
        table.open(1);
        table.open(1);
    }
}
