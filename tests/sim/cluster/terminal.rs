//! Terminals: they log in at any node, follow redirects, remember their home, and come back when their link ends.

use super::process::{EndWish, Login, Process, Todo};
use super::shared_store::Ms;
use super::world::{Happening, World};
use crate::base::ids::{NodeId, PartitionId};

/// A terminal follows so many redirects in a row.
const REDIRECTS_MAX: u32 = 3;
/// A terminal waits so long for an answer.
const ANSWER_MS: Ms = 4_000;

/// The terminal of one user.
#[derive(Debug, Default, Clone)]
pub(super) struct Terminal {
    pub(super) link: Option<Link>,
    /// It wants to be online.
    pub(super) wants: bool,
    pub(super) wanted_since: Ms,
    /// Its present attempt to log in, if it has one under way.
    attempt: Option<u64>,
    /// Where it goes first.
    remembered: Option<usize>,
    redirects: u32,
    /// When its last link ended, and how.
    pub(super) lost: Option<(Ms, LossKind)>,
}

/// How a link was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossKind {
    /// The node lived, and closed it.
    Closed,
    /// The node's process stood still for long shortly before, or the terminal has gone by itself.
    Otherwise,
}

/// An accepted login.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) slot: usize,
    pub(super) life: u32,
    pub(super) attempt: u64,
}

impl World {
    /// A terminal begins to try, if it wants to be online and is not.
    pub(super) fn try_later(&mut self, user: usize, wait: Ms) {
        let attempt = self.number();
        let terminal = &mut self.terminals[user];
        if terminal.wants && terminal.link.is_none() {
            terminal.attempt = Some(attempt);
            self.after(wait, Happening::Knock { user, attempt });
        }
    }

    pub(super) fn knock(&mut self, user: usize, attempt: u64) {
        if self.terminals[user].attempt != Some(attempt) {
            return;
        }
        let any = self.random.usize(0..self.slots.len());
        let slot = self.terminals[user].remembered.take().unwrap_or(any);
        let partition: PartitionId = self.home_of(user);
        let floor = self.history.position(partition);
        let login = Login { user, attempt, floor };
        if self.send_login(slot, login) {
            self.after(ANSWER_MS, Happening::KnockTimeOut { user, attempt });
        } else {
            self.terminals[user].redirects = 0;
            let wait = self.random.u64(300..1_500);
            self.try_later(user, wait);
        }
    }

    pub(super) fn knock_timed_out(&mut self, user: usize, attempt: u64) {
        if self.terminals[user].attempt == Some(attempt) {
            self.terminals[user].redirects = 0;
            self.try_later(user, 100);
        }
    }

    /// Come again.
    pub(super) fn turned_away(&mut self, login: Login) {
        if self.terminals[login.user].attempt == Some(login.attempt) {
            self.terminals[login.user].redirects = 0;
            let wait = self.random.u64(500..1_500);
            self.try_later(login.user, wait);
        }
    }

    /// Go there.
    pub(super) fn redirected(&mut self, login: Login, node: NodeId) {
        let terminal = &mut self.terminals[login.user];
        if terminal.attempt != Some(login.attempt) {
            return;
        }
        terminal.redirects += 1;
        let is_lost = terminal.redirects > REDIRECTS_MAX;
        if is_lost && self.is_calm() {
            self.history.fail(self.now, "a terminal is sent around");
        }
        if is_lost {
            return self.turned_away(login);
        }
        self.terminals[login.user].remembered = self.slots.iter().position(|slot| slot.node == node);
        self.try_later(login.user, 2);
    }

    /// Welcome.
    pub(super) fn accepted(&mut self, slot: usize, life: u32, login: Login) {
        let terminal = &mut self.terminals[login.user];
        if terminal.attempt != Some(login.attempt) {
            if terminal
                .link
                .is_none_or(|link| (link.slot, link.life) != (slot, life))
            {
                self.end_link(login.user, slot, life, EndWish::ComesBack);
            }
            return;
        }
        let attempt = login.attempt;
        terminal.attempt = None;
        terminal.redirects = 0;
        terminal.link = Some(Link { slot, life, attempt });
        if !terminal.wants {
            self.go(login.user);
        }
    }

    /// The node has closed the link, or is gone.
    pub(super) fn closed(&mut self, user: usize, attempt: u64) {
        let now = self.now;
        let Some(link) = self.terminals[user].link.filter(|link| link.attempt == attempt) else {
            return;
        };
        let stood_still = |process: &Process| process.is_paused || process.paused_until + 60_000 > now;
        let kind = match self.process(link.slot, link.life) {
            Some(process) if process.paused_until == 0 || !stood_still(process) => LossKind::Closed,
            Some(_) | None => LossKind::Otherwise,
        };
        let terminal = &mut self.terminals[user];
        terminal.link = None;
        terminal.lost = Some((now, kind));
        // Some wait longer than others, and some do not come back.
        let wait = self.random.u64(100..4_000);
        if self.random.u8(..5) == 0 {
            self.terminals[user].wants = false;
        }
        self.try_later(user, wait);
    }

    /// A terminal goes by itself.
    fn go(&mut self, user: usize) {
        let now = self.now;
        let terminal = &mut self.terminals[user];
        terminal.wants = false;
        terminal.attempt = None;
        if let Some(link) = terminal.link.take() {
            terminal.lost = Some((now, LossKind::Otherwise));
            self.end_link(user, link.slot, link.life, EndWish::Goes);
        }
    }

    /// Some come, few go.
    pub(super) fn whim(&mut self) {
        let wait = self.random.u64(100..400);
        self.after(wait, Happening::Whim);
        let user = self.random.usize(0..self.terminals.len());
        if !self.terminals[user].wants {
            self.terminals[user].wants = true;
            self.terminals[user].wanted_since = self.now;
            self.try_later(user, 0);
        } else if self.random.u8(..8) == 0 {
            self.go(user);
        }
    }

    /// Somebody asks a node for states of a partition.
    pub(super) fn ask_for_states(&mut self) {
        let wait = self.random.u64(20..200);
        self.after(wait, Happening::Ask);
        let slot = self.random.usize(0..self.slots.len());
        let partition = PartitionId(self.random.u16(0..self.size.partitions));
        let floor = self.history.position(partition);
        if let Some(life) = self.slots[slot].process.as_ref().map(|process| process.life) {
            let todo = Box::new(Todo::Query { partition, floor });
            self.after(2, Happening::Arrive { slot, life, todo });
        }
    }
}
