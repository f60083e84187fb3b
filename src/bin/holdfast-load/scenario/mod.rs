//! The scenarios, and what they share: a gateway, a load generator, a report, and the comparison of what queries show with what the
//! terminals know. A scenario begins workloads and reads counts; it never touches a
//! socket of a terminal.

mod beat;
mod churn;
mod clients;
mod comeback;
mod grow;
mod idle;
mod login;
mod memory;
mod query;
mod recorder;
mod series;
mod side;
mod statuses;
mod versus;
mod waits;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use holdfast::base::time::{Clock, Stopwatch};

use crate::arguments::{Arguments, Common, Scenario};
use crate::gateway::{Gateway, cores, shards_for};
use crate::generator::Generator;
use crate::generator::dialect::TerminalDialect;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{LinkEnds, Op, WorkloadOutcome};
use crate::http::Http;
use crate::report::Report;
use crate::{machine, results};
use side::Side;

/// Runs what was asked for. Says whether every check held.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let common = &arguments.common;
    let name = arguments.scenario.name();
    match arguments.scenario {
        Scenario::Index => results::rewrite_all(&common.results).map(|()| true),
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
            rate,
            asking,
            rounds,
        } => query::run(common, name, (connections, rate, asking), rounds),
        Scenario::Grow {
            ref steps,
            interval,
            window,
            rounds,
        } => {
            let beats = grow::Beats { interval, window };
            grow::run(common, name, (steps, beats), rounds)
        }
        Scenario::Versus {
            peer,
            apart,
            connections,
            window,
            rate,
            rounds,
        } => {
            let halves = apart.then(|| versus::set_apart(common)).transpose()?;
            let how_many = (connections, window, rate);
            versus::run(common, (name, peer), how_many, rounds, halves.as_ref())
        }
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

/// How long a gateway may take to say goodbye where many shards share a core: hundreds of thousands hear it from each.
const STOP_DEADLINE_S: u32 = 120;

/// How long the terminals' links may take to end when the gateway has.
const LINKS_WAIT: Duration = Duration::from_secs(60);

/// How long the gateway's counts may lag behind its answers, and how often they are looked at meanwhile.
const BOOKS_WAIT: Duration = Duration::from_secs(3);
const BOOKS_AGAIN: Duration = Duration::from_millis(50);

/// Everything that a run needs.
struct Stage {
    gateway: Gateway,
    http: Http,
    report: Report,
    side: Side,
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
        (connections, devices_per_user): (u32, DevicesPerUser),
        settings: &[(&'static str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let started = Self::gateway(common, connections, settings, environment)?;
        Self::around(started, common, report, (connections, devices_per_user))
    }

    /// A gateway with room for `connections`, and the settings that it was given.
    fn gateway(
        common: &Common,
        connections: u32,
        settings: &[(&'static str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<(Gateway, Vec<(&'static str, String)>)> {
        let shards = shards_for(connections);
        let mut all = vec![("shards.count", shards.to_string())];
        if shards > cores() {
            all.push(("node.stop_deadline_s", STOP_DEADLINE_S.to_string()));
        }
        all.extend(settings.iter().cloned());
        Ok((Gateway::find(common, &all, environment)?, all))
    }

    /// Everything else: as many terminals, all away.
    fn around(
        (gateway, settings): (Gateway, Vec<(&'static str, String)>),
        common: &Common,
        mut report: Report,
        (connections, devices_per_user): (u32, DevicesPerUser),
    ) -> anyhow::Result<Self> {
        let identities = common.identities(devices_per_user);
        let http = Http::new()?;
        let began_with = http.metrics(gateway.admin)?;
        report.set_gateways_profile(&machine::profile(gateway.process));
        let generator = Generator::start(
            connections,
            (gateway.terminals, TerminalDialect::Gateway),
            &identities,
        )?;
        let sig = identities.sign(Clock::start().now().wall, ADMINISTRATOR);
        let caller = format!(
            "sdkappid={}&identifier={ADMINISTRATOR}&usersig={sig}",
            identities.sdk_app_id
        );
        report.condition(match common.running()? {
            Some(_) => format!("{connections} terminals; the gateway ran before, with settings of its own."),
            None => {
                let settings = settings.iter().map(|(key, value)| format!("{key}={value}"));
                let settings: Vec<String> = settings.chain(common.set_shown()).collect();
                format!(
                    "{connections} terminals; settings of the gateway: `{}`",
                    settings.join(" ")
                )
            }
        });
        Ok(Self {
            side: Side::new(generator, gateway.process),
            gateway,
            http,
            report,
            caller,
            began_with,
        })
    }

    /// The first terminals, so many, log in, `window` at once, and beat once. Gives what came of the beats.
    fn all_come(&mut self, connections: u32, window: u32) -> anyhow::Result<WorkloadOutcome> {
        let all = (0, connections);
        let logins = self.side.each("logins", Op::LogIn, all, window)?;
        self.report
            .check_equal("logins answered well", connections.into(), logins.done);
        self.side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)
    }

    /// How much a metric of the gateway has grown since the run began.
    ///
    /// # Errors
    /// If it is not there, or has fallen.
    fn grown(&self, metrics: &HashMap<String, u64>, name: &str) -> anyhow::Result<u64> {
        let name = format!("holdfast_{name}");
        let before = self.began_with.get(&name).copied().unwrap_or(0);
        let now = *metrics
            .get(&name)
            .with_context(|| format!("the gateway has no metric {name}"))?;
        now.checked_sub(before)
            .with_context(|| format!("{name} was {before} when the run began, and is {now}"))
    }

    /// Checks counts of the gateway: what is checked, the metric, and what it has to have grown by.
    fn check_books(&mut self, books: &[(&str, &str, u64)]) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let mut was_right = false;
        loop {
            let metrics = self.http.metrics(self.gateway.admin)?;
            let grown = books.iter().map(|book| self.grown(&metrics, book.1));
            let grown: Vec<u64> = grown.collect::<anyhow::Result<_>>()?;
            let right = books.iter().zip(&grown).all(|(book, grown)| book.2 == *grown);
            // A shard publishes its counts after it has answered: also those that there should not be.
            if right && was_right || watch.elapsed() > BOOKS_WAIT {
                for ((what, _, expected), grown) in books.iter().zip(grown) {
                    self.report.check_equal(what, *expected, grown);
                }
                return Ok(());
            }
            was_right = right;
            self.side.pass(BOOKS_AGAIN)?;
        }
    }

    /// Ends the run: no fault may have been seen, and the gateway has to stop well.
    fn finish(self, common: &Common) -> anyhow::Result<bool> {
        self.end(common)?.finish(&common.results)
    }

    /// Ends what was to be seen at this gateway, in the same way. The report goes on.
    fn end(mut self, common: &Common) -> anyhow::Result<Report> {
        let mut report = self.report;
        self.side
            .check_faults(&mut report, "faults seen by the terminals");
        self.side
            .recorder
            .courses()
            .into_iter()
            .for_each(|course| report.course(course));
        self.side.generator.set_link_ends(LinkEnds::AreExpected);
        if common.running()?.is_none() {
            let stopped = self.gateway.stop(report.holds())?;
            report.check("the gateway stops well", stopped, stopped);
            // Its links are gone with the gateway. What the kernel had for them is free before the next one starts.
            let watch = Stopwatch::start();
            while self.side.generator.statistics.live() > 0 && watch.elapsed() < LINKS_WAIT {
                self.side.generator.pass(BOOKS_AGAIN, &mut |_| {})?;
            }
        }
        self.side.generator.quit()?;
        Ok(report)
    }
}

/// The caller of the REST interface, as the gateway has it by default.
const ADMINISTRATOR: &str = "administrator";
