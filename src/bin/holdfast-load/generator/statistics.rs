//! What all workers count together, for the controller to read while they work. It decides nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

use super::workload::{Op, latencies};

/// Faults that are kept in words; all are counted.
const FAULT_TEXTS_MAX: usize = 12;

/// The counts.
#[derive(Debug)]
pub(crate) struct Statistics {
    logged_in: AtomicU64,
    ended: AtomicU64,
    answers: AtomicU64,
    beats: AtomicU64,
    retried: AtomicU64,
    resumed: AtomicU64,
    lost: AtomicU64,
    followed: AtomicU64,
    sent_on: AtomicU64,
    forced_off: AtomicU64,
    messages: AtomicU64,
    /// How long messages were on their way.
    message_us: Mutex<Histogram<u64>>,
    faults: AtomicU64,
    texts: Mutex<Vec<String>>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            logged_in: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            sent_on: AtomicU64::new(0),
            forced_off: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            message_us: Mutex::new(latencies()),
            faults: AtomicU64::new(0),
            texts: Mutex::default(),
        }
    }
}

impl Statistics {
    /// A login was answered well.
    pub(super) fn logged_in(&self) {
        self.logged_in.fetch_add(1, Relaxed);
    }

    /// A logged-in terminal's link is over.
    pub(super) fn session_ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub(super) fn done(&self, op: Op) {
        self.answers.fetch_add(1, Relaxed);
        if op == Op::Beat {
            self.beats.fetch_add(1, Relaxed);
        }
    }

    /// The gateway was full, and said when to come back.
    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    /// A handshake made use of an earlier one.
    pub(super) fn resumed(&self) {
        self.resumed.fetch_add(1, Relaxed);
    }

    /// A link ended by itself that may.
    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// A terminal whose user went to another node is logged in there.
    pub(super) fn followed(&self) {
        self.followed.fetch_add(1, Relaxed);
    }

    /// A login's answer named the node that has the user.
    pub(super) fn sent_on(&self) {
        self.sent_on.fetch_add(1, Relaxed);
    }

    /// A message came, so many microseconds after it was sent.
    pub(super) fn message(&self, after_us: u64) {
        self.messages.fetch_add(1, Relaxed);
        let mut all = self.message_us.lock().unwrap_or_else(PoisonError::into_inner);
        all.saturating_record(after_us);
    }

    pub(super) fn forced_off(&self) {
        self.forced_off.fetch_add(1, Relaxed);
    }

    /// Something that must not be.
    pub(crate) fn fault(&self, what: &str) {
        self.faults.fetch_add(1, Relaxed);
        // A worker that ended in the middle of it left whole texts behind.
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < FAULT_TEXTS_MAX && !texts.iter().any(|one| one == what) {
            texts.push(what.to_owned());
        }
    }

    /// Terminals that are logged in.
    pub(crate) fn live(&self) -> u64 {
        let ended = self.ended.load(Relaxed);
        self.logged_in.load(Relaxed).saturating_sub(ended)
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retried.load(Relaxed)
    }

    #[allow(dead_code, reason = "the benches have no TLS")]
    pub(crate) fn handshakes_resumed(&self) -> u64 {
        self.resumed.load(Relaxed)
    }

    pub(crate) fn links_lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn followed_users(&self) -> u64 {
        self.followed.load(Relaxed)
    }

    #[allow(dead_code, reason = "no bench asks for it")]
    pub(crate) fn redirects(&self) -> u64 {
        self.sent_on.load(Relaxed)
    }

    /// Messages that came.
    #[allow(dead_code, reason = "no bench sends any")]
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// How long the messages were on their way that came since this was asked, in microseconds.
    #[allow(dead_code, reason = "no bench sends any")]
    pub(crate) fn take_message_us(&self) -> Histogram<u64> {
        let mut all = self.message_us.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut all, latencies())
    }

    pub(crate) fn forced_off_seen(&self) -> u64 {
        self.forced_off.load(Relaxed)
    }

    /// How many faults there were, and the first ones in words.
    pub(crate) fn faults(&self) -> (u64, Vec<String>) {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        (self.faults.load(Relaxed), texts.clone())
    }
}
