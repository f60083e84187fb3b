//! One process of a node: the real member, desk and shards, and what lies between their threads. Each thread takes a turn when the world
//! says so, and finds in its inbox what has come meanwhile. Knows no other process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, unbounded};
use tokio::sync::watch;

use super::super::cluster::clock::DriftingClock;
use super::super::cluster::group::Ms;
use super::client::SimulatedClient;
use super::servers::{ClientKind, Servers};
use crate::base::ids::{ConnKey, NodeId, ShardId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::logic::delivery::{Delivery, Router, ToShard, UserKey};
use crate::logic::record::{Callbacks, Commit};
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::logic::{Arrival, ShardPosition};
use crate::services::cluster::notices::ShardInboxes;
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::tests::simulated::{MemberJoints, SimulatedMember, WordToMember};
use crate::services::cluster::token::Site;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews};
use crate::services::registry::shared::settings::DeskSettings;
use crate::services::registry::shared::tail::TailLimits;
use crate::services::registry::shared::tests::simulated::{DeskJoints, SimulatedDesk};
use crate::services::shared_store::settings::CopiesMissing;

/// When the wall clocks were right about the world's beginning.
pub(super) const START: Timestamp = Timestamp(1_800_000_000_000);
/// So few records that most are read again.
const CACHE_BYTES: usize = 2_000;
const CONNECTIONS_MAX: u32 = 256;

/// A connection of a terminal, in the whole world.
pub(super) type LinkNumber = u64;

/// A thread of a process: the member's, the desk's, or a shard's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Member,
    Desk,
    Shard(ShardId),
}

impl Actor {
    pub(super) fn place(self) -> usize {
        match self {
            Self::Member => 0,
            Self::Desk => 1,
            Self::Shard(shard) => 2 + usize::from(shard.0),
        }
    }
}

/// What comes to a shard by the network, or by another shard.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Opened,
    Bytes(Vec<u8>),
    Closed,
    Arrived(Box<Arrival>),
}

/// A shard and what is around it.
pub(super) struct SimulatedShard {
    pub(super) state: ShardState,
    pub(super) inbox: VecDeque<ToShard>,
    pub(super) network: VecDeque<(LinkNumber, LinkEvent)>,
    /// Its links, by their slots.
    pub(super) links: BTreeMap<u32, (ConnKey, LinkNumber)>,
    generations: u32,
    /// What it has asked the desk to record.
    pub(super) commits: BTreeMap<UserKey, Proposal>,
}

/// A commit that is with the desk.
pub(super) struct Proposal {
    pub(super) commit: Box<Commit>,
    /// What is wrong with it, if it is recorded.
    pub(super) wrong: Option<String>,
}

/// What a member, and those that bring residents, have told shards.
type Notices = Arc<Mutex<VecDeque<(ShardId, ToShard)>>>;

/// When a thread takes its next turn, and until when it stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) turn_at: Ms,
    pub(super) stalled_until: Ms,
}

/// When a process stands still.
#[derive(Debug, Clone)]
pub(super) struct PausePlan {
    /// After so many turns.
    pub(super) after: u32,
    pub(super) lasts: Ms,
    /// How much later each of its threads goes on, the HTTP server's the last.
    pub(super) wakes_late: Vec<Ms>,
}

pub(super) struct Process {
    pub(super) life: u32,
    pub(super) member: SimulatedMember,
    pub(super) desk: SimulatedDesk,
    pub(super) shards: Vec<SimulatedShard>,
    pub(super) words: VecDeque<WordToMember>,
    pub(super) tick_at: Instant,
    /// When its HTTP server was asked, by the numbers of questions.
    pub(super) asked: BTreeMap<u64, Instant>,
    /// How many of its threads ask the shared store: for beats, for the rest.
    pub(super) asking: [usize; 2],
    pub(super) paces: Vec<Pace>,
    pub(super) pause_plan: Option<PausePlan>,
    pub(super) paused_until: Ms,
    /// Until when its HTTP server stands still.
    pub(super) http_until: Ms,
    /// Since when it has run without standing still.
    pub(super) well_since: Ms,
    notices: Notices,
    answers: Arc<Mutex<Vec<Delivery>>>,
    news: Receiver<OwnershipNews>,
}

/// A node's host.
pub(super) struct Host {
    pub(super) node: NodeId,
    pub(super) site: Site,
    pub(super) clock: DriftingClock,
    pub(super) process: Option<Process>,
    pub(super) lives: u32,
}

impl Host {
    /// What its clocks say.
    pub(super) fn read(&self, now: Ms) -> Now {
        Now {
            instant: self.clock.read(now),
            wall: Timestamp(START.0 + now + u64::from(self.node.0) * 40),
        }
    }
}

/// What all processes of a world have in common.
pub(super) struct ProcessPlan {
    pub(super) partitions: u16,
    pub(super) shards: u16,
    pub(super) settings: Arc<Settings>,
    pub(super) cluster: fn(NodeId, Site, u16) -> ClusterSettings,
}

/// Keeps what shards are told.
fn inboxes_in(notices: &Notices) -> ShardInboxes {
    let inbox = Arc::clone(notices);
    Arc::new(move |shard, notice| {
        let mut inbox = inbox.lock().expect("nobody panics with it");
        inbox.push_back((shard, notice));
        Ok(())
    })
}

/// Keeps what a desk answers.
fn router_to(answers: &Arc<Mutex<Vec<Delivery>>>) -> Router {
    let outbox = Arc::clone(answers);
    Box::new(move |answer| {
        outbox.lock().expect("nobody panics with it").push(answer);
        Ok(())
    })
}

impl Process {
    pub(super) fn start(
        host: &Host,
        place: usize,
        now: Ms,
        plan: &ProcessPlan,
        servers: &Arc<Mutex<Servers>>,
    ) -> Self {
        let clock = host.read(now);
        let client = |kind| SimulatedClient {
            servers: Arc::clone(servers),
            node: place,
            kind,
        };
        let confirmed = ConfirmedPlaces::new(plan.partitions);
        let (orders, ordered) = unbounded();
        let (news, heard) = unbounded();
        let notices = Notices::default();
        let member = SimulatedMember::start(
            clock.instant,
            MemberJoints {
                settings: (plan.cluster)(host.node, host.site, plan.partitions),
                address: address_of(place),
                clients: [
                    Box::new(client(ClientKind::Beats)),
                    Box::new(client(ClientKind::Jobs)),
                ],
                inboxes: inboxes_in(&notices),
                shards: plan.shards,
                orders,
                confirmed: confirmed.clone(),
            },
        );
        let answers = Arc::new(Mutex::new(Vec::new()));
        let desk = SimulatedDesk::start(DeskJoints {
            settings: desk_settings(plan.partitions),
            client: Box::new(client(ClientKind::Desk)),
            orders: ordered,
            news,
            router: router_to(&answers),
            confirmed,
        });
        let seed = clock.instant.0;
        let pace = Pace {
            turn_at: Ms::MAX,
            stalled_until: 0,
        };
        Self {
            life: host.lives,
            member,
            desk,
            shards: (0..plan.shards)
                .map(|shard| SimulatedShard::new(clock, seed, ShardId(shard), plan))
                .collect(),
            words: VecDeque::new(),
            tick_at: clock.instant,
            asked: BTreeMap::new(),
            asking: [0; 2],
            paces: vec![pace; 2 + usize::from(plan.shards)],
            pause_plan: None,
            paused_until: 0,
            http_until: 0,
            well_since: now,
            notices,
            answers,
            news: heard,
        }
    }

    /// It stands still until then, and some of its threads longer.
    pub(super) fn stand_still(&mut self, until: Ms, wakes_late: &[Ms]) {
        self.paused_until = until;
        for (pace, late) in self.paces.iter_mut().zip(wakes_late) {
            pace.stalled_until = until + late;
        }
        self.http_until = until + wakes_late.last().unwrap_or(&0);
        self.well_since = until + wakes_late.iter().max().unwrap_or(&0);
    }

    /// What shards were told since the last look goes into their inboxes. Gives whose.
    pub(super) fn take_notices(&mut self) -> Vec<ShardId> {
        let notices = std::mem::take(&mut *self.notices.lock().expect("nobody panics with it"));
        let mut told = Vec::new();
        for (shard, notice) in notices {
            self.shards[usize::from(shard.0)].inbox.push_back(notice);
            told.push(shard);
        }
        told
    }

    /// What the desk has answered since the last look.
    pub(super) fn take_answers(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut *self.answers.lock().expect("nobody panics with it"))
    }

    /// The desk's news go to the member. Says whether there are any.
    pub(super) fn take_news(&mut self) -> bool {
        let before = self.words.len();
        self.words.extend(self.news.try_iter().map(WordToMember::desk));
        self.words.len() > before
    }
}

impl SimulatedShard {
    fn new(now: Now, seed: u64, shard: ShardId, plan: &ProcessPlan) -> Self {
        let position = ShardPosition {
            shard,
            shards: plan.shards,
            partitions: plan.partitions,
            connections_max: CONNECTIONS_MAX,
        };
        Self {
            state: ShardState::new(now, seed, position, Arc::clone(&plan.settings)),
            inbox: VecDeque::new(),
            network: VecDeque::new(),
            links: BTreeMap::new(),
            generations: 0,
            commits: BTreeMap::new(),
        }
    }

    /// A link has a slot from now on.
    pub(super) fn take_slot(&mut self, link: LinkNumber) -> ConnKey {
        self.generations += 1;
        let slot = (0..CONNECTIONS_MAX).find(|slot| !self.links.contains_key(slot));
        let key = ConnKey {
            slot: slot.expect("there are few terminals"),
            generation: self.generations,
        };
        self.links.insert(key.slot, (key, link));
        key
    }

    pub(super) fn key_of(&self, link: LinkNumber) -> Option<ConnKey> {
        let mut known = self.links.values();
        known.find(|(_, known)| *known == link).map(|(key, _)| *key)
    }

    /// The link that is this connection.
    pub(super) fn link_of(&self, key: ConnKey) -> LinkNumber {
        let (known, link) = self.links[&key.slot];
        assert_eq!(known, key, "logic names a connection that is gone");
        link
    }
}

fn desk_settings(partitions: u16) -> DeskSettings {
    DeskSettings {
        partitions,
        copies: 1,
        copies_missing: CopiesMissing::Wait,
        callbacks: watch::channel(Callbacks::All).1,
        tail: TailLimits::default(),
        cache_bytes: CACHE_BYTES,
    }
}

/// Where terminals reach a node.
pub(super) fn address_of(place: usize) -> String {
    format!("{place}.node.example:9001")
}

/// Which node terminals reach there.
pub(super) fn place_at(address: &str) -> Option<usize> {
    address.split_once('.')?.0.parse().ok()
}
