//! One message to one user, by the gateway and by mosquitto in turn: CPU for each, and how long it is on its way. Each round begins with
//! the other one. The gateway is sent to by HTTP and mosquitto by MQTT, as backends do; what that costs a server is part of it.

use holdfast::base::time::Stopwatch;
use holdfast::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES};

use crate::apart::{APART, Halves};
use crate::arguments::{Common, RelayArguments, Rounds};
use crate::gateway::cores;
use crate::generator::Generator;
use crate::generator::mqtt::Quality;
use crate::generator::target::GeneratorTarget;
use crate::generator::terminal::{DevicesPerUser, Identities};
use crate::generator::workload::Op;
use crate::peer::PeerServer;
use crate::peer_kind::PeerKind;
use crate::report::RunReport;

use super::loaded_server::LoadedServer;
use super::memory::SMALL_PAGES;
use super::publishers::Publishing;
use super::relay::PACED_CLIENTS;
use super::senders::{Acks, BODY_BYTES, Posting};
use super::series::Series;
use super::stage::{BEATS_AT_ONCE, LOGINS_AT_ONCE, ScenarioRun};
use super::versus::{check_cores, keep, set_apart};

/// What a gateway knows, and what of the broker's it is compared with.
const KINDS: [(&str, Acks, Quality); 2] = [
    ("unacknowledged", Acks::No, Quality::AtMostOnce),
    ("acknowledged", Acks::Awaited, Quality::AtLeastOnce),
];

/// Messages of a request, and of a publisher's write, where they come together.
const AT_ONCE: u16 = 64;

/// The rounds of one part at one server.
#[derive(Default)]
struct RelayRows {
    series: Series,
    sent: u64,
}

impl RelayRows {
    /// One round: `send` sends, and gives how many.
    fn round(
        &mut self,
        side: &mut LoadedServer,
        send: impl FnOnce(&mut LoadedServer) -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        drop(side.generator.statistics.take_message_us());
        let before = side.generator.statistics.messages();
        let (before_s, watch) = (side.cpu_s()?, Stopwatch::start());
        let sent = send(side)?;
        let took_s = watch.elapsed().as_secs_f64();
        let came = side.await_messages(before + sent)? - before;
        let cpu_s = side.cpu_s()? - before_s;
        self.series.add(&side.messages_measured(came, cpu_s, took_s));
        self.sent += sent;
        Ok(())
    }

    fn report(self, report: &mut RunReport, what: &str) {
        report.check_equal(
            &format!("{what}: arrived of those sent"),
            self.sent,
            self.series.total.done,
        );
        self.series.report_on_their_way(report, what, "CPU of the server");
    }
}

/// Both servers, with everyone there.
struct RelaySides {
    run: ScenarioRun,
    other: LoadedServer,
    posting: Posting,
    publishing: Publishing,
}

pub(super) fn run(common: &Common, name: &str, relay: RelayArguments) -> anyhow::Result<bool> {
    let halves = relay.apart.then(|| set_apart(common)).transpose()?;
    let halves = halves.as_ref();
    let (suffix, apart) = halves.map_or(("", ""), |_| ("-apart", ", apart"));
    let title = format!("Messages beside mosquitto{apart}");
    let report = RunReport::begin(format!("{name}{suffix}"), &title, &common.results)?;
    let connections = relay.connections;
    keep(halves.map(|halves| &halves.server))?;
    let peer = PeerServer::start(
        common,
        PeerKind::Mosquitto,
        (connections, cores()),
        &[SMALL_PAGES],
    )?;
    let gateway = ScenarioRun::gateway(common, connections, &[], &[SMALL_PAGES])?;
    keep(halves.map(|halves| &halves.generator))?;
    let features = FEATURE_MESSAGES | FEATURE_ACKS;
    let terminals = ((connections, DevicesPerUser::One), features);
    let mut run = ScenarioRun::around_with(gateway, common, report, terminals)?;
    run.all_come(connections, LOGINS_AT_ONCE)?;
    let other = come_to(&peer, common, connections, &run)?;
    let mut sides = RelaySides::of((run, other), &peer, common, connections);
    if let Some(Halves { server, generator }) = halves {
        let cores = format!("Both servers are kept on {server}, the load generator on {generator}.");
        sides.run.report.condition(format!("{cores} {APART}"));
    }
    sides.run.report.condition(peer.condition.clone());
    sides.run.report.condition(format!(
        "Messages with a body of {BODY_BYTES} bytes, each to one user drawn by chance: to the gateway by `POST /v1/send`, to mosquitto's \
         topic of that user by PUBLISH. As fast as may be, {} clients send: each has one message under way, or {AT_ONCE}, which come in \
         one request to the gateway and in one write to mosquitto. Unacknowledged, mosquitto answers nothing: as many messages are under \
         way as clients have. Acknowledged, the gateway answers when the terminal has acknowledged, and mosquitto when it has the message \
         itself.",
        relay.clients
    ));
    for (what, acks, quality) in KINDS {
        (sides.posting.acks, sides.publishing.quality) = (acks, quality);
        for at_once in [1, AT_ONCE] {
            (sides.posting.lines, sides.publishing.at_once) = (at_once.into(), at_once.into());
            let fast = match at_once {
                1 => format!("{what}, as fast as may be"),
                _ => format!("{what}, {at_once} at once, as fast as may be"),
            };
            sides.compare(&fast, relay.clients, None, relay.rounds)?;
        }
        (sides.posting.lines, sides.publishing.at_once) = (1, 1);
        let paced = format!("{what}, {}/s", relay.rate);
        sides.compare(&paced, PACED_CLIENTS, Some(relay.rate), relay.rounds)?;
    }
    let RelaySides { mut run, other, .. } = sides;
    if let Some(halves) = halves {
        check_cores(&mut run.report, halves, &[run.gateway.process, peer.process()])?;
    }
    other.check_faults(&mut run.report, "faults of mosquitto seen by the terminals");
    // Before its server is gone.
    other.generator.quit()?;
    run.finish(common)
}

/// As many terminals at the broker, each with its subscription.
fn come_to(
    peer: &PeerServer,
    common: &Common,
    connections: u32,
    run: &ScenarioRun,
) -> anyhow::Result<LoadedServer> {
    let there = GeneratorTarget {
        address: peer.terminals,
        dialect: PeerKind::Mosquitto.dialect(),
        transport: run.gateway.transport.clone(),
    };
    let identities = Identities {
        features: FEATURE_MESSAGES | FEATURE_ACKS,
        ..common.identities(DevicesPerUser::One)
    };
    let generator = Generator::start(connections, &there, &identities)?;
    let mut other = LoadedServer::new(generator, peer.process());
    let all = (0, connections);
    let at_once = PeerKind::Mosquitto.logins_at_once_max();
    other.each("logins at mosquitto", Op::LogIn, all, at_once)?;
    other.each("a ping each", Op::Beat, all, BEATS_AT_ONCE)?;
    Ok(other)
}

impl RelaySides {
    fn of(
        (run, other): (ScenarioRun, LoadedServer),
        peer: &PeerServer,
        common: &Common,
        connections: u32,
    ) -> Self {
        let identities = common.identities(DevicesPerUser::One);
        let posting = Posting {
            http: run.gateway.http,
            caller: run.caller.clone(),
            identities: identities.clone(),
            connections,
            targets: 1,
            lines: 1,
            acks: Acks::No,
            per_second: None,
        };
        let publishing = Publishing {
            broker: peer.terminals,
            identities,
            connections,
            quality: Quality::AtMostOnce,
            at_once: 1,
            per_second: None,
        };
        Self {
            run,
            other,
            posting,
            publishing,
        }
    }

    /// All rounds of one part, at both.
    fn compare(&mut self, what: &str, clients: u32, rate: Option<u32>, rounds: Rounds) -> anyhow::Result<()> {
        let per_second = rate.map(|rate| f64::from(rate) / f64::from(clients));
        (self.posting.per_second, self.publishing.per_second) = (per_second, per_second);
        let (mut ours, mut theirs) = (RelayRows::default(), RelayRows::default());
        let (posting, publishing) = (&self.posting, &self.publishing);
        let expected = match posting.acks {
            Acks::No => "sent",
            Acks::Awaited => "acked",
        };
        let mut other_outcomes = 0;
        for number in 0..rounds.rounds {
            for is_ours in [number % 2 == 0, number % 2 == 1] {
                if is_ours {
                    ours.round(&mut self.run.server, |side| {
                        let posted = side.post(posting, clients, rounds.duration)?;
                        other_outcomes += posted.devices() - posted.of(expected);
                        Ok(posted.devices())
                    })?;
                } else {
                    theirs.round(&mut self.other, |side| {
                        side.publish(publishing, clients, rounds.duration)
                    })?;
                }
            }
        }
        let report = &mut self.run.report;
        let well = format!("{what}: outcomes of the gateway other than {expected:?}");
        report.check_equal(&well, 0, other_outcomes);
        for (name, ours, theirs) in [
            (
                "CPU of the gateway ÷ CPU of mosquitto",
                &ours.series.cpu_us,
                &theirs.series.cpu_us,
            ),
            (
                "on its way, p99 of the gateway ÷ that of mosquitto",
                &ours.series.p99_ms,
                &theirs.series.p99_ms,
            ),
        ] {
            let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
            report.rounds(&format!("{what}: {name}"), "", ratios.collect());
        }
        ours.report(report, &format!("{what}: gateway"));
        theirs.report(report, &format!("{what}: mosquitto"));
        Ok(())
    }
}
