//! The thread of a desk: brings it requests, orders, time and outcomes, and takes its answers, news and jobs away. Decides nothing.

use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use crate::base::histogram::Histogram;
use crate::base::time::{Clock, Now, Steady, Timestamp};
use crate::logic::delivery::{Delivery, Router, ToRegistry};
use crate::services::registry::health::{BatchPace, RegistryHealth};
use crate::services::registry::shared::desk::Desk;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::registry::shared::settings::DeskFiguresView;
use crate::services::registry::shared::workers::{StoreClients, StoreWorkers};
use crate::services::registry::worker::BATCH_REQUESTS_MAX;

/// When answers that found no room are sent again. Shards empty their inboxes in each turn, so that is soon enough.
const SEND_AGAIN: Duration = Duration::from_millis(1);
/// How long the thread sleeps at most: figures and old batches are looked at so often.
const REST: Duration = Duration::from_millis(100);
/// How long a desk that nobody asks any more goes on with what it has begun. Longer than a failover of the store.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What a desk has to do with others, beside requests and replies.
pub struct DeskDoors {
    /// Clients of the store, for threads of the desk.
    pub clients: StoreClients,
    /// Of the membership.
    pub orders: Receiver<OwnershipOrder>,
    /// For the membership.
    pub news: Sender<OwnershipNews>,
    /// Up to where each partition is confirmed.
    pub confirmed: ConfirmedPlaces,
    /// What the desk counts.
    pub figures: DeskFiguresView,
    /// Whether it works.
    pub health: RegistryHealth,
}

/// What the thread works with.
pub(in crate::services::registry) struct DeskThread {
    pub(in crate::services::registry) desk: Desk,
    pub(in crate::services::registry) workers: StoreWorkers,
    pub(in crate::services::registry) orders: Receiver<OwnershipOrder>,
    pub(in crate::services::registry) news: Sender<OwnershipNews>,
    pub(in crate::services::registry) router: Router,
    pub(in crate::services::registry) clock: Clock,
    pub(in crate::services::registry) figures: DeskFiguresView,
    pub(in crate::services::registry) health: RegistryHealth,
    pub(in crate::services::registry) commit_times: Histogram,
    pub(in crate::services::registry) pace: BatchPace,
    /// Answers that found no room.
    pub(in crate::services::registry) unsent: Vec<Delivery>,
}

/// Whether somebody may still ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbox {
    Open,
    Closed,
}

impl DeskThread {
    /// Until all senders of requests are gone, and what they asked is done.
    pub(in crate::services::registry) fn run(mut self, inbox: &Receiver<ToRegistry>) {
        let steady = Steady::from(self.clock.now());
        let mut closing = None;
        loop {
            self.wait(inbox, (self.unsent.is_empty(), closing.is_some()));
            let now = self.clock.now();
            let wall = steady.at(now);
            if self.turn(Now { wall, ..now }, inbox) == Inbox::Closed && closing.is_none() {
                closing = Some(now.instant.after(CLOSE_WITHIN));
            }
            let is_done = self.desk.is_idle() && self.workers.are_idle() && self.unsent.is_empty();
            if closing.is_some_and(|until| is_done || now.instant >= until) {
                return self.workers.end();
            }
        }
    }

    /// Takes what has come, and gives away what there is to do and to say. The wall clock is one that nobody sets.
    pub(super) fn turn(&mut self, now: Now, inbox: &Receiver<ToRegistry>) -> Inbox {
        self.desk.tell_time(now);
        self.take_orders();
        let taken = self.take_requests(inbox);
        self.take_reports(now);
        self.workers.employ(&mut self.desk);
        self.unsent.extend(self.desk.take_answers());
        self.send_out();
        self.desk.publish();
        for news in self.desk.take_news() {
            // Nobody listens when the node ends.
            let _ = self.news.send(news);
        }
        self.tell(now.wall);
        taken
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, inbox: &Receiver<ToRegistry>, (all_sent, is_closing): (bool, bool)) {
        let reports = self.workers.reports();
        let mut select = Select::new();
        select.recv(&reports);
        select.recv(&self.orders);
        if !is_closing {
            select.recv(inbox);
        }
        let now = self.clock.now().instant;
        let rest = self.desk.due().map_or(REST, |due| due.since(now));
        let rest = if all_sent { rest } else { SEND_AGAIN };
        let _ = select.ready_timeout(rest.min(REST));
    }

    fn take_orders(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.desk.order(order),
                Err(TryRecvError::Empty) => return,
                // A channel that is closed would be ready for ever.
                Err(TryRecvError::Disconnected) => {
                    self.orders = crossbeam_channel::never();
                    return;
                }
            }
        }
    }

    /// Orders are taken again before each request: a shard may ask for a user of a partition that it has heard of since.
    pub(super) fn take_requests(&mut self, inbox: &Receiver<ToRegistry>) -> Inbox {
        for _ in 0..BATCH_REQUESTS_MAX {
            match inbox.try_recv() {
                Ok(request) => {
                    self.take_orders();
                    self.desk.request(request);
                }
                Err(TryRecvError::Empty) => return Inbox::Open,
                Err(TryRecvError::Disconnected) => return Inbox::Closed,
            }
        }
        Inbox::Open
    }

    fn take_reports(&mut self, now: Now) {
        for mut report in self.workers.reports().try_iter() {
            self.workers.note(&mut report);
            let took = report.began.elapsed();
            let confirmed = report
                .outcomes
                .batches
                .iter()
                .filter(|(_, _, outcome)| outcome.is_ok())
                .count();
            let before = self.health.counts()[0];
            self.desk.done(report.outcomes);
            let commits = self.health.counts()[0] - before;
            self.pace.note(now.instant, took, confirmed);
            if commits > 0 {
                self.commit_times.record(took, commits);
            }
        }
    }

    /// Sends answers out. Those that find no room stay.
    fn send_out(&mut self) {
        let mut unsent: Vec<_> = std::mem::take(&mut self.unsent);
        let kept = unsent.drain(..).filter_map(|answer| (self.router)(answer).err());
        self.unsent = kept.collect();
    }

    fn tell(&mut self, now: Timestamp) {
        let figures = self.desk.figures();
        self.health
            .set_memory(figures.cache_bytes_now + figures.tail_bytes_now);
        self.health.tell_if_well(now);
        self.figures.publish(&figures);
    }
}
