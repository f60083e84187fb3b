//! The Prometheus text format: families with their help and kind, and samples with their labels. Knows no number.
//!
//! It is the gateway's own, because the crates for it want each number registered in their own types, or write OpenMetrics. These
//! numbers are counted by the shards without them, and put together only when somebody asks.

use std::fmt::{Display, Write};

use crate::base::histogram::{BOUNDS, Counted, bound};

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// It only grows, and begins anew with the process.
    Counter,
    /// A present amount.
    Gauge,
}

/// A text under construction.
#[derive(Debug)]
pub(super) struct Exposition {
    out: String,
}

impl Exposition {
    pub(super) fn new() -> Self {
        Self {
            out: String::with_capacity(64 * 1024),
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Begins a family: all its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        self.head(name, kind, help);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample of the family that was begun last. `labels` are in their braces' form, without the braces.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.put(format_args!("{name} {value}\n"));
        } else {
            self.put(format_args!("{name}{{{labels}}} {value}\n"));
        }
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: MetricKind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    /// A family of histograms in seconds, one for each of the labels.
    pub(super) fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = (&'a str, Counted)>,
    ) {
        self.head(name, "histogram", help);
        for (labels, counted) in histograms {
            self.histogram(name, labels, &counted);
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, counted: &Counted) {
        let behind = if labels.is_empty() {
            String::new()
        } else {
            format!("{labels},")
        };
        let buckets = format!("{name}_bucket");
        let mut up_to = 0;
        for (bucket, count) in counted.counts.iter().enumerate() {
            up_to += count;
            let le = if bucket < BOUNDS {
                bound(bucket).as_secs_f64().to_string()
            } else {
                "+Inf".to_owned()
            };
            self.sample(&buckets, &format!("{behind}le=\"{le}\""), up_to);
        }
        self.sample(&format!("{name}_sum"), labels, seconds(counted.sum_ns));
        self.sample(&format!("{name}_count"), labels, up_to);
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes every text");
    }
}

/// Nanoseconds as the seconds that Prometheus counts in.
#[expect(clippy::cast_precision_loss, reason = "the format has floating numbers only")]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_its_count() {
        let mut counted = Counted::default();
        (counted.counts[0], counted.counts[2], counted.counts[BOUNDS]) = (1, 2, 4);
        counted.sum_ns = 1_500_000_000;
        let mut out = Exposition::new();
        out.histograms("x_seconds", "How long.", [("shard=\"0\"", counted)]);
        let text = out.finish();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{shard=\"0\",le=\"0.000004\"} 1",
            "x_seconds_bucket{shard=\"0\",le=\"0.000008\"} 1",
            "x_seconds_bucket{shard=\"0\",le=\"0.000016\"} 3",
            "x_seconds_bucket{shard=\"0\",le=\"4.194304\"} 3",
            "x_seconds_bucket{shard=\"0\",le=\"+Inf\"} 7",
            "x_seconds_sum{shard=\"0\"} 1.5",
            "x_seconds_count{shard=\"0\"} 7",
        ] {
            assert!(
                text.lines().any(|seen| seen == line),
                "{line} is missing in\n{text}"
            );
        }
    }

    #[test]
    fn a_sample_without_labels_has_no_braces() {
        let mut out = Exposition::new();
        out.one("up_now", MetricKind::Gauge, "It is.", 1);
        assert_eq!(
            out.finish(),
            "# HELP up_now It is.\n# TYPE up_now gauge\nup_now 1\n"
        );
    }
}
