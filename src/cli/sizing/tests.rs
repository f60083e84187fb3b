//! What a number of connections needs, and that what was measured is what the runs say.

use super::*;

fn wanted(connections: u64) -> Wanted {
    Wanted {
        connections,
        by_tls: connections,
        heartbeat: Duration::from_secs(120),
        registry_bytes: 64 << 20,
    }
}

#[test]
fn ten_million_connections_are_the_sum_of_their_parts() {
    let need = need(&wanted(10_000_000));
    assert_eq!(
        need.memory.kernel,
        10_000_000 * measured::IDLE_CONNECTION_KERNEL_BYTES
    );
    assert_eq!(
        need.memory.user,
        10_000_000 * measured::IDLE_CONNECTION_USER_BYTES
    );
    assert_eq!(need.memory.tcp_buffers, 2_560_000_000);
    assert!((need.heartbeats_per_second - 83_333.3).abs() < 0.1);
    let busy = need.heartbeats_per_second * measured::HEARTBEAT_CPU_US / 1e6;
    assert!((need.cores_busy - busy).abs() < 0.001);
    assert_eq!(need.cores, (busy / CORE_SHARE_FOR_HEARTBEATS.value).ceil() as u64);
    // More shards than cores: a table has at most 2^20 slots.
    assert_eq!(need.shards, 10);
    assert!(need.slots <= 1 << 20 && need.slots * need.shards > 10_000_000);
    assert_eq!(need.files, 10_065_536);
    let parts: u64 = need.memory.parts().iter().map(|(_, bytes)| bytes).sum();
    assert!(need.host_bytes > parts && need.host_bytes < parts * 13 / 10);
}

#[test]
fn only_connections_by_tls_need_its_memory() {
    let tls_bytes = |by_tls| {
        let wanted = wanted(10_000_000);
        need(&Wanted { by_tls, ..wanted }).memory.tls
    };
    assert_eq!(
        [0, 10_000_000].map(tls_bytes),
        [0, 10_000_000 * measured::IDLE_TLS_BYTES]
    );
    assert!(tls_bytes(1) > 0);
}

#[test]
fn few_connections_need_little() {
    let need = need(&wanted(1));
    assert_eq!(
        (need.cores, need.shards, need.descriptors),
        (2, 2, DESCRIPTORS_MIN)
    );
}

#[test]
fn tables_have_room_for_arrivals_and_chance() {
    assert_eq!(slots_for(1_000, 1), 1_008);
    assert!(slots_for(40_000, 2) > 20_000 + 4 * 141 + 1_024);
    for connections in [1, 1_000, 1_000_000, 1_000_000_000] {
        let shards = shards_for(connections, 1 << 20).unwrap();
        assert!(slots_for(connections, shards) <= 1 << 20);
        assert!(shards == 1 || slots_for(connections, shards - 1) > 1 << 20);
    }
    assert_eq!(shards_for(1_000_000_000, 20_000), None);
}

/// What a run's file has under this name.
pub(super) fn data(run: &str, name: &str) -> Vec<serde_json::Value> {
    data_of(run, name).unwrap_or_else(|| panic!("{run} is not there"))
}

/// The same; `None` without such a run.
pub(super) fn data_of(run: &str, name: &str) -> Option<Vec<serde_json::Value>> {
    let path = format!("{}/{run}/data.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).ok()?;
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    Some(serde_json::from_value(file[name].take()).unwrap())
}

#[test]
fn what_was_measured_is_what_the_runs_say() {
    let million = data(million_run!(), "figures");
    let bytes_of = |run: &[serde_json::Value], name: &str| {
        let figure = run.iter().find(|figure| figure["name"] == name).unwrap();
        figure["rounds"][0].as_f64().unwrap().round() as u64
    };
    let bytes = |name: &str| bytes_of(&million, name);
    assert_eq!(
        measured::IDLE_CONNECTION_KERNEL_BYTES,
        bytes("kernel bytes of a connection, the gateway's end")
    );
    assert_eq!(
        measured::IDLE_CONNECTION_USER_BYTES,
        bytes("user bytes of a connection")
    );
    let by_tls = bytes_of(&data(tls_run!(), "figures"), "user bytes of a connection");
    assert_eq!(
        measured::IDLE_CONNECTION_USER_BYTES + measured::IDLE_TLS_BYTES,
        by_tls
    );
    let idle = data(idle_run!(), "data").remove(0);
    assert_eq!(Some(measured::PROCESS_BYTES), idle["rss_first"].as_u64());
    let cost = data(cost_run!(), "data");
    let median_us = |operation: &str| {
        let figure = cost
            .iter()
            .find(|figure| figure["arrangement"] == "loopback" && figure["operation"] == operation)
            .unwrap();
        let mut rounds: Vec<f64> = serde_json::from_value(figure["ours_us"].clone()).unwrap();
        rounds.sort_by(f64::total_cmp);
        (rounds[rounds.len() / 2] * 100.0).round() / 100.0
    };
    assert_eq!(
        measured::HEARTBEAT_CPU_US,
        median_us("heartbeat, paced at 5,000/s")
    );
    assert_eq!(
        measured::LOGIN_CPU_US,
        median_us("login (connect, UserSig, answer)")
    );
}

#[test]
fn every_constant_says_where_it_comes_from() {
    for constant in CONSTANTS {
        let known = [
            "measured: ",
            "chosen: ",
            "by its limits: ",
            "a limit: ",
            "the kernel's",
        ];
        assert!(
            known.iter().any(|word| constant.source.starts_with(word)),
            "{constant:?}"
        );
    }
}
