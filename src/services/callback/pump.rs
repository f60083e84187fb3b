//! The callback service's thread that may block: gives each lane its turns, and what it is told to the lane that it concerns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::mpsc;

use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::{Clock, Steady, Timestamp};
use crate::services::callback::attempt::{Attempt, AttemptOutcome};
use crate::services::callback::event::PumpEvent;
use crate::services::callback::lane::CallbackLane;
use crate::services::callback::metrics::CallbackMetrics;
use crate::services::callback::outlet::CallbackOutlet;
use crate::services::callback::progress::{DeadScan, LateDrop};
use crate::services::callback::settings::CallbackSettings;
use crate::services::callback::store::{CallbackStore, behind};
use crate::services::callback::window::{USER_SHARE_MAX, WINDOW_MAX};
use crate::services::registry::archive::ReadError;

/// How often it is looked whether a late user is due, and whether the store can be read again.
const POLL: Duration = Duration::from_millis(100);

/// The thread's own things.
pub(crate) struct Pump {
    /// Into how many partitions all users fall.
    partitions: u16,
    /// By the partition whose changes they are.
    pub(super) lanes: BTreeMap<PartitionId, CallbackLane>,
    /// Lanes that are still to be opened.
    gained: BTreeMap<PartitionId, Arc<dyn CallbackStore>>,
    /// Lanes that were opened so far.
    opened: u64,
    /// This lane, or the next one behind it, has the next turn first.
    first: PartitionId,
    pub(crate) outlet: CallbackOutlet,
    events: Receiver<PumpEvent>,
    /// Of settings that were taken while something was under way that goes by others.
    receipts: Vec<Receipt>,
    /// Late callbacks that are to be forgotten, in the order in which that was asked for.
    pub(super) late_drops: VecDeque<LateDrop>,
}

impl Pump {
    /// One that goes on where the cursors of its lanes stand. The first lane is that of the first partition, and so on.
    ///
    /// # Errors
    /// If a store cannot be read.
    pub(crate) fn new(
        lanes: Vec<Arc<dyn CallbackStore>>,
        settings: &CallbackSettings,
        events: Receiver<PumpEvent>,
        attempts: mpsc::UnboundedSender<Attempt>,
        seed: u64,
    ) -> Result<Self, ReadError> {
        let partitions = u16::try_from(lanes.len()).expect("partitions are counted in a u16");
        let mut pump = Self::without_lanes(partitions, settings, events, attempts, seed);
        for (partition, store) in (0..).map(PartitionId).zip(lanes) {
            pump.open(partition, store)?;
        }
        Ok(pump)
    }

    /// One that is given its lanes while it runs, of so many partitions.
    pub(crate) fn without_lanes(
        partitions: u16,
        settings: &CallbackSettings,
        events: Receiver<PumpEvent>,
        attempts: mpsc::UnboundedSender<Attempt>,
        seed: u64,
    ) -> Self {
        Self {
            partitions,
            lanes: BTreeMap::new(),
            gained: BTreeMap::new(),
            opened: 0,
            first: PartitionId(0),
            outlet: CallbackOutlet::new(settings, attempts, seed),
            events,
            receipts: Vec::new(),
            late_drops: VecDeque::new(),
        }
    }

    fn open(&mut self, partition: PartitionId, store: Arc<dyn CallbackStore>) -> Result<(), ReadError> {
        let lane = CallbackLane::new(self.opened, store)?;
        self.opened += 1;
        self.lanes.insert(partition, lane);
        self.share_window();
        Ok(())
    }

    /// Opens lanes that were gained. One whose cursor cannot be read is tried again in the next turn.
    fn open_gained(&mut self) {
        for (partition, store) in std::mem::take(&mut self.gained) {
            if let Err(error) = self.open(partition, Arc::clone(&store)) {
                tracing::debug!(%error, partition = partition.0, "a partition's callbacks wait: its cursor cannot be read");
                self.gained.insert(partition, store);
            }
        }
    }

    fn lose(&mut self, partition: PartitionId) {
        self.gained.remove(&partition);
        self.lanes.remove(&partition);
        self.share_window();
    }

    /// What all lanes hold in memory together has a bound. Each may hold what one user may.
    fn share_window(&mut self) {
        let window_max = (WINDOW_MAX / self.lanes.len().max(1)).max(USER_SHARE_MAX);
        self.lanes
            .values_mut()
            .for_each(|lane| lane.dispatch.set_window(window_max));
    }

    pub(crate) fn metrics(&self) -> Arc<CallbackMetrics> {
        Arc::clone(&self.outlet.metrics)
    }

    /// Settings with a receiver count at once, those without when nothing is under way.
    fn give_receipts(&mut self) {
        if !self.outlet.is_paused() || self.outlet.target.in_flight() == 0 {
            self.receipts.clear();
        }
    }

    pub(crate) fn run(mut self, mut clock: Clock) {
        let mut stop_by = None;
        let steady = Steady::from(clock.now());
        loop {
            let now = clock.now();
            if stop_by.is_none() {
                self.turn(steady.at(now));
            }
            self.count();
            self.outlet.log.tell_due(steady.at(now));
            self.give_receipts();
            if stop_by.is_some_and(|by| by <= now.instant || self.outlet.target.in_flight() == 0) {
                return self.note_last();
            }
            match self.events.recv_timeout(self.rest()) {
                Ok(wake) => {
                    stop_by = self
                        .take(steady.at(clock.now()), wake)
                        .map(|within| now.instant.after(within))
                        .or(stop_by)
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.note_last(),
            }
            while let Ok(wake) = self.events.try_recv() {
                stop_by = self
                    .take(steady.at(clock.now()), wake)
                    .map(|within| now.instant.after(within))
                    .or(stop_by);
            }
        }
    }

    /// A turn of each lane. The one behind the last that began an attempt is the first, so that each finds room for its own.
    pub(crate) fn turn(&mut self, now: Timestamp) {
        self.open_gained();
        let lanes: Vec<PartitionId> = self.lanes.keys().copied().collect();
        let first = lanes.partition_point(|lane| *lane < self.first);
        for partition in lanes[first..].iter().chain(&lanes[..first]) {
            let Some(lane) = self.lanes.get_mut(partition) else {
                continue;
            };
            let in_flight = self.outlet.target.in_flight();
            lane.turn(&mut self.outlet, now);
            if self.outlet.target.in_flight() > in_flight {
                self.first = PartitionId(partition.0 + 1);
            }
        }
        self.drop_some();
    }

    /// How long nothing is to be done: none, if there is more to do at once.
    pub(super) fn rest(&self) -> Duration {
        let more = self.lanes.values().any(|lane| lane.has_more(&self.outlet));
        match more || !self.late_drops.is_empty() {
            true => Duration::ZERO,
            false => POLL,
        }
    }

    /// The partition that has this user's changes.
    pub(super) fn partition_of(&self, user: &UserId) -> PartitionId {
        user.partition(self.partitions)
    }

    /// Gives how long the end may take, if that was said.
    pub(crate) fn take(&mut self, now: Timestamp, wake: PumpEvent) -> Option<Duration> {
        match wake {
            PumpEvent::News => {}
            PumpEvent::LaneGained(partition, store) => {
                self.lose(partition);
                self.gained.insert(partition, store);
            }
            PumpEvent::LaneLost(partition) => self.lose(partition),
            PumpEvent::Ended(attempt, outcome, took) => self.ended(now, *attempt, outcome, took),
            PumpEvent::Replay(dead_letters) => {
                for (user, place) in dead_letters {
                    let partition = self.partition_of(&user);
                    if let Some(lane) = self.lanes.get_mut(&partition) {
                        lane.replays.ask(user, place);
                    }
                }
            }
            PumpEvent::DropLate(user, answer) => self.drop_late(user, answer),
            PumpEvent::CallbackSettings(settings, receipt) => {
                self.receipts.push(receipt);
                self.outlet.follow(&settings);
                for lane in self.lanes.values_mut() {
                    lane.dead_scan = DeadScan::default();
                }
            }
            PumpEvent::Stop(within) => return Some(within),
        }
        None
    }

    fn ended(&mut self, now: Timestamp, mut attempt: Attempt, outcome: AttemptOutcome, took: Duration) {
        let user = attempt.placed.recorded.user;
        self.outlet.metrics.ended(&outcome, took);
        let fault = outcome.fault().map(str::to_owned);
        if let Some(fault) = &fault {
            tracing::debug!(%user, change = attempt.placed.recorded.change.number.0, attempt = attempt.number, fault, "a callback failed");
        }
        let partition = self.partition_of(&user);
        let lane = self.lanes.get_mut(&partition);
        match lane.filter(|lane| lane.number == attempt.lane) {
            Some(lane) => {
                attempt.ahead_ms = lane.ahead_ms(&attempt.placed, now);
                lane.ended(&mut self.outlet, now, &attempt, outcome);
            }
            // Another node tells this change again, or this one does.
            None => self.outlet.target.ended(now, &attempt, &outcome),
        }
        let lanes = self.lanes.values();
        let waiting = || {
            lanes
                .map(|lane| lane.store.late_count() + behind(&*lane.store))
                .sum()
        };
        let is_down = self.outlet.target.is_down();
        let down = is_down.then_some(fault.as_deref().unwrap_or_default());
        self.outlet.log.receiver(now, down, waiting);
    }

    fn note_last(mut self) {
        self.lanes.values_mut().for_each(CallbackLane::note_last);
    }
}
