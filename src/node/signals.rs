//! What the operator's signals ask for. A thread of its own hears them and waits for nobody: it can end the process whatever
//! the others do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::process::end_at_once;

/// How much longer than its deadline a stop may take, for the log's last words and the end of the process.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Of a stop that was asked for twice, as shells have it for Ctrl-C.
const EXIT_STOPPED_TWICE: i32 = 130;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    /// What they ask for. A second stop does not come here: it ends the process.
    pub(super) asked: Receiver<SignalRequest>,
    started: Arc<AtomicBool>,
}

impl Signals {
    /// Hears them from now on. A stop has to be over `stop_within` after it was asked for. Before [`Signals::started`] was called
    /// there is nobody to say goodbye to, and the first signal ends the process.
    ///
    /// # Errors
    /// If the system gives no thread, or no descriptors.
    pub(super) fn hear(stop_within: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (send, asked) = unbounded();
        let (ready, is_ready) = bounded(1);
        let started = Arc::new(AtomicBool::new(false));
        let is_started = Arc::clone(&started);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let streams = SignalStreams::new();
                    // Who waits for it gets the outcome, and with it the end of this thread.
                    let Ok(streams) = told(streams, &ready) else {
                        return;
                    };
                    streams.pass_on(&send, &is_started, stop_within).await;
                });
            })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { asked, started })
    }

    /// The listeners are open.
    pub(super) fn started(&self) {
        self.started.store(true, Ordering::Release);
    }
}

/// Tells whether it could be made, and gives it back.
fn told(streams: io::Result<SignalStreams>, ready: &Sender<io::Result<()>>) -> Result<SignalStreams, ()> {
    let (streams, outcome) = match streams {
        Ok(streams) => (Ok(streams), Ok(())),
        Err(error) => (Err(()), Err(error)),
    };
    let _ = ready.send(outcome);
    streams
}

struct SignalStreams {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl SignalStreams {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.hangup.recv() => SignalRequest::Reload,
        }
    }

    async fn next_stop(&mut self) {
        while self.next().await != SignalRequest::Stop {}
    }

    async fn pass_on(mut self, send: &Sender<SignalRequest>, started: &AtomicBool, stop_within: Duration) {
        loop {
            let asked = self.next().await;
            if asked == SignalRequest::Stop && !started.load(Ordering::Acquire) {
                end_at_once(0);
            }
            // The node takes it when it comes to it.
            let _ = send.send(asked);
            if asked == SignalRequest::Stop {
                break;
            }
        }
        tokio::select! {
            // The person who asks twice does not want to wait.
            () = self.next_stop() => end_at_once(EXIT_STOPPED_TWICE),
            () = tokio::time::sleep(stop_within + GRACE) => end_at_once(1),
        }
    }
}
