//! The scenarios, and what they share: a gateway, a crowd, a report, and the comparison of what queries show with what the
//! terminals know. A scenario gives orders and reads counts; it never touches a socket of the crowd.

mod beat;
mod churn;
mod comeback;
mod idle;
mod login;
mod query;
mod recorder;
mod series;
mod statuses;

use std::collections::HashMap;

use holdfast::base::time::{Clock, Stopwatch};

use crate::arguments::{Arguments, Common, Scenario};
use crate::crowd::Crowd;
use crate::crowd::board::Board;
use crate::crowd::orders::{Links, Op, Outcome};
use crate::crowd::terminal::Kinship;
use crate::gateway::{Gateway, shards_for};
use crate::http::Http;
use crate::process;
use crate::progress::Progress;
use crate::report::Report;
use recorder::Recorder;

/// Runs what was asked for. Says whether every check held.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let common = &arguments.common;
    let name = arguments.scenario.name();
    match arguments.scenario {
        Scenario::Idle {
            connections,
            hold,
            interval,
            window,
        } => idle::run(common, name, (connections, window), (hold, interval)),
        Scenario::Login {
            connections,
            window,
            rounds,
        } => login::run(common, name, (connections, window), rounds),
        Scenario::Beat {
            connections,
            window,
            rate,
            rounds,
        } => beat::run(common, name, (connections, window, rate), rounds),
        Scenario::Churn {
            connections,
            hold,
            rate,
        } => churn::run(common, name, connections, (hold, rate)),
        Scenario::Query {
            connections,
            clients,
            rate,
            rounds,
        } => query::run(common, name, (connections, clients, rate), rounds),
        Scenario::Return {
            connections,
            links,
            window,
        } => comeback::run(common, name, (connections, window), links),
    }
}

/// Logins under way at once where a scenario does not measure them.
const LOGINS_AT_ONCE: u32 = 256;
/// Heartbeats under way at once where they are only to have been.
const BEATS_AT_ONCE: u32 = 1_024;

/// Everything that a run needs.
struct Stage {
    gateway: Gateway,
    crowd: Crowd,
    http: Http,
    report: Report,
    recorder: Recorder,
    /// The parameters that make a query the administrator's.
    caller: String,
    /// The gateway's metrics when the run began.
    began_with: HashMap<String, u64>,
}

impl Stage {
    /// A gateway with room for `connections`, and as many terminals, all away.
    fn new(
        common: &Common,
        report: Report,
        (connections, kinship): (u32, Kinship),
        settings: &[(&str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let mut all = vec![("shards.count", shards_for(connections).to_string())];
        all.extend(settings.iter().cloned());
        let gateway = Gateway::find(common, &all, environment)?;
        let identities = common.identities(kinship);
        let http = Http::new()?;
        let began_with = http.metrics(gateway.admin)?;
        let crowd = Crowd::start(connections, gateway.terminals, &identities)?;
        let sig = identities.sign(Clock::start().now().signing, ADMINISTRATOR);
        let caller = format!(
            "sdkappid={}&identifier={ADMINISTRATOR}&usersig={sig}",
            identities.sdk_app_id
        );
        let mut report = report;
        let settings: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
        report.condition(format!(
            "{connections} terminals; settings of the gateway: `{}`{}",
            settings.join(" "),
            common
                .set
                .iter()
                .map(|set| format!(" `{set}`"))
                .collect::<String>()
        ));
        Ok(Self {
            recorder: Recorder::new(gateway.process),
            gateway,
            crowd,
            http,
            report,
            caller,
            began_with,
        })
    }

    /// Lets each terminal of `range` that can do `op` do it once, and shows how it goes.
    fn each(&mut self, title: &str, op: Op, range: (u32, u32), window: u32) -> anyhow::Result<Outcome> {
        let mut progress = Progress::begin(title, u64::from(range.1 - range.0));
        let before = self.crowd.board.answers();
        let watch = Stopwatch::start();
        let recorder = &mut self.recorder;
        let outcome = self.crowd.each(op, range, window, &mut |board: &Board| {
            recorder.look(board);
            let done = board.answers().saturating_sub(before);
            let rate = done as f64 / watch.elapsed().as_secs_f64();
            progress.at(done, &format!("{rate:.0}/s{}", troubles(board)));
        })?;
        progress.end(&format!(
            "{} in {:.1} s, p99 {:.1} ms{}",
            outcome.done,
            watch.elapsed().as_secs_f64(),
            outcome.percentile_ms(99.0),
            troubles(&self.crowd.board)
        ));
        Ok(outcome)
    }

    /// How much a metric of the gateway has grown since the run began.
    fn grown(&self, metrics: &HashMap<String, u64>, name: &str) -> u64 {
        let name = format!("holdfast_{name}");
        let before = self.began_with.get(&name).copied().unwrap_or(0);
        metrics.get(&name).copied().unwrap_or(0).saturating_sub(before)
    }

    /// Checks counts of the gateway: what is checked, the metric, and what it has to have grown by.
    fn check_books(&mut self, books: &[(&str, &str, u64)]) -> anyhow::Result<()> {
        let metrics = self.http.metrics(self.gateway.admin)?;
        for (what, metric, expected) in books {
            let grown = self.grown(&metrics, metric);
            self.report.check_equal(what, *expected, grown);
        }
        Ok(())
    }

    /// The gateway's CPU time so far, in seconds.
    fn cpu_s(&self) -> anyhow::Result<f64> {
        Ok(process::cpu_ns(self.gateway.process)? as f64 / 1e9)
    }

    /// Ends the run: no fault may have been seen, and the gateway has to stop well.
    fn finish(self, common: &Common) -> anyhow::Result<bool> {
        let (faults, told) = self.crowd.board.faults();
        let mut report = self.report;
        let seen = if faults == 0 {
            "none".to_owned()
        } else {
            format!("{faults}: {}", told.join("; "))
        };
        report.check("faults seen by the terminals", faults == 0, seen);
        self.recorder
            .courses()
            .into_iter()
            .for_each(|course| report.course(course));
        self.crowd.links(Links::MayEnd);
        let stopped = self.gateway.stop()?;
        report.check("the gateway stops well", stopped, stopped);
        // Its links are gone with the gateway, which was what was to be seen.
        self.crowd.quit()?;
        report.finish(&common.results)
    }
}

/// The caller of the REST interface, as the gateway has it by default.
const ADMINISTRATOR: &str = "administrator";

fn troubles(board: &Board) -> String {
    let (faults, retries) = (board.faults().0, board.retries());
    let mut text = String::new();
    if retries > 0 {
        text += &format!(", {retries} told to come back later");
    }
    if faults > 0 {
        text += &format!(", {faults} FAULTS");
    }
    text
}
