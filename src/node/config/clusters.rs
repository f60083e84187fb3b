//! What is wrong with the settings of a cluster beyond single settings. Reaches nobody.

use std::time::Duration;

use super::parts::{ClusterConfig, SharedStoreConfig, StoreKind};
use super::problem::Problem;

/// How much longer terminals may return elsewhere than a node that was cut off keeps them: they notice, and connect.
const GRACE_BEYOND_HOLD: Duration = Duration::from_secs(30);

/// Everything that is wrong.
pub(super) fn problems(
    kind: StoreKind,
    (store, cluster): (&SharedStoreConfig, &ClusterConfig),
    restart_grace: Duration,
) -> Vec<Problem> {
    match kind {
        StoreKind::Shared => [of_the_store(store), of_a_node(cluster, restart_grace)].concat(),
        StoreKind::Embedded | StoreKind::Memory => of_one_gateway(cluster),
    }
}

fn of_one_gateway(cluster: &ClusterConfig) -> Vec<Problem> {
    if cluster.node.0 == 0 {
        return Vec::new();
    }
    let found = "a number, while registry.store is of one gateway alone";
    let remedy = "set registry.store = \"redis\", or leave cluster.node out";
    vec![Problem::new("cluster.node", found, remedy)]
}

fn of_the_store(store: &SharedStoreConfig) -> Vec<Problem> {
    let with_tls = store
        .urls
        .iter()
        .filter(|url| url.starts_with("rediss://"))
        .count();
    let has_certificates = store.ca_file.is_some() || store.identity.is_some();
    let faults = [
        (
            store.urls.is_empty(),
            "registry.redis.urls",
            "none, while registry.store is \"redis\"",
            "name at least one server, as [\"redis://store-1.example:6379\"]",
        ),
        (
            with_tls != 0 && with_tls != store.urls.len(),
            "registry.redis.urls",
            "addresses with TLS and addresses without",
            "write all of them as rediss://, or all as redis://",
        ),
        (
            with_tls == 0 && has_certificates,
            "registry.redis.ca_file",
            "certificates, while no address is one of rediss",
            "write registry.redis.urls as rediss://, or leave the files out",
        ),
        (
            store.user.is_some() && store.password.is_none(),
            "registry.redis.user",
            "a user without a password",
            "set registry.redis.password, or leave the user out",
        ),
    ];
    told(faults)
}

fn of_a_node(cluster: &ClusterConfig, grace: Duration) -> Vec<Problem> {
    let mut problems = told([
        (
            cluster.node.0 == 0,
            "cluster.node",
            "no number, while registry.store is \"redis\"",
            "give this node a number, from 1 on, that no other node of the cluster has",
        ),
        (
            cluster.secret.is_none(),
            "cluster.secret",
            "none, while registry.store is \"redis\"",
            "set cluster.secret or cluster.secret_file, the same on all nodes",
        ),
        (
            cluster.listen.is_empty(),
            "cluster.listen",
            "none, while registry.store is \"redis\"",
            "name an address of this host that other nodes reach, as [\"10.0.0.1:9005\"]",
        ),
    ]);
    let hold = cluster.hold;
    let grace_min = hold + GRACE_BEYOND_HOLD;
    if grace < grace_min {
        let found = format!(
            "{} s, while cluster.hold_s is {} s",
            grace.as_secs(),
            hold.as_secs()
        );
        let remedy = format!(
            "set at least {} s, or a shorter cluster.hold_s",
            grace_min.as_secs()
        );
        problems.push(Problem::new("presence.restart_grace_s", found, remedy));
    }
    problems
}

/// Of faults, each with its setting, what was found and what would do: those that there are.
fn told<const N: usize>(faults: [(bool, &'static str, &'static str, &'static str); N]) -> Vec<Problem> {
    let there = faults.into_iter().filter(|(is_there, ..)| *is_there);
    there
        .map(|(_, key, found, remedy)| Problem::new(key, found, remedy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NODE, read};

    /// What is told of a node's settings with others beside them.
    fn keys_told(others: &[&str]) -> Vec<String> {
        let problems = read(&[NODE, others].concat()).map(drop).unwrap_err();
        let key = |problem: &String| problem.split(':').next().unwrap().to_owned();
        problems.iter().map(key).collect()
    }

    #[test]
    fn a_node_has_all_that_it_needs() {
        let config = read(NODE).unwrap();
        assert_eq!(config.cluster.node.0, 3);
        assert_eq!(config.cluster.peer_address.as_deref(), Some("127.0.0.1:9005"));
        assert_eq!(
            config.cluster.public.tcp.unwrap().as_str(),
            "gateway-3.example:9001"
        );
        for (others, expected) in [
            (&["registry.redis.urls=[]"][..], "registry.redis.urls"),
            (
                &["registry.redis.urls=[\"redis://a\",\"rediss://b\"]"],
                "registry.redis.urls",
            ),
            (&["registry.redis.ca_file=/x"], "registry.redis.ca_file"),
            (&["registry.redis.user=x"], "registry.redis.user"),
            (&["cluster.node=0"], "cluster.node"),
            (&["cluster.secret="], "cluster.secret"),
            (&["cluster.listen=[]"], "cluster.listen"),
            (&["cluster.listen=[\"127.0.0.1:9001\"]"], "cluster.listen"),
            (&["presence.restart_grace_s=44"], "presence.restart_grace_s"),
            (&["registry.store=embedded"], "cluster.node"),
        ] {
            assert_eq!(keys_told(others), [expected], "{others:?}");
        }
    }

    #[test]
    fn no_secret_of_a_node_is_shown() {
        let password = "registry.redis.password=a-password-of-this-test";
        let config = read(&[NODE, &[password]].concat()).unwrap();
        let shown = format!("{} {config:?}", config.print());
        assert!(shown.contains("gateway-3.example:9001"), "{shown}");
        assert!(!shown.contains("of-this-test"), "{shown}");
    }
}
