//! Asks the shared store what a member wants to know, and reads the answers. An answer that too few replicas have confirmed is none.
//! Blocks, and decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::ids::{NodeId, PartitionId};
use crate::services::cluster::act::PartitionRequest;
use crate::services::cluster::event::{
    BeatAnswer, BuryAnswer, DepartAnswer, JoinAnswer, MemberEvent, PartitionNews, SurveyAnswer,
};
use crate::services::cluster::job::{JobDone, OwnBeat, StoreJob};
use crate::services::cluster::residents::Residents;
use crate::services::cluster::says::NodeSays;
use crate::services::cluster::table::{NodeTable, RowVersion};
use crate::services::cluster::token::{Incarnation, Owner, Token};
use crate::services::cluster::wording::{entry_of, fence_of, name_of, node_named, owner_text, token_of};
use crate::services::shared_store::calls::{
    Beaten, Claim, Claimed, IfSeen, NodeBeat, NodeEntry, Places, SharedStore,
};
use crate::services::shared_store::outcome::{Outcome, SharedStoreError, Vouched};

/// What a node's requests have in common.
#[derive(Debug, Clone)]
pub(super) struct AskingTerms {
    pub(super) node: NodeId,
    pub(super) partitions: u16,
    /// How many replicas must have what was written.
    pub(super) copies: u16,
    /// Format of the data, and the store's id.
    pub(super) format: String,
    /// What this node says of itself.
    pub(super) says: NodeSays,
}

/// One client of the shared store, and what it has learned.
pub(super) struct StoreAsker {
    store: Box<dyn SharedStore + Send>,
    terms: Arc<AskingTerms>,
    residents: Residents,
    /// Who owns what, in this version of the map.
    hints: (Option<u64>, Vec<Token>),
}

impl StoreAsker {
    pub(super) fn new(
        store: Box<dyn SharedStore + Send>,
        terms: Arc<AskingTerms>,
        residents: Residents,
    ) -> Self {
        let hints = (None, vec![Token::default(); usize::from(terms.partitions)]);
        Self {
            store,
            terms,
            residents,
            hints,
        }
    }

    /// Does a job.
    pub(super) fn ask(&mut self, job: StoreJob) -> JobDone {
        match job {
            StoreJob::Survey => self.survey(),
            StoreJob::Join { over } => answered(MemberEvent::Joined(self.join(over))),
            StoreJob::Beat(beat) => self.beat(&beat),
            StoreJob::Depart(beat) => self.depart(&beat),
            StoreJob::Bury(row) => {
                let answer = self.bury(row);
                answered(MemberEvent::Buried { row, answer })
            }
            StoreJob::Publish(partition, token) => {
                let told = self.store.publish(partition, &fence_of(token));
                let _ = self.vouched(told);
                JobDone::default()
            }
            StoreJob::Partition {
                partition,
                token,
                request,
                is_off,
            } => {
                let (news, places) = match request {
                    PartitionRequest::Claim { expected } => (self.claim(partition, token, expected), None),
                    PartitionRequest::Look => self.look(partition),
                    PartitionRequest::Release { to } => (self.release(partition, token, to), None),
                    PartitionRequest::Load => (self.load(partition, token, &is_off), None),
                    PartitionRequest::AcceptLoss { last } => (self.accept_loss(partition, token, last), None),
                    PartitionRequest::Settle => unreachable!("the shards settle"),
                };
                let event = MemberEvent::Partition {
                    partition,
                    token,
                    news,
                };
                JobDone {
                    event: Some(event),
                    places,
                    partition: Some(partition),
                    ..JobDone::default()
                }
            }
        }
    }

    /// What counts, or nothing.
    fn vouched<T>(&self, outcome: Outcome<Vouched<T>>) -> Option<T> {
        match outcome {
            Ok(Vouched { answer, copies }) if copies >= self.terms.copies => Some(answer),
            Ok(Vouched { copies, .. }) => {
                tracing::debug!(
                    copies,
                    wanted = self.terms.copies,
                    "too few replicas have confirmed it"
                );
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the shared store was asked in vain");
                None
            }
        }
    }

    fn survey(&mut self) -> JobDone {
        let Some(nodes) = read(self.store.nodes()) else {
            return answered(MemberEvent::Surveyed(SurveyAnswer::Failed));
        };
        self.hints.0 = None;
        let (table, says) = self.table(nodes, None);
        JobDone {
            says: Some(says),
            ..answered(MemberEvent::Surveyed(SurveyAnswer::Known(table)))
        }
    }

    fn join(&mut self, over: Option<RowVersion>) -> JoinAnswer {
        let seen = over.map(entry_of);
        let name = name_of(self.terms.node);
        let joined = self.store.join(&name, seen.as_ref(), &self.terms.says.encode());
        match self.vouched(joined) {
            Some(IfSeen::Done(incarnation)) => JoinAnswer::Joined(Incarnation(incarnation)),
            Some(IfSeen::Changed(_)) => JoinAnswer::Occupied,
            None => JoinAnswer::Failed,
        }
    }

    fn send(&mut self, beat: &OwnBeat) -> Option<Beaten> {
        let says = NodeSays {
            unreachable: beat.unreachable.iter().map(|node| node.0).collect(),
            ..self.terms.says.clone()
        };
        let row = NodeEntry {
            incarnation: beat.owner.incarnation.0,
            beat: beat.number,
            state: beat.state,
            says: says.encode(),
        };
        let node = name_of(beat.owner.node).into();
        let beaten = self.store.beat(&NodeBeat { node, row });
        self.vouched(beaten)
    }

    fn beat(&mut self, beat: &OwnBeat) -> JobDone {
        let OwnBeat { owner, number, .. } = *beat;
        let (answer, says) = match self.send(beat) {
            Some(Beaten::Alive { nodes, map }) => {
                let (table, says) = self.table(nodes, Some(map));
                (BeatAnswer::Counted(table), Some(says))
            }
            Some(Beaten::Dead(row)) => (ended(owner, row), None),
            None => (BeatAnswer::Failed, None),
        };
        JobDone {
            says,
            ..answered(MemberEvent::Beaten {
                owner,
                number,
                answer,
            })
        }
    }

    fn depart(&mut self, beat: &OwnBeat) -> JobDone {
        let answer = match self.send(beat) {
            // Who is dead has no more to say.
            Some(Beaten::Alive { .. } | Beaten::Dead(_)) => DepartAnswer::Done,
            None => DepartAnswer::Failed,
        };
        answered(MemberEvent::Departed {
            owner: beat.owner,
            answer,
        })
    }

    fn bury(&mut self, row: RowVersion) -> BuryAnswer {
        let buried = self.store.bury(&name_of(row.owner.node), &entry_of(row));
        match self.vouched(buried) {
            Some(IfSeen::Done(())) => BuryAnswer::Dead,
            Some(IfSeen::Changed(_)) => BuryAnswer::Alive,
            None => BuryAnswer::Failed,
        }
    }

    /// The nodes as a member reckons with them. The map is read only in a version that is not known.
    fn table(
        &mut self,
        nodes: Vec<(String, NodeEntry)>,
        version: Option<u64>,
    ) -> (NodeTable, BTreeMap<NodeId, NodeSays>) {
        if (version.is_none() || self.hints.0 != version)
            && let Some(map) = read(self.store.map())
        {
            for (partition, fence) in &map.owners {
                let hint = self.hints.1.get_mut(usize::from(partition.0));
                if let (Some(hint), Some(token)) = (hint, token_of(fence)) {
                    *hint = token;
                }
            }
            self.hints.0 = Some(map.version);
        }
        let mut table = NodeTable {
            hints: self.hints.1.clone(),
            ..NodeTable::default()
        };
        let mut says = BTreeMap::new();
        for (name, entry) in nodes {
            if let Some(node) = node_named(&name) {
                let said = NodeSays::decode(&entry.says);
                let row = said.row(entry.incarnation, entry.beat, entry.state);
                table.nodes.insert(node, row);
                says.insert(node, said);
            }
        }
        (table, says)
    }

    fn claim(&mut self, partition: PartitionId, token: Token, expected: Token) -> PartitionNews {
        let claim = Claim {
            partition,
            fence: fence_of(token),
            seen: fence_of(expected),
            format: self.terms.format.clone(),
        };
        let claimed = self.store.claim(&claim);
        match self.vouched(claimed) {
            Some(Claimed::Granted(_)) => PartitionNews::Claimed,
            Some(Claimed::Taken(_)) => PartitionNews::Taken,
            Some(Claimed::Foreign(format)) => {
                tracing::error!(
                    partition = partition.0,
                    format,
                    "the partition is of another store"
                );
                PartitionNews::Failed
            }
            None => PartitionNews::Failed,
        }
    }

    fn look(&mut self, partition: PartitionId) -> (PartitionNews, Option<Places>) {
        let seen = self.store.look(partition);
        let Some(seen) = self.vouched(seen) else {
            return (PartitionNews::Failed, None);
        };
        let Some(token) = token_of(&seen.fence) else {
            tracing::error!(partition = partition.0, fence = %seen.fence, "no node has such a name");
            return (PartitionNews::Failed, None);
        };
        let position = seen.places.seq;
        (PartitionNews::Looked { token, position }, Some(seen.places))
    }

    fn release(&mut self, partition: PartitionId, token: Token, to: Token) -> PartitionNews {
        let next = owner_text(to.owner);
        match self.store.release(partition, &fence_of(token), &next) {
            Err(SharedStoreError::Fenced(_)) => PartitionNews::Fenced,
            released => match self.vouched(released) {
                Some(epoch) if epoch == to.epoch.0 => PartitionNews::Released,
                Some(_) | None => PartitionNews::Failed,
            },
        }
    }

    fn accept_loss(&mut self, partition: PartitionId, token: Token, last: u64) -> PartitionNews {
        match self.store.accept_loss(partition, &fence_of(token), last) {
            Err(SharedStoreError::Fenced(_)) => PartitionNews::Fenced,
            went_on => match self.vouched(went_on) {
                Some(_) => PartitionNews::WentOn,
                None => PartitionNews::Failed,
            },
        }
    }

    /// First where the partition stands, then its residents: so a place that is the same at the end is that of all of them.
    fn load(&mut self, partition: PartitionId, token: Token, is_off: &AtomicBool) -> PartitionNews {
        let seen = self.store.look(partition);
        let Some(seen) = self.vouched(seen) else {
            return PartitionNews::Failed;
        };
        let position = seen.places.seq;
        // Another has it by now: the look that follows tells the member.
        if token_of(&seen.fence) != Some(token) {
            return PartitionNews::Loaded { position };
        }
        match self.residents.bring(&mut *self.store, partition, is_off) {
            Ok(()) => PartitionNews::Loaded { position },
            Err(error) => {
                tracing::debug!(partition = partition.0, %error, "the residents were not loaded");
                PartitionNews::Failed
            }
        }
    }
}

fn answered(event: MemberEvent) -> JobDone {
    JobDone {
        event: Some(event),
        ..JobDone::default()
    }
}

fn read<T>(outcome: Outcome<T>) -> Option<T> {
    outcome
        .inspect_err(|error| tracing::debug!(%error, "the shared store was asked in vain"))
        .ok()
}

/// A beat does not count: because there is another row, or none.
fn ended(owner: Owner, row: Option<NodeEntry>) -> BeatAnswer {
    match row {
        Some(row) if row.incarnation >= owner.incarnation.0 => BeatAnswer::Dead,
        Some(_) | None => BeatAnswer::Stranger,
    }
}
