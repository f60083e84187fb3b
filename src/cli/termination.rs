//! How a command that stays is ended from outside: a signal asks it to leave things as they were, and one that cannot is
//! ended all the same. Which signals those are is not decided here.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use crate::engine::process::{EndSignal, EndSignals, end_at_once};

/// How long a command may take to end by itself. It may be writing to a terminal that was stopped, or to a pipe that nobody
/// reads, which waits for ever.
const END_WITHIN_MAX: Duration = Duration::from_secs(2);

/// Whether the command is asked to end.
#[derive(Debug, Clone)]
pub(super) struct Termination(watch::Receiver<Option<EndSignal>>);

impl Termination {
    /// Listens from here on. A command that does not end in time, or is asked twice, is ended after `last_resort`, which
    /// must not wait for anything.
    ///
    /// # Errors
    /// If the system gives no thread or no descriptors.
    pub(super) fn listen(last_resort: fn()) -> anyhow::Result<Self> {
        let (ask, asked) = watch::channel(None);
        let listening = EndSignals::listen(move |mut signals| {
            let first = signals.wait();
            // Who does not look any more is on its way to its end.
            let _ = ask.send(Some(first));
            // The second signal, or the time: both say that it has been enough.
            let _ = signals.wait_for(END_WITHIN_MAX);
            last_resort();
            end_at_once(first.exit_code().into());
        });
        listening.context("the system gives no thread or no descriptors")?;
        Ok(Self(asked))
    }

    /// The signal that has come, if one has.
    #[cfg(feature = "top")]
    pub(super) fn came(&self) -> Option<EndSignal> {
        *self.0.borrow()
    }

    /// Waits for one.
    pub(super) async fn asked(&mut self) -> EndSignal {
        match self.0.wait_for(Option::is_some).await.map(|came| *came) {
            Ok(Some(signal)) => signal,
            // The thread that listens never ends without a word.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
