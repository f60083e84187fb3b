//! The desk by hand: requests, orders and outcomes in, jobs, answers and news out.

mod deleted_accounts;
mod outcomes;
mod ownership;
mod reading;
mod random;
mod servers;
pub(crate) mod simulated;
mod thread;
#[allow(unreachable_pub, reason = "shared with the tests outside")]
#[path = "../../../../../tests/shared_store/model.rs"]
pub(crate) mod model;

use std::net::Ipv4Addr;

use tokio::sync::watch;

use crate::base;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, PartitionId, Platform, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::logic::delivery::{Delivery, RegistryError, ToHttp, ToRegistry, ToShard, UserKey};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::shared::desk::Desk;
use crate::services::registry::shared::job::Job;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipOrder};
use crate::services::registry::shared::settings::{CACHE_BYTES, DeskSettings};
use crate::services::registry::shared::tail::TailLimits;
use crate::services::shared_store;
use crate::services::shared_store::calls::{Batch, LoadedRecords, Opaque, Places, RecordHash};
use crate::services::shared_store::outcome::{Fence, Outcome, Refusal, SharedStoreError, Vouched};
use crate::services::shared_store::settings::CopiesMissing;

const PARTITIONS: u16 = 4;
const SHARD: ShardId = ShardId(0);
const START: Timestamp = Timestamp(1_800_000_000_000);

fn settings() -> DeskSettings {
    DeskSettings {
        partitions: PARTITIONS,
        copies: 1,
        copies_missing: CopiesMissing::Wait,
        callbacks: watch::channel(Callbacks::All).1,
        tail: TailLimits::default(),
        cache_bytes: CACHE_BYTES,
    }
}

/// A desk with a clock.
struct TestDesk {
    desk: Desk,
    confirmed: ConfirmedPlaces,
    health: RegistryHealth,
    /// Under which everything is read.
    fence: Fence,
    passed_ms: u64,
}

impl TestDesk {
    fn new(settings: DeskSettings) -> Self {
        let confirmed = ConfirmedPlaces::new(settings.partitions);
        let health = RegistryHealth::default();
        let desk = Desk::new(settings, confirmed.clone(), health.clone());
        let mut desk = Self {
            desk,
            confirmed,
            health,
            fence: fence(1),
            passed_ms: 0,
        };
        desk.pass(0);
        desk
    }

    /// One that owns all partitions, of which nothing was ever written.
    fn owner(settings: DeskSettings) -> Self {
        let mut desk = Self::new(settings);
        for partition in 0..PARTITIONS {
            let order = OwnershipOrder::Own(PartitionId(partition), fence(1), Places::default());
            desk.desk.order(order);
        }
        desk
    }

    fn pass(&mut self, ms: u64) {
        self.passed_ms += ms;
        self.desk.tell_time(Now {
            instant: Instant(1_000_000 + self.passed_ms),
            wall: Timestamp(START.0 + self.passed_ms),
        });
    }

    fn job(&mut self) -> Job {
        self.desk.job(|_| true)
    }

    /// The only batch that is wanted, if any is, after records that nobody has yet were read.
    fn batch(&mut self) -> Option<(u64, Batch)> {
        let mut job = self.job();
        if !job.reads.is_empty() {
            assert_eq!(job.batches, []);
            let reads = job.reads.into_iter();
            let reads = reads.map(|wanted| {
                let records = vec![None; wanted.users.len()];
                let found = recorded(self.loaded(wanted.partition, records));
                (wanted, found)
            });
            let reads: Vec<_> = reads.collect();
            self.desk
                .done(crate::services::registry::shared::job::JobOutcomes {
                    reads,
                    ..Default::default()
                });
            job = self.job();
        }
        assert!(job.batches.len() <= 1 && job.reads.is_empty(), "{job:?}");
        job.batches.pop()
    }

    /// What is read of a partition that stands as the desk thinks.
    fn loaded(&self, partition: PartitionId, records: Vec<Option<(RecordHash, Opaque)>>) -> LoadedRecords {
        LoadedRecords {
            fence: self.fence.clone(),
            seq: self.confirmed.of(partition).0,
            records,
        }
    }

    /// The next batch, which there is.
    fn sent(&mut self) -> (u64, Batch) {
        self.batch().expect("a batch is wanted")
    }

    fn outcome(&mut self, sent: (u64, Batch), outcome: Outcome<Vouched<u64>>) {
        self.unpublished_outcome(sent, outcome);
        self.desk.publish();
    }

    fn unpublished_outcome(&mut self, (ticket, batch): (u64, Batch), outcome: Outcome<Vouched<u64>>) {
        self.desk
            .done(crate::services::registry::shared::job::JobOutcomes {
                batches: vec![(ticket, batch.partition, outcome)],
                ..Default::default()
            });
    }

    /// The store records what is wanted, until nothing is.
    fn record_all(&mut self) {
        self.pass(2_000);
        while let Some((ticket, batch)) = self.batch() {
            let end = end(&batch);
            self.outcome((ticket, batch), recorded(end));
        }
    }

    /// What was said of commits.
    fn committed(&mut self) -> Vec<(u32, Result<(), RegistryError>)> {
        let answers = self.desk.take_answers().into_iter();
        let of_commit = |answer| {
            let Delivery::Shard(SHARD, answer) = answer else {
                panic!("{answer:?}");
            };
            let ToShard::Committed(UserKey(key), outcome) = answer else {
                return None;
            };
            Some((key, outcome.map(|_| ())))
        };
        answers.filter_map(of_commit).collect()
    }

    fn http(&mut self) -> ToHttp {
        match &self.desk.take_answers()[..] {
            [Delivery::Http(reply)] => reply.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn log_in(&mut self, key: u32, user: UserId, number: u64) {
        self.desk.request(login(key, user, number));
    }
}

fn fence(epoch: u64) -> Fence {
    Fence {
        owner: "me 1".into(),
        epoch,
    }
}

fn recorded<T>(answer: T) -> Outcome<Vouched<T>> {
    Ok(Vouched { answer, copies: 1 })
}

fn in_one_copy<T>(answer: T) -> Outcome<Vouched<T>> {
    Ok(Vouched { answer, copies: 0 })
}

fn unknown<T>() -> Outcome<T> {
    Err(SharedStoreError::Unknown("lost".to_owned()))
}

fn not_executed<T>() -> Outcome<T> {
    let text = "LOADING".to_owned();
    Err(SharedStoreError::NotExecuted {
        why: Refusal::Loading,
        text,
    })
}

fn behind<T>(place: u64) -> Outcome<T> {
    Err(SharedStoreError::Behind(place))
}

fn fenced<T>() -> Outcome<T> {
    Err(SharedStoreError::Fenced(Fence {
        owner: "another 2".into(),
        epoch: 2,
    }))
}

/// The place of the last change when a batch is recorded.
fn end(batch: &Batch) -> u64 {
    batch.first + u64::from(batch.count) - 1
}

/// A user of this partition: each number is another one.
fn user_of(partition: u16, number: usize) -> UserId {
    let names = (0..).map(|count| UserId::new(format!("user-{count}").as_bytes()).unwrap());
    let mut users = names.filter(|user| user.partition(PARTITIONS) == PartitionId(partition));
    users.nth(number).unwrap()
}

fn commit_of(user: UserId, changes: Vec<Change>) -> Commit {
    Commit {
        user,
        changes,
        kicked_at_s: None,
        account: AccountStep::Keep,
    }
}

/// A change that is told from all others by its mark.
fn change(number: u64, kind: ChangeKind, mark: u32) -> Change {
    Change {
        number: ChangeNumber(number),
        at: START,
        device: DeviceId {
            platform: Platform::Web,
            instance: InstanceId::MIN,
        },
        kind,
        address: Some(Ipv4Addr::from_bits(mark).to_ipv6_mapped()),
    }
}

fn login_kind(number: u64) -> ChangeKind {
    ChangeKind::Login {
        fresh: ChangeNumber(number),
        forced_off: Vec::new(),
    }
}

fn login(key: u32, user: UserId, number: u64) -> ToRegistry {
    let commit = commit_of(user, vec![change(number, login_kind(number), 1)]);
    ToRegistry::Commit(SHARD, UserKey(key), Box::new(commit))
}

/// A commit of nothing.
fn vouch(key: u32, user: UserId) -> ToRegistry {
    ToRegistry::Commit(SHARD, UserKey(key), Box::new(commit_of(user, Vec::new())))
}
