//! A shard of the simulation: the real one, on the model of a ring, with a logic that is watched. It has no thread, no clock and
//! no turn: the world says what comes next.

use std::mem::take;

use super::*;
use crate::base::ids::ConnKey;
use crate::base::limits::MOVES_IN_FLIGHT_MAX;
use crate::base::time::Now;
use crate::engine::connection::ConnectionStage;
use crate::kernel::shared::SharedRing;
use crate::logic::{Effect, Input};
use crate::shard::mesh::InboxEntry;
use crate::shard::parts::ShardLogic;
use crate::sim::watched::{LogicStep, LogicWord, ShardEvent, WatchedLogic};
use crate::sim::ways::listeners;
use crate::sim::wire::TransportCounts;

impl ShardLogic for WatchedLogic {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Effect>) {
        let word = LogicWord::of(&input);
        self.state.handle(now, input, out);
        self.keep(word, out);
    }

    fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.state.expire(now, out);
        self.keep(LogicWord::Expired, out);
    }
}

impl Shard<SharedRing, WatchedLogic> {
    /// All shards of a gateway with so many slots each. So many connections can be on their way to each at once.
    pub(crate) fn simulated(
        now: Now,
        all: Vec<(SharedRing, WatchedLogic)>,
        (slots, arrivals_max): (u32, usize),
    ) -> Vec<Self> {
        let inboxes = all.iter().map(|_| mesh::inbox().expect("there are descriptors"));
        let (inboxes, senders): (Vec<ShardInbox>, Vec<ShardSender>) = inboxes.unzip();
        for sender in &senders {
            let taken = (arrivals_max..MOVES_IN_FLIGHT_MAX).all(|_| sender.take_room_for_arrival());
            assert!(taken, "an inbox is empty at first");
        }
        let count = u16::try_from(all.len()).expect("few shards");
        let shard = |((number, inbox), (ring, logic)): ((u16, ShardInbox), _)| {
            let mut config = config(count, slots, 1);
            config.place.shard = ShardId(number);
            config.listen = listeners().to_vec();
            let router: Router = Box::new(Err);
            let mut shard = Self::new(
                &config,
                (Clock::start(), now),
                (ring, logic),
                (inbox, senders.clone(), router),
                Publisher::new(),
            );
            shard.now = now;
            shard
        };
        (0..).zip(inboxes).zip(all).map(shard).collect()
    }

    /// Something happens to the shard. Gives what its logic was told of it and asked for.
    pub(crate) fn let_happen(&mut self, now: Now, event: ShardEvent) -> Vec<LogicStep> {
        self.now = now;
        match event {
            ShardEvent::Accepted(slot, peer, listener) => self.accepted(slot, peer, listener),
            ShardEvent::Arrived(token, slot) => self.arrived(token, slot),
            ShardEvent::Of(key, event) => self.happened(key, event),
            ShardEvent::Delivered(delivered) => self.decide(Input::Delivered(delivered)),
            ShardEvent::LookedAtInbox => {
                while let Ok(InboxEntry::Moved(token, newcomer)) = self.inbox.entries.try_recv() {
                    self.announced(token, newcomer);
                }
                self.hear_of_turned_away();
            }
            ShardEvent::BuffersCame => self.connections.feed(&mut self.ring),
            ShardEvent::TimeForSteps => self.do_steps(),
            ShardEvent::TimePassed => self.pass_time(),
        }
        if self.logic.state.has_gathered() {
            self.logic.end_turn(now, &mut self.effects);
            self.carry_out();
        }
        assert!(self.follow_ups.is_empty(), "what followed was not told");
        let steps = take(&mut self.logic.steps);
        let delivered = steps.iter().flat_map(LogicStep::deliveries);
        assert!(
            self.outbox.iter().eq(delivered),
            "other deliveries than logic asked for"
        );
        self.outbox.clear();
        steps
    }

    /// What decides.
    pub(crate) fn logic(&self) -> &ShardState {
        &self.logic.state
    }

    /// Whether connections wait for a buffer.
    pub(crate) fn waits_for_buffers(&self) -> bool {
        self.connections.waits_for_buffers()
    }

    /// Whether steps of transports wait.
    pub(crate) fn waits_for_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// What it counts itself.
    pub(crate) fn transport_counts(&self) -> TransportCounts {
        TransportCounts {
            mistakes: self.counts.transport_errors,
            full: self.counts.handshakes_full,
            resumed: self.counts.handshakes_resumed,
        }
    }

    /// Only who is here has a transport.
    pub(crate) fn check_transports(&self) {
        let all = self.transports.slots_with_any();
        let is_here = |slot: &u32| {
            let (_, stage) = self.in_slot(*slot);
            matches!(stage, ConnectionStage::Open | ConnectionStage::Settled)
        };
        assert!(
            all.iter().all(is_here),
            "connections that are gone have transports: {all:?}"
        );
    }

    /// The connection in this slot, and where it is in its life.
    pub(crate) fn in_slot(&self, slot: u32) -> (ConnKey, ConnectionStage) {
        let key = self.connections.key(slot);
        (key, self.connections.stage(key))
    }

    /// Nothing is left of connections that are gone.
    pub(crate) fn check_end(&self, arrivals_max: usize) {
        assert_eq!(
            self.connections.open_count(),
            0,
            "connections that are gone have slots"
        );
        assert!(
            !self.connections.is_sending(),
            "connections that are gone are sent something"
        );
        assert!(!self.moves.any_leaving(), "connections that are gone are leaving");
        assert!(self.steps.is_empty(), "steps of connections that are gone wait");
        let transports = self.transports.slots_with_any();
        assert!(transports.is_empty(), "connections that are gone have transports");
        let sender = &self.shards[usize::from(self.id.0)];
        let room = (0..=arrivals_max).take_while(|_| sender.take_room_for_arrival());
        assert_eq!(
            room.count(),
            arrivals_max,
            "the room of arrivals did not come back"
        );
    }
}
