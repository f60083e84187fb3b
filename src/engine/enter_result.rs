//! What entering the kernel can come to, and which of it ends a ring. Enters nothing.

use std::io;

/// A ring that cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// The system's. More completions came than the ring holds, and the kernel had no memory to keep the others. What they
    /// were about is unknown: connections without a receive, buffers that never come back, sockets that nobody knows.
    #[error("io_uring lost completions: the kernel had no memory for them (EBADR), so the host needs more")]
    CompletionsLost,
}

/// What entering the kernel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// As it should be: also when a signal or the time that was given ended the wait.
    Well,
    /// Completions must be reaped before it takes more: the next round does it.
    MustReap,
    /// It lacks memory, and took nothing or not all. What it did not take is still in the queue.
    LacksMemory,
    /// Completions are lost.
    Lost,
}

/// Every error but these is a mistake of ours.
///
/// # Panics
/// If it is one.
pub(super) fn entered(result: &io::Result<usize>) -> Entered {
    let Err(error) = result else {
        return Entered::Well;
    };
    match error.raw_os_error() {
        Some(libc::EINTR | libc::ETIME) => Entered::Well,
        Some(libc::EBUSY) => Entered::MustReap,
        Some(libc::EAGAIN | libc::ENOMEM) => Entered::LacksMemory,
        Some(libc::EBADR) => Entered::Lost,
        Some(_) | None => panic!("entering the ring: {error}"),
    }
}
