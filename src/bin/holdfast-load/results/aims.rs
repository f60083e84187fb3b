//! All current figures: the folder of each, the command that makes it, and what it is to be. Aims stand here and nowhere
//! else: the benches and the index read them.

mod benches;
mod load;
mod versus;

use super::figures::Folder;

/// The largest ÷ the smallest figure of a growing number of connections that counts as flat.
pub(crate) const FLAT: f64 = 1.10;

// Reasons that aims of several folders have.
const IDLE_KERNEL: &str =
    "a socket as a direct descriptor takes about 3,900 B, and an armed poll about 260 B";
const QUERY: &str = "4,000,000 statuses a second on one core";
/// How a figure over loopback is to be read that misses its aim.
const LOOPBACK: &str = "Over loopback a server's CPU includes the terminals' half of TCP, which is the same for both servers. \
    Apart it does not.";
const RESTART: &str = "terminals come back after a few seconds, and wait no longer for a gateway";

/// All folders: those of the benches, and then those of `holdfast-load`.
pub(crate) fn folders() -> impl Iterator<Item = &'static Folder> {
    benches::FOLDERS
        .iter()
        .chain(load::FOLDERS)
        .chain(versus::FOLDERS)
}
