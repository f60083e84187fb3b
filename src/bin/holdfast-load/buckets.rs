//! Histograms in the gateway's metrics: what fell into their buckets between two readings. A duration is known by the
//! upper bound of its bucket and no closer; a bucket without one is told as infinite.

use std::collections::HashMap;

use anyhow::bail;

/// One histogram: each bucket's upper bound in seconds, and how many were at most that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// The histogram `name` of one reading. `labels` are in their braces' form without the braces, as in `shard="0"`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn of(metrics: &HashMap<String, u64>, name: &str, labels: &str) -> anyhow::Result<Self> {
        let comma = if labels.is_empty() { "" } else { "," };
        let head = format!("{name}_bucket{{{labels}{comma}le=\"");
        let bucket = |(series, count): (&String, &u64)| {
            let bound = series.strip_prefix(&head)?.strip_suffix("\"}")?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().ok()?
            };
            Some((bound, *count))
        };
        let mut buckets: Vec<(f64, u64)> = metrics.iter().filter_map(bucket).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        if buckets.is_empty() {
            bail!("the gateway's metrics have no histogram {name} {labels}");
        }
        Ok(Self(buckets))
    }

    /// What was counted since an earlier reading.
    ///
    /// # Errors
    /// If that was another histogram, or one of a gateway that has been started anew since.
    pub(crate) fn since(&self, earlier: &Self) -> anyhow::Result<Self> {
        let pairs = self.0.iter().zip(&earlier.0);
        let difference: Option<Vec<(f64, u64)>> = pairs
            .map(|((bound, now), (same, before))| {
                (bound == same)
                    .then(|| now.checked_sub(*before))
                    .flatten()
                    .map(|count| (*bound, count))
            })
            .collect();
        match difference.filter(|_| self.0.len() == earlier.0.len()) {
            Some(difference) => Ok(Self(difference)),
            None => bail!("two readings of a histogram do not fit: was the gateway started again?"),
        }
    }

    fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// What so many of a hundred took at most, in seconds; `None` if there were none.
    pub(crate) fn percentile_s(&self, percent: f64) -> Option<f64> {
        let all = self.count();
        let enough = (all as f64 * percent / 100.0).ceil().max(1.0);
        let bucket = self.0.iter().find(|(_, count)| *count as f64 >= enough);
        bucket.filter(|_| all > 0).map(|(bound, _)| *bound)
    }

    /// What the longest took at most, in seconds; `None` if there were none.
    pub(crate) fn longest_s(&self) -> Option<f64> {
        self.percentile_s(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading with one histogram of the bounds 1, 2, 4 s and none, and one beside it of another shard.
    fn reading(shard: &str, up_to: [u64; 4]) -> HashMap<String, u64> {
        let series = |shard: &str, le: &str| format!("x_seconds_bucket{{shard=\"{shard}\",le=\"{le}\"}}");
        let mut metrics = HashMap::from([(series("9", "1"), 1_000), ("x_seconds_count".to_owned(), 7)]);
        for (le, count) in ["1", "2", "4", "+Inf"].into_iter().zip(up_to) {
            metrics.insert(series(shard, le), count);
        }
        metrics
    }

    fn buckets(up_to: [u64; 4]) -> Buckets {
        Buckets::of(&reading("0", up_to), "x_seconds", "shard=\"0\"").unwrap()
    }

    fn check(before: [u64; 4], now: [u64; 4], percent: f64, expected: Option<f64>) {
        let seen = buckets(now).since(&buckets(before)).unwrap();
        assert_eq!(
            seen.percentile_s(percent),
            expected,
            "p{percent} of {before:?} to {now:?}"
        );
    }

    #[test]
    fn a_percentile_is_the_upper_bound_of_its_bucket_in_the_interval_alone() {
        let before = [5, 5, 90, 90];
        check(before, before, 50.0, None);
        check(before, [6, 6, 91, 91], 100.0, Some(1.0));
        // 98 of the first, one of the third and one of the last.
        let now = [103, 103, 189, 190];
        check(before, now, 50.0, Some(1.0));
        check(before, now, 98.0, Some(1.0));
        check(before, now, 98.5, Some(4.0));
        check(before, now, 99.0, Some(4.0));
        check(before, now, 100.0, Some(f64::INFINITY));
    }

    #[test]
    fn the_longest_is_in_the_highest_bucket_that_has_grown() {
        let longest = |before, now| buckets(now).since(&buckets(before)).unwrap().longest_s();
        assert_eq!(longest([0, 0, 9, 9], [0, 0, 9, 9]), None);
        assert_eq!(longest([0, 0, 9, 9], [4, 5, 14, 14]), Some(2.0));
        // One of a thousand is enough.
        assert_eq!(longest([0, 0, 9, 9], [4, 5, 1_014, 1_015]), Some(f64::INFINITY));
    }

    #[test]
    fn a_histogram_is_found_by_name_and_labels() {
        let metrics = reading("3", [1, 2, 3, 4]);
        let found = Buckets::of(&metrics, "x_seconds", "shard=\"3\"").unwrap();
        assert_eq!(found.0, [(1.0, 1), (2.0, 2), (4.0, 3), (f64::INFINITY, 4)]);
        Buckets::of(&metrics, "x_seconds", "").unwrap_err();
        Buckets::of(&metrics, "y_seconds", "shard=\"3\"").unwrap_err();
        let bare = HashMap::from([("x_seconds_bucket{le=\"+Inf\"}".to_owned(), 3)]);
        assert_eq!(
            Buckets::of(&bare, "x_seconds", "").unwrap().0,
            [(f64::INFINITY, 3)]
        );
    }

    #[test]
    fn readings_that_do_not_fit_have_no_difference() {
        let now = buckets([1, 2, 3, 4]);
        now.since(&buckets([2, 2, 3, 4])).unwrap_err();
        now.since(&Buckets(vec![(1.0, 0)])).unwrap_err();
        now.since(&Buckets(vec![(1.0, 0), (3.0, 0), (4.0, 0), (f64::INFINITY, 0)]))
            .unwrap_err();
    }
}
