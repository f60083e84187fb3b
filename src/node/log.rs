//! The log: what the process writes to standard error. Data-plane events are counted, never logged.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

use super::config::{Config, LogFormat};

/// Starts the log. Only the first start of a process counts.
pub fn start(config: &Config) {
    let level: LevelFilter = config
        .log_level
        .parse()
        .expect("the configuration knows the levels");
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error means that a log was started before, as in tests.
    let _ = match config.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
