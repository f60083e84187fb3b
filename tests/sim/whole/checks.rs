//! The judgement at the end: what was confirmed, told and shown is one history, and it is the one that the shared store has; after peace all
//! nodes agree, and statuses are what terminals know.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cluster::group::Ms;
use super::super::model::policy::may_be_together;
use super::history::{Seen, Told, is_same};
use super::terminal::Terminal;
use super::world::World;
use crate::base::ids::{DeviceId, PartitionId, UserId};
use crate::logic::cluster::home::Home;
use crate::logic::record::{AccountStep, Change, ChangeKind, Commit, Status, UserRecord};
use crate::services::registry::codec::decode_user;
use crate::services::registry::shared::tests::simulated::changes_of;

/// Devices with their statuses, Offline ones not among them.
type Statuses = Vec<(DeviceId, Status)>;

/// A user's changes as the shared store has them, and what they add up to.
#[derive(Default)]
struct Chain {
    changes: Vec<Change>,
    /// After each change, and before the first.
    statuses: Vec<Statuses>,
    record: UserRecord,
}

impl Chain {
    fn of(user: UserId, changes: Vec<Change>) -> Self {
        let mut record = UserRecord::default();
        let mut statuses = vec![Vec::new()];
        for change in &changes {
            record.apply(&Commit {
                user,
                changes: vec![change.clone()],
                kicked_at_s: None,
                account: AccountStep::Keep,
            });
            statuses.push(statuses_of(&record));
        }
        Self {
            changes,
            statuses,
            record,
        }
    }

    /// The change by which a session ended for good.
    fn end_of(&self, device: DeviceId, session: u64) -> Option<u64> {
        let mut behind = self.changes.iter().filter(|change| change.number.0 > session);
        let end = behind.find(|change| ends_for_good(change, device));
        end.map(|change| change.number.0)
    }

    fn at(&self, number: u64) -> Option<&Change> {
        self.changes.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

/// Whether a device's session, if it has one, is not to be resumed after this.
fn ends_for_good(change: &Change, device: DeviceId) -> bool {
    if let ChangeKind::Login { forced_off, .. } = &change.kind {
        return forced_off.iter().any(|(gone, _)| *gone == device);
    }
    change.kind == ChangeKind::Logout && change.device == device
}

/// What a login that begins a session goes back to.
fn fresh_login(change: &Change) -> Option<u64> {
    match &change.kind {
        ChangeKind::Login { fresh, .. } => Some(fresh.0),
        ChangeKind::Logout
        | ChangeKind::LinkEnd
        | ChangeKind::TimeOut
        | ChangeKind::Expiry
        | ChangeKind::Kick
        | ChangeKind::Deletion => None,
    }
}

fn statuses_of(record: &UserRecord) -> Statuses {
    let devices = record.devices.iter().map(|known| (known.device, known.status));
    let mut statuses: Statuses = devices.filter(|(_, status)| *status != Status::Offline).collect();
    statuses.sort();
    statuses
}

impl World {
    /// After peace.
    pub(super) fn judge(&mut self) {
        let chains = self.chains();
        let faults = self.homes_faults().into_iter();
        let faults = faults
            .chain(self.answer_fault())
            .chain(self.chain_faults(&chains))
            .chain(self.told_faults(&chains))
            .chain(self.seen_faults(&chains))
            .chain(self.rest_faults(&chains));
        if let Some(fault) = faults.collect::<Vec<_>>().first() {
            self.fail(&format!("in the end: {fault}"));
        }
    }

    fn chains(&self) -> Vec<Chain> {
        let mut changes: BTreeMap<UserId, Vec<Change>> = BTreeMap::new();
        let servers = self.servers();
        for partition in (0..self.plan.partitions).map(PartitionId) {
            let group = &servers.groups[servers.group_of(partition)];
            let batches = group
                .master
                .0
                .partitions
                .get(&partition)
                .map(|kept| kept.stream.values());
            for recorded in batches.into_iter().flatten().flat_map(|batch| changes_of(batch)) {
                changes.entry(recorded.user).or_default().push(recorded.change);
            }
        }
        let people = self.people.iter();
        let chain = |user| {
            let changes = changes.remove(&user).unwrap_or_default();
            let follows = (1..)
                .zip(&changes)
                .all(|(number, change)| change.number.0 == number);
            if follows {
                Chain::of(user, changes)
            } else {
                Chain {
                    changes,
                    ..Chain::default()
                }
            }
        };
        people.map(|person| person.id).map(chain).collect()
    }

    /// Changes are 1, 2, 3 …, and what was confirmed is among them; the policy holds after each.
    fn chain_faults(&self, chains: &[Chain]) -> Vec<String> {
        let mut faults = Vec::new();
        for (person, chain) in chains.iter().enumerate() {
            if chain.statuses.is_empty() {
                let numbers: Vec<u64> = chain.changes.iter().map(|change| change.number.0).collect();
                faults.push(format!("user {person} has the changes {numbers:?}"));
                continue;
            }
            for (number, change) in &self.history.confirmed[person] {
                if !chain.at(*number).is_some_and(|kept| is_same(kept, change)) {
                    let kept = chain.at(*number);
                    faults.push(format!(
                        "user {person}: {change:?} was confirmed, and there is {kept:?}"
                    ));
                }
            }
            for (number, statuses) in chain.statuses.iter().enumerate() {
                let devices: Vec<DeviceId> = statuses.iter().map(|(device, _)| *device).collect();
                if !may_be_together(&self.plan.settings, &devices) {
                    faults.push(format!("user {person} has after {number} {statuses:?}"));
                }
            }
            faults.extend(self.record_fault(person, chain));
        }
        faults
    }

    fn record_fault(&self, person: usize, chain: &Chain) -> Option<String> {
        let partition = self.people[person].partition;
        let servers = self.servers();
        let group = &servers.groups[servers.group_of(partition)];
        let kept = group.master.0.partitions.get(&partition);
        let record = kept.and_then(|kept| kept.users.get(&self.people[person].id));
        let record = record.map(|(_, bytes)| decode_user(bytes).expect("a desk has written it").record);
        let record = record.unwrap_or_default();
        let is_sum =
            (record.change, statuses_of(&record)) == (chain.record.change, statuses_of(&chain.record));
        (!is_sum).then(|| format!("the record of user {person} is not the sum of its changes: {record:?}"))
    }

    /// What terminals were told is on record, and was true when they asked.
    fn told_faults(&self, chains: &[Chain]) -> Vec<String> {
        let fault = |(at, person, device, told): &(Ms, usize, DeviceId, Told)| {
            let chain = &chains[*person];
            let is_true = match *told {
                Told::Accepted { session, floor } => {
                    let begun = chain.at(session).is_some_and(|change| {
                        change.device == *device && matches!(change.kind, ChangeKind::Login { .. })
                    });
                    begun && chain.end_of(*device, session).is_none_or(|end| end > floor)
                }
                Told::ForcedOff { session } | Told::LoggedOut { session } => {
                    chain.end_of(*device, session).is_some()
                }
                Told::Replaced { session } => chain.changes.iter().any(|change| {
                    let fresh = fresh_login(change).filter(|_| change.device == *device);
                    fresh.is_some_and(|fresh| fresh > session)
                }),
            };
            (!is_true).then(|| {
                format!(
                    "at {at} ms user {person}'s {:?} was told {told:?}",
                    device.platform
                )
            })
        };
        self.history.told.iter().filter_map(fault).collect()
    }

    /// What backends were shown was so after that change.
    fn seen_faults(&self, chains: &[Chain]) -> Vec<String> {
        let fault = |seen: &Seen| {
            let place = usize::try_from(seen.change).expect("there are few changes");
            let statuses = chains[seen.person].statuses.get(place);
            let Seen {
                at,
                person,
                change,
                devices,
            } = seen;
            (statuses != Some(devices)).then(|| {
                format!(
                    "at {at} ms user {person} was shown after {change} as {devices:?}, and was {statuses:?}"
                )
            })
        };
        self.history.seen.iter().filter_map(fault).collect()
    }

    /// Every partition is open at one node, and all say so.
    fn homes_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for partition in (0..self.plan.partitions).map(PartitionId) {
            let homes = self.hosts.iter().map(|host| {
                let process = host.process.as_ref()?;
                Some((host.node, process.member.homes().of(partition)))
            });
            let homes: Vec<_> = homes.collect();
            let owners: Vec<_> = homes
                .iter()
                .flatten()
                .filter(|(_, home)| matches!(home, Home::Here(_)))
                .map(|(node, _)| *node)
                .collect();
            let agree = |owner| {
                homes
                    .iter()
                    .flatten()
                    .all(|(node, home)| *node == owner || *home == Home::There(owner))
            };
            if owners.len() != 1 || !agree(owners[0]) || homes.contains(&None) {
                faults.push(format!("{partition:?} is at {homes:?}"));
            }
        }
        let behind = self.hosts.iter().filter_map(|host| host.process.as_ref());
        let behind: BTreeSet<PartitionId> = behind.flat_map(|process| process.member.behind()).collect();
        if !behind.is_empty() {
            faults.push(format!("{behind:?} lack what was confirmed"));
        }
        faults
    }

    /// All were asked for, and all were shown.
    fn answer_fault(&self) -> Option<String> {
        let asked = self.last_question.and_then(|number| self.questions.get(&number));
        let answered = asked.map_or(0, |asked| asked.answered);
        let all = self.people.len();
        (answered < all).then(|| format!("of {all} users {answered} were shown"))
    }

    /// Statuses are what terminals know.
    fn rest_faults(&self, chains: &[Chain]) -> Vec<String> {
        let fault = |terminal: &Terminal| {
            let chain = &chains[terminal.person];
            let mut devices = chain.record.devices.iter();
            let known = devices.find(|known| known.device == terminal.device);
            let status = known.map_or(Status::Offline, |known| known.status);
            let is_known = if terminal.is_replaced {
                status != Status::Online
            } else if terminal.is_live() {
                known.is_some_and(|known| known.session.0 == terminal.session) && status == Status::Online
            } else {
                !terminal.wants
                    && status != Status::Online
                    && (terminal.session != 0 || status == Status::Offline)
            };
            let Terminal {
                person,
                device,
                wants,
                session,
                ..
            } = terminal;
            (!is_known).then(|| {
                let live = terminal.is_live();
                format!("user {person}'s {:?} is {status:?}: wants {wants}, live {live}, session {session}, {known:?}", device.platform)
            })
        };
        self.terminals.iter().filter_map(fault).collect()
    }
}
