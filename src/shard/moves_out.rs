//! Hands connections to other shards, and takes theirs. Who goes where, logic has decided.

use crate::base::ids::{ConnKey, ShardId};
use crate::engine::kernel::Kernel;
use crate::engine::token::MoveToken;
use crate::logic::delivery::ToShard;
use crate::logic::{Arrival, Input};
use crate::shard::mesh::ShardCredit;
use crate::shard::moves_in::{Half, Newcomer};
use crate::shard::parts::{FollowUp, Shard, ShardLogic};

impl<K: Kernel, L: ShardLogic> Shard<K, L> {
    /// Hands a connection to another shard, or gives it back.
    pub(super) fn leave(&mut self, key: ConnKey, target: ShardId, arrival: Box<Arrival>) {
        if !self.connections.may_move(key) || !self.shards[usize::from(target.0)].take_room_for_arrival() {
            return self.follow_ups.push_back(FollowUp::Stayed(key));
        }
        let token = self.moves.token(key);
        let transport = self.transports.take(key.slot).map(Box::new);
        self.moves.leave(key, target, Newcomer { arrival, transport });
        let now = self.now.instant;
        self.connections
            .move_to(now, key, (target, token), &mut self.ring);
    }

    /// The socket is in the other shard's table.
    pub(super) fn left(&mut self, key: ConnKey) {
        let (target, newcomer) = self.moves.left(key);
        self.shards[usize::from(target.0)].announce(self.moves.token(key), newcomer);
    }

    /// The socket could not be put into the other shard's table.
    pub(super) fn not_left(&mut self, key: ConnKey) {
        let (target, newcomer) = self.moves.left(key);
        let transport = newcomer.transport.map(|transport| *transport);
        self.transports.put(key.slot, transport);
        let target = &self.shards[usize::from(target.0)];
        target.give_back(ShardCredit::Arrival);
        target.turn_away();
        self.decide(Input::Stayed(key));
    }

    /// Another shard's socket was put into `slot`.
    pub(super) fn arrived(&mut self, token: MoveToken, slot: u32) {
        self.wake_policy.hurry();
        let key = self.connections.open(slot);
        if let Some(newcomer) = self.moves.socket(self.now.instant, token, key) {
            self.pair(key, newcomer);
        }
    }

    /// Another shard says who it is.
    pub(super) fn announced(&mut self, token: MoveToken, newcomer: Newcomer) {
        if let Some((key, newcomer)) = self.moves.announced(self.now.instant, token, newcomer) {
            self.pair(key, newcomer);
        }
    }

    fn pair(&mut self, key: ConnKey, newcomer: Newcomer) {
        self.give_own_room_back();
        let transport = newcomer.transport.map(|transport| *transport);
        self.transports.put(key.slot, transport);
        self.decide(Input::Arrived(key, newcomer.arrival));
        self.end_if_ended(key);
    }

    /// Gives up what has waited too long for its other half.
    pub(super) fn end_unpaired(&mut self) {
        while let Some(half) = self.moves.unpaired(self.now.instant) {
            match half {
                Half::Socket(key) => self.connections.close(self.now.instant, key, &mut self.ring),
                Half::Arrival => self.give_own_room_back(),
            }
        }
    }

    /// Who could not arrive may not have come back in time.
    pub(super) fn hear_of_turned_away(&mut self) {
        if self.moves.hears_of_turned_away(self.inbox.room.turned_away()) {
            self.decide(Input::Delivered(ToShard::TurnedAway));
        }
    }

    fn give_own_room_back(&self) {
        self.shards[usize::from(self.id.0)].give_back(ShardCredit::Arrival);
    }
}
