//! Limits, and reasons of aims that several folders have.

/// The largest ÷ the smallest figure of a growing number of connections that counts as flat.
pub(crate) const FLAT: f64 = 1.10;

// Reasons that aims of several folders have.
pub(super) const FLAT_REASON: &str =
    "what one costs is to be the same with few and with many: flat within 10 %";
pub(super) const IDLE_KERNEL: &str =
    "a socket as a direct descriptor takes about 3,900 B, and an armed poll about 260 B";
pub(super) const QUERY: &str = "4,000,000 statuses a second on one core";
/// How a figure over loopback is to be read that misses its aim.
pub(super) const LOOPBACK: &str = "Over loopback a server's CPU includes the terminals' half of TCP, which is the same for both servers. \
    Apart it does not.";
pub(super) const RESTART: &str = "terminals come back after a few seconds, and wait no longer for a gateway";
