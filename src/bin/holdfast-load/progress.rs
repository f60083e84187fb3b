//! Shows how far a run is: bars on a screen, plain lines anywhere else. It measures nothing.

use std::time::Duration;

use holdfast::base::time::Stopwatch;
use holdfast::engine::process::is_screen;
use indicatif::{ProgressBar, ProgressStyle};

use crate::ending::{self, tell};
use crate::screen::bar_shown;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The display of one step of a run.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    total: u64,
    last: Stopwatch,
}

impl Progress {
    /// A step that is done when `total` is reached.
    pub(crate) fn begin(title: &str, total: u64) -> Self {
        let bar = is_screen(&std::io::stderr()).then(|| {
            let mut shown = bar_shown();
            let style = ProgressStyle::with_template("{prefix:24} [{bar:32}] {pos}/{len} {elapsed} {msg}")
                .expect("the template is well formed");
            let bar = ProgressBar::new(total).with_style(style);
            bar.set_prefix(title.to_owned());
            *shown = true;
            bar
        });
        if bar.is_none() {
            tell(&format!("{title}: begins"));
        }
        Self {
            bar,
            title: title.to_owned(),
            total,
            last: Stopwatch::start(),
        }
    }

    /// So far is it, and this is to be said of it.
    pub(crate) fn at(&mut self, position: u64, message: &str) {
        match &self.bar {
            Some(_) if ending::has_begun() => {}
            Some(bar) => {
                let _shown = bar_shown();
                bar.set_position(position);
                bar.set_message(message.to_owned());
            }
            None if self.last.elapsed() >= LINE_EVERY => {
                self.last = Stopwatch::start();
                tell(&format!(
                    "{}: {position} of {}, {message}",
                    self.title, self.total
                ));
            }
            None => {}
        }
    }

    /// The step is over.
    pub(crate) fn end(self, message: &str) {
        match self.bar {
            Some(_) if ending::has_begun() => {}
            Some(bar) => {
                let _shown = bar_shown();
                bar.finish_with_message(message.to_owned());
            }
            None => tell(&format!("{}: {message}", self.title)),
        }
    }
}
