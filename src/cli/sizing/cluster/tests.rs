//! What a number of users needs of a cluster, and that its numbers are those of the runs that there are.

use serde_json::Value;

use super::super::tests::{data, data_of};
use super::constants::*;
use super::*;
use crate::base::measured::RecordedFigure::{self, Awaited, Recorded};
use crate::base::measured::{self, cluster_run, durable_run, growth_run};

fn wanted(connections: u64) -> ClusterWanted {
    ClusterWanted {
        all: Wanted {
            connections,
            by_tls: connections,
            heartbeat: Duration::from_secs(120),
            registry_bytes: 64 << 20,
        },
        users: 3 * connections,
        logins_per_second: connections as f64 * 10.0 * 5.0 / 86_400.0,
        statuses_per_second: connections as f64 / 10.0,
        node_connections_max: 5_000_000,
        copies: 1,
        changes_kept: Duration::from_secs(7 * 86_400),
        restart_grace: Duration::from_secs(60),
        dead_after: Duration::from_secs(9),
    }
}

#[test]
fn ten_million_users_need_three_nodes_of_which_two_hold_all() {
    let (wanted, need) = (wanted(10_000_000), need(&wanted(10_000_000)).unwrap());
    assert_eq!((need.nodes, need.partitions), (3, 256));
    assert_eq!((need.held, need.held_after_loss), (3_359_375, 5_000_000));
    assert_eq!(
        need.node.memory.kernel,
        5_000_000 * measured::IDLE_CONNECTION_KERNEL_BYTES
    );
    assert_eq!(need.node.memory.tls, 5_000_000 * measured::IDLE_TLS_BYTES);
    let statuses = wanted.statuses_per_second / 2.0 * NODE_STATUS_CPU_US.value / 1e6;
    assert!((need.busy.statuses - statuses).abs() < 1e-9);
    let heartbeats = 10_000_000.0 / 120.0 / 2.0 * HEARTBEAT_CPU_US.value / 1e6;
    assert!((need.busy.heartbeats - heartbeats).abs() < 1e-9);
    assert!(need.node.cores as f64 >= need.busy.sum() / CORE_SHARE_FOR_HEARTBEATS.value);
}

#[test]
fn a_hundred_million_users_need_ten_times_as_much_in_hosts_of_the_same_size() {
    let (ten, hundred) = (
        need(&wanted(10_000_000)).unwrap(),
        need(&wanted(100_000_000)).unwrap(),
    );
    assert_eq!((hundred.nodes, hundred.partitions), (21, 1_024));
    // Partitions are whole, so the fullest node has up to one more than its share.
    assert!(
        (4_900_000..=5_100_000).contains(&hundred.held_after_loss),
        "{hundred:?}"
    );
    assert!(hundred.node.host_bytes < ten.node.host_bytes * 11 / 10);
    assert!(hundred.node.cores <= ten.node.cores * 2);
    let (ten, hundred) = (ten.store, hundred.store);
    assert_eq!(hundred.user_bytes, 10 * ten.user_bytes);
    assert!(hundred.masters > 5 * ten.masters && hundred.masters <= 10 * ten.masters);
    assert!(hundred.server_bytes <= SERVER_BYTES_MAX.value as u64);
    assert!(hundred.master_busy <= MASTER_CORE_SHARE.value);
}

#[test]
fn the_nodes_that_are_left_have_room_for_the_users_of_a_lost_one_in_time() {
    for connections in [1_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000] {
        let wanted = wanted(connections);
        let need = need(&wanted).unwrap();
        assert!(need.held_after_loss * (need.nodes - 1) >= connections);
        let room = need.node.shards * need.node.slots;
        assert!(room >= need.held_after_loss, "{need:?}");
        let grace = (wanted.restart_grace - wanted.dead_after).as_secs_f64();
        assert!(
            need.return_seconds <= grace * RETURN_SHARE_OF_GRACE.value,
            "{need:?}"
        );
    }
    // A short grace takes more cores.
    let cores = |restart_grace_s| {
        let restart_grace = Duration::from_secs(restart_grace_s);
        let wanted = ClusterWanted {
            restart_grace,
            ..wanted(10_000_000)
        };
        need(&wanted).unwrap().node.cores
    };
    assert!(cores(11) > cores(60));
}

#[test]
fn masters_are_as_many_as_their_memory_or_their_core_asks_for() {
    let small = store(&wanted(1_000));
    assert_eq!((small.masters, small.replicas), (3, 3));
    let store = |logins_per_second, changes_kept_days: u64| {
        store(&ClusterWanted {
            logins_per_second,
            changes_kept: Duration::from_secs(changes_kept_days * 86_400),
            copies: 2,
            ..wanted(1_000_000)
        })
    };
    let busy = store(1_000_000.0, 0);
    let by_cpu = 2_000_000.0 * MASTER_CHANGE_CPU_US.value / 1e6 / MASTER_CORE_SHARE.value;
    assert_eq!(
        (busy.masters, busy.replicas),
        (by_cpu.ceil() as u64, 2 * by_cpu.ceil() as u64)
    );
    let (week, fortnight) = (store(10_000.0, 70), store(10_000.0, 140));
    assert_eq!(fortnight.change_bytes / 1_000, 2 * week.change_bytes / 1_000);
    assert!(fortnight.masters > week.masters && week.masters > 3);
}

#[test]
fn more_nodes_than_partitions_are_good_for_are_no_plan() {
    let with = |node_connections_max| {
        need(&ClusterWanted {
            node_connections_max,
            ..wanted(100_000_000)
        })
    };
    assert_eq!(
        with(400_000).map(|need| (need.nodes, need.partitions)),
        Some((251, 4_096))
    );
    assert_eq!(with(390_000), None);
}

#[test]
fn every_constant_says_where_it_comes_from_or_that_it_is_not_measured() {
    for constant in CONSTANTS {
        let known = ["measured: ", "chosen: ", "NOT MEASURED yet: "];
        assert!(
            known.iter().any(|word| constant.source.starts_with(word)),
            "{constant:?}"
        );
        assert!(constant.value > 0.0, "{constant:?}");
    }
}

/// Where a run has a figure: the texts of its entry, and the field.
struct Place {
    name: &'static str,
    run: &'static str,
    list: &'static str,
    text: (&'static str, String),
    field: &'static str,
}

fn bench(
    name: &'static str,
    run: &'static str,
    (key, text): (&'static str, &str),
    field: &'static str,
) -> Place {
    let (list, text) = ("data", (key, text.to_owned()));
    Place {
        name,
        run,
        list,
        text,
        field,
    }
}

fn grown(name: &'static str, what: &str) -> Place {
    let (run, list, field) = (growth_run!(), "figures", "rounds");
    let text = ("name", format!("{what}, 3 nodes, 1 master"));
    Place {
        name,
        run,
        list,
        text,
        field,
    }
}

/// The median of its rounds, as it stands in `measured`; `None` without such a run.
fn recorded(place: &Place) -> Option<f64> {
    let entries = data_of(place.run, place.list)?;
    let (key, text) = (place.text.0, place.text.1.as_str());
    let entry = entries.iter().find(|entry| entry[key] == text);
    let value = &entry.unwrap_or_else(|| panic!("{} has no {text}", place.run))[place.field];
    let all = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut rounds: Vec<f64> = all.iter().filter_map(Value::as_f64).collect();
    rounds.sort_by(f64::total_cmp);
    Some((rounds[rounds.len() / 2] * 100.0).round() / 100.0)
}

/// Each figure that a run may have, and where.
fn places() -> Vec<(RecordedFigure, Place)> {
    let status = ("claim", "µs of CPU of all nodes per user state");
    let login = ("operation", "login, recorded");
    let of_nodes = [
        (
            measured::NODE_LOGIN_CPU_US,
            bench("NODE_LOGIN_CPU_US", cluster_run!(), login, "node_us"),
        ),
        (
            measured::NODE_STATUS_CPU_US,
            bench("NODE_STATUS_CPU_US", cluster_run!(), status, "figure"),
        ),
    ];
    let of_growth = [
        (
            measured::MASTER_CHANGE_CPU_US,
            "MASTER_CHANGE_CPU_US",
            "login, recorded: CPU of the masters for one",
        ),
        (
            measured::NODE_CONNECTION_USER_BYTES,
            "NODE_CONNECTION_USER_BYTES",
            "user bytes of a connection",
        ),
        (
            measured::REPLICA_CHANGE_CPU_US,
            "REPLICA_CHANGE_CPU_US",
            "login, recorded: CPU of the replicas for one",
        ),
        (
            measured::REDIRECT_CPU_US,
            "REDIRECT_CPU_US",
            "redirect: CPU of the nodes for one",
        ),
        (
            measured::STORE_USER_BYTES,
            "STORE_USER_BYTES",
            "bytes of a user, kept at the masters",
        ),
        (
            measured::STORE_CHANGE_BYTES,
            "STORE_CHANGE_BYTES",
            "bytes of a change, kept at the masters",
        ),
        (
            measured::STORE_CHANGE_RECEIVED_BYTES,
            "STORE_CHANGE_RECEIVED_BYTES",
            "bytes of a change, received by the masters",
        ),
        (
            measured::STORE_CHANGE_REPLICATED_BYTES,
            "STORE_CHANGE_REPLICATED_BYTES",
            "bytes of a change, sent to the replicas",
        ),
    ];
    let of_growth = of_growth.map(|(figure, name, what)| (figure, grown(name, what)));
    of_nodes.into_iter().chain(of_growth).collect()
}

#[test]
fn what_stands_in_goes_when_its_run_is_recorded() {
    let wrong: Vec<String> = places()
        .into_iter()
        .filter_map(|(figure, place)| {
            let is = recorded(&place);
            let should = is.map_or(Awaited(figure.value()), Recorded);
            (figure != should).then(|| format!("{}: RecordedFigure = RecordedFigure::{should:?}", place.name))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "in src/base/measured.rs should be\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_durable_login_costs_what_its_run_says() {
    let durable = data(durable_run!(), "data");
    let entry = durable
        .iter()
        .find(|entry| entry["records"] == "durable (commit)");
    let mut rounds: Vec<f64> = serde_json::from_value(entry.unwrap()["cpu_us"].clone()).unwrap();
    rounds.sort_by(f64::total_cmp);
    let median = (rounds[rounds.len() / 2] * 100.0).round() / 100.0;
    assert_eq!(measured::DURABLE_LOGIN_CPU_US, median);
}
