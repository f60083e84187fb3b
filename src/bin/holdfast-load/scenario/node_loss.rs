//! A node of a cluster is killed. Its users come back to the nodes that are left, or to the node itself, which is started again
//! where it was. Nobody may be told anything of it, neither then nor when the grace is over.

use std::time::Duration;

use anyhow::Context;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, ReturnArguments};
use crate::cluster::{self, GatewayCluster};
use crate::cluster_size::ClusterSize;
use crate::gateway::{Gateway, shards_for};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{LinkEnds, Op, WorkloadOutcome};
use crate::receiver::Receiver;
use crate::report::RunReport;

use super::comeback::wait;
use super::nodes::{SHARE_PERCENT_MAX, cpu_ns, held, nodes, stop_others, wait_until_shared_out};
use super::stage::{BEATS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

const SIZE: ClusterSize = ClusterSize { nodes: 3, masters: 1 };

/// Users that are compared.
const COMPARED: usize = 2_000;

/// How long users of a node that died may come back, unless `--set` says otherwise: the gateway's default.
const GRACE_S: u64 = 60;

/// How long after the end of the grace whatever comes of it has come.
const SETTLED: Duration = Duration::from_secs(5);

/// What is known before the node is killed.
struct BeforeLoss {
    /// Terminals of each node.
    held: Vec<u64>,
    /// Changes in the shared store.
    changes: u64,
    callbacks: u64,
}

pub(super) fn run(common: &Common, name: &str, back: ReturnArguments) -> anyhow::Result<bool> {
    let connections = back.connections;
    let receiver = Receiver::start()?;
    let (mut run, mut cluster) = start(common, name, back, &receiver)?;
    wait_until_shared_out(&mut run, &cluster)?;
    run.all_come(connections, back.window)?;
    let told = wait(&mut run, "callbacks of the logins", connections.into(), &|_| {
        Ok(receiver.count())
    })?;
    let before = BeforeLoss {
        held: held(&run, &cluster)?,
        changes: cluster.store.changes()?,
        callbacks: told,
    };
    for (what, seen) in [
        ("devices Online, by the nodes", before.held.iter().sum()),
        ("changes in the shared store", before.changes),
    ] {
        run.report.check_equal(what, connections.into(), seen);
    }
    let gone = killed(&mut run, &mut cluster, &before, back)?;
    run.server
        .each("a beat each", Op::Beat, (0, connections), BEATS_AT_ONCE)?;
    let mut compared = Compared::default();
    run.compare_at_rest(COMPARED, &mut compared)?;
    run.report_compared(&compared);
    pass_the_grace(&mut run, common)?;
    check_nobody_was_told(&mut run.report, &cluster, &before, &receiver)?;
    // Whoever was given up stays away.
    if run.report.holds() {
        check_everyone_is_there(&mut run, &cluster, connections, "after the grace")?;
    }
    if run.report.holds() && back.restart_in_place {
        drained(&mut run, &mut cluster, connections)?;
        check_nobody_was_told(&mut run.report, &cluster, &before, &receiver)?;
    }
    stop(run, cluster, gone, common)
}

/// The nodes, and the terminals, all away.
fn start(
    common: &Common,
    name: &str,
    back: ReturnArguments,
    receiver: &Receiver,
) -> anyhow::Result<(ScenarioRun, GatewayCluster)> {
    let title = match back.restart_in_place {
        true => "A node of three is killed and started again, and its users come back",
        false => "A node of three is killed, and its users come back at the others",
    };
    let report = RunReport::begin(name, title, &common.results)?;
    // Those that are left have the terminals of all.
    let share = u64::from(back.connections.div_ceil(u32::from(SIZE.nodes) - 1));
    let shards = shards_for(u32::try_from(share * SHARE_PERCENT_MAX / 100)?);
    let settings = [
        ("shards.count", shards.to_string()),
        (
            "callback.url",
            format!("\"http://{}/callback\"", receiver.address),
        ),
    ];
    let (first, cluster) = GatewayCluster::start(common, SIZE, &settings, &[])?;
    let started = (first, cluster.settings.clone());
    let terminals = (back.connections, DevicesPerUser::One);
    let mut run = ScenarioRun::around(started, common, report, terminals)?;
    run.report.condition(format!(
        "{} nodes, each with these settings; terminals and queries come to the first, which is not the one that is killed. Courses are those of the first node.",
        SIZE.nodes
    ));
    Ok((run, cluster))
}

/// Everyone is logged in, or will be at once: a node gives some users to another whenever it has more than its share.
fn check_everyone_is_there(
    run: &mut ScenarioRun,
    cluster: &GatewayCluster,
    connections: u32,
    when: &str,
) -> anyhow::Result<()> {
    let expected = u64::from(connections);
    let what = format!("terminals that are logged in {when}");
    let live = wait(run, &what, expected, &|run| {
        Ok(run.server.generator.statistics.live())
    })?;
    run.report.check_equal(&what, expected, live);
    let what = format!("devices Online {when}, by the nodes");
    let online = wait(run, &what, expected, &|run| Ok(held(run, cluster)?.iter().sum()))?;
    run.report.check_equal(&what, expected, online);
    Ok(())
}

/// One more node is drained. Its users go to the other two.
fn drained(run: &mut ScenarioRun, cluster: &mut GatewayCluster, connections: u32) -> anyhow::Result<()> {
    let node = cluster.others.remove(0);
    let (watch, before) = (
        Stopwatch::start(),
        run.server.generator.statistics.followed_users(),
    );
    run.http.drain(node.admin)?;
    let ended = node.wait_until_ended(run.report.holds())?;
    let ended_s = watch.elapsed().as_secs_f64();
    run.report
        .check("the node that is drained ends well", ended, ended);
    wait(
        run,
        "terminals that are logged in after the drain",
        connections.into(),
        &|run| Ok(run.server.generator.statistics.live()),
    )?;
    let back_s = watch.elapsed().as_secs_f64();
    let followed = run.server.generator.statistics.followed_users() - before;
    let report = &mut run.report;
    report.figure("terminals of the node that was drained", "", followed as f64);
    report.figure("from the order until the drained node has ended", "s", ended_s);
    report.figure("from the order until everyone is logged in again", "s", back_s);
    report.check(
        "terminals follow the users of the node that was drained",
        followed > 0,
        followed,
    );
    run.server
        .each("a beat each", Op::Beat, (0, connections), BEATS_AT_ONCE)?;
    check_everyone_is_there(run, cluster, connections, "after the drain")
}

/// Everything ends well.
fn stop(
    mut run: ScenarioRun,
    mut cluster: GatewayCluster,
    gone: Option<Gateway>,
    common: &Common,
) -> anyhow::Result<bool> {
    stop_others(&mut run, &mut cluster)?;
    if let Some(gone) = gone {
        gone.discard(run.report.holds())?;
    }
    run.finish(common)
}

/// Whoever came back within the grace has no change, and nobody hears of anything.
fn check_nobody_was_told(
    report: &mut RunReport,
    cluster: &GatewayCluster,
    before: &BeforeLoss,
    receiver: &Receiver,
) -> anyhow::Result<()> {
    let changes = cluster.store.changes()? - before.changes;
    check_counts(report, changes, receiver.count() - before.callbacks);
    Ok(())
}

fn check_counts(report: &mut RunReport, changes: u64, callbacks: u64) {
    report.check_equal("changes in the shared store since the kill", 0, changes);
    report.check_equal("callbacks since everyone had logged in", 0, callbacks);
}

/// The last node is killed. Gives it, if it is not started again.
fn killed(
    run: &mut ScenarioRun,
    cluster: &mut GatewayCluster,
    before: &BeforeLoss,
    back: ReturnArguments,
) -> anyhow::Result<Option<Gateway>> {
    let lost = *before.held.last().context("there are nodes")?;
    run.server.generator.set_link_ends(LinkEnds::AreExpected);
    run.server.generator.wait_until_applied()?;
    let mut killed = cluster.others.pop().context("there are other nodes")?;
    let watch = Stopwatch::start();
    killed.kill()?;
    let gone = if back.restart_in_place {
        killed.start_again()?;
        cluster.others.push(killed);
        let ready_s = watch.elapsed().as_secs_f64();
        run.report
            .figure("from the kill until the node is ready again", "s", ready_s);
        None
    } else {
        Some(killed)
    };
    wait(run, "links that ended with the node", lost, &|run| {
        Ok(run.server.generator.statistics.links_lost())
    })?;
    let ended_s = watch.elapsed().as_secs_f64();
    run.server.generator.set_link_ends(LinkEnds::AreFaults);
    let answers = run.server.generator.statistics.answers();
    // Whoever has lost the link comes back without waiting for others.
    let (all, at_once) = ((0, back.connections), back.connections);
    let resumes = run.server.generator.begin_walk(Op::Resume, all, at_once);
    wait_until_open(run, cluster)?;
    let (open_s, before_ns) = (watch.elapsed().as_secs_f64(), cpu_ns(run, cluster)?);
    let early = run.server.generator.statistics.answers() - answers;
    let count = u32::try_from(lost)?;
    let resumes = run.server.join_walk(resumes, "resumes", (answers, count))?;
    let back_s = watch.elapsed().as_secs_f64();
    let cpu_us = (cpu_ns(run, cluster)? - before_ns) as f64 / 1_000.0;
    let report = &mut run.report;
    report.figure("terminals of the node that was killed", "", lost as f64);
    report.figure("from the kill to the last link's end", "s", ended_s);
    report.figure("from the kill until all its partitions are open", "s", open_s);
    report.figure("from there until everyone is back", "s", back_s - open_s);
    let after = resumes.done.saturating_sub(early).max(1) as f64;
    report.figure("CPU of the nodes for a resume", "µs", cpu_us / after);
    report_resumes(report, lost, &resumes);
    let ended = run.server.generator.statistics.links_lost();
    run.report
        .check_equal("links that ended, all of the node that was killed", lost, ended);
    Ok(gone)
}

fn report_resumes(report: &mut RunReport, lost: u64, resumes: &WorkloadOutcome) {
    for percent in [50.0, 99.0] {
        let name = format!("from a link's end until its terminal is back, p{percent:.0}");
        report.figure(&name, "s", resumes.percentile_ms(percent) / 1_000.0);
    }
    report.check_equal("resumes answered well", lost, resumes.done);
    report.check_equal("sessions that were kept", lost, resumes.kept);
}

/// Until all partitions are at home at a node that lives.
fn wait_until_open(run: &mut ScenarioRun, cluster: &GatewayCluster) -> anyhow::Result<()> {
    wait(run, "partitions that are open", cluster::ALL, &|run| {
        Ok(cluster::at_home(&run.http, &nodes(run, cluster))?.0)
    })?;
    Ok(())
}

/// Lets the time pass in which users may come back, and in which those are given up who have not.
fn pass_the_grace(run: &mut ScenarioRun, common: &Common) -> anyhow::Result<()> {
    let grace_s = match common.setting("presence.restart_grace_s") {
        Some(text) => text.parse().context("presence.restart_grace_s")?,
        None => GRACE_S,
    };
    run.server.pass(Duration::from_secs(grace_s) + SETTLED)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn one_change_or_one_callback_fails_the_run() {
        let results = TempDir::new().unwrap();
        let check = |changes, callbacks, expected| {
            let mut report = RunReport::begin("return-kill-node", "A node", results.path()).unwrap();
            check_counts(&mut report, changes, callbacks);
            assert_eq!(
                report.holds(),
                expected,
                "{changes} changes, {callbacks} callbacks"
            );
        };
        check(0, 0, true);
        check(1, 0, false);
        check(0, 1, false);
    }
}
