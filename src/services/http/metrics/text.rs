//! What the gateway counts, for Prometheus. What shards count is given summed, and by shard under a name of its own, so
//! that a sum over a name never counts twice.

use std::sync::Arc;

use crate::base::histogram::Counted;
use crate::base::measured::{IDLE_CONNECTION_KERNEL_BYTES, IDLE_TLS_BYTES, million_run};
use crate::base::time::Timestamp;
use crate::services::callback::CallbackMetrics;
use crate::services::http::counters::ShardCounters;
use crate::services::http::metrics::certificates;
use crate::services::http::metrics::cluster::ClusterMetrics;
use crate::services::http::metrics::exposition::{Exposition, MetricKind, seconds};
use crate::services::http::metrics::process::ProcessFigures;
use crate::services::http::server::peer::ListenerKind;
use crate::services::http::state::HttpState;
use crate::services::registry::RegistryWorkload;
use crate::services::registry::health::RegistryHealth;

/// What only the metrics read.
pub(crate) struct MetricSources {
    log_lines_dropped: Box<dyn Fn() -> u64 + Send>,
    registry_workload: Option<RegistryWorkload>,
    callbacks: Option<Arc<CallbackMetrics>>,
    cluster: Option<ClusterMetrics>,
    process: ProcessFigures,
}

impl MetricSources {
    /// To be made when everything runs and no terminal has connected.
    pub(crate) fn new(
        log_lines_dropped: Box<dyn Fn() -> u64 + Send>,
        registry_workload: Option<RegistryWorkload>,
        callbacks: Option<Arc<CallbackMetrics>>,
        cluster: Option<ClusterMetrics>,
    ) -> Self {
        Self {
            log_lines_dropped,
            registry_workload,
            callbacks,
            cluster,
            process: ProcessFigures::new(),
        }
    }
}

/// The text of `GET /metrics`.
pub(crate) fn text(http: &HttpState, sources: &MetricSources) -> String {
    let mut out = Exposition::new();
    put_build(&mut out);
    put_shards(&http.counters, &mut out);
    put_requests(http, &mut out);
    put_registry(&http.registry, sources.registry_workload.as_ref(), &mut out);
    put_clock(http, &mut out);
    put_callbacks(http, sources, &mut out);
    if let Some(cluster) = &sources.cluster {
        cluster.put(http.pending.has_lease(), &mut out);
    }
    certificates::put(&http.settings().tls.certificates, http.now().wall, &mut out);
    put_memory(http, &sources.process, &mut out);
    sources.process.put(&mut out);
    let dropped = (sources.log_lines_dropped)();
    let help = "Lines of the log that found no room or could not be written, since nobody read them in time.";
    put(&mut out, ("log_lines_dropped", help, dropped));
    out.finish()
}

/// The commit is told by whoever builds, so that a build depends on nothing but its sources: `HOLDFAST_COMMIT=… cargo build`.
fn put_build(out: &mut Exposition) {
    let name = "holdfast_build_info";
    let help = "1, with what the program was built from, and how, as its labels.";
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("HOLDFAST_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.unwrap_or("unknown");
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    out.family(name, MetricKind::Gauge, help);
    let labels = format!("version=\"{version}\",commit=\"{commit}\",profile=\"{profile}\"");
    out.sample(name, &labels, 1);
}

fn put_shards(counters: &ShardCounters, out: &mut Exposition) {
    let values = (counters.values)();
    let mut rest = &*counters.names;
    let mut start = 0;
    while let Some(((first, help), _)) = rest.split_first() {
        let (family, _) = labels_of(first);
        let same = rest.iter().take_while(|(name, _)| labels_of(name).0 == family);
        let (these, behind) = rest.split_at(same.count());
        let columns: Vec<(usize, &str)> = these
            .iter()
            .enumerate()
            .map(|(number, (name, _))| (start + number, labels_of(name).1))
            .collect();
        put_family(family, help, &columns, &values, out);
        start += these.len();
        rest = behind;
    }
    let times = (counters.turn_times)();
    let sum = times.iter().fold(Counted::default(), |sum, shard| sum.and(shard));
    let help = "How long a turn of a shard took, without its sleep.";
    out.histograms("holdfast_turn_seconds", help, [("", sum)]);
    let labels: Vec<String> = (0..times.len()).map(shard_label).collect();
    let by_shard = labels.iter().map(String::as_str).zip(times);
    out.histograms("holdfast_shard_turn_seconds", help, by_shard);
}

/// One family of the shards: each of its columns summed, then each of every shard.
fn put_family(
    family: &str,
    help: &str,
    columns: &[(usize, &str)],
    values: &[Vec<u64>],
    out: &mut Exposition,
) {
    let (name, kind) = name_and_kind("holdfast", family);
    out.family(&name, kind, help);
    for (column, labels) in columns {
        let sum: u64 = values.iter().map(|values| values[*column]).sum();
        out.sample(&name, labels, sum);
    }
    let (name, kind) = name_and_kind("holdfast_shard", family);
    out.family(&name, kind, help);
    for (shard, values) in values.iter().enumerate() {
        for (column, labels) in columns {
            let mut all = shard_label(shard);
            if !labels.is_empty() {
                all.push(',');
                all.push_str(labels);
            }
            out.sample(&name, &all, values[*column]);
        }
    }
}

fn shard_label(shard: usize) -> String {
    format!("shard=\"{shard}\"")
}

/// The family that a number belongs to, and its labels there.
fn labels_of(name: &str) -> (&str, &str) {
    let (family, labels) = name.split_once('{').unwrap_or((name, ""));
    (family, labels.trim_end_matches('}'))
}

/// A `…_now` is a present amount, anything else only grows.
fn name_and_kind(prefix: &str, family: &str) -> (String, MetricKind) {
    if family.ends_with("_now") {
        (format!("{prefix}_{family}"), MetricKind::Gauge)
    } else {
        (format!("{prefix}_{family}_total"), MetricKind::Counter)
    }
}

/// One number that is not a shard's.
fn put(out: &mut Exposition, (family, help, value): (&str, &str, u64)) {
    let (name, kind) = name_and_kind("holdfast", family);
    out.one(&name, kind, help, value);
}

fn put_requests(http: &HttpState, out: &mut Exposition) {
    let help = "1 while /readyz says that the gateway is ready.";
    put(out, ("ready_now", help, u64::from(http.ready().is_ok())));
    let counts = &http.pending.counts;
    let open = u64::try_from(http.pending.open_now()).unwrap_or(u64::MAX);
    let numbers = [
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
    ];
    numbers.into_iter().for_each(|number| put(out, number));
    put_connections(http, out);
    let times = http.query_times.borrow().view().read();
    let help = "How long a status query took in the gateway: from the end of its body to its whole answer, refused or not.";
    out.histograms("holdfast_http_query_seconds", help, [("", times)]);
}

fn put_connections(http: &HttpState, out: &mut Exposition) {
    let listeners = ListenerKind::ALL;
    let labels = |listener: ListenerKind| format!("listener=\"{}\"", listener.name());
    let name = "holdfast_http_connections_now";
    out.family(name, MetricKind::Gauge, "Open HTTP connections.");
    for listener in listeners {
        out.sample(name, &labels(listener), http.slots(listener).taken_now());
    }
    let name = "holdfast_http_connections_gave_way_total";
    let help = "HTTP connections that were ended to make room for others.";
    out.family(name, MetricKind::Counter, help);
    for listener in listeners {
        out.sample(name, &labels(listener), http.slots(listener).gave_way());
    }
    let help = "Times that the system had no descriptor or memory for an HTTP connection.";
    let failures = listeners.map(|listener| http.slots(listener).accept_failures());
    put(out, ("http_accept_failures", help, failures.iter().sum()));
    let name = "holdfast_http_refused_total";
    let help = "Requests refused for who sent them.";
    out.family(name, MetricKind::Counter, help);
    for (labels, count) in http.throttle.all() {
        out.sample(name, &labels, count);
    }
    let name = "holdfast_http_refused_limited_total";
    let help = "Those of them that came from an address with too many in its minute.";
    out.family(name, MetricKind::Counter, help);
    for (listener, count) in http.throttle.limited() {
        out.sample(name, &labels(listener), count);
    }
}

fn put_registry(registry: &RegistryHealth, workload: Option<&RegistryWorkload>, out: &mut Exposition) {
    let [commits, batches, failures] = registry.counts();
    let [damaged_reads, lost_changes] = registry.damage();
    let numbers = [
        (
            "store_damaged_reads",
            "Reads of the registry's store that found damage.",
            damaged_reads,
        ),
        (
            "store_damaged_lost_changes",
            "Changes that are lost by damage, and for which no callback is sent.",
            lost_changes,
        ),
        (
            "registry_bytes_now",
            "Memory that the registry's records take.",
            registry.memory_bytes(),
        ),
        (
            "registry_forgotten_accounts",
            "Deleted accounts whose records went by their age.",
            registry.forgotten_accounts(),
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
            u64::from(registry.failing_since().is_some()),
        ),
        (
            "registry_requests_waiting_now",
            "Requests that the registry has not taken yet.",
            workload.map_or(0, |workload| workload.waiting_now() as u64),
        ),
    ];
    numbers.into_iter().for_each(|number| put(out, number));
    let times = workload.map_or_else(Counted::default, RegistryWorkload::commit_times);
    let help = "How long a commit took, recorded or refused: from when the first request of its batch was taken until the batch was answered.";
    out.histograms("holdfast_registry_commit_seconds", help, [("", times)]);
}

/// Beside the registry's own numbers: a clock that is behind holds back the times of users.
fn put_clock(http: &HttpState, out: &mut Exposition) {
    out.one(
        "holdfast_clock_behind_records_seconds",
        MetricKind::Gauge,
        "By how much the host's clock is behind the latest time on record, as far as it was seen since the start. Until it has caught up, changes of users whose last change lies ahead keep that time.",
        http.registry.clock_behind(http.now().wall).as_secs_f64(),
    );
}

fn put_callbacks(http: &HttpState, sources: &MetricSources, out: &mut Exposition) {
    let Some(callbacks) = &sources.callbacks else {
        return;
    };
    callbacks.all().into_iter().for_each(|number| put(out, number));
    out.one(
        "holdfast_callback_attempt_seconds_total",
        MetricKind::Counter,
        "How long all attempts took together.",
        callbacks.took().as_secs_f64(),
    );
    let now = http.now().wall;
    let age = callbacks.oldest().map_or(0.0, |oldest| age_seconds(now, oldest));
    out.one(
        "holdfast_callbacks_oldest_age_seconds",
        MetricKind::Gauge,
        "How long ago the oldest change was recorded whose callback was neither taken nor given up, be it under way, late, or waiting for a receiver; 0: there is none.",
        age,
    );
}

fn age_seconds(now: Timestamp, then: Timestamp) -> f64 {
    seconds(now.0.saturating_sub(then.0).saturating_mul(1_000_000))
}

/// What a connection costs, as far as it can be known here.
fn put_memory(http: &HttpState, process: &ProcessFigures, out: &mut Exposition) {
    let connections = http.counters.sum("connections_now");
    let grown = process.grown_bytes(http.registry.memory_bytes());
    let name = "holdfast_bytes_per_connection";
    let help = concat!(
        "What one connection costs. user: measured, (resident memory - what it was before the first connection - registry_bytes_now) / connections_now; ",
        "it means something from some ten thousand connections on, and is 0 without any. kernel: not measured here but a constant, what an idle ",
        "connection took in ",
        million_run!(),
        ". tls: a constant, too, which a connection by TLS takes of user."
    );
    out.family(name, MetricKind::Gauge, help);
    out.sample(name, "part=\"user\"", grown.checked_div(connections).unwrap_or(0));
    out.sample(name, "part=\"kernel\"", IDLE_CONNECTION_KERNEL_BYTES);
    out.sample(name, "part=\"tls\"", IDLE_TLS_BYTES);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::counters::Counters;
    use crate::base::histogram::Histogram;

    fn view(shards: Vec<Counters>) -> ShardCounters {
        let turns = shards.len();
        ShardCounters {
            names: Counters::NAMES.to_vec(),
            values: Box::new(move || shards.iter().map(|shard| shard.values().to_vec()).collect()),
            turn_times: Box::new(move || {
                let mut histogram = Histogram::default();
                histogram.record(Duration::from_micros(5), 2);
                vec![histogram.view().read(); turns]
            }),
        }
    }

    #[test]
    fn counters_gauges_and_turns_are_summed_and_by_shard() {
        let shard = |heartbeats: u64, users_now: u64| Counters {
            heartbeats,
            users_now,
            live_web_tcp: 4,
            login_busy: heartbeats,
            ..Counters::default()
        };
        let mut out = Exposition::new();
        put_shards(&view(vec![shard(1, 5), shard(2, 6)]), &mut out);
        let out = out.finish();
        for line in [
            "# TYPE holdfast_heartbeats_total counter",
            "holdfast_heartbeats_total 3",
            "holdfast_shard_heartbeats_total{shard=\"0\"} 1",
            "holdfast_shard_heartbeats_total{shard=\"1\"} 2",
            "# HELP holdfast_heartbeats_total Heartbeats answered.",
            "# TYPE holdfast_users_now gauge",
            "holdfast_users_now 11",
            "holdfast_connections_live_now{class=\"web\",transport=\"tcp\"} 8",
            "holdfast_shard_connections_live_now{shard=\"1\",class=\"web\",transport=\"tcp\"} 4",
            "holdfast_logins_total{code=\"BUSY\"} 3",
            "holdfast_shard_turn_seconds_bucket{shard=\"1\",le=\"0.000008\"} 2",
            "holdfast_turn_seconds_count 4",
        ] {
            assert!(
                out.lines().any(|seen| seen == line),
                "{line} is missing in\n{out}"
            );
        }
        let heads = out
            .lines()
            .filter(|line| line.starts_with("# TYPE holdfast_logins_total "));
        assert_eq!(heads.count(), 1);
    }

    #[test]
    fn numbers_of_one_family_stand_together() {
        let mut families: Vec<&str> = Counters::NAMES
            .iter()
            .map(|(name, _)| labels_of(name).0)
            .collect();
        families.dedup();
        let together = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), together);
    }

    #[test]
    fn an_age_never_lies_ahead() {
        assert!((age_seconds(Timestamp(4_500), Timestamp(1_000)) - 3.5).abs() < 1e-9);
        assert!(age_seconds(Timestamp(1), Timestamp(2)).abs() < 1e-9);
    }
}
