//! Making a ring: everything that can fail, before a thread starts. The ring it makes is used in `ring`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use hashbrown::HashMap;
use io_uring::IoUring;
use rustix::event::{EventfdFlags, eventfd};

use super::accept::Accepts;
use super::buffers::Buffers;
use super::memory::RingMemory;
use super::ring::{Ring, RingAddress};
use super::token::SLOTS_MAX;
use crate::base::limits::{RING_COMPLETIONS, RING_SUBMISSIONS};

/// How large a ring is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Slots of the table of direct descriptors: 1 up to [`slots_max`].
    pub slots: u32,
    /// Provided buffers: a power of two up to 32,768.
    pub buffers: u16,
    /// Accepts pending at each listener, at least 1.
    pub accepts: u32,
}

/// A ring could not be made.
#[derive(Debug, thiserror::Error)]
#[error("io_uring: {step}: {error}{}", remedy(.error))]
pub struct SetupError {
    /// What was being made.
    pub step: &'static str,
    /// The system's word for it.
    pub error: io::Error,
}

impl SetupError {
    /// Whether memory was lacking, perhaps that which may be locked.
    #[must_use]
    pub fn lacks_memory(&self) -> bool {
        lacks_memory(&self.error)
    }
}

fn lacks_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error())
}

/// What to do about an error that has one likely cause.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    if lacks_memory(error) {
        "; this kernel may count rings as locked memory: raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity in a systemd unit), \
         see `holdfast check`"
    } else {
        ""
    }
}

/// A ring that is not enabled yet, on its way to the thread that will use it.
pub struct PreparedRing {
    ring: IoUring,
    memory: RingMemory,
    event: OwnedFd,
    listeners: Vec<OwnedFd>,
}

/// The one group of provided buffers.
pub(super) const BUFFER_GROUP: u16 = 0;

impl std::fmt::Debug for PreparedRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedRing").finish_non_exhaustive()
    }
}

/// The most slots that a ring's table can have here: bounded by RLIMIT_NOFILE and by the kernel's ceiling.
#[must_use]
pub fn slots_max() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(SLOTS_MAX, |limit| {
        u32::try_from(limit).unwrap_or(SLOTS_MAX).min(SLOTS_MAX)
    })
}

/// The flags that every ring has.
pub(super) fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_r_disabled()
        .setup_cqsize(RING_COMPLETIONS);
    builder
}

fn at<T>(step: &'static str, result: io::Result<T>) -> Result<T, SetupError> {
    result.map_err(|error| SetupError { step, error })
}

impl PreparedRing {
    /// A ring that accepts from `listeners` and is woken by `event`.
    ///
    /// # Errors
    /// Says what the kernel refused. [`super::probe::check`] finds the usual reasons with better words.
    pub fn new(size: Size, listeners: Vec<OwnedFd>, event: BorrowedFd<'_>) -> Result<Self, SetupError> {
        let event = at("copying the eventfd", event.try_clone_to_owned())?;
        let ring = at("setup", builder().build(RING_SUBMISSIONS))?;
        at(
            "table of direct descriptors",
            ring.submitter().register_files_sparse(size.slots),
        )?;
        let memory = RingMemory {
            buffers: Buffers::new(size.buffers),
            sends: HashMap::new(),
            accepts: Accepts::new(listeners.len(), size.accepts),
            connects: HashMap::new(),
        };
        // SAFETY: the buffers live until the ring is closed, or for ever: here they stand behind the ring, so they are
        // dropped after it; `Ring` takes both over and says why below.
        let registered = unsafe {
            let (address, count) = (memory.buffers.address(), memory.buffers.count());
            ring.submitter()
                .register_buf_ring_with_flags(address, count, BUFFER_GROUP, 0)
        };
        at("provided buffers", registered)?;
        Ok(Self {
            ring,
            memory,
            event,
            listeners,
        })
    }

    /// Makes as many rings as `count` with the provided buffers of each and without listeners, and drops them again. Their tables
    /// have one slot: larger ones are not counted as locked memory.
    ///
    /// # Errors
    /// Says what the kernel refused for the first that cannot be made.
    pub fn try_many(count: u64, buffers: u16) -> Result<(), SetupError> {
        let event = at(
            "eventfd",
            eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from),
        )?;
        let size = Size {
            slots: 1,
            buffers,
            accepts: 1,
        };
        let rings = (0..count).map(|_| Self::new(size, Vec::new(), event.as_fd()));
        rings.collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Makes the calling thread the only one that may use the ring. Sockets can be moved to `others`, named by their
    /// place.
    ///
    /// # Errors
    /// If the kernel refuses, which it has no known reason for.
    pub fn enable(self, others: Vec<RingAddress>) -> Result<Ring, SetupError> {
        at("enabling", self.ring.submitter().register_enable_rings())?;
        Ok(Ring::new(
            self.ring,
            self.memory,
            self.event,
            self.listeners,
            others,
        ))
    }

    /// Where other rings send sockets to.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn address(&self) -> Result<RingAddress, SetupError> {
        // SAFETY: the ring is open as long as it lives.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let copy = at("copying the ring's descriptor", ring.try_clone_to_owned())?;
        Ok(RingAddress::new(copy))
    }
}
