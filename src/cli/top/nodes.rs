//! A line for each node of a cluster: what one node knows of the cluster, and what each says of itself. Counts nothing.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use super::figures::{Figures, count_text, rate_text};
use super::sample::MetricsSample;
use super::shown::ShownFigures;
use crate::base::time::{Clock, Instant};
use crate::cli::client;
use crate::cli::host_port::HostPort;
use crate::node::config::Config;

/// How long the other nodes are waited for: those that answer are shown meanwhile.
const NODE_WITHIN_MAX: Duration = Duration::from_secs(2);

/// What is shown of a node that has not answered.
const UNKNOWN: &str = "?";

const COLUMNS: [&str; 14] = [
    "node",
    "state",
    "lease",
    "owned",
    "opening",
    "settling",
    "connections",
    "online",
    "logins/s",
    "redirects/s",
    "store p50",
    "p99",
    "behind",
    "copies/s",
];

/// Reads the metrics of all nodes that the configuration's node knows.
pub(super) struct ClusterScraper<'a> {
    config: &'a Config,
    clock: Clock,
}

/// All nodes at one moment.
#[derive(Debug, Clone)]
pub(super) struct ClusterReading {
    at: Instant,
    /// Partitions that are at home nowhere, as far as the node that was asked knows.
    homeless: u64,
    nodes: Vec<NodeReading>,
}

#[derive(Debug, Clone)]
struct NodeReading {
    number: u64,
    state: String,
    /// Or why there are none.
    metrics: Result<MetricsSample, String>,
}

impl<'a> ClusterScraper<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            clock: Clock::start(),
        }
    }

    pub(super) async fn read(&mut self) -> anyhow::Result<ClusterReading> {
        let view = client::cluster(self.config).await?;
        let at = self.clock.now().instant;
        let own = &view["node"];
        let listed = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let mut asked = JoinSet::new();
        for (place, node) in listed.iter().enumerate() {
            // The node that was asked is where it was reached; it may tell others another address.
            let address = (node["node"] != *own).then(|| address(node));
            let config = self.config.clone();
            asked.spawn(async move { (place, metrics(&config, address, at).await) });
        }
        let mut nodes: Vec<NodeReading> = listed.iter().map(NodeReading::unheard).collect();
        while let Some(answered) = asked.join_next().await {
            let (place, metrics) = answered?;
            nodes[place].metrics = metrics;
        }
        nodes.sort_by_key(|node| node.number);
        Ok(ClusterReading {
            at,
            homeless: view["homeless"].as_u64().unwrap_or(0),
            nodes,
        })
    }
}

/// Where a node's admin listener is, as the node says; or why nobody knows.
fn address(node: &Value) -> Result<HostPort, String> {
    let said = node["admin"]
        .as_str()
        .ok_or("it says no address: set cluster.admin_address")?;
    said.parse()
        .map_err(|_| format!("it says {said:?}, which is no address"))
}

/// A node's metrics; `None` for an address: of the configuration's own node.
async fn metrics(
    config: &Config,
    address: Option<Result<HostPort, String>>,
    at: Instant,
) -> Result<MetricsSample, String> {
    let place = match address {
        Some(address) => address?,
        None => client::admin_place(config),
    };
    let asked = tokio::time::timeout(NODE_WITHIN_MAX, client::metrics_at(config, &place)).await;
    let text = asked.map_err(|_| format!("{place} does not answer"))?;
    let text = text.map_err(|error| format!("{error:#}"))?;
    Ok(MetricsSample::new(at, &text))
}

impl NodeReading {
    fn unheard(node: &Value) -> Self {
        Self {
            number: node["node"].as_u64().unwrap_or(0),
            state: node["state"].as_str().unwrap_or(UNKNOWN).to_owned(),
            metrics: Err("it was not asked".to_owned()),
        }
    }

    /// Whether it is to be there.
    fn takes_part(&self) -> bool {
        !matches!(self.state.as_str(), "dead" | "left")
    }
}

impl ClusterReading {
    pub(super) fn since(&self, before: &Self) -> ShownFigures {
        let empty = MetricsSample::new(before.at, "");
        let mut rows = Vec::new();
        let mut all = MetricsSample::new(self.at, "");
        let (mut heard, mut leases) = (0, 0.0);
        for node in &self.nodes {
            let Ok(now) = &node.metrics else {
                rows.push(unheard(node));
                continue;
            };
            let earlier = before.nodes.iter().find(|earlier| earlier.number == node.number);
            // What a node that is new here had counted before is nothing of this interval.
            let earlier = earlier
                .and_then(|earlier| earlier.metrics.as_ref().ok())
                .unwrap_or(now);
            let figures = Figures::between(earlier, now);
            let lease = now.value("holdfast_cluster_lease_now");
            heard += 1;
            leases += lease;
            let says = if lease > 0.0 { "yes" } else { "NO" };
            rows.push(row([&node.number.to_string(), &node.state, says], &figures, now));
            add(&mut all, &figures, now);
        }
        let count = self.nodes.len();
        let title = [
            "all",
            &format!("{heard} of {count}"),
            &format!("{leases:.0} of {heard}"),
        ];
        let figures = Figures::between(&empty, &all);
        rows.insert(0, row(title, &figures, &all));
        ShownFigures {
            seconds: self.at.since(before.at).as_secs_f64(),
            lines: self.lines(),
            columns: &COLUMNS,
            rows,
        }
    }

    /// What an operator has to do something about.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let homes = match self.homeless {
            0 => "all partitions have a node".to_owned(),
            some => format!("{some} PARTITIONS HAVE NO NODE: their users cannot log in"),
        };
        let silent = self.nodes.iter().filter(|node| node.takes_part());
        let silent = silent.filter_map(|node| {
            let why = node.metrics.as_ref().err()?;
            Some(("no answer", format!("node {}: {why}", node.number)))
        });
        std::iter::once(("cluster", homes)).chain(silent).collect()
    }
}

/// Adds what a node counted in the interval, and what it has now.
fn add(all: &mut MetricsSample, figures: &Figures<'_>, now: &MetricsSample) {
    for (series, value) in &now.values {
        let name = series.split('{').next().unwrap_or_default();
        let counts = ["_total", "_bucket", "_count", "_sum"]
            .iter()
            .any(|end| name.ends_with(end));
        let part = if counts { figures.grown(series) } else { *value };
        *all.values.entry(series.clone()).or_default() += part;
    }
}

fn unheard(node: &NodeReading) -> Vec<String> {
    let told = [node.number.to_string(), node.state.clone()];
    let unknown = std::iter::repeat_n(UNKNOWN.to_owned(), COLUMNS.len() - told.len());
    told.into_iter().chain(unknown).collect()
}

/// `figures` are of the interval, `now` are amounts.
fn row(title: [&str; 3], figures: &Figures<'_>, now: &MetricsSample) -> Vec<String> {
    let amount = |name: &str| count_text(now.value(&format!("holdfast_{name}")));
    let rate = |series: &str| rate_text(figures.rate(&format!("holdfast_{series}")));
    let stored = |percent| figures.percentile("holdfast_registry_commit_seconds", "", percent);
    let told = [
        amount("cluster_partitions_owned_now"),
        amount("cluster_partitions_opening_now"),
        amount("cluster_partitions_settling_now"),
        amount("connections_now"),
        amount("users_online_now"),
        rate("logins_total{code=\"OK\"}"),
        rate("logins_total{code=\"ELSEWHERE\"}"),
        stored(50.0),
        stored(99.0),
        amount("cluster_partitions_behind_now"),
        rate("shared_copies_missing_total"),
    ];
    title.map(str::to_owned).into_iter().chain(told).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metrics(at: u64, logins: u64, buckets: [u64; 2]) -> MetricsSample {
        let [quick, all] = buckets;
        let text = format!(
            "holdfast_cluster_lease_now 1
holdfast_cluster_partitions_owned_now 8
holdfast_cluster_partitions_opening_now 3
holdfast_connections_now 1000
holdfast_logins_total{{code=\"OK\"}} {logins}
holdfast_logins_total{{code=\"ELSEWHERE\"}} 7
holdfast_registry_commit_seconds_bucket{{le=\"0.002\"}} {quick}
holdfast_registry_commit_seconds_bucket{{le=\"+Inf\"}} {all}
"
        );
        MetricsSample::new(Instant(at), &text)
    }

    fn node(number: u64, state: &str, metrics: Result<MetricsSample, String>) -> NodeReading {
        let state = state.to_owned();
        NodeReading {
            number,
            state,
            metrics,
        }
    }

    fn cluster(at: u64, homeless: u64, nodes: Vec<NodeReading>) -> ClusterReading {
        let at = Instant(at);
        ClusterReading { at, homeless, nodes }
    }

    fn cell<'a>(shown: &'a ShownFigures, row: usize, column: &str) -> &'a str {
        let place = COLUMNS.iter().position(|known| *known == column).unwrap();
        &shown.rows[row][place]
    }

    #[test]
    fn each_node_has_a_row_and_all_have_the_sum() {
        let at = |at, logins: [u64; 2]| {
            let buckets = [logins[0], logins[0]];
            cluster(
                at,
                0,
                vec![
                    node(1, "up", Ok(metrics(at, logins[0], buckets))),
                    node(2, "up", Ok(metrics(at, logins[1], [0, logins[1]]))),
                ],
            )
        };
        let shown = at(2_000, [500, 300]).since(&at(0, [100, 100]));
        let column = |name| [0, 1, 2].map(|row| cell(&shown, row, name));
        assert_eq!(column("node"), ["all", "1", "2"]);
        assert_eq!(column("state"), ["2 of 2", "up", "up"]);
        assert_eq!(column("lease"), ["2 of 2", "yes", "yes"]);
        assert_eq!(column("owned"), ["16", "8", "8"]);
        assert_eq!(column("opening"), ["6", "3", "3"]);
        assert_eq!(column("settling"), ["0", "0", "0"]);
        assert_eq!(column("logins/s"), ["300", "200", "100"]);
        assert_eq!(column("redirects/s"), ["0", "0", "0"]);
        assert_eq!(column("store p50"), ["≤2ms", "≤2ms", ">2ms"]);
        assert_eq!(column("p99"), [">2ms", "≤2ms", ">2ms"]);
        assert!(shown.text().contains("cluster      all partitions have a node\n"));
    }

    #[test]
    fn a_node_that_does_not_answer_is_told_unless_it_has_left() {
        let gone = || Err("nobody listens there".to_owned());
        let nodes = || {
            vec![
                node(1, "up", Ok(metrics(0, 5, [0, 0]))),
                node(2, "suspect", gone()),
                node(3, "left", gone()),
            ]
        };
        let shown = cluster(1_000, 4, nodes()).since(&cluster(0, 4, nodes()));
        let text = shown.text();
        assert!(text.contains("4 PARTITIONS HAVE NO NODE"), "{text}");
        assert!(
            text.contains("no answer    node 2: nobody listens there\n"),
            "{text}"
        );
        assert!(!text.contains("node 3:"), "{text}");
        assert_eq!(
            (cell(&shown, 0, "state"), cell(&shown, 2, "owned")),
            ("1 of 3", UNKNOWN)
        );
        assert!(shown.rows.iter().all(|row| row.len() == COLUMNS.len()));
    }

    #[test]
    fn a_node_that_is_new_or_was_started_again_counts_from_then_on() {
        let with = |at, nodes| cluster(at, 0, nodes);
        let one = |at, logins| node(1, "up", Ok(metrics(at, logins, [0, 0])));
        let two = |at| node(2, "up", Ok(metrics(at, 900, [0, 0])));
        let shown = with(1_000, vec![one(1_000, 20), two(1_000)]).since(&with(0, vec![one(0, 500)]));
        let column = [0, 1, 2].map(|row| cell(&shown, row, "logins/s"));
        assert_eq!(column, ["20.0", "20.0", "0"]);
    }

    #[test]
    fn a_node_without_an_address_says_what_to_set() {
        assert!(
            address(&json!({ "admin": null }))
                .unwrap_err()
                .contains("cluster.admin_address")
        );
        assert!(
            address(&json!({ "admin": "nowhere" }))
                .unwrap_err()
                .contains("\"nowhere\"")
        );
        assert_eq!(
            address(&json!({ "admin": "two.example:9003" }))
                .unwrap()
                .to_string(),
            "two.example:9003"
        );
    }
}
