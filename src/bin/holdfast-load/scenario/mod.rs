//! The scenarios: one file for each, and what they share. A scenario begins workloads and reads counts; it never touches a socket
//! of a terminal.

mod beat;
mod churn;
mod clients;
mod comeback;
mod cluster_figures;
mod grow;
mod grow_cluster;
mod handshakes;
mod idle;
mod in_memory;
mod login;
mod memory;
mod node_loss;
mod nodes;
mod query;
mod publishers;
mod relay;
mod relay_beside;
mod senders;
mod recorder;
mod loaded_server;
mod series;
mod stage;
mod statuses;
mod tls_cost;
mod versus;
mod waits;

use crate::arguments::{LoadArguments, Scenario};
use crate::results;

/// Runs what was asked for. Says whether every check held.
pub(crate) fn run(arguments: &LoadArguments) -> anyhow::Result<bool> {
    let common = &arguments.common;
    let name = arguments.scenario.name().to_owned() + &common.wrapping.suffix();
    let name = name.as_str();
    match &arguments.scenario {
        Scenario::Index => results::rewrite_all(&common.results).map(|()| true),
        Scenario::Idle(idle) => idle::run(common, name, *idle),
        Scenario::Login(login) => login::run(common, name, *login),
        Scenario::Beat(beat) => beat::run(common, name, *beat),
        Scenario::Churn(churn) => churn::run(common, name, *churn),
        Scenario::Query(query) => query::run(common, name, *query),
        Scenario::Grow(grow) => grow::run(common, name, grow),
        Scenario::GrowCluster(grow) => grow_cluster::run(common, name, grow),
        Scenario::Versus(versus) => versus::run(common, name, *versus),
        Scenario::TlsCost(cost) => tls_cost::run(common, name, *cost),
        Scenario::Relay(relay) if relay.beside_mosquitto => relay_beside::run(common, name, *relay),
        Scenario::Relay(relay) => relay::run(common, name, *relay),
        Scenario::Handshakes(storm) => handshakes::run(common, name, *storm),
        Scenario::Return(back) if back.kill_node => node_loss::run(common, name, *back),
        Scenario::Return(back) => comeback::run(common, name, *back),
    }
}
