//! What the gateway counts, as the text that Prometheus reads.

mod certificates;
mod cluster;
mod exposition;
mod process;
mod text;

pub(crate) use cluster::ClusterMetrics;
pub(crate) use text::{MetricSources, text};
