//! What this program has started and made, and how that ends with it: by a signal, by output that nobody reads, or in the
//! ordinary way. It never touches a process or a folder that is not this program's own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use holdfast::engine::process::{EndSignal, EndSignals, end_at_once, end_with_this_process};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::screen;

/// What is to end with this program. Whoever ends it holds this to the last moment, so that nothing is started meanwhile, and
/// nobody tells of what ended before its time.
static OWNED: Mutex<Owned> = Mutex::new(Owned {
    children: Vec::new(),
    folders: Vec::new(),
});

/// Whether a signal is ending this program. What is seen from then on is the end of what was started, and nobody's fault.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Whether nothing more is to be told of how it goes.
pub(crate) fn has_begun() -> bool {
    ENDING.load(Ordering::Acquire)
}

struct Owned {
    children: Vec<Pid>,
    folders: Vec<PathBuf>,
}

fn owned() -> MutexGuard<'static, Owned> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has signals end what was started, too, from here on.
///
/// # Errors
/// If the system gives no thread or no descriptors.
pub(crate) fn listen() -> anyhow::Result<()> {
    let listening = EndSignals::listen(|mut signals| end(signals.wait()));
    listening.context("the system gives no thread or no descriptors")
}

/// Ends everything, as if by this signal.
fn end(signal: EndSignal) -> ! {
    let owned = owned();
    // Before the first process goes.
    ENDING.store(true, Ordering::Release);
    for child in &owned.children {
        // It may have ended by itself.
        let _ = kill_process(*child, Signal::KILL);
    }
    for child in &owned.children {
        // Who else waits for it may have been faster.
        let _ = waitid(WaitId::Pid(*child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }
    for folder in &owned.folders {
        // There is nobody to be told.
        let _ = std::fs::remove_dir_all(folder);
    }
    screen::leave("holdfast-load: ended by a signal: there is no result");
    end_at_once(signal.exit_code().into());
}

/// Goes on only if no signal is ending this program: who asks here has a last word.
pub(crate) fn last_word(text: &str) {
    say_last(text, &mut io::stderr());
}

/// Signals are heard meanwhile: nobody may read what is written.
fn say_last(text: &str, out: &mut impl Write) {
    drop(owned());
    // As for others, the exit code still tells.
    let _ = writeln!(out, "{text}");
}

/// Tells a person how far it is. If nobody reads that any more, everything ends, as with others whose pipe is closed.
pub(crate) fn tell(text: &str) {
    if has_begun() {
        return;
    }
    let written = writeln!(io::stderr(), "{text}");
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        end(EndSignal::PIPE);
    }
}

/// A process that was started here. It ends with this, and with this program.
pub(crate) struct Started(Child);

impl Started {
    /// Starts it. The kernel ends it with the thread that calls this, so that has to be the main one.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        end_with_this_process(command);
        let mut owned = owned();
        let child = command.spawn()?;
        owned.children.push(Pid::from_child(&child));
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    pub(crate) fn take_output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut owned = owned();
        let ended = self.0.try_wait()?;
        if ended.is_some() {
            self.forget(&mut owned);
        }
        Ok(ended)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        if owned().children.contains(&self.pid()) {
            // Its number is its own for as long as it is not reaped.
            waitid(
                WaitId::Pid(self.pid()),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            )?;
        }
        let mut owned = owned();
        self.forget(&mut owned);
        self.0.wait()
    }

    /// Kills it, and waits for its end.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.0.kill()?;
        self.wait()
    }

    fn forget(&self, owned: &mut Owned) {
        let own = self.pid();
        owned.children.retain(|child| *child != own);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// A new folder for what is kept as long as this.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut owned = owned();
        let folder = tempfile::Builder::new()
            .prefix("holdfast-load-")
            .tempdir()?
            .keep();
        owned.folders.push(folder.clone());
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes nothing more: what is in it is for whoever looks for what went wrong.
    pub(crate) fn keep(&self) {
        owned().folders.retain(|folder| *folder != self.0);
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let mut owned = owned();
        if let Some(place) = owned.folders.iter().position(|folder| *folder == self.0) {
            owned.folders.swap_remove(place);
            // Nobody misses it.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is stuck until somebody else has what is owned, as who hears a signal has.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (sender, taken) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                drop(owned());
                let _ = sender.send(());
            });
            let patience = std::time::Duration::from_secs(20);
            taken.recv_timeout(patience).expect("nothing holds it");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_last_word_that_is_stuck_does_not_keep_a_signal_from_ending_all() {
        say_last("it failed", &mut Stuck);
    }

    #[test]
    fn a_folder_goes_with_its_owner_unless_it_is_kept() {
        let folder = TempFolder::new().unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
        let folder = TempFolder::new().unwrap();
        let path = folder.path().to_owned();
        folder.keep();
        drop(folder);
        assert!(path.is_dir());
        std::fs::remove_dir(path).unwrap();
    }

    #[test]
    fn a_process_goes_with_its_owner() {
        let mut command = Command::new("sleep");
        let started = Started::spawn(command.arg("1000")).unwrap();
        let pid = started.pid();
        assert!(owned().children.contains(&pid));
        drop(started);
        assert!(!owned().children.contains(&pid));
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn a_process_that_ended_by_itself_is_nobody_who_is_killed() {
        let mut started = Started::spawn(&mut Command::new("true")).unwrap();
        let pid = started.pid();
        assert!(started.wait().unwrap().success());
        assert!(!owned().children.contains(&pid));
        assert!(started.ended().unwrap().is_some());
    }
}
