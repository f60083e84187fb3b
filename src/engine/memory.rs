//! What the kernel reads and writes while operations of a ring are in its hands. It only holds.

use hashbrown::HashMap;

use super::accept::Accepts;
use super::buffers::Buffers;
use crate::base::ids::ConnKey;

/// All memory of one ring's operations.
pub(super) struct RingMemory {
    pub(super) buffers: Buffers,
    pub(super) sends: HashMap<ConnKey, Vec<u8>>,
    pub(super) accepts: Accepts,
    pub(super) connects: HashMap<ConnKey, Box<ConnectEnds>>,
}

/// What a connect reads.
pub(super) struct ConnectEnds {
    pub(super) source: libc::sockaddr_in,
    pub(super) target: libc::sockaddr_in,
}
