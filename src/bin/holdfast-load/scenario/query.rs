//! Status queries of 500 users each, over several connections at once, while terminals stay or beat.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{anyhow, bail};
use hdrhistogram::Histogram;
use holdfast::base::limits::QUERY_USERS_MAX;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, Rounds};
use crate::crowd::orders::{DriveId, Op, Status, latencies};
use crate::crowd::terminal::{Identities, Kinship};
use crate::http::Http;
use crate::report::Report;

use super::beat::paced;
use super::{BEATS_AT_ONCE, LOGINS_AT_ONCE, Stage};

/// What one client saw in a round.
struct Seen {
    users: u64,
    wrong: u64,
    latency_us: Histogram<u64>,
}

pub(super) fn run(
    common: &Common,
    name: &'static str,
    (connections, clients, rate): (u32, u32, u32),
    rounds: Rounds,
) -> anyhow::Result<bool> {
    let report = Report::new(name, "Status queries of 500 users");
    let mut stage = Stage::new(common, report, (connections, Kinship::Alone), &[], &[])?;
    stage.report.condition(format!(
        "{clients} queries under way at once, {QUERY_USERS_MAX} users each, drawn by chance; {rate} heartbeats a second meanwhile. The CPU of those alone, measured right before each round, is taken off."
    ));
    let all = (0, connections);
    let logins = stage.side.each("logins", Op::LogIn, all, LOGINS_AT_ONCE)?;
    stage
        .report
        .check_equal("logins answered well", connections.into(), logins.done);
    stage.side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
    let beat: Option<DriveId> = (rate > 0).then(|| stage.side.crowd.begin(paced(connections, rate.into())));
    let identities = common.identities(Kinship::Alone);
    let (mut cpu_us, mut rates, mut all) = (Vec::new(), Vec::new(), Seen::new());
    for _ in 0..rounds.rounds {
        let without = cores(&mut stage, rounds)?;
        let (before_s, watch) = (stage.side.cpu_s()?, Stopwatch::start());
        let seen = round(&mut stage, (&identities, connections), clients, rounds)?;
        let took_s = watch.elapsed().as_secs_f64();
        let cpu_s = stage.side.cpu_s()? - before_s - without * took_s;
        cpu_us.push(cpu_s * 1e6 / seen.users.max(1) as f64);
        rates.push(seen.users as f64 / took_s);
        all.add(&seen)?;
    }
    stage
        .report
        .rounds("CPU of the gateway for a user's status", "µs", cpu_us);
    stage.report.rounds("users' statuses, rate", "1/s", rates);
    for percent in [50.0, 99.0] {
        let latency_ms = all.latency_us.value_at_percentile(percent) as f64 / 1_000.0;
        let name = format!("query of {QUERY_USERS_MAX} users, p{percent:.0}");
        stage.report.figure(&name, "ms", latency_ms);
    }
    let (wrong, users) = (all.wrong, all.users);
    let seen = format!("{wrong} of {users} were not Online");
    stage
        .report
        .check("statuses by query: all are Online", wrong == 0 && users > 0, seen);
    if let Some(id) = beat {
        let outcome = stage.side.crowd.end(id, &mut |_| {})?;
        stage
            .report
            .figure("heartbeat meanwhile, p99", "ms", outcome.percentile_ms(99.0));
        stage
            .report
            .check_equal("heartbeats without an answer", 0, outcome.failed);
    }
    stage.finish(common)
}

/// All clients ask for a while.
fn round(
    stage: &mut Stage,
    (identities, connections): (&Identities, u32),
    clients: u32,
    rounds: Rounds,
) -> anyhow::Result<Seen> {
    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<JoinHandle<anyhow::Result<Seen>>> = (0..clients)
        .map(|_| {
            let (http, caller) = (stage.gateway.http, stage.caller.clone());
            let (identities, stop) = (identities.clone(), Arc::clone(&stop));
            std::thread::spawn(move || ask((http, &caller), &identities, connections, &stop))
        })
        .collect();
    let recorder = &mut stage.side.recorder;
    stage
        .side
        .crowd
        .pass(rounds.duration, &mut |board| recorder.look(board))?;
    stop.store(true, Ordering::Relaxed);
    let mut all = Seen::new();
    for client in asking {
        let seen = client.join();
        all.add(&seen.map_err(|_| anyhow!("a client of the queries has panicked"))??)?;
    }
    Ok(all)
}

impl Seen {
    fn new() -> Self {
        Self {
            users: 0,
            wrong: 0,
            latency_us: latencies(),
        }
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.users += other.users;
        self.wrong += other.wrong;
        Ok(self.latency_us.add(&other.latency_us)?)
    }
}

/// Cores that the gateway uses while nobody asks.
fn cores(stage: &mut Stage, rounds: Rounds) -> anyhow::Result<f64> {
    let (before_s, watch) = (stage.side.cpu_s()?, Stopwatch::start());
    let recorder = &mut stage.side.recorder;
    stage
        .side
        .crowd
        .pass(rounds.duration, &mut |board| recorder.look(board))?;
    Ok((stage.side.cpu_s()? - before_s) / watch.elapsed().as_secs_f64())
}

/// One client: asks until it is to stop, and looks at every answer.
fn ask(
    (http, caller): (SocketAddr, &str),
    identities: &Identities,
    connections: u32,
    stop: &AtomicBool,
) -> anyhow::Result<Seen> {
    let client = Http::new()?;
    let mut random = fastrand::Rng::new();
    let mut seen = Seen::new();
    while !stop.load(Ordering::Relaxed) {
        // Users that follow one another from anywhere on: none is asked for twice, and their homes are spread.
        let first = random.u32(0..connections);
        let users: Vec<String> = (0..QUERY_USERS_MAX as u32)
            .map(|place| identities.user((first + place) % connections))
            .collect();
        let watch = Stopwatch::start();
        let answer = client.query((http, caller), &users)?;
        seen.latency_us
            .saturating_record(u64::try_from(watch.elapsed().as_micros())?);
        if answer.len() != users.len() {
            bail!(
                "a query of {} users was answered for {}",
                users.len(),
                answer.len()
            );
        }
        seen.users += users.len() as u64;
        let online = answer
            .values()
            .filter(|status| *status == Status::Online.word())
            .count();
        seen.wrong += (users.len() - online) as u64;
    }
    Ok(seen)
}
