//! The member: one node's part in the cluster. Takes events, gives acts; the same events at the same times give the same acts.
//!
//! ```text
//!  Surveying ──free, or mine──> Joining ──joined──> Member: Serving <──> Isolated
//!    │   ^ ^                      │                   │  │ order       │ order
//!  taken │ └──occupied, failed────┘                   │  └> Draining <─┘──all handed over──> Departing ──> Ended
//!    v   │                                            │  └> Stopping ──────all settled─────────^
//!  Waiting ──its beat moves──> Ended (name taken)     │
//!    └──still for 9 s: buried──> Surveying <──────────┘ dead, or cut off: all links are sent away
//! ```

use std::collections::BTreeMap;

use crate::base::ids::{NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::home::Home;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::act::{MemberAct, MemberEnding};
use crate::services::cluster::event::{BuryAnswer, Contact, DepartAnswer, MemberEvent, Order, PartitionNews};
use crate::services::cluster::holdings::Holdings;
use crate::services::cluster::map::PartitionMap;
use crate::services::cluster::peers::{OutageVerdict, Peers};
use crate::services::cluster::settings::{ClusterSettings, RETRY};
use crate::services::cluster::table::{NodeRow, RowVersion};
use crate::services::cluster::tenure::Tenure;
use crate::services::cluster::token::{Incarnation, Owner, Token};
use crate::services::cluster::watch::Watch;
use crate::services::cluster::witness::Witness;
use crate::services::shared_store::calls::NodeState;

/// One node's part in the cluster.
#[derive(Debug)]
pub struct Membership {
    pub(super) settings: ClusterSettings,
    pub(super) standing: Standing,
    /// The nodes, as the last answer of the store had them.
    pub(super) nodes: BTreeMap<NodeId, NodeRow>,
    pub(super) watch: Watch,
    /// When the last request that brought the nodes was sent, in any life.
    pub(super) heard_of: Option<Instant>,
    pub(super) peers: Peers,
    pub(super) map: PartitionMap,
    pub(super) witness: Witness,
    pub(super) holdings: Holdings,
    /// Since when a partition could be claimed.
    pub(super) vacant_since: BTreeMap<PartitionId, Instant>,
}

/// Where this node stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It looks whether its name is free.
    Surveying(Flight),
    /// Another process has its name on record. If that lives, its beat moves.
    Waiting { row: RowVersion, survey: Flight },
    /// Its new life is with the store.
    Joining { sent: Instant },
    /// It belongs to the cluster.
    Member(Member),
    /// It says that it ends.
    Departing {
        owner: Owner,
        how: Departure,
        again_at: Option<Instant>,
    },
    /// Nothing more happens.
    Ended,
}

/// What a node says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// Its partitions are others'.
    Drained,
    /// It comes back.
    Stopped,
}

/// A node that belongs to the cluster.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) owner: Owner,
    pub(super) joined: Instant,
    pub(super) beat: Beat,
    /// When the last beat that succeeded was sent.
    pub(super) contact: Instant,
    pub(super) lease: Lease,
    pub(super) duty: Duty,
    /// What it makes of being without the shared store, and since when.
    pub(super) verdict: Option<(OutageVerdict, Instant)>,
    /// Since when most others cannot reach it.
    pub(super) unreached_since: Option<Instant>,
}

/// The beat that was last sent, or is next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub(super) number: u64,
    pub(super) flight: Flight,
}

/// Where a request is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flight {
    /// It is to be sent then.
    Due(Instant),
    /// It was sent then.
    Sent(Instant),
}

/// What a member is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// It owns partitions and takes more.
    Serving,
    /// It hands over, as most others cannot reach it.
    Isolated,
    /// It hands over, and leaves.
    Draining,
    /// It settles, and leaves for a while.
    Stopping,
}

impl Duty {
    pub(super) fn state(self) -> NodeState {
        match self {
            Self::Serving | Self::Stopping => NodeState::Up,
            Self::Isolated => NodeState::Isolated,
            Self::Draining => NodeState::Draining,
        }
    }
}

impl Membership {
    /// A node that has just started. It holds the lock file of its site.
    #[must_use]
    pub fn new(now: Instant, settings: ClusterSettings) -> Self {
        Self {
            standing: Standing::Surveying(Flight::Due(now)),
            nodes: BTreeMap::new(),
            watch: Watch::new(settings.contact_gap_max()),
            heard_of: None,
            peers: Peers::default(),
            map: PartitionMap::new(settings.partitions),
            witness: Witness::default(),
            holdings: Holdings::default(),
            vacant_since: BTreeMap::new(),
            settings,
        }
    }

    /// Something happened. `now` was read after it came.
    pub fn handle(&mut self, now: Instant, event: MemberEvent, acts: &mut Vec<MemberAct>) {
        match event {
            MemberEvent::Tick => self.tick(now, acts),
            MemberEvent::Surveyed(answer) => self.surveyed(now, answer, acts),
            MemberEvent::Joined(answer) => self.joined(now, answer, acts),
            MemberEvent::Beaten {
                owner,
                number,
                answer,
            } => self.beaten(now, (owner, number), answer, acts),
            MemberEvent::Buried { row, answer } => self.buried(now, row, answer, acts),
            MemberEvent::Departed { owner, answer } => self.departed(now, owner, answer, acts),
            MemberEvent::Partition {
                partition,
                token,
                news,
            } => self.partition_news(now, (partition, token), news, acts),
            MemberEvent::Heard { from, contact } => self.peers.hear(now, from, contact),
            MemberEvent::Told { partition, token } => self.map.hear(partition, token),
            MemberEvent::Witnessed { partition, position } => self.witness.hear(partition, position),
            MemberEvent::Ordered(order) => self.ordered(now, order, acts),
        }
    }

    fn tick(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        match &self.standing {
            Standing::Surveying(_) | Standing::Waiting { .. } => self.survey(now, acts),
            Standing::Member(_) => {
                self.beat(now, acts);
                self.judge(now, acts);
                self.bury(now, acts);
                self.ask_again(now, acts);
                self.place(now, acts);
            }
            Standing::Departing {
                owner,
                how,
                again_at: Some(at),
            } if *at <= now => {
                let (owner, how) = (*owner, *how);
                self.depart(owner, how, acts);
            }
            Standing::Joining { .. } | Standing::Departing { .. } | Standing::Ended => {}
        }
    }

    fn buried(&mut self, now: Instant, row: RowVersion, answer: BuryAnswer, acts: &mut Vec<MemberAct>) {
        let Some(known) = self.nodes.get_mut(&row.owner.node) else {
            return;
        };
        if answer == BuryAnswer::Dead && known.incarnation == row.owner.incarnation {
            known.state = NodeState::Dead;
            self.place(now, acts);
        }
    }

    fn ordered(&mut self, now: Instant, order: Order, acts: &mut Vec<MemberAct>) {
        if let Order::AcceptLoss(partition) = order {
            return self.accept_loss(now, partition, acts);
        }
        match (&mut self.standing, order) {
            (Standing::Member(member), Order::Stop) => member.duty = Duty::Stopping,
            (Standing::Member(member), Order::Drain) if member.duty != Duty::Stopping => {
                member.duty = Duty::Draining;
            }
            (Standing::Surveying(_) | Standing::Waiting { .. } | Standing::Joining { .. }, order) => {
                let ending = if order == Order::Drain {
                    MemberEnding::Drained
                } else {
                    MemberEnding::Stopped
                };
                self.end(ending, acts);
            }
            (Standing::Member(_) | Standing::Departing { .. } | Standing::Ended, _) => {}
        }
        self.place(now, acts);
    }

    /// Nobody asks anything of this node any more.
    pub(super) fn depart(&mut self, owner: Owner, how: Departure, acts: &mut Vec<MemberAct>) {
        let state = match how {
            Departure::Drained => NodeState::Left,
            Departure::Stopped => NodeState::Restarting,
        };
        acts.push(MemberAct::Depart { owner, state });
        self.standing = Standing::Departing {
            owner,
            how,
            again_at: None,
        };
    }

    fn departed(&mut self, now: Instant, who: Owner, answer: DepartAnswer, acts: &mut Vec<MemberAct>) {
        let Standing::Departing { owner, how, again_at } = &mut self.standing else {
            return;
        };
        if *owner != who {
            return;
        }
        match (answer, *how) {
            (DepartAnswer::Failed, _) => *again_at = Some(now.after(RETRY)),
            (DepartAnswer::Done, Departure::Drained) => self.end(MemberEnding::Drained, acts),
            (DepartAnswer::Done, Departure::Stopped) => self.end(MemberEnding::Stopped, acts),
        }
    }

    pub(super) fn end(&mut self, ending: MemberEnding, acts: &mut Vec<MemberAct>) {
        self.standing = Standing::Ended;
        acts.push(MemberAct::End(ending));
    }

    pub(super) fn member(&self) -> Option<&Member> {
        match &self.standing {
            Standing::Member(member) => Some(member),
            Standing::Surveying(_)
            | Standing::Waiting { .. }
            | Standing::Joining { .. }
            | Standing::Departing { .. }
            | Standing::Ended => None,
        }
    }

    /// What it is about, in a word: for people.
    #[must_use]
    pub fn standing_name(&self) -> &'static str {
        match &self.standing {
            Standing::Surveying(_) => "Surveying",
            Standing::Waiting { .. } => "Waiting",
            Standing::Joining { .. } => "Joining",
            Standing::Member(member) => match member.duty {
                Duty::Serving => "Serving",
                Duty::Isolated => "Isolated",
                Duty::Draining => "Draining",
                Duty::Stopping => "Stopping",
            },
            Standing::Departing { .. } => "Departing",
            Standing::Ended => "Ended",
        }
    }

    /// Whether this node has the shared store, as its peers are to be told.
    #[must_use]
    pub fn contact(&self, now: Instant) -> Contact {
        match self.member() {
            Some(member) if member.lease.holds(now) => Contact::Held,
            _ => Contact::Lost {
                had: self.heard_of.map(|sent| now.since(sent)),
            },
        }
    }

    /// Where the users of a partition are at home.
    #[must_use]
    pub fn home(&self, partition: PartitionId) -> Home {
        match self.holdings.get(partition) {
            Some(holding) if holding.tenure == Tenure::Open => Home::Here(holding.token.epoch),
            Some(_) => Home::Nobody,
            None => self.home_elsewhere(partition),
        }
    }

    fn home_elsewhere(&self, partition: PartitionId) -> Home {
        match self.map.token(partition).owner {
            Some(owner) if owner.node != self.settings.node && self.lives(owner) => Home::There(owner.node),
            _ => Home::Nobody,
        }
    }

    fn lives(&self, owner: Owner) -> bool {
        let row = self.nodes.get(&owner.node);
        row.is_some_and(|row| row.incarnation == owner.incarnation && row.state.beats())
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.settings.node
    }

    /// The nodes, as the last answer of the shared store had them.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeRow> {
        &self.nodes
    }

    /// The life that this node is in, if it belongs to the cluster.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.member().map(|member| member.owner.incarnation)
    }

    /// Under which token this node holds a partition, takes or gives it.
    #[must_use]
    pub fn held_token(&self, partition: PartitionId) -> Option<Token> {
        self.holdings.get(partition).map(|holding| holding.token)
    }

    /// What is known of a partition's owner.
    #[must_use]
    pub fn token(&self, partition: PartitionId) -> Token {
        self.map.token(partition)
    }

    /// Partitions that decide nothing until the operator accepts that changes are lost.
    #[must_use]
    pub fn behind(&self) -> Vec<PartitionId> {
        self.holdings
            .with(|tenure| matches!(tenure, Tenure::Behind { .. }))
    }

    /// How many partitions are on their way in, and how many on their way out.
    #[must_use]
    pub fn moving(&self) -> (usize, usize) {
        let count = |is: fn(Tenure) -> bool| self.holdings.count(is);
        (count(Tenure::is_adoption), count(Tenure::is_release))
    }

    fn accept_loss(&mut self, now: Instant, partition: PartitionId, acts: &mut Vec<MemberAct>) {
        let Some(holding) = self.holdings.get(partition) else {
            return;
        };
        self.partition_news(now, (partition, holding.token), PartitionNews::LossAccepted, acts);
    }
}
