//! The world's registry: slow, fallible, in any order across users. Watches what it is asked: that is where most of the
//! rules of the house show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::base::ids::{ChangeNumber, DeviceId, ShardId, UserId};
use crate::base::time::Timestamp;
use crate::logic::delivery::{RegistryError, ToShard, UserKey};
use crate::logic::record::{Callbacks, ChangeKind, Commit, EndedRecord, Ending, RecordedChange, UserRecord};
use crate::logic::settings::Settings;
use crate::sim::checks::{Failure, ensure};
use crate::sim::model::user::ENDS_KEPT_MS;
use crate::sim::model::{RegistrySays, policy};
use crate::sim::shelf::Shelf;

/// A request that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) shard: ShardId,
    pub(crate) key: UserKey,
    pub(crate) user: UserId,
    /// None: load.
    pub(crate) commit: Option<Box<Commit>>,
}

#[derive(Debug)]
pub(crate) struct Registry {
    /// All changes in the order of their commits, as the callback service sees them.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) records: BTreeMap<UserId, UserRecord>,
    pub(crate) asks: Vec<Ask>,
    /// Sessions that were ended for good, by the fresh login they go back to.
    over: BTreeSet<(UserId, DeviceId, u64)>,
    last_at: BTreeMap<UserId, u64>,
    /// Where each device was connected from, as its changes told, since its session began.
    addresses: BTreeMap<(UserId, DeviceId), Ipv6Addr>,
}

impl Registry {
    pub(crate) fn new(shelf: Arc<Shelf>) -> Self {
        Self {
            shelf,
            records: BTreeMap::new(),
            asks: Vec::new(),
            over: BTreeSet::new(),
            last_at: BTreeMap::new(),
            addresses: BTreeMap::new(),
        }
    }

    /// Takes a request in.
    pub(crate) fn ask(&mut self, ask: Ask, settings: &Settings, shards: u16) -> Result<(), Failure> {
        let of_shard = self.asks.iter().filter(|other| other.shard == ask.shard).count();
        ensure("room", of_shard < settings.capacities.registry_in_flight, || {
            format!("one too many: {ask:?}")
        })?;
        let same = |other: &Ask| other.user == ask.user || (other.shard, other.key) == (ask.shard, ask.key);
        ensure("one at a time", !self.asks.iter().any(same), || {
            format!("{ask:?} beside {:?}", self.asks)
        })?;
        ensure("home", ask.user.home(shards) == ask.shard, || {
            format!("not at home: {ask:?}")
        })?;
        if let Some(commit) = &ask.commit {
            self.check_numbers(commit)?;
            self.check_times(commit)?;
            self.check_sessions(commit)?;
        }
        self.asks.push(ask);
        Ok(())
    }

    fn check_numbers(&self, commit: &Commit) -> Result<(), Failure> {
        let last = self.records.get(&commit.user).map_or(0, |record| record.change.0);
        let follows = commit
            .changes
            .iter()
            .zip(last + 1..)
            .all(|(change, number)| change.number.0 == number);
        ensure("numbers", follows, || format!("after {last}: {commit:?}"))?;
        let says_something = !commit.changes.is_empty() || commit.kicked_at_s.is_some();
        ensure("numbers", says_something, || {
            format!("an empty commit: {commit:?}")
        })
    }

    fn check_times(&self, commit: &Commit) -> Result<(), Failure> {
        let mut last = self.last_at.get(&commit.user).copied().unwrap_or(0);
        for change in &commit.changes {
            ensure("event time", change.at.0 >= last, || {
                format!("{} after {last}: {commit:?}", change.at.0)
            })?;
            last = change.at.0;
        }
        Ok(())
    }

    /// A session that was ended for good never comes back.
    fn check_sessions(&self, commit: &Commit) -> Result<(), Failure> {
        for change in &commit.changes {
            if let ChangeKind::Login { fresh, .. } = &change.kind {
                let back = self.over.contains(&(commit.user, change.device, fresh.0));
                ensure("sessions end", !back, || {
                    format!("a session came back: {commit:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Answers one request: the letter, for the shard and the user.
    pub(crate) fn answer(
        &mut self,
        place: usize,
        says: RegistrySays,
        wall: Timestamp,
        settings: &Settings,
    ) -> Result<(Ask, ToShard), Failure> {
        let ask = self.asks.remove(place);
        let letter = match (&ask.commit, says) {
            (None, RegistrySays::Done) => {
                let mut record = self.records.get(&ask.user).cloned();
                let kept = |ended: &EndedRecord| wall.0 - ended.at.0 <= ENDS_KEPT_MS;
                record.iter_mut().for_each(|record| record.ended.retain(kept));
                ToShard::Loaded(ask.key, Ok(record.map(Box::new)))
            }
            (None, RegistrySays::Failed) => ToShard::Loaded(ask.key, Err(RegistryError::Unavailable)),
            (Some(commit), RegistrySays::Done) => {
                self.record(commit, settings)?;
                ToShard::Committed(ask.key, Ok(self.records[&ask.user].changed_at))
            }
            (Some(_), RegistrySays::Failed) => ToShard::Committed(ask.key, Err(RegistryError::Unavailable)),
        };
        Ok((ask, letter))
    }

    pub(crate) fn record(&mut self, commit: &Commit, settings: &Settings) -> Result<(), Failure> {
        let record = self.records.entry(commit.user).or_default();
        let before = record.devices.clone();
        let told = record.told;
        let recorded = record.record(commit.clone(), Callbacks::Documented);
        check_told(told, &recorded)?;
        check_addresses(&mut self.addresses, commit, &recorded)?;
        self.shelf.commit(&recorded);
        for change in &commit.changes {
            self.last_at.insert(commit.user, change.at.0);
        }
        for known in before {
            let ended = record.ended.iter().find(|ended| ended.device == known.device);
            if ended.is_some_and(|ended| is_over(ended.ending)) {
                self.over.insert((commit.user, known.device, known.fresh.0));
            }
        }
        let devices: Vec<DeviceId> = record.devices.iter().map(|known| known.device).collect();
        let fits = policy::may_be_together(settings, &devices);
        ensure("policy", fits, || {
            format!("too many after {commit:?}: {devices:?}")
        })
    }
}

/// Whether a session that ended like this never comes back.
fn is_over(ending: Ending) -> bool {
    match ending {
        Ending::LinkEnd | Ending::TimeOut | Ending::Expiry => false,
        Ending::Logout | Ending::ForcedOff { .. } | Ending::Kick => true,
    }
}

/// Each callback names the one before it, and only the end of PushOnline has none.
fn check_told(mut told: ChangeNumber, recorded: &[RecordedChange]) -> Result<(), Failure> {
    for known in recorded {
        let must = (known.change.kind != ChangeKind::Expiry).then_some(told);
        ensure("callbacks", known.previous == must, || {
            format!("{known:?}, by the rules {must:?}")
        })?;
        if must.is_some() {
            told = known.change.number;
        }
    }
    Ok(())
}

/// A change is on record with the address that it came with, or with the last one that its session's changes came with.
fn check_addresses(
    addresses: &mut BTreeMap<(UserId, DeviceId), Ipv6Addr>,
    commit: &Commit,
    recorded: &[RecordedChange],
) -> Result<(), Failure> {
    for (change, known) in commit.changes.iter().zip(recorded) {
        let place = (commit.user, change.device);
        if let Some(address) = change.address {
            addresses.insert(place, address);
        }
        let must = addresses.get(&place).copied();
        ensure("last addresses", known.change.address == must, || {
            format!("{known:?}, by the rules {must:?}")
        })?;
    }
    Ok(())
}
