//! The HTTP server's limits: sizes, times, connections. Tests make them small.

use std::time::Duration;

use crate::base::limits::HTTP_IN_FLIGHT_MAX;
use crate::services::http::sizes;

/// The HTTP server's limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Request line and headers. A UserSig in the URL has under 1 KiB, proxies add a few headers.
    pub head_bytes_max: usize,
    /// All bodies under way together: they are kept until their requests are answered. What finds no room waits, and is
    /// refused after [`Limits::body_read_max`]. How long one body may be follows from its command.
    pub bodies_bytes_max: usize,
    /// From the accept to the last header of the first request, and between the requests of those who have not shown
    /// who they are. Headers fit into a few packets, which even a bad network delivers in this time.
    pub head_read_max: Duration,
    /// Between the requests of those who have. Longer than backends keep idle connections in their pools (60 to 90 s),
    /// short enough that a silent peer gives its slot back.
    pub idle_max: Duration,
    /// From the last header to the end of the body.
    pub body_read_max: Duration,
    /// Without a byte that the peer takes of its answer. Far longer than any network stalls for.
    pub write_stall_max: Duration,
    /// Until the peer has taken all of its answer. The longest, a page of 1,000 lines, has under 1 MiB.
    pub answer_taken_max: Duration,
    /// Tencent's backend gives a REST request 3 s, and clients count on it.
    pub answer_within: Duration,
    /// How long a refusal waits that an address gets after too many: whoever guesses, or retries in a loop, is slowed down.
    pub refusal_delay: Duration,
    /// Open connections of the backend's listener. Far beyond any connection pool.
    pub connections_max: usize,
    /// Open connections of the admin listener: scrapers, probes, and tools that keep theirs open.
    pub admin_connections_max: usize,
    /// Open connections of the listener for browsers. Each takes a few files in a moment.
    pub web_connections_max: usize,
    /// See [`HTTP_IN_FLIGHT_MAX`].
    pub in_flight_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 * 1024,
            bodies_bytes_max: sizes::ALL_BYTES_MAX,
            head_read_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(100),
            body_read_max: Duration::from_secs(10),
            write_stall_max: Duration::from_secs(10),
            answer_taken_max: Duration::from_secs(60),
            answer_within: Duration::from_secs(3),
            refusal_delay: Duration::from_secs(1),
            connections_max: 4_096,
            admin_connections_max: 1_024,
            web_connections_max: 256,
            in_flight_max: HTTP_IN_FLIGHT_MAX,
        }
    }
}

/// Of the descriptors that the process may have, connections of backends and operators take at most one part in this many. The others are
/// for the store's files, the rings, the listeners and the callbacks' connections.
const DESCRIPTORS_PART: u64 = 2;

/// Of these, one part in this many is for the admin listener.
const ADMIN_PART: usize = 5;

/// Browsers' connections take at most one part in this many of all descriptors, on top of the half above.
const WEB_PART: u64 = 16;

/// One part in this many of the admin listener's slots is kept for those who look at its health: all else that is under
/// way there takes no more than the others.
const PROBES_PART: usize = 16;

impl Limits {
    /// The limits of a process that may have so many descriptors.
    #[must_use]
    pub fn within(descriptors_max: u64) -> Self {
        let usual = Self::default();
        let ours = usize::try_from(descriptors_max / DESCRIPTORS_PART).unwrap_or(usize::MAX);
        let admin = (ours / ADMIN_PART).clamp(1, usual.admin_connections_max);
        let web = usize::try_from(descriptors_max / WEB_PART).unwrap_or(usize::MAX);
        Self {
            admin_connections_max: admin,
            web_connections_max: web.clamp(1, usual.web_connections_max),
            connections_max: ours.saturating_sub(admin).clamp(1, usual.connections_max),
            ..usual
        }
    }

    /// Requests of the admin listener, but those for its health, that may be under way together.
    pub(super) fn admin_requests_max(&self) -> usize {
        self.admin_connections_max - self.admin_connections_max.div_ceil(PROBES_PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(descriptors_max: u64, backend: usize, admin: usize, web: usize) {
        let limits = Limits::within(descriptors_max);
        let places = (
            limits.connections_max,
            limits.admin_connections_max,
            limits.web_connections_max,
        );
        assert_eq!(places, (backend, admin, web), "{descriptors_max}");
        assert!(limits.admin_requests_max() < admin);
    }

    #[test]
    fn connections_leave_descriptors_to_others() {
        check(u64::MAX, 4_096, 1_024, 256);
        check(20_000, 4_096, 1_024, 256);
        check(4_096, 1_639, 409, 256);
        check(1_024, 410, 102, 64);
        check(2, 1, 1, 1);
    }
}
