//! Workloads, and what the controller and its workers say to one another. Plain values that do nothing.

use hdrhistogram::Histogram;

/// One thing that a terminal can be made to do. It ends when the terminal has seen all that must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Connects and logs in afresh. Ends with the answer.
    LogIn,
    /// Connects and resumes its session. Ends with the answer.
    Resume,
    /// Logs in where the other device of the user is online. Ends with the answer, which must name the other.
    ForceOff,
    /// Sends a heartbeat. Ends with the answer.
    Beat,
    /// Logs out. Ends when the gateway has answered and closed.
    LogOut,
    /// Closes its link as a program that ends does.
    CutFin,
    /// Resets its link.
    CutRst,
    /// Says nothing from now on. Ends when the gateway has told it so and closed.
    FallSilent,
    /// Logs in and out again.
    Visit,
}

/// Which terminals of its range a workload takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Each that can, once, in turn. Then the workload ends.
    Once,
    /// Whichever can, in turn, round and round.
    Round,
    /// Each has its time, round and round, and lets it pass if it cannot.
    Times,
    /// Any that can.
    Random,
}

/// What terminals are to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) op: Op,
    pub(crate) pick: Pick,
    /// Terminals by number, from the first up to, not including, the second.
    pub(crate) range: (u32, u32),
    /// Under way at once, in all workers together; at least one in each.
    pub(crate) window: u32,
    /// Begun in a second, in all workers together.
    pub(crate) per_second: Option<f64>,
}

/// What one worker's terminals are to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShareSpec {
    pub(crate) op: Op,
    pub(crate) pick: Pick,
    /// Slots of the worker, from the first up to, not including, the second.
    pub(crate) range: (u32, u32),
    /// How many may be under way at once.
    pub(crate) window: u32,
    /// How many begin in a second; `None`: as many as the window lets.
    pub(crate) per_second: Option<f64>,
    /// When the first begins, in parts of the time from one to the next: workers that began at once would go on at once.
    pub(crate) first_after: f64,
}

/// Names a workload in all workers.
pub(crate) type WorkloadId = u32;

/// From the controller to a worker.
#[derive(Debug)]
pub(crate) enum WorkerCommand {
    Start(WorkloadId, ShareSpec),
    /// Begins nothing more, and says `Ended` when what is under way has ended.
    Stop(WorkloadId),
    /// Whether links may end without a word: the gateway is about to be killed.
    LinkEnds(LinkEnds),
    /// Terminals that are away go to the target again, wherever they found their users before.
    ForgetHomes,
    /// Asks what queries should show of the users of these slots.
    Expect(Vec<u32>),
    Quit,
}

/// What the end of a link that nobody asked for means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEnds {
    /// A fault of the gateway.
    AreFaults,
    /// Nothing.
    AreExpected,
}

/// From a worker to the controller.
#[derive(Debug)]
pub(crate) enum WorkerReport {
    Ended(WorkloadId, Box<WorkloadOutcome>),
    Expected(Vec<ExpectedUser>),
}

/// What came of a workload.
#[derive(Debug, Clone)]
pub(crate) struct WorkloadOutcome {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Resumes that kept their session.
    pub(crate) kept: u64,
    /// Times that came when the terminal, or any, could not.
    pub(crate) passed: u64,
    /// From the beginning to the end of each, in microseconds.
    pub(crate) latency_us: Histogram<u64>,
}

/// Two digits are enough for a percentile, and keep a histogram small; nothing is waited for longer than two minutes.
const DIGITS: u8 = 2;
const LATENCY_US_MAX: u64 = 120_000_000;

/// For latencies in microseconds. Longer ones count as the longest.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are in order")
}

impl Default for WorkloadOutcome {
    fn default() -> Self {
        Self {
            done: 0,
            failed: 0,
            kept: 0,
            passed: 0,
            latency_us: latencies(),
        }
    }
}

impl WorkloadOutcome {
    /// Adds another worker's share.
    pub(crate) fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.kept += other.kept;
        self.passed += other.passed;
        self.latency_us
            .add(&other.latency_us)
            .expect("both have the same bounds");
    }

    /// A percentile of the latencies, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        self.latency_us.value_at_percentile(percent) as f64 / 1_000.0
    }
}

/// A status as queries show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShownStatus {
    Offline,
    PushOnline,
    Online,
}

impl ShownStatus {
    /// The word of the REST interface.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::PushOnline => "PushOnline",
            Self::Online => "Online",
        }
    }
}

/// What queries should show of a device, or of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpectedStatus {
    /// It never logged in.
    Never,
    /// Something is under way.
    Unclear,
    /// This, at once.
    Now(ShownStatus),
    /// This as soon as the gateway has seen that the link ended. Until then it is Online.
    Soon(ShownStatus),
}

/// What queries should show of a terminal's user.
#[derive(Debug, Clone)]
pub(crate) struct ExpectedUser {
    pub(crate) user: String,
    /// Grows with everything that happens to the user's terminals.
    pub(crate) steps: u64,
    pub(crate) expected: ExpectedStatus,
}
