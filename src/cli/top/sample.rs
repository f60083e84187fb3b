//! One reading of the metrics: their numbers by whole names. Asks nobody, and reckons nothing.

use std::collections::HashMap;

use crate::base::time::Instant;

/// The metrics at one moment, by their whole names with labels.
#[derive(Debug, Clone)]
pub(super) struct MetricsSample {
    pub(super) at: Instant,
    pub(super) values: HashMap<String, f64>,
}

impl MetricsSample {
    /// Takes what can be read; other lines are of no interest here.
    pub(super) fn new(at: Instant, text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self {
            at,
            values: values.collect(),
        }
    }

    pub(super) fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }

    /// All series whose names with labels begin like this.
    pub(super) fn beginning_with<'a>(
        &'a self,
        head: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> + Clone {
        let all = self.values.iter().map(|(series, value)| (&**series, *value));
        all.filter(move |(series, _)| series.starts_with(head))
    }

    /// The shards that there are.
    pub(super) fn shards(&self) -> usize {
        let shard = |number: &usize| self.values.contains_key(&of_shard("turns_total", *number));
        (0..).take_while(shard).count()
    }
}

/// The name of a shard's own series.
pub(super) fn of_shard(name: &str, shard: usize) -> String {
    format!("holdfast_shard_{name}{{shard=\"{shard}\"}}")
}
