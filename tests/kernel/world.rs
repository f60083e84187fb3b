//! The world around the model: two owners like shards, which hand connections to each other, and one like a load generator. Each
//! drives the connection machine as the real ones do; chance decides what comes next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::{DRAIN_MS_MAX, OUTBOUND_BYTES_MAX};
use crate::base::time::Instant;
use crate::engine::completion::{ConnectionEvent, LossCause, ReceiveEnd, Unread};
use crate::engine::connection::{ConnectionNews, ConnectionStage};
use crate::engine::connection_table::ConnectionTable;
use crate::engine::kernel::Kernel;
use crate::engine::token::MoveToken;
use crate::kernel::model::Model;
use crate::kernel::ring::{Done, FilledBuffer, Kind, ModelRing};

/// The ring of the owner that connects; the others accept.
const GENERATOR: usize = 2;
const RINGS: usize = 3;
const BUFFER_BYTES: usize = 16;
const MOVE_FAILS_ONE_IN: u32 = 8;
/// More than the slowest peer takes to read all that can wait for it.
const ROUNDS_MAX: u32 = 100_000;
const CONSTANT: &[u8] = b"always";
const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

/// Who drives one table.
struct Owner {
    table: ConnectionTable,
    /// Connections that it hears of, and their sockets.
    live: BTreeMap<ConnKey, usize>,
    /// Connections on their way to another owner.
    leaving: BTreeMap<ConnKey, usize>,
    /// What it may still hear the end of.
    forgotten: BTreeSet<ConnKey>,
}

pub(crate) struct World {
    model: Model,
    owners: Vec<Owner>,
    now: Instant,
    /// Nobody connects any more, and peers read all.
    is_quiet: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ring = |_| ModelRing::new(random.usize(2..8), random.u16(1..5), BUFFER_BYTES);
        let rings = (0..RINGS).map(ring).collect();
        let model = Model::new(random, rings, MOVE_FAILS_ONE_IN);
        let owner = |ring: usize| Owner {
            table: ConnectionTable::new(u32::try_from(model.rings[ring].slots.len()).expect("few")),
            live: BTreeMap::new(),
            leaving: BTreeMap::new(),
            forgotten: BTreeSet::new(),
        };
        Self {
            owners: (0..RINGS).map(owner).collect(),
            model,
            now: Instant(0),
            is_quiet: false,
        }
    }

    /// The whole life of a world: the first number makes it, and each other one decides what chance decides in a step.
    pub(crate) fn live(begin: u64, steps: impl Iterator<Item = u64>) {
        let mut world = Self::new(begin);
        for chance in steps {
            world.model.random.seed(chance);
            world.step();
        }
        world.end();
    }

    fn step(&mut self) {
        let ring = self.model.random.usize(0..RINGS);
        match self.model.random.u8(0..32) {
            0..6 => self.model.submit(ring),
            6..13 => self.attempt(ring),
            13..21 => self.reap(ring),
            21..25 => self.model.peer_acts(),
            25..27 => self.begin(ring),
            27..30 => self.whim(ring),
            30 => self.feed(ring),
            _ => {
                let ms = self.model.random.u64(0..DRAIN_MS_MAX / 4);
                self.pass(ms);
            }
        }
    }

    /// Lets everything come to rest: then nobody may be deaf or owed bytes. Then all are closed, and nothing may be left.
    fn end(&mut self) {
        self.is_quiet = true;
        self.settle();
        self.check_rest();
        for ring in 0..RINGS {
            let live: Vec<ConnKey> = self.owners[ring].live.keys().copied().collect();
            for key in live {
                // Some have more to read than the kernel keeps for them, some more than their owner does.
                (0..self.model.random.u8(0..7)).for_each(|_| self.send(ring, key, OUTBOUND_BYTES_MAX / 2));
                self.close(ring, key);
            }
        }
        self.is_quiet = self.model.random.bool();
        (0..4).for_each(|_| self.model.peer_leaves());
        self.settle();
        self.pass(DRAIN_MS_MAX);
        self.settle();
        for (owner, ring) in self.owners.iter().zip(&self.model.rings) {
            ring.check_end();
            assert_eq!(
                owner.table.open_count(),
                0,
                "the table holds connections that are gone"
            );
            assert!(
                !owner.table.is_sending(),
                "the table holds bytes of connections that are gone"
            );
            assert!(
                owner.leaving.is_empty() && owner.forgotten.is_empty(),
                "never told that it is gone"
            );
        }
        self.model.check_untold();
    }

    /// Until nothing happens by itself.
    fn settle(&mut self) {
        let (mut is_busy, mut rounds) = (true, 0);
        while is_busy {
            let accepted = self.accepted();
            (is_busy, rounds) = (false, rounds + 1);
            assert!(rounds < ROUNDS_MAX, "it never comes to rest");
            if self.is_quiet {
                let sockets = &mut self.model.sockets;
                sockets
                    .iter_mut()
                    .for_each(|socket| _ = socket.peer_reads(usize::MAX / 2));
            }
            for ring in 0..RINGS {
                self.model.submit(ring);
                for place in (0..self.model.rings[ring].armed.len()).rev() {
                    is_busy |= self.model.attempt(ring, place);
                }
                while !self.model.rings[ring].done.is_empty() {
                    is_busy = true;
                    self.reap(ring);
                }
                self.feed(ring);
                is_busy |= !self.model.rings[ring].queued.is_empty();
            }
            is_busy |= self.accepted() > accepted;
        }
    }

    fn accepted(&self) -> usize {
        self.model.sockets.iter().map(|socket| socket.accepted).sum()
    }

    fn check_rest(&mut self) {
        for (owner, ring) in self.owners.iter().zip(&self.model.rings) {
            for (key, socket) in &owner.live {
                let socket = &self.model.sockets[*socket];
                let hears = ring.is_in_flight(*key, Kind::Receive) || ring.is_in_flight(*key, Kind::Poll);
                assert!(hears, "{key:?} is deaf");
                assert!(socket.is_told(), "{key:?}: bytes were never read");
                assert!(!socket.has_ended(), "{key:?}: its end was never told");
                assert!(
                    !socket.is_cut,
                    "{key:?}: it goes on though sent bytes are missing"
                );
                assert_eq!(
                    socket.accepted,
                    socket.wanted.len(),
                    "{key:?}: bytes were never sent"
                );
            }
        }
    }

    fn attempt(&mut self, ring: usize) {
        let armed = self.model.rings[ring].armed.len();
        if let Some(place) = self.model.random.choice(0..armed) {
            self.model.attempt(ring, place);
        }
    }

    fn feed(&mut self, ring: usize) {
        self.owners[ring].table.feed(&mut self.model.rings[ring]);
    }

    fn pass(&mut self, ms: u64) {
        self.now = Instant(self.now.0 + ms);
        for (owner, ring) in self.owners.iter_mut().zip(&mut self.model.rings) {
            owner.table.expire(self.now, ring);
        }
    }

    /// A connection begins.
    fn begin(&mut self, ring: usize) {
        if ring != GENERATOR {
            let room = self.model.some_room();
            self.model.accept(ring, room);
            return;
        }
        let slots = u32::try_from(self.model.rings[ring].slots.len()).expect("few");
        let table = &mut self.owners[ring].table;
        let slot = (0..slots).find(|slot| table.stage(table.key(*slot)) == ConnectionStage::Free);
        if let Some(slot) = slot {
            table.connect(slot, (NOWHERE, NOWHERE), &mut self.model.rings[ring]);
        }
    }

    /// Gives an owner one completion, whichever.
    fn reap(&mut self, ring: usize) {
        let done = self.model.rings[ring].done.len();
        let Some(place) = self.model.random.choice(0..done) else {
            return;
        };
        match self.model.rings[ring].done.swap_remove(place) {
            Done::Accepted(slot) => {
                let key = self.open(ring, slot);
                self.decide(ring, key);
                self.read_on(ring, key, Unread::Nothing);
            }
            Done::Arrived(_, slot) => {
                let key = self.open(ring, slot);
                if !self.model.chance(4) {
                    self.owners[ring].table.stay(key, &mut self.model.rings[ring]);
                } else {
                    self.close(ring, key);
                }
            }
            Done::Of(key, event) => self.happened(ring, key, event),
        }
    }

    fn open(&mut self, ring: usize, slot: u32) -> ConnKey {
        let key = self.owners[ring].table.open(slot);
        // The kernel may give a slot again before the word of its close is reaped.
        self.owners[ring].forgotten.retain(|earlier| earlier.slot != slot);
        self.goes_live(ring, key);
        key
    }

    fn goes_live(&mut self, ring: usize, key: ConnKey) {
        let socket = self.model.socket_of(ring, key.slot);
        self.owners[ring].live.insert(key, socket);
    }

    fn happened(&mut self, ring: usize, key: ConnKey, event: ConnectionEvent<FilledBuffer>) {
        self.model.rings[ring].reaped(key, &event);
        let has_bytes = matches!(event, ConnectionEvent::Received(ReceiveEnd::Bytes { .. }));
        let kernel = &mut self.model.rings[ring];
        let news = self.owners[ring].table.complete(key, event, kernel);
        if has_bytes && !matches!(news, Some(ConnectionNews::Bytes { .. })) {
            let socket = self.model.rings[ring].socket(key);
            self.model.sockets[socket].discarded += 1;
        }
        match news {
            Some(ConnectionNews::Bytes { buffer, unread }) => {
                let socket = self.owners[ring].live[&key];
                self.model.sockets[socket].tell(&buffer.bytes);
                self.decide(ring, key);
                self.model.rings[ring].recycle(buffer);
                self.read_on(ring, key, unread);
            }
            Some(ConnectionNews::Lost(cause)) => self.lost(ring, key, cause),
            Some(ConnectionNews::Left) => {
                let owner = &mut self.owners[ring];
                let socket = owner.leaving.remove(&key).expect("it left as it was asked");
                let socket = &mut self.model.sockets[socket];
                socket.is_reset_by_move = socket.is_aborted;
                owner.forgotten.insert(key);
            }
            Some(ConnectionNews::NotLeft) => {
                let socket = self.owners[ring].leaving.remove(&key).expect("it was leaving");
                self.owners[ring].live.insert(key, socket);
                self.say_goodbye(ring, key);
            }
            Some(ConnectionNews::Connected(Ok(()))) => {
                self.goes_live(ring, key);
                self.say(ring, key);
            }
            Some(ConnectionNews::Connected(Err(_))) => drop(self.owners[ring].forgotten.insert(key)),
            Some(ConnectionNews::Gone) => {
                let was_forgotten = self.owners[ring].forgotten.remove(&key);
                assert!(was_forgotten, "{key:?} is gone, and its owner did not hear why");
            }
            Some(ConnectionNews::NoBuffer) | None => {}
        }
    }

    fn lost(&mut self, ring: usize, key: ConnKey, cause: LossCause) {
        let number = self.forget(ring, key);
        // A peer that does not read what goes before a move is reset, and moves: its new owner hears of that alone.
        let is_leaving = |owner: &Owner| owner.leaving.values().any(|leaving| *leaving == number);
        let has_moved_late = self.owners.iter().any(is_leaving);
        let socket = &self.model.sockets[number];
        let was_reset = socket.is_aborted && (has_moved_late || socket.is_reset_by_move);
        let is_read = cause == LossCause::SlowReader || was_reset || socket.is_told();
        assert!(is_read, "{key:?}: what the peer sent before its end was not read");
    }

    fn forget(&mut self, ring: usize, key: ConnKey) -> usize {
        let owner = &mut self.owners[ring];
        owner.forgotten.insert(key);
        owner.live.remove(&key).expect("it is told once")
    }

    fn read_on(&mut self, ring: usize, key: ConnKey, unread: Unread) {
        let kernel = &mut self.model.rings[ring];
        self.owners[ring].table.read_on(key, unread, kernel);
    }

    /// What an owner does on bytes, or on a new connection.
    fn decide(&mut self, ring: usize, key: ConnKey) {
        let is_open = self.owners[ring].table.stage(key) == ConnectionStage::Open;
        match self.model.random.u8(0..12) {
            0..3 if is_open => self.owners[ring].table.stay(key, &mut self.model.rings[ring]),
            3..6 if is_open => self.leave(ring, key),
            0..6 => self.send_constant(ring, key),
            6..8 => self.say(ring, key),
            8 => self.say_goodbye(ring, key),
            9 if self.model.chance(3) => self.close(ring, key),
            10 => {
                self.send_constant(ring, key);
                self.leave(ring, key);
            }
            _ => {}
        }
    }

    /// Something that an owner does unasked.
    fn whim(&mut self, ring: usize) {
        let live: Vec<ConnKey> = self.owners[ring].live.keys().copied().collect();
        let Some(key) = self.model.random.choice(live) else {
            return;
        };
        match self.model.random.u8(0..16) {
            0..8 => self.send_constant(ring, key),
            8..12 => self.say(ring, key),
            12 => self.close(ring, key),
            13 => self.say_goodbye(ring, key),
            14 if self.model.chance(4) => {
                self.owners[ring].table.reset(key, &mut self.model.rings[ring]);
                self.forget(ring, key);
            }
            // It may move only between a receive and the next.
            _ => self.leave(ring, key),
        }
    }

    fn leave(&mut self, ring: usize, key: ConnKey) {
        if ring == GENERATOR || !self.owners[ring].table.may_move(key) {
            return;
        }
        let id = |ring| ShardId(u16::try_from(ring).expect("few"));
        let token = MoveToken::new(id(ring), key);
        let owner = &mut self.owners[ring];
        owner
            .table
            .move_to(self.now, key, (id(1 - ring), token), &mut self.model.rings[ring]);
        let socket = owner.live.remove(&key).expect("it is live");
        owner.leaving.insert(key, socket);
    }

    fn close(&mut self, ring: usize, key: ConnKey) {
        if self.owners[ring].live.contains_key(&key) {
            let kernel = &mut self.model.rings[ring];
            self.owners[ring].table.close(self.now, key, kernel);
            self.forget(ring, key);
        }
    }

    fn say(&mut self, ring: usize, key: ConnKey) {
        let length = match self.model.chance(40) {
            true => OUTBOUND_BYTES_MAX / 2,
            false => self.model.random.usize(1..200),
        };
        self.send(ring, key, length);
    }

    fn say_goodbye(&mut self, ring: usize, key: ConnKey) {
        self.say(ring, key);
        self.close(ring, key);
    }

    fn send(&mut self, ring: usize, key: ConnKey, length: usize) {
        let bytes: Vec<u8> = std::iter::repeat_with(|| self.model.random.u8(..))
            .take(length)
            .collect();
        let Some(socket) = self.owners[ring].live.get(&key).copied() else {
            return;
        };
        self.model.sockets[socket].wanted.extend_from_slice(&bytes);
        let kernel = &mut self.model.rings[ring];
        let lost = self.owners[ring].table.send(key, bytes, kernel);
        let socket = &self.model.sockets[socket];
        let waiting = socket.wanted.len() - socket.accepted;
        assert!(
            lost.is_some() || waiting <= 2 * OUTBOUND_BYTES_MAX,
            "{waiting} bytes wait for a slow reader"
        );
        if let Some(cause) = lost {
            self.lost(ring, key, cause);
        }
    }

    fn send_constant(&mut self, ring: usize, key: ConnKey) {
        let Some(socket) = self.owners[ring].live.get(&key).copied() else {
            return;
        };
        self.model.sockets[socket].wanted.extend_from_slice(CONSTANT);
        let kernel = &mut self.model.rings[ring];
        let lost = self.owners[ring].table.send_constant(key, CONSTANT, kernel);
        if let Some(cause) = lost {
            self.lost(ring, key, cause);
        }
    }
}
