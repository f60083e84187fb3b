//! The desk: a registry whose records lie in a store that other nodes share. Takes requests, orders and outcomes, and gives jobs for
//! the store, answers and news. Pure: no I/O, no clock, no thread.
//!
//! Of each partition that the node owns one batch is under way at a time; what comes meanwhile makes the next one, so the busier the
//! store is, the larger the batches. What a user is told follows the confirmation by as many copies as the settings want.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::base::ids::{PartitionId, RequestId, UserId};
use crate::base::time::{Instant, Now};
use crate::logic::delivery::{AccountsRequest, Delivery, RegistryError, ToHttp, ToRegistry, ToShard};
use crate::logic::record::UserRecord;
use crate::logic::user_status::{UserStatus, UserStatuses};
use crate::services::registry::codec;
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::shared::cache::RecordCache;
use crate::services::registry::shared::gathering::{GatheredRequest, GatheringId, Gatherings, PartAnswer};
use crate::services::registry::shared::job::{Job, JobOutcomes, ReadPurpose, WantedRecords};
use crate::services::registry::shared::output::DeskCommon;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::registry::shared::partition::{PartitionDesk, WantedCall};
use crate::services::registry::shared::settings::{DeskFigures, DeskSettings};
use crate::services::registry::shared::tail::Tails;
use crate::services::registry::shared::verdict::are_enough;
use crate::services::registry::shared::writes::QueuedWrite;
use crate::services::shared_store::calls::{LOAD_USERS_MAX, LoadedRecords};
use crate::services::shared_store::outcome::{Outcome, Vouched};

/// The state of a desk.
#[derive(Debug)]
pub struct Desk {
    common: DeskCommon,
    owned: BTreeMap<PartitionId, PartitionDesk>,
    gatherings: Gatherings,
    /// Parts that wait to be read.
    to_read: BTreeMap<PartitionId, Vec<ReadPart>>,
    /// Parts that are being read, by the ticket of their call.
    reading: HashMap<u64, Vec<ReadPart>>,
}

/// A part of a request that has to be read.
type ReadPart = (GatheringId, Vec<UserId>);

impl Desk {
    /// A desk that owns nothing.
    #[must_use]
    pub fn new(settings: DeskSettings, confirmed: ConfirmedPlaces, health: RegistryHealth) -> Self {
        let common = DeskCommon {
            cache: RecordCache::new(settings.cache_bytes),
            tails: Tails::new(settings.tail),
            settings,
            confirmed,
            figures: DeskFigures::default(),
            health,
            now: Now::default(),
            answers: Vec::new(),
            news: Vec::new(),
            unpublished: Vec::new(),
            parts: Vec::new(),
            tickets: 0,
        };
        Self {
            common,
            owned: BTreeMap::new(),
            gatherings: Gatherings::default(),
            to_read: BTreeMap::new(),
            reading: HashMap::new(),
        }
    }

    /// It is this time. The wall clock is one that nobody sets.
    pub fn tell_time(&mut self, now: Now) {
        self.common.now = now;
    }

    /// Carries out an order of the membership.
    pub fn order(&mut self, order: OwnershipOrder) {
        match order {
            OwnershipOrder::Own(partition, fence, places) => {
                self.lose(partition);
                let owned = PartitionDesk::new(partition, fence, places, &self.common);
                self.owned.insert(partition, owned);
            }
            OwnershipOrder::Resume(partition, fence) => {
                if let Some(owned) = self.owned.get_mut(&partition) {
                    owned.resume(fence);
                }
            }
            OwnershipOrder::Settle(partition) => match self.owned.get_mut(&partition) {
                Some(owned) => owned.settle(),
                None => self.common.news.push(OwnershipNews::Settled(partition)),
            },
            OwnershipOrder::Lose(partition) => self.lose(partition),
            OwnershipOrder::Forget(partition, candidates) => {
                if let Some(owned) = self.owned.get_mut(&partition) {
                    owned.write(&mut self.common, QueuedWrite::Forget(candidates));
                }
            }
        }
        self.finish_turn();
    }

    fn lose(&mut self, partition: PartitionId) {
        // Or else its old place would be told after a new one.
        self.publish();
        if let Some(owned) = self.owned.remove(&partition) {
            owned.lose(&mut self.common);
        }
    }

    /// Takes a request.
    pub fn request(&mut self, request: ToRegistry) {
        match request {
            ToRegistry::Load(shard, key, user) => match self.owner_of(&user) {
                Some((owned, common)) => owned.read(common, shard, key, user),
                None => {
                    let answer = ToShard::Loaded(key, Err(RegistryError::Superseded));
                    self.common.answers.push(Delivery::Shard(shard, answer));
                }
            },
            ToRegistry::Commit(shard, key, commit) => match self.owner_of(&commit.user) {
                Some((owned, common)) => owned.write(common, QueuedWrite::of_commit(shard, key, commit)),
                None => self.common.committed(shard, key, Err(RegistryError::Superseded)),
            },
            ToRegistry::Complete(request, users) => self.complete(request, users),
            ToRegistry::Accounts(request, AccountsRequest::Check, users) => {
                let wanted = users.clone();
                self.read(request, GatheredRequest::Accounts(users), wanted);
            }
            ToRegistry::Accounts(request, AccountsRequest::Import, users) => self.import(request, users),
        }
        self.finish_parts();
    }

    fn partition_of(&self, user: &UserId) -> PartitionId {
        user.partition(self.common.settings.partitions)
    }

    fn owner_of(&mut self, user: &UserId) -> Option<(&mut PartitionDesk, &mut DeskCommon)> {
        let partition = self.partition_of(user);
        let owned = self.owned.get_mut(&partition)?;
        Some((owned, &mut self.common))
    }

    fn complete(&mut self, request: RequestId, mut users: UserStatuses) {
        let mut wanted = Vec::new();
        users.resolve(|user| {
            wanted.push(*user);
            UserStatus::Unresolved
        });
        self.read(request, GatheredRequest::Complete(users), wanted);
    }

    /// Answers from what is confirmed here, and has the store read the rest.
    fn read(&mut self, request: RequestId, gathered: GatheredRequest, wanted: Vec<UserId>) {
        let mut found = HashMap::new();
        let mut parts: BTreeMap<PartitionId, Vec<UserId>> = BTreeMap::new();
        for user in wanted {
            let partition = self.partition_of(&user);
            let counts = self.owned.get(&partition).is_some_and(PartitionDesk::is_deciding);
            match counts.then(|| self.common.cache.get(&user)).flatten() {
                Some(known) => drop(found.insert(user, known.map(|known| known.record))),
                None => parts.entry(partition).or_default().push(user),
            }
        }
        let id = self.gatherings.begin(request, gathered, found, parts.len());
        self.common.answers.extend(self.gatherings.finish(id));
        for (partition, users) in parts {
            self.to_read.entry(partition).or_default().push((id, users));
        }
    }

    /// Registers accounts, if all are of partitions of this node: others are registered by their owners. If a part of them fails,
    /// others may be registered: whoever asks again is told that these exist.
    fn import(&mut self, request: RequestId, users: Vec<UserId>) {
        let mut parts: BTreeMap<PartitionId, Vec<UserId>> = BTreeMap::new();
        for user in &users {
            parts.entry(self.partition_of(user)).or_default().push(*user);
        }
        let takes = |partition| self.owned.get(partition).is_some_and(PartitionDesk::takes);
        if !parts.keys().all(takes) {
            let answer = ToHttp::Accounts(request, Err(RegistryError::Unavailable));
            return self.common.answers.push(answer.into());
        }
        let gathered = GatheredRequest::Accounts(users);
        let id = self
            .gatherings
            .begin(request, gathered, HashMap::new(), parts.len());
        self.common.answers.extend(self.gatherings.finish(id));
        for (partition, users) in parts {
            let owned = self.owned.get_mut(&partition).expect("it takes something");
            owned.write(&mut self.common, QueuedWrite::Import(id, users));
        }
    }

    /// What is wanted of the store now, for partitions for which `belongs` holds: those of one master, say.
    #[must_use]
    pub fn job(&mut self, belongs: impl Fn(PartitionId) -> bool) -> Job {
        let mut job = Job::default();
        let waiting = self.owned.iter_mut().filter(|(_, owned)| !owned.is_idle());
        for (partition, owned) in waiting.filter(|(partition, _)| belongs(**partition)) {
            match owned.next_call(&mut self.common) {
                None => {}
                Some(WantedCall::Batch(ticket, batch)) => job.batches.push((ticket, batch)),
                Some(WantedCall::Load(ticket, users)) => job.reads.push(WantedRecords {
                    ticket,
                    purpose: ReadPurpose::Load,
                    partition: *partition,
                    users,
                }),
            }
        }
        for (partition, parts) in self.to_read.extract_if(.., |partition, _| belongs(*partition)) {
            job.reads
                .extend(reads_of(partition, parts, &mut self.common, &mut self.reading));
        }
        self.finish_turn();
        job
    }

    /// What came of a job.
    pub fn done(&mut self, outcomes: JobOutcomes) {
        for (ticket, partition, outcome) in outcomes.batches {
            if let Some(owned) = self.owned.get_mut(&partition) {
                owned.recorded(&mut self.common, ticket, outcome);
            }
        }
        for (wanted, outcome) in outcomes.reads {
            match wanted.purpose {
                ReadPurpose::Answer => self.was_read(wanted, outcome),
                ReadPurpose::Load => {
                    if let Some(owned) = self.owned.get_mut(&wanted.partition) {
                        owned.loaded(&mut self.common, (wanted.ticket, wanted.users), outcome);
                    }
                }
            }
        }
        self.finish_turn();
    }

    fn was_read(&mut self, wanted: WantedRecords, outcome: Outcome<Vouched<LoadedRecords>>) {
        let parts = self.reading.remove(&wanted.ticket).expect("it is being read");
        let records = self.vouched_records(&wanted, outcome);
        for (id, users) in parts {
            let of = |user: &UserId| Some((*user, records.get(user)?.clone()));
            let answer = match users.iter().map(of).collect() {
                Some(found) => PartAnswer::Records(found),
                None => PartAnswer::Unavailable,
            };
            self.common.parts.push((id, answer));
        }
    }

    /// Whose records were read, if the store vouches for it.
    fn vouched_records(
        &self,
        WantedRecords { partition, users, .. }: &WantedRecords,
        outcome: Outcome<Vouched<LoadedRecords>>,
    ) -> HashMap<UserId, Option<UserRecord>> {
        let confirmed = self.owned.get(partition).map_or(0, |owned| owned.last);
        let records = match outcome {
            // Of a partition of this node's nothing counts that is older than what was confirmed.
            Ok(Vouched { answer, copies })
                if are_enough(copies, &self.common.settings) && answer.seq >= confirmed =>
            {
                answer.records
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let decoded = users
            .iter()
            .zip(records)
            .filter_map(|(user, record)| match record {
                None => Some((*user, None)),
                Some((_, bytes)) => Some((*user, Some(codec::decode_user(&bytes).ok()?.record))),
            });
        decoded.collect()
    }

    /// Answers whose last part came, and what is settled.
    fn finish_turn(&mut self) {
        for owned in self.owned.values_mut() {
            owned.tell_if_settled(&mut self.common);
        }
        self.finish_parts();
    }

    fn finish_parts(&mut self) {
        for (id, answer) in std::mem::take(&mut self.common.parts) {
            self.common.answers.extend(self.gatherings.add(id, answer));
        }
    }

    /// Tells everyone how far partitions are confirmed. To be called when the answers have gone out: a callback of a change must not
    /// overtake what the shards are told of it.
    pub fn publish(&mut self) {
        for (partition, place) in self.common.unpublished.drain(..) {
            self.common.confirmed.set(partition, place);
        }
    }

    /// Answers so far, in the order in which they became known.
    pub fn take_answers(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.common.answers)
    }

    /// News for the membership.
    pub fn take_news(&mut self) -> Vec<OwnershipNews> {
        std::mem::take(&mut self.common.news)
    }

    /// When there is a job again without anything happening. What can be done by now is not named: whoever can do it, asks for it.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let due = self.owned.values().filter_map(PartitionDesk::due);
        due.filter(|due| *due > self.common.now.instant).min()
    }

    /// Whether nobody waits for anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.to_read.is_empty() && self.reading.is_empty() && self.owned.values().all(PartitionDesk::is_idle)
    }

    /// The figures as they are.
    #[must_use]
    pub fn figures(&self) -> DeskFigures {
        let count = |holds: fn(&PartitionDesk) -> bool| {
            self.owned.values().filter(|owned| holds(owned)).count() as u64
        };
        DeskFigures {
            partitions_now: self.owned.len() as u64,
            in_flight_now: count(PartitionDesk::has_batch),
            stopped_now: count(|owned| !owned.is_deciding()),
            waiting_now: self.owned.values().map(|owned| owned.waiting() as u64).sum(),
            tail_bytes_now: self.common.tails.bytes() as u64,
            cache_bytes_now: self.common.cache.bytes() as u64,
            ..self.common.figures
        }
    }
}

/// Parts of one partition as calls with at most [`LOAD_USERS_MAX`] users.
fn reads_of(
    partition: PartitionId,
    parts: Vec<ReadPart>,
    common: &mut DeskCommon,
    reading: &mut HashMap<u64, Vec<ReadPart>>,
) -> Vec<WantedRecords> {
    let mut calls: Vec<WantedRecords> = Vec::new();
    for (id, users) in parts {
        let last = calls.last_mut();
        let call = match last.filter(|call| call.users.len() + users.len() <= LOAD_USERS_MAX) {
            Some(call) => call,
            None => calls.push_mut(WantedRecords {
                ticket: common.ticket(),
                purpose: ReadPurpose::Answer,
                partition,
                users: Vec::new(),
            }),
        };
        call.users.extend(&users);
        reading.entry(call.ticket).or_default().push((id, users));
    }
    calls
}
