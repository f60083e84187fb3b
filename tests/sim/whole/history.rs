//! What the world has seen: what was confirmed, what terminals were told, what backends were answered, and the first fault. The second
//! telling of what the gateway promises: written from the rules, and judged by what the shared store has.

use std::collections::BTreeMap;

use super::super::cluster::group::Ms;
use super::world::{Place, World};
use crate::base::ids::DeviceId;
use crate::logic::record::{Change, ChangeKind, Commit, Status};
use crate::services::registry::codec::decode_user;

/// A device that was there a shorter time ago is not given up.
const AWAY_MIN_MS: Ms = 20_000;
/// A process that has not stood still for so long is well.
const WELL_MS: Ms = 20_000;

/// What a terminal was told of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is logged in; when it asked, so much was known of its user.
    Accepted { session: u64, floor: u64 },
    /// Another device has ended it.
    ForcedOff { session: u64 },
    /// It has logged out.
    LoggedOut { session: u64 },
    /// It is not known, as a login that the terminal had given up has begun another one.
    Replaced { session: u64 },
}

/// What a backend was answered of a user.
pub(super) struct Seen {
    pub(super) at: Ms,
    pub(super) person: usize,
    pub(super) change: u64,
    pub(super) devices: Vec<(DeviceId, Status)>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) confirmed: u64,
    pub(super) refused: u64,
    pub(super) accepted: u64,
    pub(super) forced_off: u64,
    pub(super) logged_out: u64,
    pub(super) redirects: u64,
    pub(super) answers: u64,
    pub(super) withheld: u64,
    pub(super) given_up: u64,
    pub(super) failovers: u64,
    pub(super) ended: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.confirmed, other.confirmed),
            (&mut self.refused, other.refused),
            (&mut self.accepted, other.accepted),
            (&mut self.forced_off, other.forced_off),
            (&mut self.logged_out, other.logged_out),
            (&mut self.redirects, other.redirects),
            (&mut self.answers, other.answers),
            (&mut self.withheld, other.withheld),
            (&mut self.given_up, other.given_up),
            (&mut self.failovers, other.failovers),
            (&mut self.ended, other.ended),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// By users.
pub(super) struct History {
    pub(super) confirmed: Vec<BTreeMap<u64, Change>>,
    /// The last change of which anybody was told.
    known: Vec<u64>,
    pub(super) told: Vec<(Ms, usize, DeviceId, Told)>,
    pub(super) seen: Vec<Seen>,
    pub(super) fault: Option<String>,
    pub(super) counts: Counts,
}

impl History {
    pub(super) fn new(people: usize) -> Self {
        Self {
            confirmed: vec![BTreeMap::new(); people],
            known: vec![0; people],
            told: Vec::new(),
            seen: Vec::new(),
            fault: None,
            counts: Counts::default(),
        }
    }

    /// What was told of a user so far: no later answer may be older.
    pub(super) fn known(&self, person: usize) -> u64 {
        self.known[person]
    }

    fn know(&mut self, person: usize, change: u64) {
        self.known[person] = self.known[person].max(change);
    }
}

/// Whether they are the same; dates are the registry's to give.
pub(super) fn is_same(one: &Change, other: &Change) -> bool {
    (one.number, one.device, &one.kind) == (other.number, other.device, &other.kind)
}

impl World {
    pub(super) fn fail(&mut self, fault: &str) {
        let now = self.now;
        self.history
            .fault
            .get_or_insert_with(|| format!("at {now} ms: {fault}"));
    }

    fn person_of(&self, commit: &Commit) -> usize {
        let person = self.people.iter().position(|person| person.id == commit.user);
        person.expect("nobody else logs in")
    }

    /// What is wrong with a commit that a shard asks for, if it is recorded.
    pub(super) fn wrong_with(&self, place: Place, commit: &Commit) -> Option<String> {
        let person = self.person_of(commit);
        let mut ends = commit
            .changes
            .iter()
            .filter(|change| matches!(change.kind, ChangeKind::LinkEnd | ChangeKind::TimeOut));
        ends.find_map(|change| self.wrong_with_end(place, person, change))
    }

    fn wrong_with_end(&self, place: Place, person: usize, change: &Change) -> Option<String> {
        let mut terminals = self.terminals.iter();
        let terminal =
            terminals.find(|terminal| (terminal.person, terminal.device) == (person, change.device));
        let terminal = terminal.expect("it is one of the world's");
        let what = format!(
            "{:?} of user {person}'s {:?} by {place:?}",
            change.kind, change.device.platform
        );
        if let (Some(link), true) = (&terminal.link, terminal.is_live()) {
            let link = &self.links[&link.number];
            let process = self.hosts[link.place.host].process.as_ref();
            let is_well = process.is_some_and(|process| {
                process.life == link.place.life && process.well_since + WELL_MS < self.now
            });
            return (is_well && !link.is_gone)
                .then(|| format!("{what}, which is linked to {:?}", link.place));
        }
        let lost = terminal.lost.filter(|_| change.kind == ChangeKind::TimeOut)?;
        let away = self.now - lost;
        (away < AWAY_MIN_MS).then(|| format!("{what}, which was there {away} ms ago"))
    }

    /// A desk has confirmed it.
    pub(super) fn confirmed(&mut self, commit: &Commit) {
        let person = self.person_of(commit);
        for change in &commit.changes {
            self.history.counts.confirmed += 1;
            if change.kind == ChangeKind::TimeOut {
                self.history.counts.given_up += 1;
            }
            self.told(|| {
                format!(
                    "user {person}: confirmed {} {:?} {:?}",
                    change.number.0, change.device.platform, change.kind
                )
            });
            let known = &mut self.history.confirmed[person];
            if let Some(twin) = known.insert(change.number.0, change.clone())
                && !is_same(&twin, change)
            {
                self.fail(&format!(
                    "user {person} has two changes of one number: {twin:?} and {change:?}"
                ));
            }
            self.must_be_on_record(person, change.number.0, "was confirmed");
        }
    }

    /// The shared store has it, in all copies that could take over.
    pub(super) fn must_be_on_record(&mut self, person: usize, change: u64, why: &str) {
        let (user, partition) = (self.people[person].id, self.people[person].partition);
        let (master, replica) = {
            let servers = self.servers();
            let group = &servers.groups[servers.group_of(partition)];
            let recorded = |copy: &super::servers::StoreCopy| {
                let users = &copy.0.partitions.get(&partition)?.users;
                let (_, record) = users.get(&user)?;
                Some(
                    decode_user(record)
                        .expect("a desk has written it")
                        .record
                        .change
                        .0,
                )
            };
            let of = |copy| recorded(copy).unwrap_or(0);
            (of(&group.master), group.replica.as_ref().map(of))
        };
        if master < change || replica.is_some_and(|replica| replica < change) {
            let fault = format!(
                "change {change} of user {person} {why}, and the copies have {master} and {replica:?}"
            );
            self.fail(&fault);
        }
        self.history.know(person, change);
    }

    pub(super) fn was_told(&mut self, person: usize, device: DeviceId, told: Told) {
        let now = self.now;
        match told {
            Told::Accepted { session, .. } => {
                self.must_be_on_record(person, session, "was told to a terminal")
            }
            Told::ForcedOff { .. } => self.history.counts.forced_off += 1,
            Told::LoggedOut { .. } => self.history.counts.logged_out += 1,
            Told::Replaced { .. } => {}
        }
        self.history.told.push((now, person, device, told));
    }

    /// A backend was answered.
    pub(super) fn was_seen(&mut self, floor: u64, seen: Seen) {
        let (person, change) = (seen.person, seen.change);
        self.history.counts.answers += 1;
        if change < floor {
            let fault =
                format!("user {person} was shown after {change}, and {floor} was known before it was asked");
            return self.fail(&fault);
        }
        self.must_be_on_record(person, change, "was shown to a backend");
        self.history.seen.push(seen);
    }
}
