//! `holdfast top`: what the gateway, or each node of a cluster, does at this moment, from two readings of metrics. Live on a screen with a keyboard;
//! as lines anywhere else, with `--once`, and in builds without the feature `top`. Counts nothing itself.

mod figures;
mod nodes;
mod reading;
mod sample;
mod scraper;
mod shown;
#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod view;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use super::outcome::print;
use crate::node::config::Config;
use nodes::ClusterScraper;
use reading::{Reading, TopSource};
use scraper::Scraper;

/// How it is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopArguments {
    /// Shows one interval as lines, and ends.
    #[arg(long)]
    once: bool,
    /// Shows a line for each node of the cluster, as the configuration's own node knows them, and one for all.
    #[arg(long)]
    cluster: bool,
    /// The length of an interval, as 1s or 500ms.
    #[arg(long, default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let fault = "take a time from 100ms to 1m, such as 1s or 500ms";
    let parsed = humantime::parse_duration(text).map_err(|_| fault.to_owned())?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(60);
    if bounds.contains(&parsed) {
        Ok(parsed)
    } else {
        Err(fault.to_owned())
    }
}

/// Shows until it is told to end, or the gateway is gone.
pub(super) async fn top(config: &Config, arguments: &TopArguments) -> anyhow::Result<ExitCode> {
    let mut source = match arguments.cluster {
        true => TopSource::Cluster(ClusterScraper::new(config)),
        false => TopSource::Gateway(Scraper::new(config)),
    };
    let first = source.read().await?;
    #[cfg(feature = "top")]
    if !arguments.once && screen::is_there() {
        return view::live(&mut source, first, arguments.interval).await;
    }
    lines(&mut source, first, arguments).await
}

async fn lines(
    source: &mut TopSource<'_>,
    mut before: Reading,
    arguments: &TopArguments,
) -> anyhow::Result<ExitCode> {
    loop {
        tokio::time::sleep(arguments.interval).await;
        let now = source.read().await?;
        print(&now.since(&before).text())?;
        if arguments.once {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}
