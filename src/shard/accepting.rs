//! How a shard takes new connections: never more than its table has room for, nor more in a second than it may. Takes none itself:
//! it keeps accepts pending in the ring.

use crate::base::limits::{ACCEPT_AGAIN_MS, ACCEPTS_PENDING, ARRIVALS_PART, MOVES_IN_FLIGHT_MAX};
use crate::base::time::Instant;
use crate::engine::completion::AcceptEnd;
use crate::engine::ring::Ring;
use crate::protocol::stack::ProtocolStack;
use crate::shard::config::{ShardConfig, ShardListener};
use crate::shard::rate::Rate;
use crate::shard::view::ShardCounts;

/// How new connections are taken.
#[derive(Debug)]
pub(super) struct Accepting {
    /// Slots kept for arrivals from other shards.
    kept_slots: u32,
    listeners: u32,
    /// How connections speak, by the listener that they came in by.
    stacks: Box<[ProtocolStack]>,
    rate: Rate,
    /// Every shard's ring takes sockets.
    pub(super) all_ready: bool,
    /// The table is nearly full, or enough came in this second.
    paused: bool,
    /// The system had no room before; nothing is accepted until then.
    again_at: Instant,
}

impl Accepting {
    pub(super) fn new(config: &ShardConfig, now: Instant) -> Self {
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
            stacks: config.listen.iter().map(ShardListener::stack).collect(),
            rate: Rate::new(config.accepts_per_second_max, now),
            all_ready: false,
            paused: false,
            again_at: Instant::default(),
        }
    }

    /// One more was accepted. Gives how it speaks.
    pub(super) fn accepted(&mut self, listener: usize) -> ProtocolStack {
        self.rate.take();
        self.stacks[listener]
    }

    pub(super) fn not_accepted(&mut self, end: AcceptEnd, now: Instant, counts: &mut ShardCounts) {
        match end {
            AcceptEnd::Passing | AcceptEnd::Cancelled => {}
            AcceptEnd::NoRoom => {
                counts.accepts_failed += 1;
                self.again_at = Instant(now.0 + ACCEPT_AGAIN_MS);
            }
        }
    }

    /// When accepting may go on, if that is a matter of time.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        Some(self.again_at).filter(|at| *at > now)
    }

    /// Keeps accepts pending, never more than the table has room for beside the slots that are kept.
    pub(super) fn accept(&mut self, now: Instant, free: u32, ring: &mut Ring, counts: &mut ShardCounts) {
        let room = free.saturating_sub(self.kept_slots);
        let allowed = self.rate.left(now);
        if room > 0 && allowed == 0 {
            self.again_at = self.rate.resumes_at();
        }
        if room.min(allowed) > 0 {
            self.paused = false;
            let wanted = room.min(allowed).div_ceil(self.listeners);
            ring.accept(wanted.min(ACCEPTS_PENDING));
        } else if !self.paused {
            self.paused = true;
            match room {
                0 => counts.accept_pauses += 1,
                _ => counts.accepts_paced += 1,
            }
            ring.cancel_accepts();
        }
    }
}
