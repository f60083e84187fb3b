//! Gateways that are the nodes of one cluster, on a shared store of the run's own. It is told nothing but settings and signals.

use std::net::SocketAddrV4;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::arguments::Common;
use crate::cluster_size::ClusterSize;
use crate::ending::{Started, TempFolder};
use crate::gateway::{Gateway, free_addresses};
use crate::http::Http;
use crate::redis_servers::RedisServers;

const NAME: &str = "load";
/// As many as `holdfast cluster create` makes by itself.
const PARTITIONS: u16 = 256;
/// All of them.
pub(crate) const ALL: u64 = PARTITIONS as u64;

/// The nodes after the first one, and what all share. Nodes end before their store.
pub(crate) struct GatewayCluster {
    /// Nodes 2, 3 and so on.
    pub(crate) others: Vec<Gateway>,
    pub(crate) store: RedisServers,
    /// The settings of all nodes, without secrets.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl GatewayCluster {
    /// So many nodes with these settings, and all partitions at home at one of them. The first node is the one that terminals
    /// come to, and who asks.
    pub(crate) fn start(
        common: &Common,
        ClusterSize { nodes, masters }: ClusterSize,
        settings: &[(&'static str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<(Gateway, Self)> {
        if common.running()?.is_some() {
            bail!("this scenario starts a cluster of its own: leave --gateway away");
        }
        if let Some(other) = common.setting("registry.store") {
            bail!("this scenario needs a shared store: leave registry.store={other} away");
        }
        let store = RedisServers::start(masters)?;
        let settings: Vec<_> = store
            .settings()
            .into_iter()
            .chain(settings.iter().cloned())
            .collect();
        let place = |number: u16| -> anyhow::Result<_> {
            let [terminals, http, admin, peers] = free_addresses()?;
            let own = own_settings(common, number, terminals, peers);
            Ok(([terminals, http, admin], [settings.clone(), own].concat()))
        };
        let first = place(1)?;
        create(common, &first.1)?;
        let first = Gateway::start(common, first.0, &first.1, environment)?;
        let mut others = Vec::new();
        for number in 2..=nodes {
            let (addresses, settings) = place(number)?;
            others.push(Gateway::start(common, addresses, &settings, environment)?);
        }
        let cluster = Self {
            others,
            store,
            settings,
        };
        Ok((first, cluster))
    }
}

/// How many partitions are at home at one of these nodes, and how many of them the one has that has most.
pub(crate) fn at_home(http: &Http, nodes: &[&Gateway]) -> anyhow::Result<(u64, u64)> {
    let count = |owned: &[bool]| owned.iter().filter(|is| **is).count() as u64;
    let mut largest = 0;
    let mut all = vec![false; usize::from(PARTITIONS)];
    for node in nodes {
        let owned = http.owned(node.admin)?;
        largest = largest.max(count(&owned));
        all.iter_mut().zip(owned).for_each(|(any, is)| *any |= is);
    }
    Ok((count(&all), largest))
}

fn own_settings(
    common: &Common,
    number: u16,
    terminals: SocketAddrV4,
    peers: SocketAddrV4,
) -> Vec<(&'static str, String)> {
    vec![
        ("cluster.name", format!("\"{NAME}\"")),
        ("cluster.node", number.to_string()),
        ("cluster.secret", "\"only-for-this-run-on-loopback\"".to_owned()),
        ("cluster.listen", format!("[\"{peers}\"]")),
        common.wrapping.public(terminals),
    ]
}

/// Founds the cluster of a node with these settings.
fn create(common: &Common, settings: &[(&'static str, String)]) -> anyhow::Result<()> {
    let folder = TempFolder::new()?;
    let said = folder.path().join("said");
    let mut command = Command::new(common.program()?);
    let typed = settings.iter().map(|(key, value)| format!("{key}={value}"));
    for setting in typed.chain(common.set.iter().cloned()) {
        command.args(["--set", &setting]);
    }
    command.args(["cluster", "create", "--partitions", &PARTITIONS.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(&said)?);
    let mut creating = Started::spawn(&mut command).context("cannot start the gateway's program")?;
    if !creating.wait()?.success() {
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        bail!("the cluster cannot be founded: {}", said.trim_end());
    }
    Ok(())
}
