//! Where figures come from: one gateway, or all nodes of a cluster. Reckons nothing.

use super::figures::Figures;
use super::nodes::{ClusterReading, ClusterScraper};
use super::sample::MetricsSample;
use super::scraper::Scraper;
use super::shown::ShownFigures;

/// Whom to ask again and again.
pub(super) enum TopSource<'a> {
    Gateway(Scraper<'a>),
    Cluster(ClusterScraper<'a>),
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    Gateway(MetricsSample),
    Cluster(ClusterReading),
}

impl TopSource<'_> {
    pub(super) async fn read(&mut self) -> anyhow::Result<Reading> {
        Ok(match self {
            Self::Gateway(scraper) => Reading::Gateway(scraper.read().await?),
            Self::Cluster(scraper) => Reading::Cluster(scraper.read().await?),
        })
    }
}

impl Reading {
    /// What happened since an earlier one of the same source.
    pub(super) fn since(&self, before: &Self) -> ShownFigures {
        match (before, self) {
            (Self::Gateway(before), Self::Gateway(now)) => Figures::between(before, now).shown(),
            (Self::Cluster(before), Self::Cluster(now)) => now.since(before),
            (Self::Gateway(_) | Self::Cluster(_), Self::Gateway(_) | Self::Cluster(_)) => {
                unreachable!("a source has readings of one kind")
            }
        }
    }
}
