//! The log: what the process writes to standard error. Whoever logs never waits for it, and never learns whether it was read.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

use super::config::{Config, LogFormat};
use crate::engine::process::is_screen;
pub use lines::LogLines;
use lines::{LAST_WORDS_MAX, StandardError, WAITING_BYTES_MAX};

/// What the gateway's own lines come from; those of libraries have other targets.
const OWN_TARGET: &str = "holdfast";

/// How much is written; it can be changed while the process runs.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// As `config` says, with the filter that it governs.
    pub(super) fn new(config: &Config) -> (reload::Layer<Targets, Registry>, Self) {
        let (filter, handle) = reload::Layer::new(targets_of(config));
        (filter, Self(handle))
    }

    /// Writes as `config` says from now on.
    pub fn set(&self, config: &Config) {
        // It fails only without a log, as in tests that had started another before.
        let _ = self.0.reload(targets_of(config));
    }
}

/// The log of a process.
#[derive(Debug, Clone)]
pub struct Log {
    /// How much is written.
    pub level: LogLevel,
    /// Where it goes.
    pub lines: LogLines,
    format: LogFormat,
}

impl Log {
    /// Starts the log, and has panics told by it: what a panic prints by itself waits for whoever reads. Only the first
    /// start of a process counts.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(config: &Config) -> io::Result<Self> {
        let (filter, level) = LogLevel::new(config);
        let lines = LogLines::start(StandardError, WAITING_BYTES_MAX, |count| {
            tracing::warn!(
                lines = count,
                "lines of the log found no room, since nobody read them in time"
            );
        })?;
        // A line that cannot be written is counted: to complain of that on the same way would not help.
        let log = fmt::layer()
            .log_internal_errors(false)
            .with_ansi(is_screen(&io::stderr()))
            .with_writer(lines.clone());
        let filtered = tracing_subscriber::registry().with(filter);
        // An error means that a log was started before, as in tests.
        let _ = match config.log_format {
            LogFormat::Text => filtered.with(log).try_init(),
            LogFormat::Json => filtered.with(log.json()).try_init(),
        };
        std::panic::set_hook(Box::new(tell_panic));
        Ok(Self {
            level,
            lines,
            format: config.log_format,
        })
    }

    /// Why the gateway could not start, or ended.
    pub fn say_why(&self, error: &anyhow::Error) {
        match self.format {
            LogFormat::Text => self.lines.put(format!("holdfast: {error:#}\n").as_bytes()),
            LogFormat::Json => tracing::error!("{error:#}"),
        }
    }

    /// Gives the last lines some time to be read. The process ends after it.
    pub fn finish(&self) {
        self.lines.flush(LAST_WORDS_MAX);
    }
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let text = panic.payload_as_str().unwrap_or("something that is no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(thread = thread.name(), place, trace, "panic: {text}");
}

/// The gateway's own lines as far as the level says, and warnings of libraries. What they have to say besides is for whoever
/// looks into everything.
fn targets_of(config: &Config) -> Targets {
    let own = config.log_level;
    let of_libraries = if own == LevelFilter::TRACE {
        own
    } else {
        own.min(LevelFilter::WARN)
    };
    Targets::new()
        .with_target(OWN_TARGET, own)
        .with_default(of_libraries)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::node::config::Sources;

    fn check(level: &str, own: &[Level], of_libraries: &[Level]) {
        let overrides = vec![format!("log.level={level}")];
        let sources = Sources {
            overrides,
            ..Sources::default()
        };
        let targets = targets_of(&Config::read(&sources).unwrap());
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        let written = |target: &str| -> Vec<Level> {
            let enabled = all
                .into_iter()
                .filter(|level| targets.would_enable(target, level));
            enabled.collect()
        };
        assert_eq!(written("holdfast::shard::trace"), own, "{level}");
        assert_eq!(written("hyper_util::client"), of_libraries, "{level}");
    }

    #[test]
    fn libraries_are_quiet_unless_everything_is_asked_for() {
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        check("error", &all[..1], &all[..1]);
        check("info", &all[..3], &all[..2]);
        check("debug", &all[..4], &all[..2]);
        check("trace", &all, &all);
    }
}
