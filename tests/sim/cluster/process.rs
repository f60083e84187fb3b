//! One process of a node: the membership, and a model of what is around it in the gateway: shards with users, the desk that commits, and
//! the gate. Data, and what needs nothing but it.

use std::collections::{BTreeMap, VecDeque};

use super::clock::DriftingClock;
use super::shared_store::{Change, Ms, Reply};
use crate::base::ids::{NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::gate::Gate;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::act::MemberAct;
use crate::services::cluster::event::MemberEvent;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::table::RowVersion;
use crate::services::cluster::token::{Incarnation, Owner, Site, Token};

/// What a process has to do, in order. It can be paused before each.
#[derive(Debug)]
pub(super) enum Todo {
    MemberEvent(MemberEvent),
    MemberAct(MemberAct),
    /// The shared store has answered, or nobody knows.
    Answer(Back, Option<Reply>),
    /// A terminal logs in.
    Login(Login),
    /// Somebody asks for a state of a partition, of which so much was confirmed when he asked.
    Query {
        partition: PartitionId,
        floor: u64,
    },
    /// What was gathered is to leave.
    Leave {
        partition: PartitionId,
        gathered: Gathered,
        /// When the turn began that gathered it.
        turn: Instant,
    },
    /// A link has ended by the terminal's wish, or by its death.
    LinkEnd {
        user: usize,
        wish: EndWish,
    },
    /// A commit is to be sent again.
    CommitAgain(PartitionId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndWish {
    /// It goes, and is Offline.
    Goes,
    /// It has given up this link, and comes by another.
    ComesBack,
}

/// Who waits for an answer to a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Back {
    Survey,
    Join,
    Beat {
        owner: Owner,
        number: u64,
    },
    Bury(RowVersion),
    Depart(Owner),
    Partition {
        partition: PartitionId,
        token: Token,
    },
    Commit {
        partition: PartitionId,
        token: Token,
        position: u64,
    },
    Vouch {
        partition: PartitionId,
        token: Token,
    },
    Nobody,
}

/// A login on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login {
    pub(super) user: usize,
    /// Tells it from earlier ones of this terminal.
    pub(super) attempt: u64,
    /// What was confirmed of its partition when it began.
    pub(super) floor: u64,
}

/// An answer from memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathered {
    pub(super) position: u64,
    pub(super) floor: u64,
    pub(super) kept: Option<Login>,
}

/// A user in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Linked {
        attempt: u64,
    },
    /// It is given up then.
    Away {
        due: Instant,
        why: Why,
    },
    /// Its end is with the desk.
    Going,
}

/// Why a user is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its partition was taken over.
    Grace,
    /// Its own link was lost.
    LinkLost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartStage {
    Loading,
    Open,
    /// A commit was refused: nothing is decided.
    Fenced,
    Settling,
    Settled,
}

/// A partition in a process.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) token: Token,
    pub(super) stage: PartStage,
    /// The last confirmed position.
    pub(super) position: u64,
    pub(super) users: BTreeMap<usize, Presence>,
    pub(super) queue: VecDeque<(Change, Option<Login>)>,
    pub(super) in_flight: Option<(Change, Option<Login>)>,
    pub(super) gate: Gate<Gathered>,
    pub(super) opened: Ms,
}

impl Part {
    pub(super) fn new(token: Token) -> Self {
        Self {
            token,
            stage: PartStage::Loading,
            position: 0,
            users: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: None,
            gate: Gate::new(Instant(0), Lease::Never),
            opened: 0,
        }
    }
}

/// When a process stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct PausePlan {
    /// After so many things done.
    pub(super) after: u32,
    pub(super) lasts: Ms,
}

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) life: u32,
    pub(super) membership: Membership,
    pub(super) todo: VecDeque<Todo>,
    pub(super) pause_plan: Option<PausePlan>,
    pub(super) is_paused: bool,
    /// The end of its last pause.
    pub(super) paused_until: Ms,
    pub(super) tick_waits: bool,
    /// Its present life in the cluster.
    pub(super) incarnation: Option<Incarnation>,
    pub(super) lease: Lease,
    pub(super) parts: BTreeMap<PartitionId, Part>,
    /// When the turn began.
    pub(super) turn: Instant,
}

/// A node's host.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) node: NodeId,
    pub(super) site: Site,
    pub(super) clock: DriftingClock,
    pub(super) process: Option<Process>,
    pub(super) lives: u32,
    /// To which master of each group its connections go.
    pub(super) routes: Vec<[u32; 2]>,
    pub(super) line: Line,
    /// Since when its line was cut or bad the last time; the time until which it was.
    pub(super) line_bad_until: Ms,
    /// Until when its peers could not be reached, or could not reach it.
    pub(super) lonely_until: Ms,
    /// When its process was started; never if there is none.
    pub(super) no_process_until: Ms,
}

/// The line between a node and the shared store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Good,
    /// Some requests are late, doubled or lost, and some answers.
    Flaky,
    RequestsLost,
    AnswersLost,
}
