//! Has done what a member wants: hands requests to the threads that ask the shared store, tells shards and desk. Decides nothing.

use crate::base::ids::PartitionId;
use crate::base::receipt::Receipt;
use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;
use crate::logic::delivery::ToShard;
use crate::services::cluster::act::{MemberAct, PartitionRequest};
use crate::services::cluster::driver::{MemberDriver, SettlingPartition};
use crate::services::cluster::job::{OwnBeat, StoreJob};
use crate::services::cluster::token::{Owner, Token};
use crate::services::cluster::wording::fence_of;
use crate::services::registry::shared::ownership::OwnershipOrder;
use crate::services::shared_store::calls::NodeState;

impl MemberDriver {
    pub(super) fn act(&mut self, now: Instant, act: MemberAct) {
        match act {
            MemberAct::Survey => self.workers.ask(StoreJob::Survey),
            MemberAct::Join { over } => self.workers.ask(StoreJob::Join { over }),
            MemberAct::Beat {
                owner,
                number,
                state,
                unreachable,
            } => self.beat(OwnBeat {
                owner,
                number,
                state,
                unreachable,
            }),
            MemberAct::Depart { owner, state } => self.depart(owner, state),
            MemberAct::Bury(row) => self.workers.ask(StoreJob::Bury(row)),
            MemberAct::Publish { partition, token } => self.workers.ask(StoreJob::Publish(partition, token)),
            MemberAct::Ask {
                partition,
                token,
                request: PartitionRequest::Settle,
            } => self.settle(partition, token),
            MemberAct::Ask {
                partition,
                token,
                request,
            } => {
                if matches!(request, PartitionRequest::AcceptLoss { .. }) && self.lose(partition) {
                    self.send_users_away(partition);
                }
                if let Some(job) = self.kept.jobs.ask(partition, token, request) {
                    self.workers.ask(job);
                }
            }
            MemberAct::Lease(lease) => self.lease(now, lease),
            MemberAct::Open { partition, .. } => self.open(partition),
            MemberAct::Resume { partition, .. } => self.resume(partition),
            MemberAct::Drop(partition) => self.drop_partition(partition),
            MemberAct::SendAway { .. } => self.send_away(),
            MemberAct::Alarm(alarm) => tracing::error!(?alarm, "the shared store is not what it was"),
            MemberAct::End(ending) => self.kept.ending = Some(ending),
        }
    }

    fn beat(&mut self, beat: OwnBeat) {
        self.kept.last_beat = beat.number;
        let unreachable = self.missed(beat.unreachable);
        self.workers.ask(StoreJob::Beat(OwnBeat { unreachable, ..beat }));
    }

    /// A last beat says so: its number is above all before, so none of these can undo it.
    fn depart(&mut self, owner: Owner, state: NodeState) {
        self.kept.last_beat += 1;
        self.workers.ask(StoreJob::Depart(OwnBeat {
            owner,
            number: self.kept.last_beat,
            state,
            unreachable: Vec::new(),
        }));
    }

    fn lease(&mut self, now: Instant, lease: Lease) {
        if lease.holds(now) {
            self.joining = None;
        }
        self.published.lease.send_replace(lease);
        self.shards.tell(&ToShard::Lease(lease));
    }

    /// The desk hears of it before the shards, which may commit as soon as they do.
    fn open(&mut self, partition: PartitionId) {
        let (Some(places), Some(token)) = (
            self.kept.places.get(&partition).copied(),
            self.membership.held_token(partition),
        ) else {
            return;
        };
        self.kept.owned.insert(partition, token);
        let order = OwnershipOrder::Own(partition, fence_of(token), places);
        self.order(&order);
        self.shards.tell(&ToShard::Open(partition));
    }

    fn resume(&mut self, partition: PartitionId) {
        let Some(token) = self.membership.held_token(partition) else {
            return;
        };
        self.kept.owned.insert(partition, token);
        self.order(&OwnershipOrder::Resume(partition, fence_of(token)));
        // It was refused while it settled: its users go on.
        if self.kept.settling.remove(&partition).is_some() {
            self.shards.tell(&ToShard::Open(partition));
        }
    }

    fn settle(&mut self, partition: PartitionId, token: Token) {
        let (receipt, receipts) = Receipt::new();
        self.shards.tell(&ToShard::Settle(partition, receipt));
        let shards = Some(receipts);
        self.kept
            .settling
            .insert(partition, SettlingPartition { token, shards });
    }

    fn drop_partition(&mut self, partition: PartitionId) {
        self.forget(partition);
        self.send_users_away(partition);
    }

    /// Nothing else is done about the partition before what its users have asked of the desk is answered: the desk would take it for
    /// what is asked when the partition is this node's again.
    fn send_users_away(&mut self, partition: PartitionId) {
        let (receipt, receipts) = Receipt::new();
        self.shards.tell(&ToShard::Drop(partition, receipt));
        self.kept.jobs.leave(partition, receipts);
    }

    fn forget(&mut self, partition: PartitionId) {
        self.kept.jobs.call_off(partition);
        self.kept.settling.remove(&partition);
        self.lose(partition);
    }

    /// Whatever is in flight of it is not recorded. Says whether the desk had it.
    fn lose(&mut self, partition: PartitionId) -> bool {
        let had = self.kept.owned.remove(&partition).is_some();
        if had {
            self.order(&OwnershipOrder::Lose(partition));
        }
        had
    }

    fn send_away(&mut self) {
        tracing::warn!("the node was cut off, or called dead: its terminals are sent away");
        self.kept.jobs.call_all_off();
        let owned: Vec<PartitionId> = self.kept.owned.keys().copied().collect();
        let (receipt, receipts) = Receipt::new();
        for partition in owned {
            self.forget(partition);
            self.kept.jobs.leave(partition, receipts.clone());
        }
        self.shards.tell(&ToShard::SendAway(receipt));
    }
}
