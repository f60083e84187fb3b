//! How a shard takes new connections: never more than its table has room for, nor more in a second than it may. Takes none itself:
//! it keeps accepts pending in the ring.

use crate::base::limits::{ACCEPT_AGAIN_MS, ACCEPTS_PENDING, ARRIVALS_PART, MOVES_IN_FLIGHT_MAX};
use crate::base::time::Instant;
use crate::engine::completion::AcceptEnd;
use crate::logic::Input;
use crate::logic::letter::ToShard;
use crate::protocol::stack::ProtocolStack;
use crate::shard::Config;
use crate::shard::mesh::ShardDoor;
use crate::shard::rate::Rate;
use crate::shard::turn::{Life, Shard};

/// How new connections are taken.
#[derive(Debug)]
pub(super) struct Accepting {
    /// Slots kept for arrivals from other shards.
    pub(super) kept_slots: u32,
    pub(super) listeners: u32,
    /// How connections speak, by the listener that they came in by.
    pub(super) stacks: Box<[ProtocolStack]>,
    pub(super) rate: Rate,
    /// Every shard's ring takes sockets.
    pub(super) all_ready: bool,
    /// The table is nearly full, or enough came in this second.
    pub(super) paused: bool,
    /// The system had no room before; nothing is accepted until then.
    pub(super) again_at: Instant,
}

impl Shard {
    pub(super) fn not_accepted(&mut self, end: AcceptEnd) {
        match end {
            AcceptEnd::Passing | AcceptEnd::Cancelled => {}
            AcceptEnd::NoRoom => {
                self.own.accepts_failed += 1;
                self.accepting.again_at = Instant(self.now.instant.0 + ACCEPT_AGAIN_MS);
            }
        }
    }

    /// Keeps accepts pending, never more than the table has room for beside the slots that are kept.
    pub(super) fn accept(&mut self) {
        if self.life != Life::Works || self.now.instant < self.accepting.again_at || !self.all_ready() {
            return;
        }
        let room = self.table.free_count().saturating_sub(self.accepting.kept_slots);
        let allowed = self.accepting.rate.left(self.now.instant);
        if room > 0 && allowed == 0 {
            self.accepting.again_at = self.accepting.rate.resumes_at();
        }
        if room.min(allowed) > 0 {
            self.accepting.paused = false;
            let wanted = room.min(allowed).div_ceil(self.accepting.listeners);
            self.ring.accept(wanted.min(ACCEPTS_PENDING));
        } else if !self.accepting.paused {
            self.accepting.paused = true;
            match room {
                0 => self.own.accept_pauses += 1,
                _ => self.own.accepts_paced += 1,
            }
            self.ring.cancel_accepts();
        }
    }

    /// Whether all shards have begun: a terminal whose home has not would be refused. Each knocks when it begins.
    fn all_ready(&mut self) -> bool {
        if !self.accepting.all_ready && self.doors.iter().all(ShardDoor::is_ready) {
            self.accepting.all_ready = true;
            self.decide(Input::Letter(ToShard::Open));
        }
        self.accepting.all_ready
    }
}

impl Accepting {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let slots = config.place.connections_max;
        let listeners = u32::try_from(config.listen.len()).expect("a handful").max(1);
        let for_arrivals = match config.place.shards {
            1 => 0,
            _ => (slots / ARRIVALS_PART).min(u32::try_from(MOVES_IN_FLIGHT_MAX).expect("a small number")),
        };
        Self {
            // The last free slot is offered by every listener, and all may find somebody for it. A table of a few slots
            // keeps none of them for that: it would never accept.
            kept_slots: (for_arrivals + listeners - 1).min(slots.saturating_sub(1)),
            listeners,
            stacks: config.listen.iter().map(|listener| listener.stack).collect(),
            rate: Rate::new(config.accepts_per_second_max, now),
            all_ready: false,
            paused: false,
            again_at: Instant::default(),
        }
    }
}
