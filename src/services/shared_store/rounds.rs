//! Sends requests to the masters of their slots, many at once, and finds out what came of each. What was not executed because it
//! belongs elsewhere is sent there; all else is the caller's to repeat. WAIT goes over the connection that wrote.

use std::collections::{BTreeMap, HashMap};

use redis::Value;

use crate::services::shared_store::address::ServerAddress;
use crate::services::shared_store::heard::{Heard, Redirect};
use crate::services::shared_store::link::StoreLink;
use crate::services::shared_store::outcome::{Confirmation, Outcome, Refusal, SharedStoreError, Vouched};
use crate::services::shared_store::packing::{StoreRequest, plain};
use crate::services::shared_store::settings::{RedisSettings, WAIT_MS};
use crate::services::shared_store::slots::SlotMap;
use crate::services::shared_store::topology;

/// How often a request is sent on: to where the slot was, to where it is, and twice more while it is being moved.
const PASSES_MAX: usize = 4;

/// What is known of the servers, and the connections to them.
pub(crate) struct StoreServers {
    pub(crate) settings: RedisSettings,
    slots: SlotMap,
    /// Whether a failure showed that `slots` may be out of date.
    doubted: bool,
    links: HashMap<ServerAddress, StoreLink>,
    /// Counts the times that the servers were asked for the slots.
    inquiries: usize,
}

/// A request on its way: its place in the round, and the server that was named for this once.
struct OnItsWay {
    place: usize,
    asked: Option<ServerAddress>,
}

/// What a round has come to.
struct RequestRound<'a> {
    requests: &'a [StoreRequest],
    confirmation: Confirmation,
    outcomes: Vec<Option<Outcome<Vouched<Value>>>>,
    /// Not executed so far.
    left: Vec<OnItsWay>,
    /// StoreServers that could not be reached in this round.
    unreached: HashMap<ServerAddress, SharedStoreError>,
}

impl StoreServers {
    /// Knows nothing yet.
    pub(crate) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            slots: SlotMap::empty(),
            doubted: true,
            links: HashMap::new(),
            inquiries: 0,
        }
    }

    /// The master of a slot, as far as it is known.
    pub(crate) fn master(&self, slot: u16) -> Option<&ServerAddress> {
        self.slots.master(slot)
    }

    /// Carries out requests; gives what came of each, in their order. Over one connection they keep their order.
    pub(crate) fn run(
        &mut self,
        requests: &[StoreRequest],
        confirmation: Confirmation,
    ) -> Vec<Outcome<Vouched<Value>>> {
        let mut round = RequestRound {
            requests,
            confirmation,
            outcomes: vec![None; requests.len()],
            left: (0..requests.len())
                .map(|place| OnItsWay { place, asked: None })
                .collect(),
            unreached: HashMap::new(),
        };
        for _ in 0..PASSES_MAX {
            if round.left.is_empty() {
                break;
            }
            if let Err(error) = self.inquire() {
                round.settle_left(&error);
                break;
            }
            self.pass(&mut round);
        }
        round.settle_left(&SharedStoreError::NotExecuted {
            why: Refusal::Moving,
            text: format!("no server took it after {PASSES_MAX} redirects"),
        });
        let outcomes = round.outcomes.into_iter();
        outcomes
            .map(|outcome| outcome.expect("each is settled"))
            .collect()
    }

    /// Carries out a single request.
    pub(crate) fn run_one(
        &mut self,
        request: StoreRequest,
        confirmation: Confirmation,
    ) -> Outcome<Vouched<Value>> {
        let mut outcomes = self.run(&[request], confirmation);
        outcomes.pop().expect("one for each")
    }

    /// Asks the servers for the slots, if there is doubt. Each time another server is asked first: one of them may be cut off
    /// from the rest, and never learn.
    fn inquire(&mut self) -> Result<(), SharedStoreError> {
        if !self.doubted {
            return Ok(());
        }
        let (settings, links) = (&self.settings, &mut self.links);
        let mut known: Vec<ServerAddress> = self.slots.servers().cloned().collect();
        for server in &settings.servers {
            if !known.contains(server) {
                known.push(server.clone());
            }
        }
        let first = self.inquiries % known.len();
        known.rotate_left(first);
        self.inquiries += 1;
        self.slots = topology::inquire(&known, settings, links)?;
        self.doubted = false;
        Ok(())
    }

    /// Sends what is left to the masters, then hears them all.
    fn pass(&mut self, round: &mut RequestRound<'_>) {
        let mut groups: BTreeMap<ServerAddress, Vec<OnItsWay>> = BTreeMap::new();
        for item in std::mem::take(&mut round.left) {
            let server = item.asked.as_ref();
            match server.or_else(|| self.slots.master(round.requests[item.place].slot)) {
                Some(server) => groups.entry(server.clone()).or_default().push(item),
                None => {
                    self.doubted = true;
                    round.settle(&item, Err(no_master(round.requests[item.place].slot)));
                }
            }
        }
        let sent: Vec<_> = groups
            .into_iter()
            .filter_map(|(server, group)| self.send(round, server, group))
            .collect();
        for (server, group) in sent {
            self.hear(round, &server, group);
        }
    }

    /// Sends a group to its server. Gives it back if answers are to be expected.
    fn send(
        &mut self,
        round: &mut RequestRound<'_>,
        server: ServerAddress,
        group: Vec<OnItsWay>,
    ) -> Option<(ServerAddress, Vec<OnItsWay>)> {
        if let Some(error) = round.unreached.get(&server).cloned() {
            group
                .iter()
                .for_each(|item| round.settle(item, Err(error.clone())));
            return None;
        }
        if !self.links.contains_key(&server) {
            match StoreLink::open(&server, &self.settings) {
                Ok(link) => {
                    self.links.insert(server.clone(), link);
                }
                Err(error) => {
                    self.doubted = true;
                    round.unreached.insert(server, error);
                    // Perhaps another has taken its place; nothing was executed.
                    round
                        .left
                        .extend(group.into_iter().map(|item| OnItsWay { asked: None, ..item }));
                    return None;
                }
            }
        }
        let link = self.links.get_mut(&server).expect("it is open");
        let mut out = Vec::new();
        for item in &group {
            if item.asked.is_some() {
                plain(&mut out, &["ASKING"]);
            }
            link.pack(&round.requests[item.place], &mut out);
        }
        if let Some(copies) = wanted(&self.settings, round.confirmation) {
            plain(&mut out, &["WAIT", &copies.to_string(), &WAIT_MS.to_string()]);
        }
        if let Err(error) = link.send(&out) {
            self.give_up(round, &server, &group, &error);
            return None;
        }
        Some((server, group))
    }

    /// Hears what a server answers to a group.
    fn hear(&mut self, round: &mut RequestRound<'_>, server: &ServerAddress, group: Vec<OnItsWay>) {
        let mut answers = Vec::new();
        let mut group = group.into_iter();
        while let Some(item) = group.next() {
            let link = self.links.get_mut(server).expect("requests went over it");
            match answer_to(link, &item) {
                Heard::Answer(answer) => answers.push((item, answer)),
                Heard::NoScript => {
                    link.scripts_lost();
                    round.left.push(item);
                }
                Heard::Elsewhere(redirect) => {
                    let asked = self.redirected(round.requests[item.place].slot, redirect);
                    round.left.push(OnItsWay { asked, ..item });
                }
                Heard::Error(error @ SharedStoreError::Unknown(_)) => {
                    let rest = answers
                        .into_iter()
                        .map(|(item, _)| item)
                        .chain([item])
                        .chain(group);
                    self.give_up(round, server, &rest.collect::<Vec<_>>(), &error);
                    return;
                }
                Heard::Error(error) => round.settle(&item, Err(error)),
            }
        }
        match self.copies(server, round.confirmation) {
            Ok(copies) => answers
                .into_iter()
                .for_each(|(item, answer)| round.settle(&item, Ok(Vouched { answer, copies }))),
            Err(error) => {
                let group: Vec<_> = answers.into_iter().map(|(item, _)| item).collect();
                self.give_up(round, server, &group, &error);
            }
        }
    }

    /// What WAIT says. A master that was deposed meanwhile says UNBLOCKED, or that it is a replica.
    fn copies(
        &mut self,
        server: &ServerAddress,
        confirmation: Confirmation,
    ) -> Result<u16, SharedStoreError> {
        if wanted(&self.settings, confirmation).is_none() {
            return Ok(0);
        }
        let link = self.links.get_mut(server).expect("requests went over it");
        let heard = link.receive();
        if let Heard::Answer(Value::Int(copies)) = heard {
            return Ok(u16::try_from(copies).unwrap_or(u16::MAX));
        }
        Err(SharedStoreError::Unknown(format!(
            "{server}: WAIT gave {heard:?}"
        )))
    }

    /// A redirect is remembered. Gives the server to ask this once, if it is for once.
    fn redirected(&mut self, slot: u16, redirect: Redirect) -> Option<ServerAddress> {
        match redirect {
            Redirect::Moved(master) => {
                self.slots.moved(slot, master);
                None
            }
            Redirect::Ask(server) => Some(server),
            Redirect::NotHere => {
                self.doubted = true;
                None
            }
        }
    }

    /// The outcome of these is unknown, and so is who is master.
    fn give_up(
        &mut self,
        round: &mut RequestRound<'_>,
        server: &ServerAddress,
        group: &[OnItsWay],
        error: &SharedStoreError,
    ) {
        self.links.remove(server);
        self.doubted = true;
        group
            .iter()
            .for_each(|item| round.settle(item, Err(error.clone())));
    }
}

impl RequestRound<'_> {
    fn settle(&mut self, item: &OnItsWay, outcome: Outcome<Vouched<Value>>) {
        self.outcomes[item.place] = Some(outcome);
    }

    fn settle_left(&mut self, error: &SharedStoreError) {
        for item in std::mem::take(&mut self.left) {
            self.settle(&item, Err(error.clone()));
        }
    }
}

/// The answer to a request; the one to ASKING, if it went before, says nothing.
fn answer_to(link: &mut StoreLink, item: &OnItsWay) -> Heard {
    if item.asked.is_some()
        && let lost @ Heard::Error(SharedStoreError::Unknown(_)) = link.receive()
    {
        return lost;
    }
    link.receive()
}

fn wanted(settings: &RedisSettings, confirmation: Confirmation) -> Option<u16> {
    (confirmation == Confirmation::Wanted && settings.copies > 0).then_some(settings.copies)
}

fn no_master(slot: u16) -> SharedStoreError {
    SharedStoreError::NotExecuted {
        why: Refusal::ClusterDown,
        text: format!("slot {slot} has no master"),
    }
}
