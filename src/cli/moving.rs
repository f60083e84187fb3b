//! `holdfast cluster import`, `export` and `reopen`: move all records between a store on disk and a cluster.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::outcome::print;
use crate::base::time::Stopwatch;
use crate::node::config::Config;
use crate::node::shared_store;
use crate::services::registry::moving;

pub(super) fn import(config: &Config, from: &Path) -> anyhow::Result<ExitCode> {
    let (access, began) = (shared_store::access(config)?, Stopwatch::start());
    let moved = moving::import(from, access, &mut progress());
    end_progress();
    let summary = moved.with_context(|| format!("{} is not imported", from.display()))?;
    print(&format!(
        "imported {summary} in {:.1} s; both sides are equal. Start the nodes of cluster {:?}. {} is as it was, and counts no more: no gateway is to be started with it.\n",
        began.elapsed().as_secs_f64(),
        config.cluster.name,
        from.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(config: &Config, to: &Path) -> anyhow::Result<ExitCode> {
    let (access, began) = (shared_store::access(config)?, Stopwatch::start());
    let moved = moving::export(access, to, &mut progress());
    end_progress();
    let summary = moved.with_context(|| format!("{} is not made", to.display()))?;
    print(&format!(
        "exported {summary} in {:.1} s; both sides are equal. Start a gateway with registry.store = \"embedded\" and registry.path = {:?}. The nodes of cluster {:?} do not start any more; its records stay in the shared store until you remove them.\n",
        began.elapsed().as_secs_f64(),
        to.display(),
        config.cluster.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn reopen(config: &Config) -> anyhow::Result<ExitCode> {
    let reopened = moving::reopen(shared_store::access(config)?, &mut progress());
    end_progress();
    reopened?;
    print(&format!(
        "The nodes of cluster {:?} may start.\n",
        config.cluster.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows on a terminal how far it is: millions of records take minutes.
fn progress() -> impl FnMut(&'static str, u64) {
    |what, count| {
        if std::io::stderr().is_terminal() {
            // Nobody is there to see it: then it need not be shown.
            let _ = write!(std::io::stderr(), "\r{count} {what}          ");
        }
    }
}

fn end_progress() {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr());
    }
}
