//! Shows how far a run is: bars on a terminal, plain lines anywhere else. It measures nothing.

use std::io::IsTerminal;
use std::time::Duration;

use holdfast::base::time::Stopwatch;
use indicatif::{ProgressBar, ProgressStyle};

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
        let on_a_terminal = std::io::stderr().is_terminal();
        let bar = on_a_terminal.then(|| {
            let style = ProgressStyle::with_template("{prefix:24} [{bar:32}] {pos}/{len} {elapsed} {msg}")
                .expect("the template is well formed");
            let bar = ProgressBar::new(total).with_style(style);
            bar.set_prefix(title.to_owned());
            bar
        });
        if bar.is_none() {
            eprintln!("{title}: begins");
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
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(message.to_owned());
            }
            None if self.last.elapsed() >= LINE_EVERY => {
                self.last = Stopwatch::start();
                eprintln!("{}: {position} of {}, {message}", self.title, self.total);
            }
            None => {}
        }
    }

    /// The step is over.
    pub(crate) fn end(self, message: &str) {
        match self.bar {
            Some(bar) => bar.finish_with_message(message.to_owned()),
            None => eprintln!("{}: {message}", self.title),
        }
    }
}
