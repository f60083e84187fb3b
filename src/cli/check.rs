//! `holdfast check`: whether the gateway could run here, and what to do if not. Changes nothing.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use super::print;
use crate::engine::probe;
use crate::node::config::Config;
use crate::node::{descriptors, run};
use crate::services::http::runtime;

/// One probe's outcome: what is good, or what to do.
type Outcome = Result<String, String>;

/// Probes everything, and prints each outcome.
pub(super) fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let mut probes = vec![
        ("configuration", Ok("no problem".to_owned())),
        ("io_uring", probe_ring()),
        ("shards", probe_shards(config)),
    ];
    let lists = [
        ("terminals", &config.terminals),
        ("backend", &config.http),
        ("admin", &config.admin),
    ];
    for (name, addresses) in lists {
        probes.extend(
            run::usable(addresses)
                .iter()
                .map(|address| (name, probe_address(address))),
        );
    }
    if config.is_for_development() {
        let text =
            "the development secret: good for loopback only; set usersig.keys and app.sdk_app_id for more";
        probes.push(("keys", Ok(text.to_owned())));
    }
    let good = probes.iter().all(|(_, outcome)| outcome.is_ok());
    let lines = probes.iter().map(|(name, outcome)| match outcome {
        Ok(text) => format!("ok       {name}: {text}\n"),
        Err(text) => format!("PROBLEM  {name}: {text}\n"),
    });
    print(&lines.collect::<String>())?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn probe_ring() -> Outcome {
    probe::check().map_err(|error| error.to_string())?;
    runtime::block_on(async {}).map_err(|error| format!("the HTTP front gets no ring: {error}"))?;
    Ok("the kernel gives rings with all that is needed".to_owned())
}

fn probe_shards(config: &Config) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let descriptors_max = descriptors::raise();
    let plan = config
        .shards
        .plan(cores, descriptors_max)
        .map_err(|problem| problem.to_string())?;
    Ok(format!(
        "{} of {} connections each, on {cores} cores with RLIMIT_NOFILE {descriptors_max}",
        plan.count, plan.connections_max
    ))
}

fn probe_address(address: &SocketAddr) -> Outcome {
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => Err(format!(
            "{address}: {error}; stop who listens there (perhaps holdfast itself), or set another"
        )),
    }
}
