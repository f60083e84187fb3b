//! The turns of shards: what has come is given to their logic, and what logic asks for is done. Between the gathering of answers and their
//! leaving a shard may stand still.

use super::process::{Actor, LinkEvent, LinkNumber, Proposal, SimulatedShard};
use super::world::{Happening, Place, World};
use crate::base::ids::{ConnKey, ShardId};
use crate::base::time::Now;
use crate::logic::delivery::{Delivery, RegistryError, ToRegistry, ToShard, UserKey};
use crate::logic::{Arrival, Effect, Input, LinkLoss, Peer};
use crate::protocol::stack::ProtocolStack;

impl World {
    fn shard(&mut self, place: Place, shard: ShardId) -> Option<&mut SimulatedShard> {
        let process = self.process(place)?;
        Some(&mut process.shards[usize::from(shard.0)])
    }

    pub(super) fn shard_turn(&mut self, place: Place, id: ShardId) {
        let now = self.clock(place.host);
        let Some(shard) = self.shard(place, id) else {
            return;
        };
        // The turn before ends.
        if shard.state.has_gathered() {
            let mut effects = Vec::new();
            shard.state.let_out(now, &mut effects);
            self.carry_out(place, id, effects);
        }
        if self.random.bool() {
            self.take_inbox(place, id, now);
            self.take_network(place, id, now);
        } else {
            self.take_network(place, id, now);
            self.take_inbox(place, id, now);
        }
        let Some(shard) = self.shard(place, id) else {
            return;
        };
        if shard.state.next_deadline().is_some_and(|due| due <= now.instant) {
            let mut effects = Vec::new();
            shard.state.expire(now, &mut effects);
            self.carry_out(place, id, effects);
        }
        let Some(shard) = self.shard(place, id) else {
            return;
        };
        let due = shard.state.next_deadline();
        let due = due.map(|due| due.0.saturating_sub(now.instant.0).max(1));
        if shard.state.has_gathered() {
            self.wake(place, Actor::Shard(id), 0);
        } else if let Some(wait) = due {
            self.wake(place, Actor::Shard(id), wait);
        }
    }

    fn take_inbox(&mut self, place: Place, id: ShardId, now: Now) {
        while let Some(shard) = self.shard(place, id)
            && let Some(delivered) = shard.inbox.pop_front()
        {
            if !matches!(delivered, ToShard::Lease(_) | ToShard::Homes(_)) {
                self.told(|| format!("{place:?} {id:?} <- {delivered:?}"));
            }
            self.give(place, id, now, Input::Delivered(delivered));
        }
    }

    fn give(&mut self, place: Place, id: ShardId, now: Now, input: Input<'_>) {
        if let Some(shard) = self.shard(place, id) {
            let mut effects = Vec::new();
            shard.state.handle(now, input, &mut effects);
            self.carry_out(place, id, effects);
        }
    }

    fn take_network(&mut self, place: Place, id: ShardId, now: Now) {
        while let Some(shard) = self.shard(place, id)
            && let Some((link, event)) = shard.network.pop_front()
        {
            match event {
                LinkEvent::Opened => {
                    let key = shard.take_slot(link);
                    let peer = Peer {
                        address: std::net::Ipv6Addr::LOCALHOST,
                        stack: ProtocolStack::NATIVE_TCP,
                    };
                    self.give(place, id, now, Input::Opened(key, peer));
                }
                LinkEvent::Arrived(arrival) => {
                    let key = shard.take_slot(link);
                    self.give(place, id, now, Input::Arrived(key, arrival));
                }
                LinkEvent::Bytes(bytes) => {
                    if let Some(key) = shard.key_of(link) {
                        self.give(place, id, now, Input::Received(key, &bytes));
                    }
                }
                LinkEvent::Closed => {
                    if let Some(key) = shard.key_of(link) {
                        shard.links.remove(&key.slot);
                        self.give(place, id, now, Input::Closed(key, LinkLoss::Peer));
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, place: Place, id: ShardId, effects: Vec<Effect>) {
        for effect in effects {
            let Some(shard) = self.shard(place, id) else {
                return;
            };
            match effect {
                Effect::Send(key, bytes) => {
                    let link = shard.link_of(key);
                    self.send_down(link, Some(bytes.as_slice().to_vec()));
                }
                Effect::Close(key, _) => {
                    let link = shard.link_of(key);
                    shard.links.remove(&key.slot);
                    self.send_down(link, None);
                    self.links.get_mut(&link).expect("it was open").is_gone = true;
                }
                Effect::Move(key, to, arrival) => self.move_link(place, (id, to), key, arrival),
                Effect::Deliver(delivery) => self.carry(place, id, delivery),
                Effect::Stay(_) => {}
                Effect::Trace(_) => unreachable!("nobody wants it"),
            }
        }
    }

    /// A connection moves to another shard, with all that is on its way.
    fn move_link(
        &mut self,
        place: Place,
        (from, to): (ShardId, ShardId),
        key: ConnKey,
        arrival: Box<Arrival>,
    ) {
        let Some(shard) = self.shard(place, from) else {
            return;
        };
        let link = shard.link_of(key);
        shard.links.remove(&key.slot);
        let (behind, kept) = std::mem::take(&mut shard.network)
            .into_iter()
            .partition(|(of, _)| *of == link);
        shard.network = kept;
        self.links.get_mut(&link).expect("it is open").shard = to;
        let other = self.shard(place, to).expect("the process runs");
        other.network.push_back((link, LinkEvent::Arrived(arrival)));
        let behind: std::collections::VecDeque<(LinkNumber, LinkEvent)> = behind;
        other.network.extend(behind);
        self.poke(place, Actor::Shard(to));
    }

    fn carry(&mut self, place: Place, id: ShardId, delivery: Delivery) {
        match delivery {
            Delivery::Registry(request) => {
                if let ToRegistry::Commit(_, key, commit) = &request {
                    let wrong = self.wrong_with(place, commit);
                    let commit = commit.clone();
                    if let Some(shard) = self.shard(place, id) {
                        shard.commits.insert(*key, Proposal { commit, wrong });
                    }
                }
                if let Some(process) = self.process(place) {
                    process.desk.request(request);
                    self.poke(place, Actor::Desk);
                }
            }
            Delivery::Http(reply) => self.replied(place, reply),
            Delivery::Shard(shard, delivered) => self.deliver(place, shard, delivered),
            Delivery::Peer(..) => unreachable!("shards write to no peer"),
            Delivery::Outcomes(_) => unreachable!("nobody sends a message"),
        }
    }

    /// The desk says what came of a commit.
    pub(super) fn recorded<T>(
        &mut self,
        place: Place,
        id: ShardId,
        key: UserKey,
        outcome: Result<T, RegistryError>,
    ) {
        let Some(shard) = self.shard(place, id) else {
            return;
        };
        let proposal = shard.commits.remove(&key).expect("a shard has asked for it");
        if outcome.is_err() {
            self.history.counts.refused += 1;
            return;
        }
        if let Some(wrong) = proposal.wrong {
            self.fail(&wrong);
        }
        self.confirmed(&proposal.commit);
    }

    /// Something of a link reaches its process.
    pub(super) fn up(&mut self, number: LinkNumber, event: LinkEvent) {
        let Some(link) = self.links.get(&number).filter(|link| !link.is_gone) else {
            return;
        };
        let (place, shard) = (link.place, link.shard);
        if let Some(known) = self.shard(place, shard) {
            known.network.push_back((number, event));
            self.poke(place, Actor::Shard(shard));
        }
    }

    /// A terminal sends something, which arrives in its order.
    pub(super) fn send_up(&mut self, number: LinkNumber, event: LinkEvent) {
        let at = self.now + self.random.u64(1..4);
        if let Some(link) = self.links.get_mut(&number) {
            link.up_at = link.up_at.max(at);
            let at = link.up_at;
            self.at(at, Happening::Up(number, event));
        }
    }

    /// A process sends something, which arrives in its order: bytes, or the end.
    pub(super) fn send_down(&mut self, number: LinkNumber, bytes: Option<Vec<u8>>) {
        let at = self.now + self.random.u64(1..4);
        if let Some(link) = self.links.get_mut(&number) {
            link.down_at = link.down_at.max(at);
            let at = link.down_at;
            self.at(at, Happening::Down(number, bytes));
        }
    }
}
