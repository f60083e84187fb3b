//! The terminals of a bench: those of `holdfast-load`, on the gateway's own engine. A user is a prefix and a number.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast::base::time::Clock;
use holdfast::node::config::DEVELOPMENT_SECRET;

use super::generator::Generator;
use super::generator::target::GeneratorTarget;
use super::generator::terminal::{ANDROID, DevicesPerUser, Identities};
use super::generator::workload::{Op, Pick, Workload, WorkloadOutcome};
use crate::support::gateway::SDK_APP_ID;

/// Logins that are under way at the same time, if nothing else is said.
const LOGINS_AT_ONCE: u32 = 64;
/// Heartbeats, and ends of links, that are under way where they are not measured.
const AT_ONCE: u32 = 256;

/// Connected, logged-in terminals, each the only device of its user.
pub struct Terminals(Generator);

/// A UserSig for anybody.
pub fn sign(user: &str) -> String {
    identities("").sign(Clock::start().now().wall, user)
}

fn identities(prefix: &str) -> Identities {
    Identities {
        sdk_app_id: SDK_APP_ID,
        secret: DEVELOPMENT_SECRET.to_owned(),
        prefix: prefix.to_owned(),
        devices_per_user: DevicesPerUser::One,
        platforms: ANDROID,
        features: 0,
    }
}

/// The user of this number, as [`Terminals::log_in`] numbers them.
pub fn user(prefix: &str, number: usize) -> String {
    identities(prefix).user(u32::try_from(number).expect("there are fewer users"))
}

impl Terminals {
    /// Logs in the first `count` users of this prefix. Fails if one is refused for good.
    pub fn log_in(address: SocketAddr, prefix: &str, count: usize) -> Self {
        Self::log_in_many(address, prefix, count, LOGINS_AT_ONCE)
    }

    /// The same with this many logins under way at the same time.
    pub fn log_in_many(address: SocketAddr, prefix: &str, count: usize, at_once: u32) -> Self {
        let SocketAddr::V4(address) = address else {
            panic!("{address}: the terminals have IPv4 addresses")
        };
        let count = u32::try_from(count).expect("there are fewer terminals");
        let target = GeneratorTarget::plain(address);
        let generator = Generator::start(count, &target, &identities(prefix));
        let mut terminals = Self(generator.expect("threads and rings"));
        terminals.each(Op::LogIn, (0, count), at_once);
        terminals
    }

    /// Logins by several threads, each with as many of its own, and this many of these under way at the same time.
    pub fn log_in_by_threads(
        address: SocketAddr,
        prefix: &str,
        (threads, each): (usize, usize),
        at_once: u32,
    ) -> Vec<Self> {
        std::thread::scope(|scope| {
            let log_in = |number: usize| {
                scope.spawn(move || Self::log_in_many(address, &format!("{prefix}-{number}"), each, at_once))
            };
            let threads: Vec<_> = (0..threads).map(log_in).collect();
            let threads = threads.into_iter();
            threads
                .map(|thread| thread.join().expect("they logged in"))
                .collect()
        })
    }

    /// One heartbeat and its answer on each connection.
    pub fn beat_all(&mut self) {
        self.each(Op::Beat, (0, self.0.count), AT_ONCE);
    }

    /// One heartbeat and its answer on one connection. Gives how long it took, ms.
    pub fn beat_one(&mut self, number: usize) -> f64 {
        let number = u32::try_from(number).expect("there are fewer terminals");
        self.each(Op::Beat, (number, number + 1), 1).percentile_ms(50.0)
    }

    /// Beats over the connections in turn for a while: with this many heartbeats unanswered, or so many a second. Gives the
    /// number of answers.
    pub fn beat(&mut self, pace: Pace, duration: Duration) -> u64 {
        let (pick, window, per_second) = match pace {
            Pace::AtOnce(window) => (Pick::Round, window, None),
            Pace::PerSecond(rate) => (Pick::Times, self.0.count, Some(rate)),
        };
        let id = self.0.begin(Workload {
            op: Op::Beat,
            pick,
            range: (0, self.0.count),
            window,
            per_second,
        });
        self.0.pass(duration, &mut |_| {}).expect("the workers go on");
        let outcome = self.0.end(id, &mut |_| {});
        self.check(&outcome.expect("every heartbeat has an answer")).done
    }

    /// Resets all connections, so that no port stays taken.
    pub fn leave(mut self) {
        self.each(Op::CutRst, (0, self.0.count), AT_ONCE);
        self.0.quit().expect("the workers end well");
    }

    fn each(&mut self, op: Op, range: (u32, u32), at_once: u32) -> WorkloadOutcome {
        let outcome = self.0.each(op, range, at_once, &mut |_| {});
        let outcome = self.check(&outcome.expect("all of it has an end"));
        assert_eq!(outcome.done, u64::from(range.1 - range.0), "{op:?}");
        outcome
    }

    /// Nothing but what was asked for may have been seen.
    fn check(&self, outcome: &WorkloadOutcome) -> WorkloadOutcome {
        let (faults, texts) = self.0.statistics.faults();
        assert!(faults == 0 && outcome.failed == 0, "{faults} faults: {texts:?}");
        outcome.clone()
    }
}

/// How fast terminals beat.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as answers come, with this many under way.
    AtOnce(u32),
    /// At this rate, evenly spread: each by itself, as terminals that know nothing of one another send.
    PerSecond(f64),
}
