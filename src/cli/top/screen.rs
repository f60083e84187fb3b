//! The screen that the live view draws on: taken, and given back as it was, however the command ends. It knows nothing of
//! what is drawn.

use std::io::{self, Stdout, Write, stdin, stdout};
use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::engine::process::is_screen;

/// The screen is ours, and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether there is a screen to draw on, with a keyboard.
pub(super) fn is_there() -> bool {
    is_screen(&stdout()) && is_screen(&stdin())
}

/// The screen while it is ours.
pub(super) struct Screen {
    /// Never dropped: it would complain on standard error if it cannot show the cursor, and panic where that is gone, too.
    pub(super) terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
}

impl Screen {
    /// Takes it: keys come as they are pressed, and what was shown before is kept for later.
    pub(super) fn take() -> anyhow::Result<Self> {
        give_back_at_panic();
        enable_raw_mode().context("this terminal does not give keys one by one")?;
        TAKEN.store(true, Ordering::SeqCst);
        let taken = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        let taken = taken.inspect_err(|_| give_back());
        Ok(Self {
            terminal: ManuallyDrop::new(taken?),
        })
    }

    /// What was pressed within this time.
    pub(super) fn event(&self, within_max: Duration) -> io::Result<Option<Event>> {
        let keyboard = stdin();
        let mut polled = [PollFd::new(&keyboard, PollFlags::IN)];
        let within_max = Timespec::try_from(within_max).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut polled, Some(&within_max)) {
            Err(rustix::io::Errno::INTR) => return Ok(None),
            polled => polled?,
        };
        // The library reads from a terminal that is gone for ever.
        if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the terminal is gone"));
        }
        if event::poll(Duration::ZERO)? {
            return event::read().map(Some);
        }
        Ok(None)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Has a panic show its message where it can be read.
fn give_back_at_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
    });
}

/// Gives the screen back, once. Whatever fails, since it may be gone, the rest is done.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        cook();
        let _ = put_back(&mut stdout());
    }
}

/// Has keys come line by line again. This never waits.
pub(super) fn cook() {
    // A terminal that is gone needs it no more.
    let _ = disable_raw_mode();
}

/// Shows what was there before, and the cursor.
fn put_back(out: &mut impl Write) -> io::Result<()> {
    queue!(out, LeaveAlternateScreen, Show)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_the_main_screen_and_its_cursor() {
        let mut out = Vec::new();
        put_back(&mut out).unwrap();
        assert_eq!(out, b"\x1b[?1049l\x1b[?25h");
    }
}
