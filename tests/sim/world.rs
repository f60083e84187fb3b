//! The world: shards on the model of a kernel, terminals, the registry and the front, one clock and one seed. It lets things
//! happen, and compares everything that shows with the model.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::base::ids::{ConnKey, DeviceId, RequestId, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::kernel::model::Model as Kernel;
use crate::kernel::shared::SharedRing;
use crate::logic::delivery::{Delivery, ToRegistry, ToShard};
use crate::logic::message::SendOrder;
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::logic::user_status::QueryDepth;
use crate::logic::{Effect, ShardPosition};
use crate::shard::Shard;
use crate::sim::Counts;
use crate::sim::callbacks::Post;
use crate::sim::checks::{Failure, ensure};
use crate::sim::crowd::Crowd;
use crate::sim::messages::MessageBook;
use crate::sim::model::user::Whom;
use crate::sim::model::{Hint, Model, RegistrySays};
use crate::sim::network::Pace;
use crate::sim::network_size::NetworkSize;
use crate::sim::registry::Registry;
use crate::sim::shown::Link;
use crate::sim::steps::Mood;
use crate::sim::terminal::{Item, Place, Terminal, Wallet};
use crate::sim::watched::{ShardEvent, WatchedLogic};
use crate::sim::ways::Ways;
use crate::sim::wire::TransportCounts;

pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Now,
    pub(crate) settings: Arc<Settings>,
    pub(crate) kernel: Rc<RefCell<Kernel>>,
    pub(crate) shards: Vec<Shard<SharedRing, WatchedLogic>>,
    pub(crate) model: Model,
    pub(crate) registry: Registry,
    pub(crate) post: Post,
    pub(crate) terminals: BTreeMap<Link, Terminal>,
    pub(crate) wallet: Wallet,
    /// How terminals come, and by which TLS.
    pub(crate) ways: Ways,
    pub(crate) terminals_tls: Arc<ClientConfig>,
    /// What the shards must have counted of transports.
    pub(crate) counted: TransportCounts,
    /// Users with their devices.
    pub(crate) pools: Vec<(UserId, Vec<DeviceId>)>,
    /// Sessions that terminals were given.
    pub(crate) sessions: BTreeMap<(UserId, DeviceId), Vec<u64>>,
    /// Connections that each shard's logic knows.
    pub(crate) known: Vec<BTreeMap<ConnKey, Link>>,
    /// Whether each shard still has to hear that a connection could not arrive.
    pub(crate) turned_away: Vec<bool>,
    pub(crate) messages: MessageBook,
    pub(crate) size: NetworkSize,
    /// Who was sent away, by shard.
    pub(crate) crowds: Vec<Crowd>,
    pub(crate) requests: u64,
    pub(crate) mood: Mood,
    pub(crate) pace: Pace,
    /// What shards counted that are gone.
    pub(crate) past: Counts,
    pub(crate) trace: Trace,
    /// A hash of all that was noted.
    pub(crate) history: Cell<u64>,
}

/// What becomes of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    Off,
    Printed,
    Hashed,
}

/// After so long what the outbox took is durable, commit or not.
const OUTBOX_DURABLE_MS: u64 = 1_000;

/// Something that the registry or the front sends to a shard, in the world's words.
pub(crate) enum Event {
    Registry(UserId, RegistrySays, ToShard),
    Kick(RequestId, UserId, Whom),
    Query(RequestId, QueryDepth, Vec<UserId>),
    Inspect(RequestId, UserId),
    Send(RequestId, UserId, SendOrder),
}

impl Event {
    fn delivered(&self) -> ToShard {
        match self {
            Self::Registry(_, _, answer) => answer.clone(),
            Self::Kick(request, user, Whom::Everyone) => ToShard::Kick(*request, *user),
            Self::Kick(request, user, Whom::Device(device)) => ToShard::KickDevice(*request, *user, *device),
            Self::Kick(request, user, Whom::Account) => ToShard::Delete(*request, *user),
            Self::Query(request, depth, users) => ToShard::Query(*request, *depth, users.clone()),
            Self::Inspect(request, user) => ToShard::Inspect(*request, *user),
            Self::Send(request, _, order) => ToShard::Send(*request, Box::new(order.clone())),
        }
    }
}

impl World {
    /// Lets an event happen to a shard, and all that follows from it.
    pub(crate) fn happen(&mut self, shard: ShardId, event: &Event) -> Result<(), Failure> {
        let steps = self.shard(shard, ShardEvent::Delivered(event.delivered()));
        self.replay(shard, steps, Some(event))
    }

    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).expect("few shards")
    }

    pub(crate) fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shard_count()).map(ShardId)
    }

    /// Time passes up to `to`, and on over the spans that the rules leave open.
    pub(crate) fn advance(&mut self, to: u64) -> Result<(), Failure> {
        let passed = to.max(self.now.instant.0);
        let passed = self.behind_open_spans(passed);
        let wall = self.now.wall.0 + (passed - self.now.instant.0);
        self.network_before(passed)?;
        if passed > self.now.instant.0 + OUTBOX_DURABLE_MS {
            self.registry.shelf.sync();
        }
        self.now = Now {
            instant: Instant(passed),
            wall: Timestamp(wall),
        };
        self.note(|| format!("now {passed} ({} s)", wall / 1_000));
        for shard in self.shard_ids() {
            self.look_at_inbox(shard)?;
            self.expire(shard)?;
        }
        Ok(())
    }

    fn behind_open_spans(&self, mut at: u64) -> u64 {
        loop {
            let open = self
                .model
                .open_spans()
                .find(|(start, end)| (*start..*end).contains(&at));
            match open {
                Some((_, end)) => at = end,
                None => return at,
            }
        }
    }

    fn expire(&mut self, shard: ShardId) -> Result<(), Failure> {
        let (mut seen, mut rounds) = (Vec::new(), 0);
        // Alarms that had to wait for others ring in the next round, behind what the last one brought about.
        let next = loop {
            for step in self.shard(shard, ShardEvent::TimePassed) {
                self.replay_step(shard, step, None, &mut seen)?;
            }
            let next = self.shards[usize::from(shard.0)].logic().next_deadline();
            if next.is_none_or(|due| due > self.now.instant) {
                break next;
            }
            rounds += 1;
            ensure("deadlines", rounds < 100, || format!("{next:?} never passes"))?;
        };
        ensure("alarms", self.model.alarms_agree, || {
            format!("other alarms rang at {shard:?} than had to")
        })?;
        self.compare(shard, seen)?;
        let must = self.model.next_ring(shard).map(|(_, ring)| ring);
        let heard_in_time = must.is_none_or(|ring| next.is_some_and(|next| next.0 <= ring));
        ensure("deadlines", heard_in_time, || {
            format!("{next:?} is after {must:?}")
        })
    }

    /// A terminal says something; it arrives later.
    pub(crate) fn say(&mut self, link: Link, item: Item) {
        self.note(|| format!("{link:?} says {item:?}"));
        if let Item::Login(login) = &item {
            self.message_login(link, login.features);
        }
        let terminal = self.terminals.get_mut(&link).expect("a terminal of the world");
        let sent = terminal.say(item, &mut self.wallet, self.now);
        match terminal.place {
            Place::Coming => terminal.unheard.push(sent),
            Place::At(..) | Place::Moving(_) => self.model.sent(link, sent),
            Place::Over => {}
        }
    }
}

pub(crate) fn hints(out: &[Effect]) -> Vec<Hint> {
    let hint = |effect: &Effect| match effect {
        Effect::Deliver(Delivery::Registry(ToRegistry::Load(_, _, user))) => Some(Hint {
            user: *user,
            devices: Vec::new(),
            alarm: None,
            grace_end: None,
        }),
        Effect::Deliver(Delivery::Registry(ToRegistry::Commit(_, _, commit))) => {
            Some(Hint::of_commit(commit))
        }
        Effect::Send(..) | Effect::Stay(_) => None,
        Effect::Move(..) | Effect::Close(..) | Effect::Deliver(_) | Effect::Trace(_) => None,
    };
    out.iter().filter_map(hint).collect()
}

impl World {
    /// A shard's logic for each place.
    pub(crate) fn logics(
        now: Now,
        seed: u64,
        (shards, slots): (u16, u32),
        settings: &Arc<Settings>,
        users: &[UserId],
    ) -> Vec<WatchedLogic> {
        let position = |shard| ShardPosition {
            shard: ShardId(shard),
            shards,
            partitions: 1,
            connections_max: slots,
        };
        let state = |shard| ShardState::new(now, seed ^ u64::from(shard), position(shard), settings.clone());
        let watched = |shard| WatchedLogic::new(state(shard), users.to_vec());
        (0..shards).map(watched).collect()
    }
}
