//! Time as plain numbers. [`Clock::now`] is the only place of the gateway that asks the operating system;
//! [`Stopwatch`] is for those who measure it.

use std::time::{Duration, SystemTime};

/// Milliseconds since [`BEFORE_START_MS`] before the process started, by a clock that counts suspend and is never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Instant(pub u64);

/// Unix milliseconds: for what outlives the process, and for what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

/// Instants begin this long before the start, so that what is on record from before it has one too: longer than any
/// setting that counts from such a moment.
pub const BEFORE_START_MS: u64 = 400 * 86_400_000;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// What the system's clock says, right or wrong at this moment: for what is stored and shown, and for what others have
    /// signed by their clocks. Somebody may set it, forth and back.
    pub wall: Timestamp,
}

impl Now {
    /// The wall-clock time of a later moment, as far as nobody sets the clock until then.
    #[must_use]
    pub fn wall_ahead(self, later: Instant) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(later.0.saturating_sub(self.instant.0)))
    }

    /// The wall-clock time of an earlier moment.
    #[must_use]
    pub fn wall_at(self, earlier: Instant) -> Timestamp {
        Timestamp(
            self.wall
                .0
                .saturating_sub(self.instant.0.saturating_sub(earlier.0)),
        )
    }
}

impl Now {
    /// The moment of something that happened before; now, if it lies ahead.
    #[must_use]
    pub fn instant_of(self, earlier: Timestamp) -> Instant {
        let ago = self.wall.0.saturating_sub(earlier.0);
        Instant(self.instant.0.saturating_sub(ago))
    }
}

/// Wall-clock time that no one sets: it was right at one moment, and goes on from there. For waits and ages that are
/// counted in stored times.
#[derive(Debug, Clone, Copy)]
pub struct Steady(Now);

impl Steady {
    /// One that is right now.
    #[must_use]
    pub fn from(now: Now) -> Self {
        Self(now)
    }

    /// The time at `now`.
    #[must_use]
    pub fn at(&self, now: Now) -> Timestamp {
        Timestamp(self.0.wall.0 + millis(now.instant.since(self.0.instant)))
    }
}

impl Instant {
    /// This moment plus `duration`, to the millisecond.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This moment less `duration`, to the millisecond; no earlier than the clock's beginning.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Timestamp {
    /// Whole Unix seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// As people and programs read it, in UTC and to the millisecond.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(self.0);
        humantime::format_rfc3339_millis(time).to_string()
    }
}

/// A duration in whole milliseconds; the longest is as good as for ever.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the operating system's clocks. One a thread.
#[derive(Debug, Clone)]
pub struct Clock {
    started_ms: u64,
    /// What the steady clock said at the last reading.
    read_ns: u64,
}

impl Clock {
    /// A clock whose instants count from [`BEFORE_START_MS`] before this call on. Clone it for every thread, so that they
    /// agree.
    #[must_use]
    pub fn start() -> Self {
        let read_ns = boot_ns();
        Self {
            started_ms: read_ns / NANOS_A_MS,
            read_ns,
        }
    }

    /// Both clocks, now.
    pub fn now(&mut self) -> Now {
        let wall = wall();
        self.read_ns = boot_ns();
        Now {
            instant: Instant(BEFORE_START_MS + self.read_ns / NANOS_A_MS - self.started_ms),
            wall,
        }
    }

    /// How long ago [`Clock::now`] was called last, to the nanosecond: for measuring, never for deciding.
    #[must_use]
    pub fn since_now(&self) -> Duration {
        Duration::from_nanos(boot_ns().saturating_sub(self.read_ns))
    }
}

/// Measures how long something takes. Nothing that the gateway decides looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Duration);

impl Stopwatch {
    /// One that begins now. Copies of it agree.
    #[must_use]
    pub fn start() -> Self {
        Self(monotonic())
    }

    /// How long ago it began.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        monotonic().saturating_sub(self.0)
    }
}

fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}

const NANOS_A_MS: u64 = 1_000_000;

fn boot_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn wall() -> Timestamp {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(millis(elapsed.unwrap_or_default()))
}
