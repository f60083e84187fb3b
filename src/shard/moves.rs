//! Connections on their way from one shard to another: leaving this one, or arriving here, where the socket and the
//! letter that says who it is have to meet. Either may come first.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::base::ids::{ConnKey, ShardId};
use crate::base::time::Instant;
use crate::engine::completion::Refusal;
use crate::engine::token::MoveToken;
use crate::logic::letter::ToShard;
use crate::logic::{Arrival, Input};
use crate::shard::conn::{InFlight, Stage};
use crate::shard::turn::{Echo, Shard};

/// All moves that this shard takes part in.
#[derive(Debug)]
pub(super) struct Moves {
    here: ShardId,
    patience: Duration,
    leaving: HashMap<ConnKey, (ShardId, Box<Arrival>)>,
    /// Sockets without a letter.
    sockets: HashMap<MoveToken, ConnKey>,
    /// Letters without a socket.
    letters: HashMap<MoveToken, Box<Arrival>>,
    /// When each that came first is given up, in this order.
    deadlines: VecDeque<(Instant, MoveToken)>,
    /// Arrivals that found no room here, as far as this shard has heard.
    turned_away: u64,
}

impl Moves {
    /// Of the shard `here`. Whoever comes first waits for `patience`.
    pub(super) fn new(here: ShardId, patience: Duration) -> Self {
        Self {
            here,
            patience,
            leaving: HashMap::new(),
            sockets: HashMap::new(),
            letters: HashMap::new(),
            deadlines: VecDeque::new(),
            turned_away: 0,
        }
    }

    pub(super) fn any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(due, _)| *due)
    }

    fn wait_until(&mut self, due: Instant, token: MoveToken) {
        self.deadlines.push_back((due, token));
    }

    fn is_paired(&self, token: MoveToken) -> bool {
        !self.sockets.contains_key(&token) && !self.letters.contains_key(&token)
    }
}

impl Shard {
    /// Hands a connection to another shard, or gives it back.
    pub(super) fn leave(&mut self, key: ConnKey, target: ShardId, arrival: Box<Arrival>) {
        let Some(conn) = self.table.get(key) else { return };
        let ready = conn.stage == Stage::Greeting && conn.in_flight == InFlight::NOTHING;
        if !ready || !self.doors[usize::from(target.0)].take_room() {
            return self.echoes.push_back(Echo::Stayed(key));
        }
        conn.stage = Stage::Moving;
        self.moves.leaving.insert(key, (target, arrival));
        let token = MoveToken::new(self.moves.here, key);
        self.ring.move_to(key, target, token);
    }

    /// The socket is in the other shard's table, or could not be put there.
    pub(super) fn left(&mut self, key: ConnKey, result: Result<(), Refusal>) {
        let (target, arrival) = self
            .moves
            .leaving
            .remove(&key)
            .expect("kept until the move has ended");
        let door = &self.doors[usize::from(target.0)];
        match result {
            Ok(()) => {
                door.announce(MoveToken::new(self.moves.here, key), arrival);
                self.close(key);
            }
            Err(refusal) => {
                door.give_room_back();
                door.turn_away();
                if refusal == Refusal::UNTOLD {
                    // Nobody knows where in the other table it is, so it cannot be closed there. A reset
                    // tells the terminal.
                    self.ring.abort(key);
                }
                self.table.get(key).expect("it was moving").stage = Stage::Greeting;
                self.decide(Input::Stayed(key));
            }
        }
    }

    /// Another shard's socket was put into `slot`.
    pub(super) fn arrived(&mut self, token: MoveToken, slot: u32) {
        self.pace.hurry();
        let key = self.table.open(slot);
        match self.moves.letters.remove(&token) {
            Some(arrival) => self.pair(key, arrival),
            None => {
                self.moves.sockets.insert(token, key);
                let due = self.now.instant.after(self.moves.patience);
                self.moves.wait_until(due, token);
            }
        }
        self.forget_paired();
    }

    /// Another shard says who it is.
    pub(super) fn announced(&mut self, token: MoveToken, arrival: Box<Arrival>) {
        match self.moves.sockets.remove(&token) {
            Some(key) => self.pair(key, arrival),
            None => {
                self.moves.letters.insert(token, arrival);
                let due = self.now.instant.after(self.moves.patience);
                self.moves.wait_until(due, token);
            }
        }
        self.forget_paired();
    }

    /// Who could not arrive may not have come back in time.
    pub(super) fn hear_of_turned_away(&mut self) {
        let turned_away = self.inbox.room.turned_away();
        if turned_away > self.moves.turned_away {
            self.moves.turned_away = turned_away;
            self.decide(Input::Letter(ToShard::TurnedAway));
        }
    }

    fn pair(&mut self, key: ConnKey, arrival: Box<Arrival>) {
        self.give_own_room_back();
        self.decide(Input::Arrived(key, arrival));
    }

    fn forget_paired(&mut self) {
        while let Some((_, token)) = self.moves.deadlines.front() {
            if !self.moves.is_paired(*token) {
                return;
            }
            self.moves.deadlines.pop_front();
        }
    }

    /// Gives up what has waited too long for its other half.
    pub(super) fn end_unpaired(&mut self) {
        while let Some((due, token)) = self.moves.deadlines.front().copied() {
            if !self.moves.is_paired(token) {
                if due > self.now.instant {
                    return;
                }
                if let Some(key) = self.moves.sockets.remove(&token) {
                    self.end(key);
                }
                if self.moves.letters.remove(&token).is_some() {
                    self.give_own_room_back();
                }
            }
            self.moves.deadlines.pop_front();
        }
    }

    fn give_own_room_back(&self) {
        self.doors[usize::from(self.moves.here.0)].give_room_back();
    }
}
