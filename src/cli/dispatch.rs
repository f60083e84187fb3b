//! From what was typed to what is done: the configuration is read, and the gateway run or a command carried out. It knows what
//! each command needs, and nothing of what it does.

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use super::arguments::{CliCommand, CommandLine, all_set, texts};
use super::outcome::{print, tell_error, tell_problems};
use super::signing::{best_key, sign};
use super::{callbacks, check, cluster, connect, greeting, plan, printed, reload, status, store, top};
use crate::base::time::Clock;
use crate::engine::process::outlive_file_limits;
use crate::node::certificates::TlsTerms;
use crate::node::config::{Config, Sources};
use crate::node::log::Log;
use crate::node::reload::ConfigSource;
use crate::node::shards::PreparedShards;
use crate::node::shared_store;
use crate::node::{privacy, rlimits, run};

/// Does what was typed.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = CommandLine::parse();
    // A host whose configuration is wrong needs the sample and the manual all the more.
    if let Some(CliCommand::Print(wanted)) = &arguments.command {
        return printed::printed(wanted, CommandLine::command()).unwrap_or_else(|error| tell_error(&error));
    }
    if let Err(problem) = arguments.add_environment() {
        return tell_problems(&[problem]);
    }
    let overrides = match texts(all_set(std::env::args_os())) {
        Ok(overrides) => overrides,
        Err(problems) => return tell_problems(&problems),
    };
    let sources = Sources {
        file: arguments.config,
        environment: std::env::vars_os().collect(),
        overrides,
    };
    let config = match Config::read(&sources) {
        Ok(config) => config,
        Err(problems) => return tell_problems(&problems),
    };
    match arguments.command {
        None => run_gateway(&config, &sources),
        Some(command) => execute(command, &config, &sources).unwrap_or_else(|error| tell_error(&error)),
    }
}

/// Runs the gateway. From here on nothing waits for whoever reads what it prints.
fn run_gateway(config: &Config, sources: &Sources) -> ExitCode {
    if let Err(error) = privacy::begin(config.core_dumps) {
        return tell_error(&error.into());
    }
    let tls = match TlsTerms::new(config, Clock::start().now().wall) {
        Ok(tls) => tls,
        Err(problems) => return tell_problems(&problems),
    };
    let log = match Log::start(config) {
        Ok(log) => log,
        Err(error) => return tell_error(&error.into()),
    };
    let outcome = serve((config, tls), sources, &log);
    if let Err(error) = &outcome {
        log.say_why(error);
    }
    log.finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve((config, tls): (&Config, TlsTerms), sources: &Sources, log: &Log) -> anyhow::Result<()> {
    outlive_file_limits().context("the system lets no signal be ignored")?;
    let source = ConfigSource {
        sources: sources.clone(),
        level: log.level.clone(),
        lines: log.lines.clone(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = config.shards.plan(cores, rlimits::raise_descriptors());
    let plan = plan.map_err(|problem| anyhow::anyhow!("{problem}"))?;
    rlimits::raise_locked_memory();
    let partitions = shared_store::partitions(config)?;
    let shards = PreparedShards::new(config, plan, partitions, &tls)?;
    let program = std::env::args_os().next().unwrap_or_else(|| "holdfast".into());
    let program = program.to_string_lossy();
    let greeting = greeting::greeting((config, sources), &program, plan.count, Clock::start().now().wall);
    run::run(config, source, (shards, tls.http), || {
        // A gateway that nobody listens to serves all the same: also where its output is a pipe that is full.
        let print = move || drop(print(&greeting));
        drop(
            std::thread::Builder::new()
                .name("greeting".to_owned())
                .spawn(print),
        );
    })
}

fn execute(command: CliCommand, config: &Config, sources: &Sources) -> anyhow::Result<ExitCode> {
    match command {
        CliCommand::Connect(arguments) => on_a_runtime(connect::connect(config, &arguments)),
        CliCommand::Status { users, detail, json } => {
            let looks = status::Looks::of(detail, json);
            on_a_runtime(status::status(config, &users, looks))
        }
        CliCommand::Usersig { user, days } => {
            anyhow::ensure!(
                best_key(config).counts(Clock::start().now().wall),
                "every key of usersig.keys has ended (not_after): no UserSig would be taken"
            );
            print(&format!("{}\n", sign(config, &user, days * 86_400)))?;
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Config => print(&config.print())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        CliCommand::Reload { dry_run } => {
            let how = if dry_run {
                reload::How::DryRun
            } else {
                reload::How::Take
            };
            on_a_runtime(reload::reload(config, sources, how))
        }
        CliCommand::Callbacks(command) => on_a_runtime(callbacks::callbacks(config, command)),
        CliCommand::Store(command) => {
            privacy::keep_files_private();
            store::store(config, command)
        }
        CliCommand::Cluster(command) => {
            privacy::keep_files_private();
            on_a_runtime(cluster::cluster(config, &command))
        }
        CliCommand::Check { cluster, connections } => {
            let wanted = check::Wants { cluster, connections };
            check::check(config, &wanted)
        }
        CliCommand::Plan(arguments) if arguments.cluster => plan::cluster::plan(config, &arguments),
        CliCommand::Plan(arguments) => plan::plan(config, &arguments),
        CliCommand::Top(arguments) => on_a_runtime(top::top(config, &arguments)),
        CliCommand::Print(wanted) => printed::printed(&wanted, CommandLine::command()),
    }
}

fn on_a_runtime<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system gives no descriptors")?;
    let outcome = runtime.block_on(future);
    // A name that is still looked for is no longer waited for.
    runtime.shutdown_background();
    outcome
}
