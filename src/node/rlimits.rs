//! What the process may have of descriptors and of locked memory: both bound its rings. Raises soft limits, and never a hard
//! one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises RLIMIT_NOFILE, and gives what holds from now on: the descriptors of the process, and with them each ring's table.
#[must_use]
pub fn raise_descriptors() -> u64 {
    raise(Resource::Nofile)
}

/// Raises RLIMIT_MEMLOCK. Newer kernels count rings as locked memory.
pub fn raise_locked_memory() {
    raise(Resource::Memlock);
}

/// Raises the soft limit to the hard one. No limit at all is told as the largest number.
fn raise(resource: Resource) -> u64 {
    let Rlimit { current, maximum } = getrlimit(resource);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = if setrlimit(resource, raised).is_ok() {
        maximum
    } else {
        current
    };
    limit.unwrap_or(u64::MAX)
}
