//! What goes wrong: nodes stop, die, are cut off; masters stop, die, fall behind; everything for a while. And peace, in which all mends.

use super::group::Runs;
use super::process::{Line, PausePlan};
use super::shared_store::Ms;
use super::world::{Happening, World};
use crate::services::cluster::event::{MemberEvent, Order};
use crate::services::cluster::token::Site;

impl World {
    pub(super) fn chaos(&mut self) {
        if self.is_peaceful {
            return;
        }
        let wait = self.random.u64(500..12_000);
        self.after(wait, Happening::Chaos);
        let slot = self.random.usize(0..self.slots.len());
        match self.random.u8(..16) {
            0..=3 => self.pause(slot),
            4 | 5 => self.strike(slot),
            6 | 7 => self.cut_line(slot),
            8 => self.cut_peers(slot),
            9 | 10 => self.hurt_master(),
            11 => self.outage(),
            12 => self.hurt_replica(),
            13 => self.order(slot),
            14 => {
                let now = self.now;
                let clock = &mut self.slots[slot].clock;
                clock.change_rate(now, &mut self.random);
            }
            _ => self.bad_line(slot, Line::Flaky),
        }
    }

    /// A while, rarely a long one.
    fn a_while(&mut self) -> Ms {
        match self.random.u8(..8) {
            0 => self.random.u64(60_000..130_000),
            1..=3 => self.random.u64(8_000..40_000),
            _ => self.random.u64(50..9_000),
        }
    }

    fn pause(&mut self, slot: usize) {
        let lasts = match self.random.u8(..8) {
            0 => self.random.u64(20_000..90_000),
            1..=4 => self.random.u64(4_000..20_000),
            _ => self.random.u64(20..6_000),
        };
        let after = self.random.u32(0..40);
        if let Some(process) = &mut self.slots[slot].process
            && !process.is_paused
        {
            process.pause_plan = Some(PausePlan { after, lasts });
        }
    }

    /// A process dies, and is started again here, elsewhere, or later.
    fn strike(&mut self, slot: usize) {
        self.kill(slot);
        if self.random.u8(..3) == 0 {
            let Site(site) = &mut self.slots[slot].site;
            *site += 1;
        }
        let wait = if self.random.u8(..4) == 0 {
            self.random.u64(10_000..90_000)
        } else {
            self.random.u64(300..4_000)
        };
        self.after(wait, Happening::Start { slot });
    }

    fn cut_line(&mut self, slot: usize) {
        let line = if self.random.bool() {
            Line::RequestsLost
        } else {
            Line::AnswersLost
        };
        self.bad_line(slot, line);
    }

    fn bad_line(&mut self, slot: usize, line: Line) {
        let lasts = self.a_while();
        let now = self.now;
        let host = &mut self.slots[slot];
        host.line = line;
        host.line_bad_until = host.line_bad_until.max(now + lasts);
        self.after(lasts, Happening::Mend { slot });
    }

    fn cut_peers(&mut self, slot: usize) {
        let other = self.random.usize(0..self.slots.len());
        let lasts = self.a_while();
        let everybody = self.random.u8(..3) == 0;
        for to in 0..self.slots.len() {
            if to != slot && (everybody || to == other) {
                self.cut_off(slot, to, lasts);
                if self.random.u8(..4) != 0 {
                    self.cut_off(to, slot, lasts);
                }
            }
        }
    }

    fn cut_off(&mut self, from: usize, to: usize, lasts: Ms) {
        self.cut[from][to] = self.cut[from][to].max(self.now + lasts);
        for slot in [from, to] {
            let lonely_until = &mut self.slots[slot].lonely_until;
            *lonely_until = self.cut[from][to].max(*lonely_until);
        }
        self.after(lasts, Happening::Reconnect { from, to });
    }

    /// A master dies, or stands still until after its failover.
    fn hurt_master(&mut self) {
        let group = self.random.usize(0..self.groups.len());
        if self.groups[group].runs != Runs::Up {
            return;
        }
        let detected = self.random.u64(2_000..9_000);
        let generation = self.groups[group].generation;
        if self.random.bool() {
            self.groups[group].runs = Runs::Down;
        } else {
            self.groups[group].runs = Runs::Paused;
            let wakes = self.random.u64(500..14_000);
            self.after(wakes, Happening::MasterGoesOn { group });
        }
        self.store_is_bad(detected + 3_000);
        self.after(detected, Happening::Promote { group, generation });
    }

    fn store_is_bad(&mut self, lasts: Ms) {
        self.store_bad_until = self.store_bad_until.max(self.now + lasts);
    }

    pub(super) fn promote(&mut self, group: usize, generation: u32) {
        let hurt = &mut self.groups[group];
        if hurt.generation != generation || hurt.runs == Runs::Up {
            return;
        }
        if !hurt.has_replica() {
            // Nobody can take over: the dead master is started again with its data.
            hurt.runs = Runs::Up;
        } else {
            hurt.promote(self.now);
            self.history.counts.failovers += 1;
        }
        let wait = self.random.u64(500..6_000);
        self.store_is_bad(wait + 2_000);
        self.after(wait, Happening::Attach { group });
    }

    pub(super) fn master_goes_on(&mut self, group: usize) {
        let until = self.now + self.random.u64(100..8_000);
        let group = &mut self.groups[group];
        if group.runs == Runs::Paused {
            group.runs = Runs::Up;
        } else if group.has_former() {
            group.former_goes_on(until);
        }
    }

    pub(super) fn attach(&mut self, group: usize) {
        self.groups[group].lag = (1, 4);
        let runs = self.groups[group].runs;
        if self.groups[group].has_former() || runs != Runs::Up {
            // It goes on to be what it takes itself for, or cannot.
            let wait = self.random.u64(500..3_000);
            self.store_is_bad(wait + 2_000);
            if self.random.bool() {
                return self.after(wait, Happening::Attach { group });
            }
        }
        if !self.groups[group].has_replica() {
            self.groups[group].attach();
        }
        if !self.groups[group].has_replica() {
            self.after(500, Happening::Attach { group });
        }
    }

    /// No process of a group, or of any, answers.
    fn outage(&mut self) {
        let lasts = self.a_while();
        let everything = self.random.bool();
        let one = self.random.usize(0..self.groups.len());
        for group in 0..self.groups.len() {
            if (everything || group == one) && self.groups[group].runs == Runs::Up {
                self.groups[group].runs = Runs::Down;
                self.after(lasts, Happening::Up { group });
            }
        }
        self.store_is_bad(lasts + 3_000);
    }

    pub(super) fn up(&mut self, group: usize) {
        if self.groups[group].runs == Runs::Down {
            self.groups[group].runs = Runs::Up;
            self.after(10, Happening::Attach { group });
        }
    }

    fn hurt_replica(&mut self) {
        let group = self.random.usize(0..self.groups.len());
        let lasts = self.random.u64(500..12_000);
        if self.random.bool() {
            self.groups[group].lag = (200, 2_000);
        } else {
            let now = self.now;
            self.groups[group].lose_replica(now);
        }
        self.store_is_bad(lasts + 3_000);
        self.after(lasts, Happening::Attach { group });
        self.after(lasts, Happening::Up { group });
    }

    fn order(&mut self, slot: usize) {
        let order = if self.random.bool() {
            Order::Drain
        } else {
            Order::Stop
        };
        if let Some(life) = self.slots[slot].process.as_ref().map(|process| process.life) {
            let todo = Box::new(super::process::Todo::MemberEvent(MemberEvent::Ordered(order)));
            self.after(0, Happening::Arrive { slot, life, todo });
        }
    }

    /// Everything mends, and every node is started.
    pub(super) fn peace(&mut self) {
        self.is_peaceful = true;
        self.calm_since = self.now;
        let now = self.now;
        for slot in 0..self.slots.len() {
            self.slots[slot].line = Line::Good;
            self.slots[slot].line_bad_until = self.slots[slot].line_bad_until.min(now);
            for to in 0..self.slots.len() {
                self.cut[slot][to] = 0;
            }
            if let Some(process) = &mut self.slots[slot].process {
                process.pause_plan = None;
                let life = process.life;
                if process.is_paused {
                    process.paused_until = now;
                }
                self.after(0, Happening::GoOn { slot, life });
            }
            self.after(1, Happening::Start { slot });
        }
        for group in 0..self.groups.len() {
            self.groups[group].runs = Runs::Up;
            self.groups[group].lag = (1, 4);
            self.groups[group].lose_replica(now);
            self.groups[group].attach();
        }
        self.store_bad_until = self.store_bad_until.min(now + 3_000);
    }
}
