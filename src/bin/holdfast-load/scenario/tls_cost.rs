//! What TLS adds to a login and to a heartbeat: one gateway with a plain listener and one for TLS, whose terminals take turns, and
//! beside them rustls' handshake in memory.

use std::net::SocketAddrV4;

use anyhow::bail;
use holdfast::protocol::transport::tls::negotiation::TicketWish;

use crate::arguments::{Common, Rounds, TlsCostArguments};
use crate::certificate::{OwnCertificate, Trusted, clients};
use crate::ending::TempFolder;
use crate::gateway::free_address;
use crate::generator::Generator;
use crate::generator::dialect::TerminalDialect;
use crate::generator::target::GeneratorTarget;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::transport::{TerminalFraming, TerminalTransport};
use crate::generator::workload::Op;
use crate::report::RunReport;

use super::beat::saturated;
use super::in_memory::InMemory;
use super::loaded_server::LoadedServer;
use super::series::{Measured, Series};
use super::stage::{BEATS_AT_ONCE, ScenarioRun};

/// Whose logins are measured, in this order.
const NAMES: [&str; 3] = ["plain", "TLS, full", "TLS, resumed"];
const PLAIN: usize = 0;
const FULL: usize = 1;
const RESUMED: usize = 2;

/// What was measured.
#[derive(Default)]
struct Costs {
    logins: [Series; NAMES.len()],
    beats: [Series; NAMES.len()],
    /// The server's side in memory, µs, full and resumed.
    in_memory: [Vec<f64>; 2],
}

pub(super) fn run(common: &Common, name: &str, cost: TlsCostArguments) -> anyhow::Result<bool> {
    let TlsCostArguments {
        connections,
        window,
        rounds,
    } = cost;
    if common.running()?.is_some() {
        bail!("the gateway has to have two listeners that are known here: leave --gateway away");
    }
    if !common.wrapping.is_plain() {
        bail!("this goes both ways by itself: leave --tls and --websocket away");
    }
    let report = RunReport::begin(
        name,
        "What TLS adds to a login and to a heartbeat",
        &common.results,
    )?;
    let folder = TempFolder::new()?;
    let files = OwnCertificate::get()?.write(folder.path())?;
    let secure = free_address()?;
    let settings = [
        (
            "terminals.listener",
            format!("[{{address=\"{secure}\", tls=true}}]"),
        ),
        (
            "terminals.tls.certificates",
            format!("[{{chain={:?}, key={:?}}}]", files.chain, files.key),
        ),
        ("registry.store", "\"memory\"".to_owned()),
    ];
    let mut run = ScenarioRun::new(common, report, (connections, DevicesPerUser::One), &settings, &[])?;
    let process = run.gateway.process;
    let by_tls = |tickets, prefix| by_tls(common, (secure, process), connections, (tickets, prefix));
    let mut full = by_tls(TicketWish::None, "-f")?;
    let mut resumed = by_tls(TicketWish::One, "-r")?;
    run.report.condition(format!(
        "{connections} terminals by each way, {window} logins at once. They take turns: in each round all of one way log in, beat, and log out, and then those of the next; the first round of each is not measured. The certificate is of ECDSA P-256, the cipher AES-128-GCM. In memory: the server's side of rustls' handshake with the same certificate, cipher and provider, without sockets, by a thread of the load generator."
    ));
    let costs = measure([&mut run.server, &mut full, &mut resumed], window, rounds)?;
    check(&mut run.report, (connections, rounds), &costs, [&full, &resumed]);
    compare(&mut run.report, costs);
    full.generator.quit()?;
    resumed.generator.quit()?;
    run.finish(common)
}

/// Terminals that go to the gateway by TLS.
fn by_tls(
    common: &Common,
    (address, process): (SocketAddrV4, u32),
    connections: u32,
    (tickets, prefix): (TicketWish, &str),
) -> anyhow::Result<LoadedServer> {
    let target = GeneratorTarget {
        address,
        dialect: TerminalDialect::Gateway,
        transport: TerminalTransport {
            tls: clients(Trusted::Own, tickets)?,
            framing: TerminalFraming::None,
        },
    };
    let mut identities = common.identities(DevicesPerUser::One);
    identities.prefix += prefix;
    let generator = Generator::start(connections, &target, &identities)?;
    Ok(LoadedServer::new(generator, process))
}

/// All ways in turn, as often as there are rounds; each round begins with another one. The first is not measured.
fn measure(sides: [&mut LoadedServer; 3], window: u32, rounds: Rounds) -> anyhow::Result<Costs> {
    let (in_memory, mut costs) = (InMemory::new()?, Costs::default());
    in_memory.measure()?;
    let mut places = [PLAIN, FULL, RESUMED];
    for number in 0..=rounds.rounds {
        for place in places {
            let (logins, beats) = round(sides[place], NAMES[place], window, rounds)?;
            if number > 0 {
                costs.logins[place].add(&logins);
                costs.beats[place].add(&beats);
            }
        }
        places.rotate_left(1);
        let (full_us, resumed_us) = in_memory.measure()?;
        if number > 0 {
            costs.in_memory[0].push(full_us);
            costs.in_memory[1].push(resumed_us);
        }
    }
    Ok(costs)
}

/// Everyone of a way comes, beats, and goes.
fn round(
    side: &mut LoadedServer,
    name: &str,
    window: u32,
    rounds: Rounds,
) -> anyhow::Result<(Measured, Measured)> {
    let all = (0, side.generator.count);
    let title = format!("{name}: logins");
    let logins = side.measured(|side| side.each(&title, Op::LogIn, all, window))?;
    side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
    let beats = side.measure(saturated(all.1, window), rounds.duration)?;
    side.each("logouts", Op::LogOut, all, window)?;
    Ok((logins, beats))
}

fn check(
    report: &mut RunReport,
    (connections, rounds): (u32, Rounds),
    costs: &Costs,
    [full, resumed]: [&LoadedServer; 2],
) {
    for (place, name) in NAMES.into_iter().enumerate() {
        let expected = u64::from(connections) * u64::from(rounds.rounds);
        let what = format!("logins answered well, {name}");
        report.check_equal(&what, expected, costs.logins[place].total.done);
        let what = format!("heartbeats without an answer, {name}");
        report.check_equal(&what, 0, costs.beats[place].total.failed);
    }
    let tickets = |side: &LoadedServer| side.generator.statistics.handshakes_resumed();
    report.check_equal("handshakes by a ticket, TLS, full", 0, tickets(full));
    let all = u64::from(connections) * u64::from(rounds.rounds + 1);
    let seen = tickets(resumed);
    let what = "handshakes by a ticket, TLS, resumed: nine tenths of those that were measured";
    let measured = all - u64::from(connections);
    report.check(what, seen * 10 >= measured * 9, format!("{seen} of {all}"));
    full.check_faults(report, "faults seen by terminals, TLS, full");
    resumed.check_faults(report, "faults seen by terminals, TLS, resumed");
}

fn compare(report: &mut RunReport, costs: Costs) {
    let plain_us = &costs.logins[PLAIN].cpu_us;
    for (place, in_memory, word) in [
        (FULL, &costs.in_memory[0], "full"),
        (RESUMED, &costs.in_memory[1], "resumed"),
    ] {
        let by_tls = costs.logins[place].cpu_us.iter();
        let extra: Vec<f64> = by_tls.zip(plain_us).map(|(tls, plain)| tls - plain).collect();
        let ratio = extra.iter().zip(in_memory).map(|(extra, alone)| extra / alone);
        report.rounds(
            &format!("login, {word}: (CPU by TLS − plain) ÷ in memory"),
            "",
            ratio.collect(),
        );
        report.rounds(&format!("login, {word}: CPU by TLS − plain"), "µs", extra);
        report.rounds(
            &format!("handshake in memory, {word}: CPU"),
            "µs",
            in_memory.clone(),
        );
    }
    let pairs = costs.beats[FULL].cpu_us.iter().zip(&costs.beats[PLAIN].cpu_us);
    report.rounds(
        "heartbeat: CPU by TLS ÷ plain",
        "",
        pairs.map(|(tls, plain)| tls / plain).collect(),
    );
    for (name, (logins, beats)) in NAMES.iter().zip(costs.logins.into_iter().zip(costs.beats)) {
        logins.report(report, &format!("login, {name}"));
        beats.report(report, &format!("heartbeat, {name}"));
    }
}
