//! Between terminals and shards: the model of the kernel. What is under way in it comes when chance wants it; what comes is given
//! to the shard that it is for.

use crate::base::ids::{ConnKey, ShardId};
use crate::base::time::millis;
use crate::engine::completion::{ConnectionEvent, ReceiveEnd};
use crate::engine::connection::ConnectionStage;
use crate::kernel::ring::{Done, FilledBuffer, Kind, ModelRing};
use crate::kernel::socket::{Peer as FarEnd, Socket};
use crate::sim::checks::{Failure, ensure};
use crate::sim::shown::{Link, Said};
use crate::sim::terminal::Place;
use crate::sim::watched::{LogicStep, LogicWord, ShardEvent};
use crate::sim::world::World;

/// How soon the kernel does what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Before anything else happens.
    Prompt,
    /// When its turn comes.
    Late,
}

/// More than all that can be under way takes.
const ROUNDS_MAX: u32 = 10_000;

impl World {
    /// Lets the kernel go on for a while.
    pub(crate) fn pump(&mut self) -> Result<(), Failure> {
        match self.pace {
            Pace::Prompt => self.settle(),
            Pace::Late => (0..self.random.u8(..12)).try_for_each(|_| self.kernel_acts()),
        }
    }

    fn kernel_acts(&mut self) -> Result<(), Failure> {
        let shard = ShardId(self.random.u16(..self.shard_count()));
        let ring = usize::from(shard.0);
        match self.random.u8(..17) {
            0..4 => self.kernel.borrow_mut().submit(ring),
            4..8 => {
                let mut kernel = self.kernel.borrow_mut();
                let armed = kernel.rings[ring].armed.len();
                if let Some(place) = self.random.choice(0..armed) {
                    kernel.attempt(ring, place);
                }
            }
            8..13 => _ = self.reap(shard)?,
            13 => _ = self.look_at_inbox(shard)?,
            14 => self.buffers_came(shard),
            15 => _ = self.steps_are_done(shard)?,
            _ => {
                let links: Vec<Link> = self.terminals.keys().copied().collect();
                if let Some(link) = self.random.choice(links) {
                    let count_max = self.random.usize(1..200);
                    self.terminal_reads(link, count_max)?;
                }
            }
        }
        Ok(())
    }

    /// Until nothing happens by itself.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for shard in self.shard_ids() {
                is_busy |= self.kernel_goes_on(usize::from(shard.0));
                while self.reap(shard)? {
                    is_busy = true;
                }
                is_busy |= self.look_at_inbox(shard)? | self.steps_are_done(shard)?;
                self.buffers_came(shard);
                is_busy |= !self.kernel.borrow().rings[usize::from(shard.0)].queued.is_empty();
            }
            if !self.terminals_read()? && !is_busy {
                return Ok(());
            }
        }
        ensure("rest", false, || "it never comes to rest".to_owned())
    }

    fn kernel_goes_on(&mut self, ring: usize) -> bool {
        let mut kernel = self.kernel.borrow_mut();
        kernel.submit(ring);
        let mut is_busy = false;
        for place in (0..kernel.rings[ring].armed.len()).rev() {
            is_busy |= kernel.is_ready(ring, place) && kernel.attempt(ring, place);
        }
        is_busy
    }

    pub(crate) fn shard(&mut self, shard: ShardId, event: ShardEvent) -> Vec<LogicStep> {
        self.shards[usize::from(shard.0)].let_happen(self.now, event)
    }

    /// The shard is told of one thing that the kernel has done, whichever. Whether there was one.
    fn reap(&mut self, shard: ShardId) -> Result<bool, Failure> {
        let ring = usize::from(shard.0);
        let done = {
            let mut kernel = self.kernel.borrow_mut();
            let all = &mut kernel.rings[ring].done;
            let Some(place) = self.random.choice(0..all.len()) else {
                return Ok(false);
            };
            all.swap_remove(place)
        };
        let event = match done {
            Done::Accepted(slot) => {
                let link = Link::of_socket(self.kernel.borrow_mut().socket_of(ring, slot));
                let way = self.terminals[&link].way;
                self.is_turned_away(link);
                ShardEvent::Accepted(slot, way.socket_peer(link), way.listener())
            }
            Done::Arrived(token, slot) => ShardEvent::Arrived(token, slot),
            Done::Of(key, event) => return self.reap_of(shard, key, event).map(|()| true),
        };
        let steps = self.shard(shard, event);
        self.replay(shard, steps, None)?;
        Ok(true)
    }

    fn reap_of(
        &mut self,
        shard: ShardId,
        key: ConnKey,
        event: ConnectionEvent<FilledBuffer>,
    ) -> Result<(), Failure> {
        let ring = usize::from(shard.0);
        self.kernel.borrow_mut().rings[ring].reaped(key, &event);
        let is_known = self.known[ring].contains_key(&key);
        ensure(
            "told",
            !is_known || !matches!(event, ConnectionEvent::Closed),
            || format!("{key:?} of {shard:?} is closed, and its logic was not told"),
        )?;
        if let ConnectionEvent::Left(_) = event {
            let mut kernel = self.kernel.borrow_mut();
            let socket = kernel.rings[ring].socket(key);
            let socket = &mut kernel.sockets[socket];
            socket.is_reset_by_move = socket.is_aborted;
        }
        let (mut has_bytes, mut are_told) = (false, false);
        if let ConnectionEvent::Received(ReceiveEnd::Bytes { buffer, .. }) = &event {
            has_bytes = true;
            are_told = self.transport_is_given(shard, key, &buffer.bytes);
        }
        let steps = self.shard(shard, ShardEvent::Of(key, event));
        are_told |= matches!(
            steps.first(),
            Some(LogicStep { told: LogicWord::Received(of, _), .. }) if *of == key
        );
        if has_bytes && !are_told {
            let mut kernel = self.kernel.borrow_mut();
            let socket = kernel.rings[ring].socket(key);
            kernel.sockets[socket].discarded += 1;
        }
        self.replay(shard, steps, None)
    }

    /// Whether the shard was told of something.
    pub(crate) fn look_at_inbox(&mut self, shard: ShardId) -> Result<bool, Failure> {
        let steps = self.shard(shard, ShardEvent::LookedAtInbox);
        let was_told = !steps.is_empty();
        self.replay(shard, steps, None)?;
        let is_left = self.turned_away[usize::from(shard.0)];
        ensure("turned away", !is_left, || {
            format!("{shard:?} does not hear of who could not arrive")
        })?;
        Ok(was_told)
    }

    /// Whether the shard had steps to do.
    fn steps_are_done(&mut self, shard: ShardId) -> Result<bool, Failure> {
        if !self.shards[usize::from(shard.0)].waits_for_steps() {
            return Ok(false);
        }
        let steps = self.shard(shard, ShardEvent::TimeForSteps);
        self.replay(shard, steps, None).map(|()| true)
    }

    fn buffers_came(&mut self, shard: ShardId) {
        if self.shards[usize::from(shard.0)].waits_for_buffers() {
            let steps = self.shard(shard, ShardEvent::BuffersCame);
            assert!(steps.is_empty(), "logic knows no buffers");
        }
    }

    pub(crate) fn socket<T>(&self, link: Link, look: impl FnOnce(&mut Socket) -> T) -> T {
        look(&mut self.kernel.borrow_mut().sockets[link.socket()])
    }

    /// Those terminals that read at once. Whether one did.
    fn terminals_read(&mut self) -> Result<bool, Failure> {
        let kernel = self.kernel.borrow();
        let reads = self.terminals.iter().filter(|(link, terminal)| {
            terminal.reads_at_once() && kernel.sockets[link.socket()].unread_by_peer() > 0
        });
        let links: Vec<Link> = reads.map(|(link, _)| *link).collect();
        drop(kernel);
        for link in &links {
            self.terminal_reads(*link, usize::MAX / 2)?;
        }
        Ok(!links.is_empty())
    }

    pub(crate) fn terminal_reads(&mut self, link: Link, count_max: usize) -> Result<(), Failure> {
        let bytes = self.socket(link, |socket| {
            let bytes = socket.peer_reads(count_max).to_vec();
            // Behind a gap there is nothing to be understood.
            if socket.is_cut { Vec::new() } else { bytes }
        });
        let terminal = self.terminals.get_mut(&link).expect("a terminal of the world");
        let heard = terminal.read(&bytes).map_err(|text| Failure {
            check: "terminal",
            text,
        })?;
        for said in heard {
            if let Said::LoggedIn { session, .. } = said {
                let known = self.sessions.entry((terminal.user, terminal.device)).or_default();
                known.push(session);
            }
        }
        self.answer_goes_out(link);
        Ok(())
    }

    /// Before so much time passes: a shard accepts within less than a second, and what is under way comes mostly, too.
    pub(crate) fn network_before(&mut self, passed: u64) -> Result<(), Failure> {
        if passed <= self.now.instant.0 + 1_000 {
            return Ok(());
        }
        if self.random.u8(..8) > 0 {
            return self.settle();
        }
        for shard in self.shard_ids() {
            while self.kernel.borrow().rings[usize::from(shard.0)]
                .done
                .iter()
                .any(|done| matches!(done, Done::Accepted(_)))
            {
                self.reap(shard)?;
            }
        }
        Ok(())
    }

    /// Terminals whose sockets the gateway has closed are gone.
    pub(crate) fn sweep(&mut self) -> Result<(), Failure> {
        let links = self.terminals.keys();
        let is_closed = |link: &&Link| self.socket(**link, |socket| socket.holders == 0);
        let closed: Vec<Link> = links.filter(is_closed).copied().collect();
        closed
            .into_iter()
            .try_for_each(|link| self.check_farewell(link))?;
        let kernel = self.kernel.borrow();
        let pairing = millis(self.settings.login_deadline);
        let mut lost = None;
        self.terminals.retain(|link, terminal| {
            let socket = &kernel.sockets[link.socket()];
            let is_over = match terminal.place {
                Place::Over => socket.is_aborted,
                Place::Coming | Place::At(..) | Place::Moving(_) => false,
            };
            if socket.holders > 0 {
                return !is_over;
            }
            let may_end = match terminal.place {
                Place::Over => true,
                Place::Moving(since) => self.now.instant.0 >= since.0 + pairing,
                Place::Coming | Place::At(..) => false,
            };
            if !may_end {
                lost = Some(*link);
            }
            false
        });
        ensure("told", lost.is_none(), || {
            format!("{lost:?} is closed, and nobody asked for that")
        })
    }

    /// Lets everything come to rest: whoever is there is heard and told all.
    pub(crate) fn check_rest(&mut self) -> Result<(), Failure> {
        self.settle()?;
        for shard in self.shard_ids() {
            for slot in 0..self.size.slots {
                self.check_slot(shard, slot)?;
            }
        }
        self.check_transport_counts()
    }

    fn check_slot(&self, shard: ShardId, slot: u32) -> Result<(), Failure> {
        let ring = usize::from(shard.0);
        let (key, stage) = self.shards[ring].in_slot(slot);
        if !matches!(stage, ConnectionStage::Open | ConnectionStage::Settled) {
            return Ok(());
        }
        let kernel = self.kernel.borrow();
        let held = kernel.rings[ring].slots[slot as usize].expect("it is open");
        let link = Link::of_socket(held.socket);
        let text = || format!("{key:?} of {shard:?}, {link:?}, {stage:?}");
        let Some(terminal) = self.terminals.get(&link) else {
            return ensure("rest", false, text);
        };
        if !self.known[ring].contains_key(&key) {
            let waits = matches!(terminal.place, Place::Moving(_));
            return ensure("nobody's", waits, text);
        }
        let hears = [Kind::Receive, Kind::Poll].map(|kind| kernel.rings[ring].is_in_flight(key, kind));
        ensure("deaf", hears != [false; 2], text)?;
        let socket = &kernel.sockets[held.socket];
        let is_all_read = socket.accepted == socket.wanted.len() && terminal.has_read_all();
        let is_all_sent = is_all_read || !terminal.reads_at_once();
        let is_quiet = socket.is_told() && !socket.has_ended() && !socket.is_cut;
        ensure("rest", is_quiet && is_all_sent, || {
            format!("{} {socket:?} {terminal:?}", text())
        })?;
        drop(kernel);
        self.check_transport_at_rest(link)
    }

    /// All terminals leave. Then nothing of them is left.
    pub(crate) fn check_end(&mut self) -> Result<(), Failure> {
        self.check_rest()?;
        let links: Vec<Link> = self.terminals.keys().copied().collect();
        for link in links {
            self.leave(link);
        }
        self.settle()?;
        // Goodbyes that nobody reads, and halves of moves that wait for the other one.
        for _ in 0..2 {
            let wait = millis(self.settings.login_deadline) + 1;
            self.advance(self.now.instant.0 + wait)?;
            self.settle()?;
        }
        self.sweep()?;
        self.kernel.borrow().rings.iter().for_each(ModelRing::check_end);
        self.kernel.borrow().check_untold();
        let shards = self.shards.iter();
        shards.for_each(|shard| shard.check_end(self.size.arrivals_max));
        Ok(())
    }

    /// A terminal, or the network, ends the link.
    pub(crate) fn leave(&mut self, link: Link) {
        let how = if self.random.bool() {
            FarEnd::Reset
        } else {
            FarEnd::HalfClosed
        };
        self.socket(link, |socket| socket.peer_leaves(how));
    }
}
