//! The scenarios: one file for each, and what they share. A scenario begins workloads and reads counts; it never touches a socket
//! of a terminal.

mod beat;
mod churn;
mod clients;
mod comeback;
mod grow;
mod handshakes;
mod idle;
mod in_memory;
mod login;
mod memory;
mod query;
mod recorder;
mod loaded_server;
mod series;
mod stage;
mod statuses;
mod tls_cost;
mod versus;
mod waits;

use crate::arguments::{Common, LoadArguments, Scenario};
use crate::results;

/// Runs what was asked for. Says whether every check held.
pub(crate) fn run(arguments: &LoadArguments) -> anyhow::Result<bool> {
    let common = &arguments.common;
    let name = arguments.scenario.name().to_owned() + &common.wrapping.suffix();
    let name = name.as_str();
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
        Scenario::Versus { .. } | Scenario::TlsCost { .. } | Scenario::Handshakes { .. } => {
            beside(common, name, &arguments.scenario)
        }
        Scenario::Return {
            connections,
            links,
            window,
        } => comeback::run(common, name, (connections, window), links),
    }
}

/// Those that measure more than one crowd of terminals.
fn beside(common: &Common, name: &str, scenario: &Scenario) -> anyhow::Result<bool> {
    match *scenario {
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
        Scenario::TlsCost {
            connections,
            window,
            rounds,
        } => tls_cost::run(common, name, (connections, window), rounds),
        Scenario::Handshakes {
            connections: staying,
            storm: coming,
            rate,
            before,
        } => {
            let crowd = handshakes::Crowd {
                staying,
                coming,
                rate,
            };
            handshakes::run(common, name, crowd, before)
        }
        Scenario::Index
        | Scenario::Idle { .. }
        | Scenario::Login { .. }
        | Scenario::Beat { .. }
        | Scenario::Churn { .. }
        | Scenario::Query { .. }
        | Scenario::Grow { .. }
        | Scenario::Return { .. } => unreachable!("they have one crowd"),
    }
}
