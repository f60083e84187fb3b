//! The async thread's runtime. The only file that names tokio-uring: hyper runs on `tokio::net` inside it, and nothing
//! here ever carries a terminal's connection.

use std::io;

/// Runs `future` to its end on this thread, with whatever it spawns locally.
///
/// # Errors
/// If the kernel gives no io_uring, or no descriptors for the runtime.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())?;
    Ok(runtime.block_on(future))
}
