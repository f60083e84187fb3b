//! Requests that were refused for who sent them: counted by listener and reason, and of each network for a minute. A good
//! proof is never looked at through these counts, so nobody locks out those who share an address, such as a proxy's.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::base::time::Instant;
use crate::services::http::server::peer::ListenerKind;
use crate::services::http::server::slots::ClientNetwork;

/// FailureThrottle of one network in a minute that are answered as any other. A client that retries once a second, or a person
/// who has mistaken the token, stays below.
pub(crate) const FAILURES_MAX: u32 = 60;

/// FailureThrottle are counted for a minute from the first one on.
const WINDOW_MS: u64 = 60_000;

/// Networks that failures are counted of. At 40 B each it bounds what strangers can make the HTTP server remember; one that
/// finds no room is not limited.
const NETWORKS_MAX: usize = 4_096;

/// A full table is looked through for those that have served their minute at most so often: it takes tens of
/// microseconds, and whoever fills the table could have that done with each request.
const SWEEP_MS: u64 = 1_000;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// It names no app or another, or no user.
    Caller,
    /// Its UserSig is not good.
    UserSig,
    /// Its UserSig is good, but its user is no administrator.
    NotAdministrator,
    /// It has no token, or another.
    Token,
    /// It was sent to another name, or by a page of another.
    Stranger,
}

impl RefusalReason {
    const ALL: [Self; 5] = [
        Self::Caller,
        Self::UserSig,
        Self::NotAdministrator,
        Self::Token,
        Self::Stranger,
    ];

    /// As metrics name it.
    fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::UserSig => "usersig",
            Self::NotAdministrator => "not-administrator",
            Self::Token => "token",
            Self::Stranger => "stranger",
        }
    }
}

/// How often one network has failed.
#[derive(Debug, Clone, Copy)]
struct FailureCount {
    count: u32,
    since: Instant,
}

impl FailureCount {
    fn is_over(&self, now: Instant) -> bool {
        now.0.saturating_sub(self.since.0) >= WINDOW_MS
    }
}

/// All refusals.
#[derive(Debug, Default)]
pub(crate) struct FailureThrottle {
    counts: [[Cell<u64>; RefusalReason::ALL.len()]; ListenerKind::ALL.len()],
    /// Those that were one too many of their network.
    limited: [Cell<u64>; ListenerKind::ALL.len()],
    networks: RefCell<HashMap<ClientNetwork, FailureCount>>,
    swept_at: Cell<Instant>,
}

/// What the limit says of one more failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThrottleVerdict {
    /// It is answered as any other.
    Below,
    /// It is one too many.
    Over,
}

impl FailureThrottle {
    /// Counts a failure from `address`.
    pub(crate) fn count(
        &self,
        now: Instant,
        listener: ListenerKind,
        address: IpAddr,
        reason: RefusalReason,
    ) -> ThrottleVerdict {
        add_one(&self.counts[listener as usize][reason as usize]);
        let count = self.count_of(now, ClientNetwork::of(address));
        if count <= FAILURES_MAX {
            return ThrottleVerdict::Below;
        }
        if count == FAILURES_MAX + 1 {
            let (listener, reason) = (listener.name(), reason.name());
            tracing::warn!(%address, listener, reason, "many requests from this address are refused");
        }
        add_one(&self.limited[listener as usize]);
        ThrottleVerdict::Over
    }

    /// How often this network has failed in its minute, with this time; 0 if nothing can be counted of it.
    fn count_of(&self, now: Instant, network: ClientNetwork) -> u32 {
        let mut networks = self.networks.borrow_mut();
        if networks.len() >= NETWORKS_MAX && !networks.contains_key(&network) {
            self.sweep(now, &mut networks);
            if networks.len() >= NETWORKS_MAX {
                return 0;
            }
        }
        let counted = networks
            .entry(network)
            .or_insert(FailureCount { count: 0, since: now });
        if counted.is_over(now) {
            (counted.count, counted.since) = (0, now);
        }
        counted.count = counted.count.saturating_add(1);
        counted.count
    }

    fn sweep(&self, now: Instant, networks: &mut HashMap<ClientNetwork, FailureCount>) {
        if now.0 >= self.swept_at.get().0 + SWEEP_MS {
            self.swept_at.set(now);
            networks.retain(|_, counted| !counted.is_over(now));
        }
    }

    /// Each count with its labels.
    pub(crate) fn all(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for listener in ListenerKind::GUARDED {
            for reason in RefusalReason::ALL {
                let count = self.counts[listener as usize][reason as usize].get();
                let (listener, reason) = (listener.name(), reason.name());
                all.push((format!("listener=\"{listener}\",reason=\"{reason}\""), count));
            }
        }
        all
    }

    /// How many were one too many of their network, by listener.
    pub(crate) fn limited(&self) -> [(ListenerKind, u64); ListenerKind::GUARDED.len()] {
        ListenerKind::GUARDED.map(|listener| (listener, self.limited[listener as usize].get()))
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn fail(failures: &FailureThrottle, ms: u64, address: u32) -> ThrottleVerdict {
        let address = Ipv4Addr::from_bits(address).into();
        failures.count(Instant(ms), ListenerKind::Admin, address, RefusalReason::Token)
    }

    #[test]
    fn failures_count_for_a_minute_and_for_their_network_alone() {
        let failures = FailureThrottle::default();
        for ms in 0..u64::from(FAILURES_MAX) {
            assert_eq!(fail(&failures, ms, 1), ThrottleVerdict::Below);
        }
        assert_eq!(fail(&failures, WINDOW_MS - 1, 1), ThrottleVerdict::Over);
        assert_eq!(fail(&failures, WINDOW_MS - 1, 2), ThrottleVerdict::Below);
        assert_eq!(fail(&failures, WINDOW_MS, 1), ThrottleVerdict::Below);
        let total = u64::from(FAILURES_MAX) + 3;
        let labels = "listener=\"admin\",reason=\"token\"".to_owned();
        assert!(failures.all().contains(&(labels, total)));
        assert_eq!(failures.limited()[1], (ListenerKind::Admin, 1));
    }

    #[test]
    fn failures_are_counted_at_every_listener() {
        let failures = FailureThrottle::default();
        for listener in ListenerKind::ALL {
            for _ in 0..=FAILURES_MAX {
                failures.count(
                    Instant(0),
                    listener,
                    Ipv4Addr::LOCALHOST.into(),
                    RefusalReason::Token,
                );
            }
        }
        assert!(failures.limited.iter().all(|limited| limited.get() > 0));
    }

    #[test]
    fn a_full_table_limits_nobody_new_and_forgets_who_has_served_its_minute() {
        let failures = FailureThrottle::default();
        let networks = u32::try_from(NETWORKS_MAX).unwrap();
        (0..networks).for_each(|address| assert_eq!(fail(&failures, 0, address), ThrottleVerdict::Below));
        for _ in 0..=FAILURES_MAX {
            assert_eq!(fail(&failures, 1, networks), ThrottleVerdict::Below);
        }
        assert_eq!(failures.networks.borrow().len(), NETWORKS_MAX);
        assert_eq!(fail(&failures, WINDOW_MS, networks), ThrottleVerdict::Below);
        assert_eq!(failures.networks.borrow().len(), 1);
    }

    #[test]
    fn a_full_table_is_swept_at_most_once_a_second() {
        let failures = FailureThrottle::default();
        let networks = u32::try_from(NETWORKS_MAX).unwrap();
        (0..networks).for_each(|address| _ = fail(&failures, 0, address));
        let check = |ms: u64, left: usize| {
            fail(&failures, ms, networks);
            assert_eq!(failures.networks.borrow().len(), left, "{ms}");
        };
        check(WINDOW_MS - 1, NETWORKS_MAX);
        check(WINDOW_MS, NETWORKS_MAX);
        check(WINDOW_MS - 1 + SWEEP_MS, 1);
    }
}
