//! Nodes that do not belong, and stores that are not what is meant: each is told what is wrong, and nobody takes harm.

use crate::node::{Cluster, wait_until};

/// What a gateway says on its way out, which it takes at once.
fn refused(cluster: &Cluster, number: u16, settings: &[(&str, &str)]) -> String {
    let output = cluster.try_start(number, settings);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let cluster = Cluster::found(&[]);
    let told = refused(&cluster, 1, &[("cluster.name", "another")]);
    assert!(told.contains("holdfast cluster create"), "{told}");
    let told = refused(
        &cluster,
        1,
        &[("registry.redis.urls", "[\"redis://127.0.0.1:1\"]")],
    );
    assert!(
        told.contains("cannot be reached") || told.contains("refused"),
        "{told}"
    );
    let one = cluster.start(1);
    let told = refused(&cluster, 1, &[("node.start_patience_s", "0")]);
    assert!(told.contains("another process of this host is node 1"), "{told}");
    cluster.wait_whole(&[&one]);
}

#[test]
fn a_node_with_another_secret_is_heard_by_nobody() {
    let cluster = Cluster::found(&[]);
    let one = cluster.start(1);
    let two = cluster.start_with(2, &[("cluster.secret", "not-the-secret-of-the-others")]);
    wait_until("both see that they do not hear each other", || {
        [&one, &two].iter().all(|node| {
            let view = node.view();
            let nodes = view["nodes"].as_array().cloned().unwrap_or_default();
            nodes.len() == 2
                && nodes
                    .iter()
                    .all(|node| !node["unreachable"].as_array().unwrap().is_empty())
        })
    });
    let text = one.metrics();
    assert!(
        text.contains("holdfast_cluster_nodes_now{state=\"up\"} 2"),
        "{text}"
    );
}

#[test]
fn a_cluster_keeps_the_partitions_that_it_was_founded_with() {
    let cluster = Cluster::found(&[]);
    let again = cluster.command(&["cluster", "create", "--partitions", "16"]);
    assert!(again.contains("16 partitions"), "{again}");
    let output = cluster.run(&["cluster", "create", "--partitions", "32"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("16 partitions"),
        "{told}"
    );
    let status = cluster.run(&["cluster", "status"]);
    assert_eq!(status.status.code(), Some(6), "nobody owns anything yet");
}

#[test]
fn every_metric_of_a_cluster_that_its_page_names_is_there() {
    let cluster = Cluster::found(&[]);
    let one = cluster.start(1);
    let families = crate::support::exposition::read(&one.metrics()).unwrap();
    let page = include_str!("../../src/CLUSTER.md");
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let of_cluster =
        |word: &&str| word.starts_with("holdfast_cluster_") || word.starts_with("holdfast_shared_");
    let named: Vec<&str> = words
        .filter(of_cluster)
        .filter(|word| !word.ends_with('_'))
        .collect();
    assert!(!named.is_empty());
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !families.contains_key(**name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
