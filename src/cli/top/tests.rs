//! A sample of metrics for tests, and the bounds of an interval.

use std::time::Duration;

use super::interval;
use super::sample::MetricsSample;
use crate::base::time::Instant;

pub(super) fn reading(at: u64, heartbeats: u64, buckets: [u64; 3]) -> MetricsSample {
    let [first, second, all] = buckets;
    let text = format!(
        "\
# TYPE holdfast_heartbeats_total counter
holdfast_connections_now 12
holdfast_connections_live_now{{class=\"mobile\",transport=\"tcp\"}} 7
holdfast_slots_taken_now 12
holdfast_slots_now 2000
holdfast_heartbeats_total {heartbeats}
holdfast_shard_turns_total{{shard=\"0\"}} 5
holdfast_shard_turns_total{{shard=\"1\"}} 5
holdfast_shard_heartbeats_total{{shard=\"1\"}} {heartbeats}
holdfast_logins_total{{code=\"OK\"}} {heartbeats}
holdfast_logins_total{{code=\"BUSY\"}} 3
holdfast_shard_logins_total{{shard=\"0\",code=\"OK\"}} {heartbeats}
holdfast_turn_seconds_bucket{{le=\"0.000004\"}} {first}
holdfast_turn_seconds_bucket{{le=\"0.000008\"}} {second}
holdfast_turn_seconds_bucket{{le=\"+Inf\"}} {all}
not a sample
"
    );
    MetricsSample::new(Instant(at), &text)
}

#[test]
fn intervals_have_bounds() {
    assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
    for bad in ["0s", "99ms", "2m", "1", ""] {
        assert!(interval(bad).is_err(), "{bad}");
    }
}
