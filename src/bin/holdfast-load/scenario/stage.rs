//! What a run of most scenarios has: a gateway, its load generator, HTTP and a report. It begins with counts, and its end is checked
//! with them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use holdfast::base::time::{Clock, Stopwatch};

use super::loaded_server::LoadedServer;
use crate::arguments::Common;
use crate::gateway::{Gateway, cores, shards_for};
use crate::generator::Generator;
use crate::generator::terminal::{DevicesPerUser, Identities};
use crate::generator::workload::{LinkEnds, Op, WorkloadOutcome};
use crate::http::Http;
use crate::machine;
use crate::report::RunReport;

/// Logins under way at once where a scenario does not measure them.
pub(super) const LOGINS_AT_ONCE: u32 = 256;
/// Heartbeats under way at once where they are only to have been.
pub(super) const BEATS_AT_ONCE: u32 = 1_024;

/// How long a gateway may take to say goodbye where many shards share a core: hundreds of thousands hear it from each.
const STOP_DEADLINE_S: u32 = 120;

/// How long the terminals' links may take to end when the gateway has.
const LINKS_WAIT: Duration = Duration::from_secs(60);

/// How long the gateway's counts may lag behind its answers, and how often they are looked at meanwhile.
const BOOKS_WAIT: Duration = Duration::from_secs(3);
const BOOKS_AGAIN: Duration = Duration::from_millis(50);

/// Everything that a run needs.
pub(super) struct ScenarioRun {
    pub(super) gateway: Gateway,
    pub(super) http: Http,
    pub(super) report: RunReport,
    pub(super) server: LoadedServer,
    /// The parameters that make a query the administrator's.
    pub(super) caller: String,
    /// The gateway's metrics when the run began.
    pub(super) began_with: HashMap<String, u64>,
}

impl ScenarioRun {
    /// A gateway with room for `connections`, and as many terminals, all away.
    pub(super) fn new(
        common: &Common,
        report: RunReport,
        (connections, devices_per_user): (u32, DevicesPerUser),
        settings: &[(&'static str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let started = Self::gateway(common, connections, settings, environment)?;
        Self::around(started, common, report, (connections, devices_per_user))
    }

    /// A gateway with room for `connections`, and the settings that it was given.
    pub(super) fn gateway(
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
    pub(super) fn around(
        started: (Gateway, Vec<(&'static str, String)>),
        common: &Common,
        report: RunReport,
        terminals: (u32, DevicesPerUser),
    ) -> anyhow::Result<Self> {
        Self::around_with(started, common, report, (terminals, 0))
    }

    /// The same with terminals that know this, in the bits of the protocol.
    pub(super) fn around_with(
        (gateway, settings): (Gateway, Vec<(&'static str, String)>),
        common: &Common,
        mut report: RunReport,
        ((connections, devices_per_user), features): ((u32, DevicesPerUser), u64),
    ) -> anyhow::Result<Self> {
        let identities = Identities {
            features,
            ..common.identities(devices_per_user)
        };
        let http = Http::new()?;
        let began_with = http.metrics(gateway.admin)?;
        report.set_gateways_profile(&machine::profile(gateway.process));
        let generator = Generator::start(connections, &gateway.target(), &identities)?;
        if let Some(condition) = common.wrapping.condition() {
            report.condition(condition);
        }
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
            server: LoadedServer::new(generator, gateway.process),
            gateway,
            http,
            report,
            caller,
            began_with,
        })
    }

    /// The first terminals, so many, log in, `window` at once, and beat once. Gives what came of the beats.
    pub(super) fn all_come(&mut self, connections: u32, window: u32) -> anyhow::Result<WorkloadOutcome> {
        let all = (0, connections);
        let logins = self.server.each("logins", Op::LogIn, all, window)?;
        self.report
            .check_equal("logins answered well", connections.into(), logins.done);
        self.server.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)
    }

    /// How much a metric of the gateway has grown since the run began.
    ///
    /// # Errors
    /// If it is not there, or has fallen.
    pub(super) fn grown(&self, metrics: &HashMap<String, u64>, name: &str) -> anyhow::Result<u64> {
        let name = format!("holdfast_{name}");
        let before = self.began_with.get(&name).copied().unwrap_or(0);
        let now = *metrics
            .get(&name)
            .with_context(|| format!("the gateway has no metric {name}"))?;
        now.checked_sub(before)
            .with_context(|| format!("{name} was {before} when the run began, and is {now}"))
    }

    /// Checks counts of the gateway: what is checked, the metric, and what it has to have grown by.
    pub(super) fn check_books(&mut self, books: &[(&str, &str, u64)]) -> anyhow::Result<()> {
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
            self.server.pass(BOOKS_AGAIN)?;
        }
    }

    /// Ends the run: no fault may have been seen, and the gateway has to stop well.
    pub(super) fn finish(self, common: &Common) -> anyhow::Result<bool> {
        self.end(common)?.finish(&common.results)
    }

    /// Ends what was to be seen at this gateway, in the same way. The report goes on.
    pub(super) fn end(mut self, common: &Common) -> anyhow::Result<RunReport> {
        let mut report = self.report;
        if common.wrapping.tls_resume {
            let resumed = self.server.generator.statistics.handshakes_resumed();
            report.figure("handshakes by a ticket", "", resumed as f64);
        }
        self.server
            .check_faults(&mut report, "faults seen by the terminals");
        self.server
            .recorder
            .courses()
            .into_iter()
            .for_each(|course| report.course(course));
        self.server.generator.set_link_ends(LinkEnds::AreExpected);
        if common.running()?.is_none() {
            let stopped = self.gateway.stop(report.holds())?;
            report.check("the gateway stops well", stopped, stopped);
            // Its links are gone with the gateway. What the kernel had for them is free before the next one starts.
            let watch = Stopwatch::start();
            while self.server.generator.statistics.live() > 0 && watch.elapsed() < LINKS_WAIT {
                self.server.generator.pass(BOOKS_AGAIN, &mut |_| {})?;
            }
        }
        self.server.generator.quit()?;
        Ok(report)
    }
}

/// The caller of the REST interface, as the gateway has it by default.
const ADMINISTRATOR: &str = "administrator";
