//! The log: what the process writes to standard error. Data-plane events are counted, never logged.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

use super::config::{Config, LogFormat};

/// How much is written; it can be changed while the process runs.
#[derive(Debug, Clone)]
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Writes as `config` says from now on.
    pub fn set(&self, config: &Config) {
        // It fails only without a log, as in tests that had started another before.
        let _ = self.0.reload(level_of(config));
    }

    /// Of no log at all.
    #[cfg(test)]
    pub(super) fn of_nothing() -> Self {
        Self(reload::Layer::new(LevelFilter::OFF).1)
    }
}

/// Starts the log. Only the first start of a process counts.
pub fn start(config: &Config) -> Level {
    let (filter, handle) = reload::Layer::new(level_of(config));
    // A line that cannot be written, since the disk is full, is lost: to complain of that on the same way would end the
    // thread.
    let log = fmt::layer()
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let filtered = tracing_subscriber::registry().with(filter);
    // An error means that a log was started before, as in tests.
    let _ = match config.log_format {
        LogFormat::Text => filtered.with(log).try_init(),
        LogFormat::Json => filtered.with(log.json()).try_init(),
    };
    Level(handle)
}

fn level_of(config: &Config) -> LevelFilter {
    config
        .log_level
        .parse()
        .expect("the configuration knows the levels")
}
