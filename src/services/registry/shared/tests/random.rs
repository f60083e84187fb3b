//! A desk on a store whose servers fail at random: what was confirmed is in the store at the end, once and in order, and what was
//! refused is not.
//!
//! The store is a master and a replica. A call may be refused, executed without an answer, executed late or twice; the replica may
//! lag; a replica that lags may be promoted, and even one that lacks what was confirmed; a former master may go on answering.

use std::collections::BTreeMap;

use super::model::{Kind, ModelStore};
use super::servers::Servers;
use super::*;
use crate::logic::record::UserRecord;
use crate::services::registry::archive::Position;
use crate::services::registry::codec;
use crate::services::registry::shared::batch_codec::decode_batch;
use crate::services::registry::shared::job::JobOutcomes;
use crate::services::registry::shared::ownership::OwnershipNews;
use crate::services::shared_store::calls::{Claim, Claimed, SharedStore};

const USERS: usize = 12;
const STEPS: usize = 400;
const SEEDS: u64 = 100;

/// What users are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Loading,
    Vouching,
    /// The change with this mark is with the desk.
    Committing(u32),
}

struct TestUser {
    user: UserId,
    number: u64,
    doing: Doing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Confirmed,
    Refused,
    /// Another owner knows.
    Open,
}

struct World {
    desk: TestDesk,
    servers: Servers,
    users: Vec<TestUser>,
    marks: u32,
    fates: BTreeMap<u32, (UserId, Fate)>,
    /// Marks of a user in the order of their confirmation.
    confirmed: Vec<u32>,
    epoch: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let servers = Servers {
            random: fastrand::Rng::with_seed(seed),
            master: ModelStore::default(),
            replica: ModelStore::default(),
            former: ModelStore::default(),
            past: Vec::new(),
            late: Vec::new(),
            peace: false,
        };
        let users = (0..USERS).map(|number| TestUser {
            user: UserId::new(format!("user-{number}").as_bytes()).unwrap(),
            number: 0,
            doing: Doing::Nothing,
        });
        let mut settings = settings();
        settings.cache_bytes = 1_000;
        let mut world = Self {
            desk: TestDesk::new(settings),
            servers,
            users: users.collect(),
            marks: 0,
            fates: BTreeMap::new(),
            confirmed: Vec::new(),
            epoch: 0,
        };
        for partition in 0..PARTITIONS {
            let (fence, places) = world.claim(PartitionId(partition));
            let order = OwnershipOrder::Own(PartitionId(partition), fence, places);
            world.desk.desk.order(order);
        }
        world
    }

    /// The present master grants a claim, in a new epoch.
    fn claim(&mut self, partition: PartitionId) -> (Fence, Places) {
        self.epoch += 1;
        let servers = &mut self.servers;
        let seen = servers.master.look(partition).unwrap().answer.fence;
        let claim = Claim {
            partition,
            fence: fence(self.epoch),
            seen,
            format: "1 store".to_owned(),
        };
        let Claimed::Granted(places) = servers.master.claim(&claim).unwrap().answer else {
            panic!("nobody else claims");
        };
        servers.replica = servers.master.clone();
        servers.past.push(servers.master.clone());
        (claim.fence, places)
    }

    fn step(&mut self) {
        let ms = self.servers.random.u64(0..60);
        self.desk.pass(ms);
        for _ in 0..self.servers.random.usize(0..3) {
            let user = self.servers.random.usize(0..USERS);
            self.ask(user);
        }
        self.servers.trouble();
        if self.servers.random.u8(0..100) == 0 && !self.servers.peace {
            let partition = PartitionId(self.servers.random.u16(0..PARTITIONS));
            self.move_away_and_back(partition);
        }
        self.work();
    }

    /// The desk's job is carried out, and its answers are taken.
    fn work(&mut self) {
        let job = self.desk.job();
        for (_, batch) in &job.batches {
            let known = self.desk.confirmed.of(batch.partition);
            assert!(batch.durable <= known.0, "durable is ahead: {batch:?}");
        }
        let mut outcomes = JobOutcomes::default();
        for (ticket, batch) in job.batches {
            let outcome = self.servers.commit(&batch);
            outcomes.batches.push((ticket, batch.partition, outcome));
        }
        for wanted in job.reads {
            let refused = !self.servers.peace && self.servers.random.u8(0..10) == 0;
            let users = [(wanted.partition, wanted.users.clone())];
            let Vouched { answer, .. } = self.servers.master.load(&users).remove(0).unwrap();
            let outcome = if refused { not_executed() } else { recorded(answer) };
            outcomes.reads.push((wanted, outcome));
        }
        self.desk.desk.done(outcomes);
        self.desk.desk.publish();
        for news in self.desk.desk.take_news() {
            self.hear(&news);
        }
        for answer in self.desk.desk.take_answers() {
            self.take(answer);
        }
    }

    /// What the membership does: it looks at the present master.
    fn hear(&mut self, news: &OwnershipNews) {
        let partition = match news {
            OwnershipNews::Fenced(partition, _) | OwnershipNews::Behind(partition, _) => *partition,
            OwnershipNews::Settled(_) => panic!("nobody asked"),
        };
        let (fence, _) = self.claim(partition);
        self.desk.desk.order(OwnershipOrder::Resume(partition, fence));
    }

    /// Another node has it for a while.
    fn move_away_and_back(&mut self, partition: PartitionId) {
        let places = self.servers.master.look(partition).unwrap().answer.places;
        if Position(places.seq) < self.desk.confirmed.of(partition) {
            // It would be behind the witness.
            return;
        }
        self.desk.desk.order(OwnershipOrder::Lose(partition));
        for answer in self.desk.desk.take_answers() {
            self.take(answer);
        }
        // The node that had it is gone: what it alone could repair must not be lost now.
        self.servers.past.clear();
        let (fence, places) = self.claim(partition);
        self.desk
            .desk
            .order(OwnershipOrder::Own(partition, fence, places));
    }

    fn ask(&mut self, place: usize) {
        let key = UserKey(place as u32);
        let asker = &mut self.users[place];
        if asker.doing != Doing::Nothing {
            return;
        }
        if self.servers.random.u8(0..8) == 0 {
            asker.doing = Doing::Loading;
            let load = ToRegistry::Load(SHARD, key, asker.user);
            return self.desk.desk.request(load);
        }
        self.marks += 1;
        let number = asker.number + 1;
        let kind = if number % 2 == 1 {
            login_kind(number)
        } else {
            ChangeKind::Logout
        };
        let commit = commit_of(asker.user, vec![change(number, kind, self.marks)]);
        asker.doing = Doing::Committing(self.marks);
        self.fates.insert(self.marks, (asker.user, Fate::Open));
        self.desk
            .desk
            .request(ToRegistry::Commit(SHARD, key, Box::new(commit)));
    }

    fn take(&mut self, answer: Delivery) {
        let Delivery::Shard(SHARD, answer) = answer else {
            panic!("{answer:?}");
        };
        if let ToShard::Loaded(UserKey(key), record) = answer {
            let asker = &mut self.users[key as usize];
            assert_eq!(asker.doing, Doing::Loading);
            asker.doing = Doing::Nothing;
            if let Ok(record) = record {
                asker.number = record.map_or(0, |record| record.change.0);
            }
        } else if let ToShard::Committed(UserKey(key), outcome) = answer {
            self.answered(key, outcome);
        } else {
            panic!("{answer:?}");
        }
    }

    fn answered(&mut self, key: u32, outcome: Result<Timestamp, RegistryError>) {
        let asker = &mut self.users[key as usize];
        let doing = std::mem::replace(&mut asker.doing, Doing::Nothing);
        let Doing::Committing(mark) = doing else {
            return assert_eq!(doing, Doing::Vouching);
        };
        let (_, fate) = self.fates.get_mut(&mark).unwrap();
        match outcome {
            Ok(_) => {
                asker.number += 1;
                *fate = Fate::Confirmed;
                self.confirmed.push(mark);
            }
            Err(RegistryError::Unavailable) => *fate = Fate::Refused,
            // The shard forgets the user, and learns where it stands from the record.
            Err(RegistryError::Superseded) => self.reload(key),
        }
    }

    fn reload(&mut self, key: u32) {
        let asker = &mut self.users[key as usize];
        let users = [(asker.user.partition(PARTITIONS), vec![asker.user])];
        let Vouched { answer, .. } = self.servers.master.load(&users).remove(0).unwrap();
        let record = answer.records[0]
            .as_ref()
            .map(|(_, bytes)| codec::decode_user(bytes).unwrap().record);
        asker.number = record.map_or(0, |record| record.change.0);
    }

    /// All trouble ends, and everything is worked off.
    fn end(&mut self) {
        self.servers.peace = true;
        self.servers.late.clear();
        // What the store lost is noticed with the next batch, be it empty.
        for place in 0..USERS {
            if self.users[place].doing == Doing::Nothing {
                self.users[place].doing = Doing::Vouching;
                self.desk
                    .desk
                    .request(vouch(place as u32, self.users[place].user));
            }
        }
        for _ in 0..50 {
            self.desk.pass(1_000);
            self.work();
        }
        assert!(self.desk.desk.is_idle(), "{:?}", self.desk.desk.figures());
        assert!(self.users.iter().all(|user| user.doing == Doing::Nothing));
    }

    /// What the store has is one history, with all that was confirmed and nothing that was refused.
    fn check(&mut self) {
        let mut stored = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            stored.extend(self.check_partition(partition));
        }
        assert_eq!(self.desk.desk.figures().mismatched, 0);
        for (mark, (user, fate)) in &self.fates {
            let count = stored.iter().filter(|known| *known == mark).count();
            match fate {
                Fate::Confirmed => assert_eq!(count, 1, "{mark} of {user} is lost or doubled"),
                Fate::Refused => assert_eq!(count, 0, "{mark} of {user} was refused"),
                Fate::Open => assert!(count <= 1, "{mark} of {user} is doubled"),
            }
        }
        for user in &self.users {
            let of = |marks: &[u32]| -> Vec<u32> {
                let is_of = |mark: &&u32| self.fates[*mark] == (user.user, Fate::Confirmed);
                marks.iter().filter(is_of).copied().collect()
            };
            assert_eq!(of(&stored), of(&self.confirmed), "{}", user.user);
        }
    }

    /// Gives the marks of a partition's changes.
    fn check_partition(&self, partition: PartitionId) -> Vec<u32> {
        let kept = &self.servers.master.partitions[&partition];
        assert_eq!(Position(kept.places.seq), self.desk.confirmed.of(partition));
        let (mut marks, mut place, mut latest) = (Vec::new(), 0, Timestamp(0));
        let mut records: BTreeMap<UserId, (UserRecord, Position)> = BTreeMap::new();
        for (first, bytes) in &kept.stream {
            assert_eq!(*first, place + 1, "{partition:?}");
            for link in decode_batch(bytes).unwrap() {
                place += 1;
                let recorded = link.recorded;
                let (record, last) = records.entry(recorded.user).or_default();
                assert_eq!(link.before, *last, "the chain of {}", recorded.user);
                *last = Position(place);
                assert!(recorded.change.at >= latest, "dates go on");
                latest = recorded.change.at;
                let address = recorded.change.address.unwrap().to_ipv4_mapped().unwrap();
                marks.push(address.to_bits());
                record.apply(&commit_of(recorded.user, vec![recorded.change]));
            }
        }
        assert_eq!((place, latest.0), (kept.places.seq, kept.places.latest));
        assert_eq!(records.len(), kept.users.len());
        for (user, (record, last)) in records {
            let (kind, bytes) = &kept.users[&user];
            let stored = codec::decode_user(bytes).unwrap();
            assert_eq!(
                (stored.record.change, stored.last),
                (record.change, last),
                "{user}"
            );
            assert_eq!(stored.record.devices, record.devices, "{user}");
            let is_resident = !record.devices.is_empty();
            assert_eq!(*kind == Kind::Resident, is_resident, "{user}");
        }
        marks
    }
}

#[test]
fn what_was_confirmed_is_in_the_store_once_and_in_order() {
    for seed in 0..SEEDS {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.end();
        world.check();
    }
}
