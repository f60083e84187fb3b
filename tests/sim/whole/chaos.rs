//! What goes wrong: processes and threads stand still, die, are cut off, are told to leave; masters stop, die, fall behind, and come back
//! too late. And peace, in which all mends.

use super::super::cluster::group::{Ms, Runs};
use super::process::{Actor, PausePlan};
use super::servers::Line;
use super::world::{Happening, ServerTurn, World};
use crate::base::ids::ShardId;
use crate::services::cluster::event::Order;
use crate::services::cluster::tests::simulated::WordToMember;
use crate::services::cluster::token::Site;

impl World {
    pub(super) fn chaos(&mut self) {
        if self.is_peaceful {
            return;
        }
        let wait = self.random.u64(300..5_000);
        self.after(wait, Happening::Chaos);
        let host = self.random.usize(0..self.hosts.len());
        match self.random.u8(..22) {
            0..=3 => self.pause(host),
            4..=6 => self.stall(host),
            7..=9 => self.strike(host),
            10 | 11 => self.cut_line(host),
            12 => self.bad_line(host, Line::Flaky),
            13 => self.cut_peers(host),
            14 | 15 => self.hurt_master(),
            // A node has another life at a time when not all servers know who is master.
            16 => {
                self.hurt_master();
                self.strike(host);
            }
            17 | 18 => self.hurt_replica(),
            19 | 20 => self.order(host),
            _ => {
                let now = self.now;
                self.hosts[host].clock.change_rate(now, &mut self.random);
            }
        }
    }

    /// A while, rarely a long one.
    fn a_while(&mut self) -> Ms {
        match self.random.u8(..8) {
            0 => self.random.u64(20_000..40_000),
            1..=3 => self.random.u64(4_000..16_000),
            _ => self.random.u64(50..5_000),
        }
    }

    /// A process stands still, before any turn.
    fn pause(&mut self, host: usize) {
        let lasts = self.a_while();
        let after = self.random.u32(0..60);
        let latest = if self.random.bool() { 4_000 } else { 1 };
        let threads = 3 + usize::from(self.plan.shards);
        let wakes_late = (0..threads).map(|_| self.random.u64(0..latest)).collect();
        if let Some(process) = &mut self.hosts[host].process {
            process.pause_plan = Some(PausePlan {
                after,
                lasts,
                wakes_late,
            });
        }
    }

    /// One of its threads does.
    fn stall(&mut self, host: usize) {
        let until = self.now + self.random.u64(10..4_000);
        let thread = self.random.usize(0..2 + usize::from(self.plan.shards));
        if let Some(process) = &mut self.hosts[host].process {
            process.paces[thread].stalled_until = until;
            process.well_since = process.well_since.max(until);
        }
    }

    /// A process dies, and is started again at the same site or another, soon or later.
    fn strike(&mut self, host: usize) {
        self.kill(host);
        if self.random.u8(..3) == 0 {
            let Site(site) = &mut self.hosts[host].site;
            *site += 1;
        }
        let wait = if self.random.u8(..3) == 0 {
            self.random.u64(6_000..40_000)
        } else {
            self.random.u64(200..3_000)
        };
        self.after(wait, Happening::Start(host));
    }

    fn cut_line(&mut self, host: usize) {
        let line = if self.random.bool() {
            Line::RequestsLost
        } else {
            Line::AnswersLost
        };
        self.bad_line(host, line);
    }

    fn bad_line(&mut self, host: usize, line: Line) {
        let lasts = self.a_while();
        self.servers().set_line(host, line);
        self.after(lasts, Happening::Mend(host));
    }

    pub(super) fn mend(&mut self, host: usize) {
        self.servers().set_line(host, Line::Good);
    }

    fn cut_peers(&mut self, host: usize) {
        let until = self.now + self.a_while();
        let everybody = self.random.bool();
        let other = self.random.usize(0..self.hosts.len());
        let both_ways = self.random.u8(..4) != 0;
        for to in (0..self.hosts.len()).filter(|to| everybody || *to == other) {
            self.cut[host][to] = until;
            if both_ways {
                self.cut[to][host] = until;
            }
        }
    }

    fn order(&mut self, host: usize) {
        let order = if self.random.bool() {
            Order::Drain
        } else {
            Order::Stop
        };
        if let Some(process) = &mut self.hosts[host].process {
            process.words.push_back(WordToMember::order(order));
        }
    }

    /// A master dies, or stands still until after its failover.
    fn hurt_master(&mut self) {
        let mut servers = self.servers();
        let groups = servers.groups.len();
        let group = servers.random.usize(0..groups);
        let hurt = &mut servers.groups[group];
        if hurt.runs != Runs::Up {
            return;
        }
        let generation = hurt.generation;
        hurt.runs = Runs::Down;
        drop(servers);
        if self.random.bool() {
            self.servers().groups[group].runs = Runs::Paused;
            let wakes = self.random.u64(300..8_000);
            self.after(wakes, Happening::Servers(ServerTurn::GoOn(group)));
        }
        let detected = self.random.u64(1_000..5_000);
        self.after(
            detected,
            Happening::Servers(ServerTurn::Promote { group, generation }),
        );
    }

    /// A replica falls behind, or is gone for a while.
    fn hurt_replica(&mut self) {
        let now = self.now;
        let lasts = self.random.u64(500..8_000);
        let is_slow = self.random.bool();
        let mut servers = self.servers();
        let groups = servers.groups.len();
        let group = servers.random.usize(0..groups);
        let hurt = &mut servers.groups[group];
        if is_slow {
            hurt.lag = (200, 2_000);
        } else if hurt.runs == Runs::Up {
            hurt.lose_replica(now);
        }
        drop(servers);
        self.after(lasts, Happening::Servers(ServerTurn::Attach(group)));
    }

    pub(super) fn server_turn(&mut self, turn: ServerTurn) {
        let now = self.now;
        match turn {
            ServerTurn::Promote { group, generation } => self.promote(group, generation),
            ServerTurn::GoOn(group) => {
                let until = now + self.random.u64(100..4_000);
                let mut servers = self.servers();
                let group = &mut servers.groups[group];
                if group.runs == Runs::Paused {
                    group.runs = Runs::Up;
                } else if group.has_former() {
                    group.former_goes_on(until);
                }
            }
            ServerTurn::Attach(group) => self.attach(group),
            ServerTurn::Up(group) => self.servers().groups[group].runs = Runs::Up,
        }
    }

    fn promote(&mut self, group: usize, generation: u32) {
        let now = self.now;
        let wait = self.random.u64(300..4_000);
        let mut servers = self.servers();
        let hurt = &mut servers.groups[group];
        if hurt.generation != generation || hurt.runs == Runs::Up {
            return;
        }
        let turn = if hurt.has_replica() {
            hurt.promote(now);
            ServerTurn::Attach(group)
        } else {
            // Nobody can take over: the dead master is started again with its data.
            ServerTurn::Up(group)
        };
        drop(servers);
        self.history.counts.failovers += 1;
        self.after(wait, Happening::Servers(turn));
    }

    fn attach(&mut self, group: usize) {
        let wait = self.random.u64(200..3_000);
        let comes_later = self.random.bool();
        let mut servers = self.servers();
        let hurt = &mut servers.groups[group];
        hurt.lag = (1, 4);
        let waits = hurt.runs != Runs::Up || hurt.has_former() && comes_later;
        if !waits && !hurt.has_replica() {
            hurt.attach();
        }
        drop(servers);
        if waits {
            self.after(wait, Happening::Servers(ServerTurn::Attach(group)));
        }
    }

    /// Everything mends, and every node is started.
    pub(super) fn peace(&mut self) {
        self.is_peaceful = true;
        let now = self.now;
        let hosts = self.hosts.len();
        self.cut = vec![vec![0; hosts]; hosts];
        for host in 0..hosts {
            self.mend(host);
            if let Some(process) = &mut self.hosts[host].process {
                process.pause_plan = None;
                process.paused_until = process.paused_until.min(now);
                process.well_since = process.well_since.min(now);
                process.paces.iter_mut().for_each(|pace| pace.stalled_until = 0);
            }
            self.wake_all(host);
            self.after(1, Happening::Start(host));
        }
        let mut servers = self.servers();
        servers.is_peaceful = true;
        for group in &mut servers.groups {
            group.runs = Runs::Up;
            group.lag = (1, 4);
            group.lose_replica(now);
            group.attach();
        }
    }

    fn wake_all(&mut self, host: usize) {
        if let Some(place) = self.place(host) {
            let shards = (0..self.plan.shards).map(|shard| Actor::Shard(ShardId(shard)));
            let all = [Actor::Member, Actor::Desk].into_iter().chain(shards);
            all.for_each(|actor| self.wake(place, actor, 0));
        }
    }
}
