//! What scenarios with a cluster ask all its nodes together. It starts none.

use anyhow::Context;

use crate::cluster::{self, GatewayCluster};
use crate::gateway::Gateway;
use crate::generator::workload::LinkEnds;
use crate::process;

use super::comeback::wait;
use super::stage::ScenarioRun;

/// A node may have so many percent of its share.
pub(super) const SHARE_PERCENT_MAX: u64 = 110;

/// All nodes that live.
pub(super) fn nodes<'a>(run: &'a ScenarioRun, cluster: &'a GatewayCluster) -> Vec<&'a Gateway> {
    [&run.gateway].into_iter().chain(&cluster.others).collect()
}

/// The devices that are Online at each node.
pub(super) fn held(run: &ScenarioRun, cluster: &GatewayCluster) -> anyhow::Result<Vec<u64>> {
    let of = |node: &Gateway| {
        let metrics = run.http.metrics(node.admin)?;
        let online = metrics.get("holdfast_devices_online_now");
        online.copied().context("a node has no devices_online_now")
    };
    nodes(run, cluster).into_iter().map(of).collect()
}

/// CPU time of all nodes so far.
pub(super) fn cpu_ns(run: &ScenarioRun, cluster: &GatewayCluster) -> anyhow::Result<u64> {
    let of = |node: &Gateway| Ok(process::cpu_ns(node.process)?);
    nodes(run, cluster).into_iter().map(of).sum()
}

/// Until each node has its share of the partitions.
pub(super) fn wait_until_shared_out(run: &mut ScenarioRun, cluster: &GatewayCluster) -> anyhow::Result<()> {
    wait(run, "partitions that have a node", cluster::ALL, &|run| {
        let nodes = nodes(run, cluster);
        let (at_home, largest) = cluster::at_home(&run.http, &nodes)?;
        let share_max = (cluster::ALL * SHARE_PERCENT_MAX).div_ceil(100 * nodes.len() as u64);
        // Until it has, none counts.
        Ok(if largest > share_max { 0 } else { at_home })
    })?;
    Ok(())
}

/// Stops all nodes but the first, and checks that they stop well. No link that ends from here on is a fault.
pub(super) fn stop_others(run: &mut ScenarioRun, cluster: &mut GatewayCluster) -> anyhow::Result<()> {
    run.server.generator.set_link_ends(LinkEnds::AreExpected);
    run.server.generator.wait_until_applied()?;
    let mut stopped = true;
    for node in cluster.others.drain(..) {
        stopped &= node.stop(run.report.holds())?;
    }
    run.report.check("the other nodes stop well", stopped, stopped);
    Ok(())
}
