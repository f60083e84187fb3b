//! What every decision of a shard may see: the time, the settings, where the shard stands; and what it may add to: counters,
//! trace events, effects, and what the wings tell one another. Plain data; knows no user and no connection.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::counters::Counters;
use crate::base::ids::{ShardId, UserId};
use crate::base::time::Now;
use crate::logic::between_wings::{ConnectionCommand, LinkOrigin, UserSignal};
use crate::logic::cluster::home::{Home, HomeMap, PublicAddress};
use crate::logic::cluster::lease::Lease;
use crate::logic::contract::Effect;
use crate::logic::delivery::Delivery;
use crate::logic::message::LateOutcome;
use crate::logic::settings::{ConnectionTrace, Settings};
use crate::logic::trace::{Subject, Trace, TraceEvent, TraceKind};
use crate::protocol::transport::Transport;
use crate::protocol::verdict::Code;

/// Where a shard stands among the others.
#[derive(Debug, Clone, Copy)]
pub struct ShardPosition {
    /// Which shard it is.
    pub shard: ShardId,
    /// How many there are in all.
    pub shards: u16,
    /// Into how many partitions all users fall.
    pub partitions: u16,
    /// Connections it can hold.
    pub connections_max: u32,
}

/// Whether new connections are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardMode {
    Open,
    Stopping,
}

/// What all decisions of a shard share.
#[derive(Debug)]
pub(super) struct Context {
    /// When what is decided happened.
    pub(super) now: Now,
    pub(super) position: ShardPosition,
    pub(super) settings: Arc<Settings>,
    pub(super) mode: ShardMode,
    /// Where users are at home; `None`: all are here.
    pub(super) homes: Option<Arc<HomeMap>>,
    pub(super) lease: Lease,
    pub(super) random: fastrand::Rng,
    pub(super) counters: Counters,
    pub(super) traced: Trace,
    /// What is to be done, in this order.
    pub(super) out: Vec<Effect>,
    /// What happened to users and is not taken in yet, in this order.
    pub(super) signals: VecDeque<UserSignal>,
    /// What users want of connections and is not carried out yet, in this order.
    pub(super) commands: VecDeque<ConnectionCommand>,
    /// What became of messages that had waited: told together at the end of the turn.
    pub(super) outcomes: Vec<LateOutcome>,
}

impl Context {
    /// Before anything happened. `seed` feeds all randomness of the shard.
    pub(super) fn new(now: Now, seed: u64, position: ShardPosition, settings: Arc<Settings>) -> Self {
        Self {
            now,
            position,
            settings,
            mode: ShardMode::Open,
            homes: None,
            lease: Lease::Forever,
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            traced: Trace::default(),
            out: Vec::new(),
            signals: VecDeque::new(),
            commands: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }
}

/// Where a user's terminals are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts<'a> {
    /// Nowhere: they are at home.
    Here,
    /// To the node that is reached there, if that is known.
    There(Option<&'a PublicAddress>),
    /// Nowhere yet: the user has no home.
    Nobody,
}

impl Context {
    /// Where a user's terminals that speak so are to go, as the last map has it.
    pub(super) fn whereabouts(&self, user: &UserId, transport: Transport) -> Whereabouts<'_> {
        let Some(map) = &self.homes else {
            return Whereabouts::Here;
        };
        match map.home(user) {
            Home::Here(_) => Whereabouts::Here,
            Home::There(node) => Whereabouts::There(map.address(node, transport)),
            Home::Nobody => Whereabouts::Nobody,
        }
    }
}

/// Has something carried to another thread.
pub(super) fn deliver(context: &mut Context, delivery: impl Into<Delivery>) {
    context.out.push(Effect::Deliver(delivery.into()));
}

/// Notes what happened to a single connection or device, if the operator wants to hear it.
pub(super) fn trace(
    context: &mut Context,
    kind: TraceKind,
    origin: Option<LinkOrigin>,
    subject: Subject,
    code: Option<Code>,
) {
    if context.settings.trace == ConnectionTrace::On {
        let event = TraceEvent {
            kind,
            connection: origin.map(|origin| origin.key),
            address: origin.map(|origin| origin.address),
            user: None,
            device: None,
            code,
        };
        context.traced.add(event, subject);
    }
}
