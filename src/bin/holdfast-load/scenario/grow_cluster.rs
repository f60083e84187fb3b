//! What one costs as a cluster grows: the same measurements at clusters of some sizes, each with its own shared store and as many
//! terminals for each node. It judges no figure; what has to hold are the answers.

use std::time::Duration;

use anyhow::Context;
use holdfast::base::limits::QUERY_USERS_MAX;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, GrowClusterArguments};
use crate::cluster::GatewayCluster;
use crate::cluster_size::ClusterSize;
use crate::gateway::{Gateway, cores, shards_for};
use crate::generator::terminal::{DevicesPerUser, Identities};
use crate::generator::workload::{Op, Pick, Workload, WorkloadOutcome};
use crate::http::AskedDetail;
use crate::report::RunReport;

use super::beat::{paced, saturated};
use super::clients::Question;
use super::cluster_figures::{self, OpCost, SizeFigures};
use super::memory::{ENVIRONMENT, ResidentMemory, WARM_UP, environment, warm_up};
use super::nodes::{cpu_ns, held, nodes, stop_others, wait_until_shared_out};
use super::stage::{BEATS_AT_ONCE, LOGINS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// Backend connections to each node, with one query under way each.
const CLIENTS_PER_NODE: u32 = 2;
/// Of all terminals those that go to the first node again, to be sent on from there: one in so many.
const SENT_ON_PART: u32 = 2;
/// Users that are compared at each size.
const COMPARED: usize = 2_000;

/// A size under way.
struct GrowingCluster<'a> {
    run: ScenarioRun,
    cluster: GatewayCluster,
    size: ClusterSize,
    grow: &'a GrowClusterArguments,
    identities: Identities,
    /// All terminals.
    count: u32,
    /// That were recorded, as terminals saw it: one for each login and each logout.
    changes: u64,
    failed: u64,
}

/// CPU time of a whole cluster so far.
#[derive(Clone, Copy)]
struct SpentCpu {
    nodes_ns: u64,
    masters_ns: u64,
    replicas_ns: u64,
}

impl SpentCpu {
    fn now(run: &ScenarioRun, cluster: &GatewayCluster) -> anyhow::Result<Self> {
        let [masters_ns, replicas_ns] = cluster.store.cpu_ns()?;
        Ok(Self {
            nodes_ns: cpu_ns(run, cluster)?,
            masters_ns,
            replicas_ns,
        })
    }
}

pub(super) fn run(common: &Common, name: &str, grow: &GrowClusterArguments) -> anyhow::Result<bool> {
    let mut report = RunReport::begin(name, "Cost as a cluster grows", &common.results)?;
    conditions(&mut report, grow);
    let mut done = Vec::new();
    for size in grow.sizes.all() {
        report.set_part(Some(size.to_string()));
        let mut growing = GrowingCluster::start(common, report, *size, grow)?;
        done.push(growing.measure()?);
        report = growing.end(common)?;
    }
    report.set_part(None);
    cluster_figures::report(&mut report, grow, &done);
    report.finish(&common.results)
}

fn conditions(report: &mut RunReport, grow: &GrowClusterArguments) {
    let GrowClusterArguments {
        connections,
        window,
        rate,
        rounds,
        ..
    } = grow;
    report.condition(format!(
        "Each size has a cluster of its own: nodes, and masters of Redis with a replica each; a change counts when it is in both. Two masters and more are a cluster of Redis, one is not. Each node has {connections} terminals, so that it has as much to do at each size; nodes, servers and terminals share {} cores. A figure of the nodes is the CPU time of all of them, a figure of the masters that of all masters.",
        cores()
    ));
    report.condition(format!(
        "{} rounds of {} s for each part. Logins, logouts and saturated heartbeats: {window} under way at once for each node; each is at its user's node. Paced heartbeats: {rate} a second for each node. Queries: {QUERY_USERS_MAX} users of all nodes, drawn by chance, by {CLIENTS_PER_NODE} connections to each node. A login and a logout are on record before they are answered.",
        rounds.rounds,
        rounds.duration.as_secs_f64()
    ));
    report.condition(
        "A redirect: in each round half of the terminals come to the first node again, which sends those on whose users are at another. What that costs beyond as many logins, for each who was sent on. Users are where they are by a hash, so with one node there is no redirect.".to_owned(),
    );
    report.condition(format!(
        "User bytes: what RSS of all nodes grew by between the first tenth of the connections and all of them, ÷ those that came between, without what registries say that they take; {}. {WARM_UP} Bytes at the masters: what their data grew by (`used_memory_dataset`), by the logins of new users and by later changes of the same users. What masters receive and replicate for a change has in it what nodes say while nothing changes.",
        environment(true)
    ));
}

impl<'a> GrowingCluster<'a> {
    /// All nodes with their shares, and all terminals away.
    fn start(
        common: &Common,
        report: RunReport,
        size: ClusterSize,
        grow: &'a GrowClusterArguments,
    ) -> anyhow::Result<Self> {
        let count = grow.connections * u32::from(size.nodes);
        // Shares differ, and the first node meets everybody.
        let shards = shards_for(2 * grow.connections);
        let settings = [("shards.count", shards.to_string())];
        let (first, cluster) = GatewayCluster::start(common, size, &settings, &ENVIRONMENT)?;
        let started = (first, cluster.settings.clone());
        let mut run = ScenarioRun::around(started, common, report, (count, DevicesPerUser::One))?;
        wait_until_shared_out(&mut run, &cluster)?;
        Ok(Self {
            run,
            cluster,
            size,
            grow,
            identities: common.identities(DevicesPerUser::One),
            count,
            changes: 0,
            failed: 0,
        })
    }

    fn measure(&mut self) -> anyhow::Result<SizeFigures> {
        let mut figures = SizeFigures::new(self.size);
        let (visits, first) = (self.count / 10, self.count / 10);
        self.changes += 2 * warm_up(&mut self.run, visits)?;
        self.come((0, first))?;
        let (few, memory) = (self.cluster.store.bytes()?, self.resident()?);
        self.come((first, self.count))?;
        let (new, all) = (f64::from(self.count - first), self.resident()?);
        figures.user_bytes = all.each_since(memory, new).own();
        let (came, changes) = (self.cluster.store.bytes()?, self.changes);
        let each = |before: u64, now: u64, count: f64| (now as f64 - before as f64) / count;
        figures.new_user_bytes = each(few.kept, came.kept, new);
        for _ in 0..self.grow.rounds.rounds {
            self.round(&mut figures)?;
        }
        let (now, count) = (self.cluster.store.bytes()?, (self.changes - changes) as f64);
        figures.change_bytes = each(came.kept, now.kept, count);
        figures.received_bytes = each(came.received, now.received, count);
        figures.replicated_bytes = each(came.replicated, now.replicated, count);
        self.check(&figures)?;
        Ok(figures)
    }

    fn resident(&self) -> anyhow::Result<ResidentMemory> {
        ResidentMemory::of_all(&self.run, &nodes(&self.run, &self.cluster))
    }

    /// Those of a range log in for the first time, are sent on, and beat.
    fn come(&mut self, range: (u32, u32)) -> anyhow::Result<()> {
        let title = format!("{}: logins up to {}", self.size, range.1);
        let logins = self.run.server.each(&title, Op::LogIn, range, LOGINS_AT_ONCE)?;
        self.note(&logins);
        self.changes += logins.done;
        self.beat_once()
    }

    /// All who are here beat, so that nobody is silent for too long.
    fn beat_once(&mut self) -> anyhow::Result<()> {
        let title = format!("{}: a beat each", self.size);
        let all = (0, self.count);
        let beats = self.run.server.each(&title, Op::Beat, all, BEATS_AT_ONCE)?;
        self.note(&beats);
        Ok(())
    }

    fn note(&mut self, outcome: &WorkloadOutcome) {
        self.failed += outcome.failed;
    }

    fn at_once(&self) -> u32 {
        self.grow.window * u32::from(self.size.nodes)
    }

    /// Everyone is here before a round and after it.
    fn round(&mut self, figures: &mut SizeFigures) -> anyhow::Result<()> {
        let (all, window, duration) = ((0, self.count), self.at_once(), self.grow.rounds.duration);
        self.beat_once()?;
        let by_chance = |plan| Workload {
            pick: Pick::Random,
            ..plan
        };
        let rate = f64::from(self.grow.rate) * f64::from(self.size.nodes);
        let fast = by_chance(saturated(self.count, window));
        figures.fast.add(&self.beats(fast, duration)?);
        figures
            .even
            .add(&self.beats(by_chance(paced(self.count, rate)), duration)?);
        self.queries(figures, duration)?;
        let (silent, _) = self.spending(duration.as_secs_f64(), |side| side.server.pass(duration))?;
        figures.silent.add(&silent);
        let (out, _) = self.walk(Op::LogOut, all, window)?;
        figures.logout.add(&out);
        let (login, _) = self.walk(Op::LogIn, all, window)?;
        if self.size.nodes > 1 {
            self.redirects(login.nodes_us, figures)?;
        }
        figures.login.add(&login);
        Ok(())
    }

    /// What redirects cost, if a login without one costs this.
    fn redirects(&mut self, login_us: f64, figures: &mut SizeFigures) -> anyhow::Result<()> {
        let (some, window) = ((0, self.count / SENT_ON_PART), self.at_once());
        self.walk(Op::LogOut, some, window)?;
        self.run.server.generator.forget_homes();
        let before = self.run.server.generator.statistics.redirects();
        let (logins, count) = self.walk(Op::LogIn, some, window)?;
        let sent_on = self.run.server.generator.statistics.redirects() - before;
        let beyond_us = (logins.nodes_us - login_us) * count as f64;
        figures.redirect_us.push(beyond_us / sent_on.max(1) as f64);
        figures.redirects += sent_on;
        Ok(())
    }

    /// Each of a range does this once. Gives what one cost, and how many there were.
    fn walk(&mut self, op: Op, range: (u32, u32), window: u32) -> anyhow::Result<(OpCost, u64)> {
        let title = format!("{}: {op:?}", self.size);
        let count = f64::from(range.1 - range.0);
        let (cost, outcome) = self.spending(count, |run| run.server.each(&title, op, range, window))?;
        self.note(&outcome);
        self.changes += outcome.done;
        Ok((cost, outcome.done))
    }

    fn beats(&mut self, workload: Workload, duration: Duration) -> anyhow::Result<OpCost> {
        // Of one, for now: how many there were is known behind it.
        let (cost, outcome) = self.spending(1.0, |run| {
            let id = run.server.generator.begin(workload);
            run.server.pass(duration)?;
            run.server.end(id)
        })?;
        self.note(&outcome);
        Ok(cost.each_of(outcome.done))
    }

    /// Users of all nodes, asked for at each of them.
    fn queries(&mut self, figures: &mut SizeFigures, duration: Duration) -> anyhow::Result<()> {
        let run = &self.run;
        let question = |node: &Gateway| Question {
            http: node.http,
            caller: run.caller.clone(),
            identities: self.identities.clone(),
            connections: self.count,
            detail: AskedDetail::None,
        };
        let questions: Vec<Question> = nodes(run, &self.cluster).into_iter().map(question).collect();
        let clients = CLIENTS_PER_NODE * u32::from(self.size.nodes);
        let (cost, seen) = self.spending(1.0, |run| run.server.ask(&questions, clients, duration))?;
        figures.status.add(&cost.each_of(seen.users));
        figures.asked += seen.users;
        figures.wrong += seen.wrong;
        Ok(())
    }

    /// What `work` costs the whole cluster, for each of so many.
    fn spending<T>(
        &mut self,
        count: f64,
        work: impl FnOnce(&mut ScenarioRun) -> anyhow::Result<T>,
    ) -> anyhow::Result<(OpCost, T)> {
        let (before, watch) = (SpentCpu::now(&self.run, &self.cluster)?, Stopwatch::start());
        let done = work(&mut self.run)?;
        let took_s = watch.elapsed().as_secs_f64();
        let now = SpentCpu::now(&self.run, &self.cluster)?;
        let each = |before_ns: u64, now_ns: u64| (now_ns - before_ns) as f64 / 1_000.0 / count;
        let cost = OpCost {
            nodes_us: each(before.nodes_ns, now.nodes_ns),
            masters_us: each(before.masters_ns, now.masters_ns),
            replicas_us: each(before.replicas_ns, now.replicas_ns),
            per_second: count / took_s,
        };
        Ok((cost, done))
    }

    /// Every answer was right, and the books are.
    fn check(&mut self, figures: &SizeFigures) -> anyhow::Result<()> {
        let mut compared = Compared::default();
        self.run.compare_at_rest(COMPARED, &mut compared)?;
        self.run.report_compared(&compared);
        let online = held(&self.run, &self.cluster)?;
        let fewest = *online.iter().min().context("there are nodes")?;
        let report = &mut self.run.report;
        report.check_equal(
            "devices Online, by the nodes",
            self.count.into(),
            online.iter().sum(),
        );
        report.check("terminals at each node, at the least", fewest > 0, fewest);
        report.check_equal("what failed at the terminals", 0, self.failed);
        report.check_equal(
            "changes in the shared store",
            self.changes,
            self.cluster.store.changes()?,
        );
        let wrong = format!("{} of {} were wrong", figures.wrong, figures.asked);
        let right = figures.wrong == 0 && figures.asked > 0;
        report.check("statuses by query: all are Online", right, wrong);
        if self.size.nodes > 1 {
            report.check("terminals are sent on", figures.redirects > 0, figures.redirects);
        }
        Ok(())
    }

    fn end(mut self, common: &Common) -> anyhow::Result<RunReport> {
        stop_others(&mut self.run, &mut self.cluster)?;
        self.run.end(common)
    }
}
