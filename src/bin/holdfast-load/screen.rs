//! Who may write to the screen: one who draws at a time, and nobody once the run is being ended. Draws nothing itself.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// How long the screen is waited for at the end: one that was stopped takes nothing.
const LEAVE_WAIT: Duration = Duration::from_millis(500);

/// Whether bars were drawn: they end no line. Whoever draws holds it.
static BAR_SHOWN: Mutex<bool> = Mutex::new(false);

pub(crate) fn bar_shown() -> MutexGuard<'static, bool> {
    BAR_SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws nothing from here on, and says `word` in a line of its own.
pub(crate) fn leave(word: &'static str) {
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        let shown = bar_shown();
        if *shown {
            // The screen may be gone.
            let _ = writeln!(std::io::stderr());
        }
        let _ = writeln!(std::io::stderr(), "{word}");
        // Nobody may wait any more.
        let _ = say.send(());
        loop {
            std::thread::park();
        }
    });
    // It is the last thing that is done, well or not.
    let _ = said.recv_timeout(LEAVE_WAIT);
}
