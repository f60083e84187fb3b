//! What a terminal does while it has no link: it waits before it comes back, or for the wish to log in again.

use std::time::Duration;

use tokio::time::Instant;

use super::input::{Line, Writer};
use super::{BACKOFF_MAX, COMING_BACK_MAX, HELP, InteractiveTerminal};
use crate::cli::outcome::{CommandFault, print};
use crate::cli::words::NextStep;

impl InteractiveTerminal<'_> {
    /// Waits before it comes back: longer each time, and at a moment of its own. Gives `reason` back as the error when it is
    /// not to come back any more.
    pub(super) async fn pause(&mut self, at_least: Duration, reason: CommandFault) -> anyhow::Result<()> {
        let wait = self.backoff.mul_f64(0.5 + fastrand::f64()).max(at_least);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() + wait > COMING_BACK_MAX {
            return Err(reason.into());
        }
        print(&format!("{reason}\ncoming back in {:.1} s\n", wait.as_secs_f64()))?;
        let back_at = Instant::now() + wait;
        let is_asked = self.input.writer == Writer::Person;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(back_at) => return Ok(()),
                // A script's lines wait for the next login.
                line = self.input.next(), if is_asked => match line {
                    Line::Quit => return Err(reason.into()),
                    // The next login tells it.
                    Line::Background(background) => self.background = background,
                    Line::Acks(to) => self.seen.set_acks(to),
                    Line::Mistyped(what) => self.tell_mistyped(&what),
                    Line::Enter | Line::Logout => {}
                },
            }
        }
    }

    /// Waits for the wish to log in again, or to leave. Where only the UserSig is no good, the session goes on.
    pub(super) async fn ask_for_login(&mut self, next: NextStep) -> anyhow::Result<bool> {
        if next != NextStep::Renew {
            self.session = 0;
        }
        if self.input.writer == Writer::Person {
            print("press Enter to log in again, or type /quit\n")?;
        }
        loop {
            match self.input.next().await {
                Line::Enter => return Ok(true),
                Line::Quit => return Ok(false),
                Line::Background(background) => self.background = background,
                Line::Acks(to) => self.seen.set_acks(to),
                Line::Mistyped(what) => self.tell_mistyped(&what),
                Line::Logout => print(&format!("{HELP}\n"))?,
            }
        }
    }
}
