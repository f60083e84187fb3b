//! The gateway's counters as Prometheus text. Each is given summed, and by shard under a name of its own, so that a sum
//! over a name never counts twice.

use std::fmt::Write;

use super::{CountersView, Desk};

/// The text of `GET /metrics`.
pub(super) fn text(desk: &Desk) -> String {
    let mut out = String::with_capacity(16 * 1024);
    put_shards(&desk.counters, &mut out);
    put_front(desk, &mut out);
    out
}

fn put_shards(counters: &CountersView, out: &mut String) {
    let values = (counters.values)();
    for (place, (name, help)) in counters.names.iter().enumerate() {
        let sum = values.iter().map(|values| values[place]).sum();
        let name = Name::of(name);
        name.put("holdfast", help, &[(String::new(), sum)], out);
        let by_shard = values.iter().enumerate();
        let by_shard: Vec<_> = by_shard
            .map(|(shard, values)| (format!("{{shard=\"{shard}\"}}"), values[place]))
            .collect();
        name.put("holdfast_shard", help, &by_shard, out);
    }
}

fn put_front(desk: &Desk, out: &mut String) {
    let counts = &desk.gate.counts;
    let open = u64::try_from(desk.gate.open_now()).unwrap_or(u64::MAX);
    let [commits, batches, failures] = desk.vitals.counts();
    let own = [
        (
            "http_requests_open_now",
            "Backend requests that wait for a shard.",
            open,
        ),
        (
            "http_requests_asked",
            "Backend requests that went to the shards.",
            counts.asked.get(),
        ),
        (
            "http_requests_full",
            "Backend requests refused because too many were open.",
            counts.full.get(),
        ),
        (
            "http_requests_late",
            "Backend requests that no shard answered in time.",
            counts.late.get(),
        ),
        (
            "registry_bytes_now",
            "Memory that the registry's records take.",
            desk.vitals.memory_bytes(),
        ),
        ("registry_commits", "Commits that were recorded.", commits),
        ("registry_batches", "Writes that they were recorded in.", batches),
        (
            "registry_failures",
            "Times that the registry's store failed.",
            failures,
        ),
        (
            "registry_failing_now",
            "1 while the registry cannot record.",
            u64::from(desk.vitals.failing_since().is_some()),
        ),
    ];
    let of_callbacks = desk.callback_numbers.iter().flat_map(|numbers| numbers.all());
    for (name, help, value) in own.into_iter().chain(of_callbacks) {
        Name::of(name).put("holdfast", help, &[(String::new(), value)], out);
    }
}

/// A metric's name and kind: a `…_now` is a present amount, anything else only grows.
struct Name {
    name: String,
    kind: &'static str,
}

impl Name {
    fn of(name: &str) -> Self {
        if name.ends_with("_now") {
            Self {
                name: name.to_owned(),
                kind: "gauge",
            }
        } else {
            Self {
                name: format!("{name}_total"),
                kind: "counter",
            }
        }
    }

    fn put(&self, prefix: &str, help: &str, values: &[(String, u64)], out: &mut String) {
        let Self { name, kind } = self;
        let head = writeln!(
            out,
            "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}"
        );
        head.expect("a string takes every text");
        for (label, value) in values {
            writeln!(out, "{prefix}_{name}{label} {value}").expect("a string takes every text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::counters::Counters;

    #[test]
    fn counters_and_gauges_are_summed_and_by_shard() {
        let shard = move |heartbeats: u64, users_now: u64| Counters {
            heartbeats,
            users_now,
            ..Counters::default()
        };
        let mut out = String::new();
        let values = move || {
            [shard(1, 5), shard(2, 6)]
                .iter()
                .map(|shard| shard.values().to_vec())
                .collect()
        };
        let counters = CountersView {
            names: Counters::NAMES.to_vec(),
            values: Box::new(values),
        };
        put_shards(&counters, &mut out);
        for line in [
            "# TYPE holdfast_heartbeats_total counter",
            "holdfast_heartbeats_total 3",
            "holdfast_shard_heartbeats_total{shard=\"0\"} 1",
            "holdfast_shard_heartbeats_total{shard=\"1\"} 2",
            "# HELP holdfast_heartbeats_total Heartbeats answered.",
            "# TYPE holdfast_users_now gauge",
            "holdfast_users_now 11",
        ] {
            assert!(
                out.lines().any(|seen| seen == line),
                "{line} is missing in\n{out}"
            );
        }
        assert_eq!(out.lines().count(), Counters::NAMES.len() * 7);
    }
}
