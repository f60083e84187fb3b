//! Terminals in a hurry: they do not wait for answers, many of one user come at once, and a crowd comes while it is refused.

use crate::base::ids::ShardId;
use crate::base::limits::OUTBOUND_BYTES_MAX;
use crate::protocol::native::HEARTBEAT_ANSWER;
use crate::sim::checks::Failure;
use crate::sim::shown::Link;
use crate::sim::terminal::{Item, Reading, Terminal};
use crate::sim::world::World;

impl World {
    /// One user after the other logs in from many places for a while.
    pub(super) fn rush(&mut self) -> Result<(), Failure> {
        for _ in 0..self.random.u8(2..20) {
            self.flood()?;
            let passed = self.random.u64(100..1_200);
            self.advance(self.now.instant.0 + passed)?;
        }
        Ok(())
    }

    /// One user logs in from many places at once.
    pub(super) fn flood(&mut self) -> Result<(), Failure> {
        let pool = self.random.usize(..self.pools.len());
        let (user, devices) = self.pools[pool].clone();
        for _ in 0..self.random.u8(3..24) {
            let shard = ShardId(self.random.u16(..self.shard_count()));
            let device = devices[self.random.usize(..devices.len())];
            if let Some(link) = self.open(shard, user, device)? {
                let login = self.login(user, device);
                self.say(link, Item::Login(Box::new(login)));
                self.deliver(link, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// A terminal that does not read says so much that its answers are more than is kept for it. Often it then says what ends it.
    pub(super) fn chatter(&mut self) -> Result<(), Failure> {
        let deaf = |terminal: &Terminal| !terminal.broken && terminal.reading == Reading::Never;
        let Some(link) = self.connected(deaf).filter(|link| self.model.is_live(*link)) else {
            return Ok(());
        };
        self.note(|| format!("{link:?} chatters"));
        let answer_bytes = HEARTBEAT_ANSWER.len() + self.terminals[&link].way.overhead();
        for _ in 0..OUTBOUND_BYTES_MAX / answer_bytes + self.random.usize(..60) {
            self.say(link, Item::Heartbeat);
        }
        if self.random.bool() {
            self.say(link, Item::BadPacket);
        }
        self.deliver(link, usize::MAX)
    }

    /// A terminal says all that it has to say behind its login, and ends its link without waiting for an answer.
    pub(super) fn leave_at_once(&mut self, link: Link) -> Result<(), Failure> {
        let (user, device) = (self.terminals[&link].user, self.terminals[&link].device);
        while self.random.u8(..100) < 40 && !self.terminals[&link].broken {
            let item = self.any_item(user, device);
            self.say(link, item);
        }
        if self.random.u8(..100) < 70 && !self.terminals[&link].broken {
            self.say(link, Item::Logout);
        }
        self.deliver(link, usize::MAX)?;
        self.leave(link);
        self.pump()
    }
}
