//! Reads a gateway's metrics again and again, each time with the moment. Makes nothing of them.

use super::sample::MetricsSample;
use crate::base::time::Clock;
use crate::cli::client;
use crate::node::config::Config;

/// Reads the metrics again and again.
pub(super) struct Scraper<'a> {
    config: &'a Config,
    clock: Clock,
}

impl<'a> Scraper<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            clock: Clock::start(),
        }
    }

    pub(super) async fn read(&mut self) -> anyhow::Result<MetricsSample> {
        let text = client::metrics(self.config).await?;
        Ok(MetricsSample::new(self.clock.now().instant, &text))
    }
}
