//! One shard: hands each input to the connections or to the users, carries between the two what one says to the other, and
//! then lets the users that have something to decide go on. Decides nothing itself.

use std::sync::Arc;

use crate::base::counters::Counters;
use crate::base::ids::ConnKey;
use crate::base::time::{Instant, Now};
use crate::logic::connections::Connections;
use crate::logic::context::{Context, ShardMode, ShardPosition};
use crate::logic::contract::{Effect, Input};
use crate::logic::delivery::{Delivery, ToShard};
use crate::logic::settings::Settings;
use crate::logic::users::{KickTarget, Users};
use crate::protocol::verdict::Code;

/// One shard's users and connections, and what waits.
#[derive(Debug)]
pub struct ShardState {
    connections: Connections,
    users: Users,
    context: Context,
}

impl ShardState {
    /// A shard without users. `seed` feeds all its randomness.
    #[must_use]
    pub fn new(now: Now, seed: u64, position: ShardPosition, settings: Arc<Settings>) -> Self {
        Self {
            connections: Connections::new(position.connections_max),
            users: Users::new(now.instant, seed, position.partitions),
            context: Context::new(now, seed, position, settings),
        }
    }

    /// Something happened: appends to `out` what is to be done, in this order.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Effect>) {
        self.begin(now, out);
        let context = &mut self.context;
        match input {
            Input::Opened(key, peer) => self.connections.opened(context, key, peer),
            Input::ProxyOpened(key, peer) => self.connections.proxy_opened(context, key, peer),
            Input::ClientKnown(key, address) => self.connections.client_known(context, key, address),
            Input::Arrived(key, arrival) => {
                let kept = self.connections.arrived(context, key, *arrival);
                self.exchange();
                self.read(key, &kept);
            }
            Input::Received(key, bytes) => self.received(key, bytes),
            Input::Alive(key) => self.connections.alive(context, key),
            Input::TransportSkipped(key) => self.connections.refuse(context, key, Code::TlsFirst),
            Input::Closed(key, loss) => self.connections.closed(context, key, loss),
            Input::Stayed(key) => self.connections.stayed(context, key),
            Input::Delivered(delivered) => self.take(delivered),
        }
        self.end(out);
    }

    /// Time passed: alarms that are due ring, at most [`ALARMS_PER_TURN_MAX`](crate::base::limits::ALARMS_PER_TURN_MAX) of
    /// them a call.
    pub fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.begin(now, out);
        self.connections.expire(&mut self.context);
        self.users.expire(&mut self.context);
        self.end(out);
    }

    /// Whether something waits for the end of the turn, and for [`ShardState::let_out`]: answers from memory, of which there are
    /// none without a lease, or what became of messages.
    #[must_use]
    pub fn has_gathered(&self) -> bool {
        self.users.has_gathered() || !self.context.outcomes.is_empty()
    }

    /// The turn ends: answers that wait for it leave as far as they may. The clock was read for it, after all of them were made.
    pub fn let_out(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.begin(now, out);
        self.users.let_out(&mut self.context);
        self.end(out);
        let outcomes = std::mem::take(&mut self.context.outcomes);
        if !outcomes.is_empty() {
            out.push(Effect::Deliver(Delivery::Outcomes(outcomes)));
        }
    }

    /// When [`ShardState::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let users = self.users.next_deadline(&self.context);
        [self.connections.next_deadline(), users]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the shard has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.context.counters
    }

    /// How many users have something that is not recorded yet: with the registry, waiting for room there, or waiting to be
    /// tried again. A shard that stops waits for 0.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.users.unrecorded()
    }

    fn begin(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.context.now = now;
        std::mem::swap(&mut self.context.out, out);
    }

    /// Everybody decides who has something to decide and may.
    fn end(&mut self, out: &mut Vec<Effect>) {
        self.exchange();
        while self.users.advance(&mut self.context, &self.connections) {
            self.exchange();
        }
        let Context {
            out: effects, traced, ..
        } = &mut self.context;
        effects.extend(traced.drain().map(|event| Effect::Trace(Box::new(event))));
        std::mem::swap(effects, out);
    }

    /// A terminal sent bytes.
    fn received(&mut self, key: ConnKey, bytes: &[u8]) {
        if let Some(device) = self.connections.heartbeat(&mut self.context, key, bytes) {
            return self.users.hear(&self.context, device);
        }
        let bytes = self.connections.behind_kept(key, bytes);
        self.read(key, &bytes);
    }

    /// There are bytes of the connection's dialect to be read.
    fn read(&mut self, key: ConnKey, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(behind) = self.connections.read(&mut self.context, key, rest) {
            self.exchange();
            rest = behind;
        }
    }

    /// Carries what the one wing says to the other, until neither has anything to say.
    fn exchange(&mut self) {
        loop {
            self.context.traced.name(|subject| self.users.names(subject));
            if let Some(signal) = self.context.signals.pop_front() {
                self.users.take_in(&mut self.context, signal);
            } else if let Some(command) = self.context.commands.pop_front() {
                if let Some(key) = self.connections.carry_out(&mut self.context, command) {
                    let kept = self.connections.take_kept(key);
                    self.read(key, &kept);
                }
            } else {
                return;
            }
        }
    }

    fn take(&mut self, delivered: ToShard) {
        let Self {
            connections,
            users,
            context,
        } = self;
        match delivered {
            ToShard::Loaded(user, answer) => users.loaded(context, user.0, answer),
            ToShard::Committed(user, answer) => users.committed(context, connections, user.0, answer),
            ToShard::Query(request, depth, ids) => users.query(context, request, depth, ids),
            ToShard::Kick(request, id) => users.kick(context, request, &id, KickTarget::Everyone),
            ToShard::KickDevice(request, id, device) => {
                users.kick(context, request, &id, KickTarget::Device(device));
            }
            ToShard::Delete(request, id) => users.kick(context, request, &id, KickTarget::Account),
            ToShard::Send(request, order) => users.send(context, connections, request, *order),
            ToShard::Inspect(request, id) => users.inspect(context, connections, request, &id),
            ToShard::Adopt(partition, records) => users.adopt(context, partition, records),
            ToShard::Open(partition) => users.open(context, partition),
            ToShard::Settle(partition, receipt) => users.settle_partition(partition, receipt),
            ToShard::Drop(partition, receipt) => users.drop_partition(context, partition, receipt),
            ToShard::SendAway(receipt) => users.drop_all(context, &receipt),
            ToShard::Homes(homes) => context.homes = Some(homes),
            ToShard::Lease(lease) => context.lease = lease,
            ToShard::TurnedAway => users.pause_graces(context.now.instant),
            ToShard::Settings(settings, _receipt) => context.settings = settings,
            ToShard::Transports(..) => unreachable!("the shard takes it"),
            ToShard::Stop => {
                // Nothing is recorded: the devices stay what they are.
                context.mode = ShardMode::Stopping;
                connections.stop(context);
            }
        }
    }
}

/// What the rules leave open and the simulation therefore has to be told.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{DeviceId, UserId};

    impl ShardState {
        /// The users that wait for room with the registry, first the one that is next.
        pub(crate) fn without_room(&self) -> Vec<UserId> {
            self.users.without_room()
        }

        /// The devices of a user whose alarms rang and wait for their turn, in this order.
        pub(crate) fn alarms_waiting(&self, user: &UserId) -> Vec<DeviceId> {
            self.users.alarms_waiting(user)
        }
    }
}
