//! Connections on their way from one shard to another: those that leave this one, and those that arrive here, where the socket
//! and the word of who it is have to meet. Either may come first. It moves nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::base::ids::{ConnKey, ShardId};
use crate::base::time::Instant;
use crate::engine::token::MoveToken;
use crate::logic::Arrival;
use crate::protocol::transport::state::TransportState;

/// Who it is that moves, with all that its socket does not tell.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) arrival: Box<Arrival>,
    pub(super) transport: Option<Box<TransportState>>,
}

/// All moves that a shard takes part in.
#[derive(Debug)]
pub(super) struct Moves {
    here: ShardId,
    /// How long the half that comes first is kept.
    pairing_deadline: Duration,
    leaving: HashMap<ConnKey, (ShardId, Newcomer)>,
    sockets: HashMap<MoveToken, ConnKey>,
    arrivals: HashMap<MoveToken, Newcomer>,
    /// When each half that came first is given up, in this order.
    deadlines: VecDeque<(Instant, MoveToken)>,
    /// Arrivals that found no room here, as far as this shard has heard.
    turned_away: u64,
}

/// One half of a move whose other half did not come.
#[derive(Debug)]
pub(super) enum Half {
    Socket(ConnKey),
    Arrival,
}

impl Moves {
    /// Of the shard `here`. The half that comes first waits for `pairing_deadline`.
    pub(super) fn new(here: ShardId, pairing_deadline: Duration) -> Self {
        Self {
            here,
            pairing_deadline,
            leaving: HashMap::new(),
            sockets: HashMap::new(),
            arrivals: HashMap::new(),
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

    /// The move of a connection of this shard.
    pub(super) fn token(&self, key: ConnKey) -> MoveToken {
        MoveToken::new(self.here, key)
    }

    /// A connection begins to leave.
    pub(super) fn leave(&mut self, key: ConnKey, target: ShardId, newcomer: Newcomer) {
        self.leaving.insert(key, (target, newcomer));
    }

    /// Its move has ended: where it went, and who it is.
    pub(super) fn left(&mut self, key: ConnKey) -> (ShardId, Newcomer) {
        let left = self.leaving.remove(&key);
        left.expect("kept until the move has ended")
    }

    /// A socket is here. Gives who it is, if that is known.
    pub(super) fn socket(&mut self, now: Instant, token: MoveToken, key: ConnKey) -> Option<Newcomer> {
        let newcomer = self.arrivals.remove(&token);
        if newcomer.is_none() {
            self.sockets.insert(token, key);
            self.wait(now, token);
        }
        self.forget_paired();
        newcomer
    }

    /// Says who arrives. Gives it back with its socket, if that is here.
    pub(super) fn announced(
        &mut self,
        now: Instant,
        token: MoveToken,
        newcomer: Newcomer,
    ) -> Option<(ConnKey, Newcomer)> {
        let key = self.sockets.remove(&token);
        let paired = match key {
            Some(key) => Some((key, newcomer)),
            None => {
                self.arrivals.insert(token, newcomer);
                self.wait(now, token);
                None
            }
        };
        self.forget_paired();
        paired
    }

    /// The next half that has waited too long for its other half.
    pub(super) fn unpaired(&mut self, now: Instant) -> Option<Half> {
        self.forget_paired();
        let (_, token) = self.deadlines.pop_front_if(|(due, _)| *due <= now)?;
        let socket = self.sockets.remove(&token).map(Half::Socket);
        socket.or_else(|| self.arrivals.remove(&token).map(|_| Half::Arrival))
    }

    /// Whether more were turned away than this shard has heard of.
    pub(super) fn hears_of_turned_away(&mut self, count: u64) -> bool {
        std::mem::replace(&mut self.turned_away, count) < count
    }

    fn wait(&mut self, now: Instant, token: MoveToken) {
        self.deadlines
            .push_back((now.after(self.pairing_deadline), token));
    }

    fn forget_paired(&mut self) {
        let (sockets, arrivals) = (&self.sockets, &self.arrivals);
        let is_paired = |(_, token): &mut (Instant, MoveToken)| {
            !sockets.contains_key(token) && !arrivals.contains_key(token)
        };
        while self.deadlines.pop_front_if(is_paired).is_some() {}
    }
}
