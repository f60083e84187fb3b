//! A model of one process of the shared store: what the scripts keep of nodes and partitions, and what they answer. Knows no other
//! process.

use std::collections::{BTreeMap, BTreeSet};

use super::group::ServerCopy;
use crate::base::ids::{NodeId, PartitionId};
use crate::services::cluster::table::{NodeRow, NodeTable, RowVersion};
use crate::services::cluster::token::{Incarnation, Owner, Site, Token};
use crate::services::shared_store::calls::NodeState;

pub(super) use super::group::Ms;

/// One user's coming or going, as a commit has it. Its number tells it from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) user: usize,
    pub(super) kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Login,
    Offline,
    /// It did not return after its partition was opened, at that time of the world.
    GivenUp {
        opened: Ms,
    },
    /// The operator goes on behind it, and nobody knows what it was.
    Lost,
}

/// What a node asks.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Survey,
    Join {
        node: NodeId,
        site: Site,
        over: Option<RowVersion>,
    },
    Beat {
        owner: Owner,
        number: u64,
        state: NodeState,
        unreachable: Vec<NodeId>,
    },
    Bury(RowVersion),
    Depart {
        owner: Owner,
        state: NodeState,
    },
    Publish {
        partition: PartitionId,
        token: Token,
    },
    Claim {
        partition: PartitionId,
        expected: Token,
        token: Token,
    },
    Release {
        partition: PartitionId,
        token: Token,
        to: Token,
    },
    AcceptLoss {
        partition: PartitionId,
        token: Token,
        last: u64,
    },
    Look(PartitionId),
    Load(PartitionId),
    /// `change` at `position`, or an empty commit.
    Commit {
        partition: PartitionId,
        token: Token,
        position: u64,
        change: Option<Change>,
    },
}

impl Op {
    pub(super) fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Claim { partition, .. }
            | Self::Release { partition, .. }
            | Self::AcceptLoss { partition, .. }
            | Self::Look(partition)
            | Self::Load(partition)
            | Self::Commit { partition, .. } => Some(*partition),
            Self::Survey
            | Self::Join { .. }
            | Self::Beat { .. }
            | Self::Bury(_)
            | Self::Depart { .. }
            | Self::Publish { .. } => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Reply {
    NodeTable(NodeTable),
    Joined(Incarnation),
    Occupied,
    Counted(NodeTable),
    Dead,
    Stranger,
    Buried,
    Alive,
    Done,
    Claimed,
    Taken,
    Released,
    WentOn,
    Fenced,
    Looked {
        token: Token,
        position: u64,
    },
    Loaded {
        position: u64,
        online: BTreeSet<usize>,
    },
    Committed,
    /// The copy lacks the change before.
    Behind,
}

/// What the shared store keeps of a partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Meta {
    pub(super) token: Token,
    pub(super) chain: Vec<Change>,
    pub(super) online: BTreeSet<usize>,
}

/// The keys of one process of the shared store.
#[derive(Debug, Clone, Default)]
pub(super) struct Copy {
    pub(super) nodes: BTreeMap<NodeId, NodeRow>,
    pub(super) incarnations: u64,
    pub(super) hints: Vec<Token>,
    pub(super) metas: Vec<Meta>,
}

fn length(chain: &[Change]) -> u64 {
    u64::try_from(chain.len()).expect("it is short")
}

impl ServerCopy for Copy {
    type Op = Op;
    type Reply = Reply;

    fn apply(&mut self, op: &Op) -> Reply {
        self.answer(op)
    }

    fn only_reads(op: &Op) -> bool {
        matches!(op, Op::Load(_))
    }

    fn is_vouched_for(reply: &Reply) -> bool {
        !matches!(
            reply,
            Reply::Taken
                | Reply::Fenced
                | Reply::Occupied
                | Reply::Alive
                | Reply::Behind
                | Reply::Loaded { .. }
        )
    }

    fn check_answer(reply: &Reply) {
        assert!(!matches!(reply, Reply::Behind), "a vouched change is lost");
    }
}

impl Copy {
    fn table(&self) -> NodeTable {
        NodeTable {
            nodes: self.nodes.clone(),
            hints: self.hints.clone(),
        }
    }

    fn row(&mut self, owner: Owner) -> Option<&mut NodeRow> {
        let row = self.nodes.get_mut(&owner.node)?;
        (row.incarnation == owner.incarnation).then_some(row)
    }

    fn meta(&mut self, partition: PartitionId) -> &mut Meta {
        &mut self.metas[usize::from(partition.0)]
    }

    /// As the scripts do it.
    fn answer(&mut self, op: &Op) -> Reply {
        match op {
            Op::Survey => Reply::NodeTable(self.table()),
            Op::Join { node, site, over } => self.join(*node, *site, *over),
            Op::Beat { .. } => self.beat(op),
            Op::Bury(version) => match self.row(version.owner) {
                Some(row) if row.beat == version.beat && !row.state.is_gone() => {
                    row.state = NodeState::Dead;
                    Reply::Buried
                }
                Some(row) if row.state == NodeState::Dead => Reply::Buried,
                Some(_) | None => Reply::Alive,
            },
            Op::Depart { owner, state } => {
                if let Some(row) = self.row(*owner)
                    && row.state != NodeState::Dead
                {
                    row.state = *state;
                }
                Reply::Done
            }
            Op::Publish { partition, token } => {
                let hint = &mut self.hints[usize::from(partition.0)];
                if hint.epoch < token.epoch {
                    *hint = *token;
                }
                Reply::Done
            }
            Op::Claim { .. }
            | Op::Release { .. }
            | Op::AcceptLoss { .. }
            | Op::Look(_)
            | Op::Load(_)
            | Op::Commit { .. } => self.apply_to_partition(op),
        }
    }

    fn join(&mut self, node: NodeId, site: Site, over: Option<RowVersion>) -> Reply {
        if self.nodes.get(&node).map(|row| row.version(node)) != over {
            return Reply::Occupied;
        }
        self.incarnations += 1;
        let row = NodeRow {
            incarnation: Incarnation(self.incarnations),
            beat: 0,
            state: NodeState::Up,
            site,
            weight: 1,
            unreachable: Vec::new(),
        };
        self.nodes.insert(node, row);
        Reply::Joined(Incarnation(self.incarnations))
    }

    fn beat(&mut self, op: &Op) -> Reply {
        let Op::Beat {
            owner,
            number,
            state,
            unreachable,
        } = op
        else {
            unreachable!("it is a beat")
        };
        match self.nodes.get_mut(&owner.node) {
            None => Reply::Stranger,
            Some(row) if row.incarnation < owner.incarnation => Reply::Stranger,
            Some(row) if row.incarnation > owner.incarnation || !row.state.beats() => Reply::Dead,
            Some(row) => {
                if *number > row.beat {
                    row.beat = *number;
                    row.state = *state;
                    row.unreachable.clone_from(unreachable);
                }
                Reply::Counted(self.table())
            }
        }
    }

    fn apply_to_partition(&mut self, op: &Op) -> Reply {
        match op {
            Op::Claim {
                partition,
                expected,
                token,
            } => {
                let meta = self.meta(*partition);
                if meta.token != *expected {
                    return Reply::Taken;
                }
                meta.token = *token;
                Reply::Claimed
            }
            Op::Release { partition, token, to } => {
                let meta = self.meta(*partition);
                if meta.token != *token {
                    return Reply::Fenced;
                }
                meta.token = *to;
                Reply::Released
            }
            Op::AcceptLoss {
                partition,
                token,
                last,
            } => self.meta(*partition).accept_loss(*token, *last),
            Op::Look(partition) => {
                let meta = self.meta(*partition);
                Reply::Looked {
                    token: meta.token,
                    position: length(&meta.chain),
                }
            }
            Op::Load(partition) => {
                let meta = self.meta(*partition);
                Reply::Loaded {
                    position: length(&meta.chain),
                    online: meta.online.clone(),
                }
            }
            Op::Commit {
                partition,
                token,
                position,
                change,
            } => self.meta(*partition).commit(*token, *position, *change),
            Op::Survey
            | Op::Join { .. }
            | Op::Beat { .. }
            | Op::Bury(_)
            | Op::Depart { .. }
            | Op::Publish { .. } => unreachable!("it names a partition"),
        }
    }
}

impl Meta {
    fn accept_loss(&mut self, token: Token, last: u64) -> Reply {
        if self.token != token {
            return Reply::Fenced;
        }
        let lost = Change {
            number: 0,
            user: usize::MAX,
            kind: ChangeKind::Lost,
        };
        while length(&self.chain) < last {
            self.chain.push(lost);
        }
        Reply::WentOn
    }

    fn commit(&mut self, token: Token, position: u64, change: Option<Change>) -> Reply {
        if self.token != token {
            return Reply::Fenced;
        }
        let Some(change) = change else {
            return Reply::Committed;
        };
        if length(&self.chain) >= position {
            return Reply::Committed;
        }
        if length(&self.chain) + 1 != position {
            return Reply::Behind;
        }
        self.chain.push(change);
        match change.kind {
            ChangeKind::Login => self.online.insert(change.user),
            ChangeKind::Offline | ChangeKind::GivenUp { .. } => self.online.remove(&change.user),
            ChangeKind::Lost => unreachable!("no owner commits it"),
        };
        Reply::Committed
    }
}
