//! Logic that is watched: what a shard told it, and what it asked for. It decides as the real one, which it has inside.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

use crate::base::ids::{ConnKey, DeviceId, UserId};
use crate::base::time::Now;
use crate::engine::completion::ConnectionEvent;
use crate::engine::token::MoveToken;
use crate::kernel::ring::FilledBuffer;
use crate::logic::delivery::{Delivery, ToShard};
use crate::logic::state::ShardState;
use crate::logic::{Arrival, Effect, Input, LinkLoss, Peer};
use crate::sim::model::Orders;
use crate::sim::world::hints;

/// Something that happens to a shard.
pub(crate) enum ShardEvent {
    /// In a slot, from an address, by a listener.
    Accepted(u32, SocketAddr, usize),
    Arrived(MoveToken, u32),
    Of(ConnKey, ConnectionEvent<FilledBuffer>),
    Delivered(ToShard),
    LookedAtInbox,
    BuffersCame,
    /// There is time for steps of transports that wait.
    TimeForSteps,
    TimePassed,
}

/// What logic was told.
#[derive(Debug)]
pub(crate) enum LogicWord {
    Opened(ConnKey, Peer),
    ProxyOpened(ConnKey),
    ClientKnown(ConnKey, Ipv6Addr),
    Alive(ConnKey),
    TransportSkipped(ConnKey),
    Arrived(ConnKey, Box<Arrival>),
    Received(ConnKey, Vec<u8>),
    Closed(ConnKey, LinkLoss),
    Stayed(ConnKey),
    TurnedAway,
    Delivered,
    Expired,
    TurnEnded,
}

impl LogicWord {
    pub(crate) fn of(input: &Input<'_>) -> Self {
        match input {
            Input::Opened(key, peer) => Self::Opened(*key, *peer),
            Input::ProxyOpened(key, _) => Self::ProxyOpened(*key),
            Input::ClientKnown(key, address) => Self::ClientKnown(*key, *address),
            Input::Alive(key) => Self::Alive(*key),
            Input::Arrived(key, arrival) => Self::Arrived(*key, arrival.clone()),
            Input::Received(key, bytes) => Self::Received(*key, bytes.to_vec()),
            Input::TransportSkipped(key) => Self::TransportSkipped(*key),
            Input::Closed(key, loss) => Self::Closed(*key, *loss),
            Input::Stayed(key) => Self::Stayed(*key),
            Input::Delivered(ToShard::TurnedAway) => Self::TurnedAway,
            Input::Delivered(_) => Self::Delivered,
        }
    }
}

/// One call of logic.
#[derive(Debug)]
pub(crate) struct LogicStep {
    pub(crate) told: LogicWord,
    pub(crate) effects: Vec<Effect>,
    pub(crate) orders: Orders,
}

impl LogicStep {
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(delivery) => Some(delivery),
            Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) | Effect::Close(..) | Effect::Trace(_) => {
                None
            }
        })
    }
}

#[derive(Debug)]
pub(crate) struct WatchedLogic {
    pub(crate) state: ShardState,
    /// All users of the world.
    users: Vec<UserId>,
    /// What it was told since somebody looked.
    pub(crate) steps: Vec<LogicStep>,
}

impl WatchedLogic {
    pub(crate) fn new(state: ShardState, users: Vec<UserId>) -> Self {
        let steps = Vec::new();
        Self { state, users, steps }
    }

    /// What waited for the end of the turn leaves.
    pub(crate) fn end_turn(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.state.let_out(now, out);
        self.keep(LogicWord::TurnEnded, out);
    }

    pub(crate) fn keep(&mut self, told: LogicWord, effects: &[Effect]) {
        let rang = matches!(told, LogicWord::Expired);
        let alarms = if rang {
            self.alarms_waiting()
        } else {
            BTreeMap::new()
        };
        let orders = Orders {
            asks: hints(effects),
            starving: self.state.without_room(),
            alarms,
        };
        let effects = effects.to_vec();
        self.steps.push(LogicStep {
            told,
            effects,
            orders,
        });
    }

    fn alarms_waiting(&self) -> BTreeMap<UserId, Vec<DeviceId>> {
        let users = self.users.iter();
        users
            .map(|user| (*user, self.state.alarms_waiting(user)))
            .collect()
    }
}
