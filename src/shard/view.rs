//! What others can read of a shard while it works. Written once a turn, by the shard alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::counters::Counters;
use crate::base::histogram::{Counted, Histogram, HistogramView};
use crate::protocol::transport::ending::TransportMistake;

const LOGIC: usize = Counters::NAMES.len();
const MISTAKES: usize = TransportMistake::ALL.len();
const OTHERS: usize = OTHER_NAMES.len();
const OWN: usize = MISTAKES + OTHERS;

#[derive(Debug)]
struct SharedCounters {
    logic: [AtomicU64; LOGIC],
    own: [AtomicU64; OWN],
}

/// What a shard itself counts, beside what its logic does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ShardCounts {
    pub(super) accept_pauses: u64,
    pub(super) accepts_failed: u64,
    pub(super) accepts_paced: u64,
    pub(super) buffer_shortages: u64,
    pub(super) turns: u64,
    pub(super) completions_overflowed: u64,
    pub(super) operations_unsubmitted_now: u64,
    /// By the mistake's number.
    pub(super) transport_errors: [u64; TransportMistake::ALL.len()],
    pub(super) handshakes_full: u64,
    pub(super) handshakes_resumed: u64,
    pub(super) handshakes_kept_by_rustls: u64,
    pub(super) slots_now: u64,
    pub(super) slots_taken_now: u64,
}

/// Of what a shard counts itself, all but its transports' errors.
const OTHER_NAMES: [(&str, &str); 12] = [
    (
        "accept_pauses",
        "Times that accepting stopped because the table was nearly full.",
    ),
    (
        "accepts_failed",
        "Connections lost because the system had no room for them.",
    ),
    (
        "accepts_paced",
        "Times that accepting stopped because terminals.accepts_per_second_max was reached.",
    ),
    (
        "buffer_shortages",
        "Receives put off because all receive buffers were taken.",
    ),
    ("turns", "Turns of the shard."),
    (
        "completions_overflowed",
        "Times that the ring was found with more completions than it holds; the kernel kept the others.",
    ),
    (
        "operations_unsubmitted_now",
        "Operations that the kernel did not take with the last turn.",
    ),
    (
        "tls_handshakes{kind=\"full\"}",
        "Handshakes of TLS that are done.",
    ),
    (
        "tls_handshakes{kind=\"resumed\"}",
        "Handshakes of TLS that are done.",
    ),
    (
        "tls_kept_by_rustls",
        "Handshakes of TLS whose connections rustls keeps, at some kilobytes each: those of TLS 1.2, or all by a setting.",
    ),
    ("slots_now", "Sockets that the shard's table can hold."),
    (
        "slots_taken_now",
        "Sockets in the shard's table, those that are being closed among them.",
    ),
];

const fn own_names() -> [(&'static str, &'static str); OWN] {
    let mut names = [(
        "",
        "Connections closed before their bytes were packets: for what their peer did, or because there is no room.",
    ); OWN];
    let mut place = 0;
    while place < OWN {
        if place < MISTAKES {
            names[place].0 = TransportMistake::ALL[place].series();
        } else {
            names[place] = OTHER_NAMES[place - MISTAKES];
        }
        place += 1;
    }
    names
}

/// One shard's counters, for everyone. The numbers of one reading may be of two neighbouring turns.
#[derive(Debug, Clone)]
pub struct ShardView {
    shared: Arc<SharedCounters>,
    turn_times: HistogramView,
}

impl ShardView {
    /// Name and meaning of what a shard counts beside its logic, in the order of [`ShardView::own_values`].
    pub const OWN_NAMES: [(&'static str, &'static str); OWN] = own_names();

    /// The numbers of the logic, in the order of [`Counters::NAMES`].
    #[must_use]
    pub fn values(&self) -> [u64; LOGIC] {
        std::array::from_fn(|place| self.shared.logic[place].load(Ordering::Relaxed))
    }

    /// The other numbers, in the order of [`ShardView::OWN_NAMES`].
    #[must_use]
    pub fn own_values(&self) -> [u64; OWN] {
        std::array::from_fn(|place| self.shared.own[place].load(Ordering::Relaxed))
    }

    /// How many slots of the table are taken.
    #[must_use]
    pub fn slots_taken_now(&self) -> u64 {
        let [.., slots_taken_now] = self.own_values();
        slots_taken_now
    }

    /// How long turns took.
    #[must_use]
    pub fn turn_times(&self) -> Counted {
        self.turn_times.read()
    }
}

/// The writer's side. Remembers what logic counted: that is written only if it has changed.
#[derive(Debug)]
pub(super) struct Publisher {
    view: ShardView,
    logic: Counters,
    turn_times: Histogram,
}

impl Publisher {
    pub(super) fn new() -> Self {
        let shared = SharedCounters {
            logic: [const { AtomicU64::new(0) }; LOGIC],
            own: [const { AtomicU64::new(0) }; OWN],
        };
        let turn_times = Histogram::default();
        Self {
            view: ShardView {
                shared: Arc::new(shared),
                turn_times: turn_times.view(),
            },
            logic: Counters::default(),
            turn_times,
        }
    }

    pub(super) fn view(&self) -> ShardView {
        self.view.clone()
    }

    /// A turn took this long.
    pub(super) fn turn_took(&mut self, took: Duration) {
        self.turn_times.record(took, 1);
    }

    pub(super) fn publish(&mut self, logic: &Counters, own: &ShardCounts) {
        if *logic != self.logic {
            self.logic = *logic;
            for (shared, value) in self.view.shared.logic.iter().zip(logic.values()) {
                shared.store(value, Ordering::Relaxed);
            }
        }
        let others: [u64; OTHERS] = [
            own.accept_pauses,
            own.accepts_failed,
            own.accepts_paced,
            own.buffer_shortages,
            own.turns,
            own.completions_overflowed,
            own.operations_unsubmitted_now,
            own.handshakes_full,
            own.handshakes_resumed,
            own.handshakes_kept_by_rustls,
            own.slots_now,
            own.slots_taken_now,
        ];
        let own = own.transport_errors.into_iter().chain(others);
        for (shared, value) in self.view.shared.own.iter().zip(own) {
            shared.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_can_be_read() {
        let mut publisher = Publisher::new();
        let view = publisher.view();
        let logic = Counters {
            heartbeats: 7,
            ..Counters::default()
        };
        let mut own = ShardCounts {
            turns: 9,
            ..ShardCounts::default()
        };
        own.transport_errors[TransportMistake::ProxyHeader as usize] = 3;
        publisher.publish(&logic, &own);
        publisher.turn_took(Duration::from_micros(7));
        assert_eq!(view.values(), logic.values());
        let value = |name: &str| {
            let place = ShardView::OWN_NAMES.iter().position(|(known, _)| *known == name);
            view.own_values()[place.unwrap()]
        };
        let names = [
            "turns",
            "transport_errors{kind=\"proxy-header\"}",
            "slots_taken_now",
        ];
        assert_eq!(names.map(value), [9, 3, 0]);
        assert_eq!(
            (view.turn_times().counts[1], view.turn_times().sum_ns),
            (1, 7_000)
        );
    }
}
