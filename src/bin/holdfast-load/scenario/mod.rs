//! The scenarios: one file for each, and what they share. A scenario begins workloads and reads counts; it never touches a socket
//! of a terminal.

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
mod loaded_server;
mod series;
mod stage;
mod statuses;
mod versus;
mod waits;

use crate::arguments::{LoadArguments, Scenario};
use crate::results;

/// Runs what was asked for. Says whether every check held.
pub(crate) fn run(arguments: &LoadArguments) -> anyhow::Result<bool> {
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
