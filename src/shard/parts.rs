//! What one shard consists of. What it does with it is in `turn`, `connections`, `unwrapping` and `moves_out`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::COMPLETIONS_PER_ROUND_MAX;
use crate::base::time::{Clock, Instant, Now};
use crate::engine::completion::Completion;
use crate::engine::connection_table::ConnectionTable;
use crate::engine::kernel::Kernel;
use crate::engine::ring::Ring;
use crate::logic::delivery::{Delivery, Router};
use crate::logic::state::ShardState;
use crate::logic::{Effect, Input, LinkLoss};
use crate::protocol::transport::settings::ListenerTransports;
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::shard::accepting::Accepting;
use crate::shard::config::ShardConfig;
use crate::shard::mesh::{ShardInbox, ShardSender};
use crate::shard::moves_in::Moves;
use crate::shard::transports::Transports;
use crate::shard::view::{Publisher, ShardCounts};
use crate::shard::wake_policy::WakePolicy;

/// Decides for a shard: [`ShardState`], or in the simulation one that also keeps what it was told.
pub(crate) trait ShardLogic {
    /// See [`ShardState::handle`].
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Effect>);

    /// See [`ShardState::expire`].
    fn expire(&mut self, now: Now, out: &mut Vec<Effect>);
}

impl ShardLogic for ShardState {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Effect>) {
        self.handle(now, input, out);
    }

    fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.expire(now, out);
    }
}

/// One core's thread. The simulation's has the model of a ring.
pub(crate) struct Shard<K: Kernel = Ring, L: ShardLogic = ShardState> {
    pub(super) id: ShardId,
    pub(super) ring: K,
    pub(super) logic: L,
    pub(super) connections: ConnectionTable,
    pub(super) transports: Transports,
    /// Reused, so that bytes of most connections allocate nothing.
    pub(super) unwrapped: Unwrapped,
    /// Connections that wait for a step of their transports, in this order.
    pub(super) steps: VecDeque<ConnKey>,
    pub(super) moves: Moves,
    pub(super) accepting: Accepting,
    pub(super) wake_policy: WakePolicy,
    pub(super) clock: Clock,
    pub(super) now: Now,
    pub(super) counts: ShardCounts,
    pub(super) publisher: Publisher,
    pub(super) shards: Vec<ShardSender>,
    pub(super) inbox: ShardInbox,
    pub(super) router: Router,
    /// What this turn has for other threads, and what found no room there before.
    pub(super) outbox: Vec<Delivery>,
    /// Reused, so that a turn allocates none.
    pub(super) unsent: Vec<Delivery>,
    /// Reused, so that a turn allocates none.
    pub(super) effects: Vec<Effect>,
    /// Reused, as above.
    pub(super) completions: Vec<Completion>,
    pub(super) follow_ups: VecDeque<FollowUp>,
    /// The turn has had its share, and left something.
    pub(super) is_overworked: bool,
    pub(super) life: ShardLife,
    /// All users are of one partition, which opens with the shards. In a cluster each opens when it is this node's.
    pub(super) is_alone: bool,
    pub(super) stop_within: Duration,
}

/// What carrying out an effect made happen. It is given to logic after all effects of the same input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    Stayed(ConnKey),
    Lost(ConnKey, LinkLoss),
}

impl FollowUp {
    pub(super) fn key(self) -> ConnKey {
        match self {
            Self::Stayed(key) | Self::Lost(key, _) => key,
        }
    }
}

/// Whether the shard goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardLife {
    Works,
    /// Until everyone is gone, or until this moment.
    StopsBy(Instant),
    Ended,
}

impl<K: Kernel, L: ShardLogic> Shard<K, L> {
    pub(super) fn new(
        config: &ShardConfig,
        (clock, now): (Clock, Now),
        (ring, logic): (K, L),
        (inbox, shards, router): (ShardInbox, Vec<ShardSender>, Router),
        publisher: Publisher,
    ) -> Self {
        let (here, slots) = (config.place.shard, config.place.connections_max);
        Self {
            id: here,
            ring,
            logic,
            connections: ConnectionTable::new(slots),
            transports: Transports::new(ListenerTransports(
                config
                    .listen
                    .iter()
                    .map(|listener| Arc::clone(&listener.transport))
                    .collect(),
            )),
            unwrapped: Unwrapped::default(),
            steps: VecDeque::new(),
            moves: Moves::new(here, config.settings.login_deadline),
            accepting: Accepting::new(config, now.instant),
            wake_policy: WakePolicy::new(config.heartbeat_delay_max, now.instant),
            clock,
            now,
            counts: ShardCounts {
                slots_now: u64::from(slots),
                ..ShardCounts::default()
            },
            publisher,
            shards,
            inbox,
            router,
            outbox: Vec::new(),
            unsent: Vec::new(),
            effects: Vec::new(),
            completions: Vec::with_capacity(COMPLETIONS_PER_ROUND_MAX),
            follow_ups: VecDeque::new(),
            is_overworked: false,
            life: ShardLife::Works,
            is_alone: config.place.partitions == 1,
            stop_within: config.stop_deadline,
        }
    }
}
