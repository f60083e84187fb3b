//! What a program has to do with those who started it and with those that it starts: the signals that end it, its end where
//! nothing may stand in the way, limits that must not end it, children that end with it, and whether a stream is a screen. Starts nothing by itself.

use std::ffi::OsStr;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Those that ask a program to end: its terminal is gone, Ctrl-C, Ctrl-\, and `kill`.
const END_SIGNALS: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// What a shell adds to a signal's number to make an exit code of it.
const EXIT_BY_SIGNAL: u8 = 128;

/// Has a write beyond what a file of the process may have (RLIMIT_FSIZE) fail, as one to a full disk does. Otherwise the system
/// ends the process by SIGXFSZ.
///
/// # Errors
/// If the system refuses.
pub fn outlive_file_limits() -> io::Result<()> {
    // SAFETY: to ignore a signal names no code to run, and touches no memory of the process.
    let before = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    match before {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A signal that asked the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndSignal(Signal);

impl EndSignal {
    /// What a closed pipe sends to those who do not ask to be spared.
    pub const PIPE: Self = Self(Signal::PIPE);

    /// The exit code of a program that was ended by it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        EXIT_BY_SIGNAL + u8::try_from(self.0.as_raw()).expect("the named signals are below 32")
    }
}

/// The signals that ask the program to end, but for those that whoever started it had ignored, as `nohup` and shells do for
/// what runs in the background.
pub struct EndSignals {
    runtime: Runtime,
    streams: Vec<(EndSignal, tokio::signal::unix::Signal)>,
}

impl EndSignals {
    /// Takes them from here on, by themselves they end nothing any more, and has `act` wait for them on a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread or no descriptors.
    pub fn listen(act: impl FnOnce(Self) + Send + 'static) -> io::Result<()> {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || {
            let signals = Self::take();
            let failed = signals.as_ref().err().map(io::Error::kind);
            // It is waited for below.
            let _ = tell.send(failed);
            if let Ok(signals) = signals {
                act(signals);
            }
        })?;
        let failed = told.recv().expect("the thread tells before it ends");
        failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn take() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut streams = Vec::new();
        let inside = runtime.enter();
        for end in END_SIGNALS {
            if !is_ignored(end) {
                streams.push((EndSignal(end), signal(SignalKind::from_raw(end.as_raw()))?));
            }
        }
        drop(inside);
        Ok(Self { runtime, streams })
    }

    /// Waits for one.
    pub fn wait(&mut self) -> EndSignal {
        self.runtime.block_on(next(&mut self.streams))
    }

    /// Waits for one, and no longer than this.
    pub fn wait_for(&mut self, patience: Duration) -> Option<EndSignal> {
        let next = async { tokio::time::timeout(patience, next(&mut self.streams)).await };
        self.runtime.block_on(next).ok()
    }
}

async fn next(streams: &mut [(EndSignal, tokio::signal::unix::Signal)]) -> EndSignal {
    poll_fn(|context| {
        for (end, stream) in streams.iter_mut() {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*end);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether the program was started with this signal ignored, or ignores it itself.
fn is_ignored(end: Signal) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: Without a new action nothing is changed; the present one is written to a place of the right type.
    let asked = unsafe { libc::sigaction(end.as_raw(), ptr::null(), now.as_mut_ptr()) };
    // SAFETY: The call has succeeded, and so has written it.
    asked == 0 && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Ends the process at once: no handler runs, nothing is flushed, no lock is taken. What is on disk stays as it is.
pub fn end_at_once(code: i32) -> ! {
    // SAFETY: it takes a number, and touches no memory of this process.
    unsafe { libc::_exit(code) }
}

/// Has what `command` starts be killed when this process ends, in whatever way: by the kernel, so that it needs nobody's
/// help. It counts for the thread that starts it, so start it from one that lasts as long as the process. A program that
/// changes its user loses it.
pub fn end_with_this_process(command: &mut Command) {
    let parent = getpid();
    let bind = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() == Some(parent) {
            return Ok(());
        }
        // The parent ended before it could be bound to it.
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    };
    // SAFETY: Between fork and exec the closure only makes two system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(bind) };
}

/// Whether a stream shows its text to a person on a screen that takes control sequences. Anything else gets plain lines.
#[must_use]
pub fn is_screen(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && moves_its_cursor(std::env::var_os("TERM").as_deref())
}

fn moves_its_cursor(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_as_a_shell_tells_it() {
        let codes = END_SIGNALS.map(|end| EndSignal(end).exit_code());
        assert_eq!(codes, [129, 130, 131, 143]);
        assert_eq!(EndSignal::PIPE.exit_code(), 141);
    }

    #[test]
    fn what_was_ignored_at_the_start_is_seen() {
        // Rust's runtime ignores it in every program.
        assert!(is_ignored(Signal::PIPE));
        assert!(!is_ignored(Signal::WINCH));
    }

    #[test]
    fn a_dumb_terminal_is_no_screen() {
        let check = |term: Option<&str>, expected| {
            assert_eq!(moves_its_cursor(term.map(OsStr::new)), expected, "{term:?}");
        };
        check(None, false);
        check(Some(""), false);
        check(Some("dumb"), false);
        check(Some("xterm-256color"), true);
    }
}
