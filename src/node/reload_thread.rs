//! The thread for reloads that a signal asks for: they read files, and nobody else may wait for those. Hears no signal, and
//! reads nothing itself.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

/// A thread that reloads when it is asked to.
#[derive(Debug)]
pub(super) struct ReloadThread {
    ask: Sender<()>,
    thread: JoinHandle<()>,
}

impl ReloadThread {
    /// Starts it. `reload` does one.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(mut reload: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (ask, asked) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("reloads".to_owned())
            .spawn(move || asked.iter().for_each(|()| reload()))?;
        Ok(Self { ask, thread })
    }

    /// Asks for a reload, and does not wait. One can wait while another is under way: it reads what all that asked meanwhile had
    /// changed, so no more need to wait.
    pub(super) fn ask(&self) {
        // Full: one waits already. Disconnected: the thread has ended, which is looked for.
        let _ = self.ask.try_send(());
    }

    /// Whether the thread has ended on its own: then nothing that is asked for is done any more.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn one_waits_while_another_is_under_way_and_no_more() {
        let (began, begun) = unbounded();
        let (go_on, wait) = unbounded();
        let reloads = ReloadThread::start(move || {
            began.send(()).unwrap();
            wait.recv().unwrap();
        })
        .unwrap();
        reloads.ask();
        begun.recv().unwrap();
        (0..3).for_each(|_| reloads.ask());
        (0..2).for_each(|_| go_on.send(()).unwrap());
        begun.recv().unwrap();
        let thread = reloads.thread;
        drop(reloads.ask);
        thread.join().unwrap();
        assert!(begun.try_recv().is_err());
    }
}
