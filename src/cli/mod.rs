//! What a person types. Each command prints what it was asked for to standard output, and what went wrong to standard
//! error.

mod callbacks;
mod check;
mod client;
mod connect;
mod ending;
mod greeting;
mod host;
mod numbers;
mod outcome;
mod place;
mod plan;
mod printed;
mod reload;
mod sizing;
mod status;
mod store;
mod top;
mod words;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::base::ids::{Platform, UserId};
use crate::base::time::Clock;
use crate::engine::process::outlive_file_limits;
use crate::node::config::{Config, Problem, Sources};
use crate::node::log::Log;
use crate::node::reload::ConfigSource;
use crate::node::shards::PreparedShards;
use crate::node::{addresses, privacy, rlimits, run};
use crate::protocol::usersig;
use outcome::{print, tell_error, tell_problems};

/// An io_uring, thread-per-core connection and presence gateway.
///
/// Without a command it runs the gateway.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version)]
pub struct Arguments {
    /// Reads the configuration from this TOML file; if not given, from that of the variable HOLDFAST_CONFIG.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one setting, as in `--set shards.count=4`; `holdfast config` shows them all.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<OsString>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Logs in as a terminal and stays; shows what the gateway says.
    #[command(after_help = connect::FOR_SCRIPTS)]
    Connect(connect::Arguments),
    /// Asks the gateway for the statuses of users.
    Status {
        /// UserIDs.
        #[arg(required = true)]
        users: Vec<String>,
        /// Shows each device, and what is known of it.
        #[arg(long)]
        detail: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a UserSig with the configured key that is valid longest; of several, with the last.
    Usersig {
        /// The UserID.
        #[arg(value_parser = user)]
        user: UserId,
        /// How many days it is valid.
        #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: u64,
    },
    /// Prints the whole effective configuration, explained.
    Config,
    /// Has the running gateway read its configuration again. It takes all of it or nothing.
    Reload {
        /// Only says what would change, and how many Online devices a changed policy would force off.
        #[arg(long)]
        dry_run: bool,
    },
    /// Shows how callbacks stand; lists dead letters, sends them again or drops them.
    #[command(subcommand)]
    Callbacks(callbacks::Command),
    /// Looks for damage in a store that no gateway has open, and makes a new store from a damaged one.
    #[command(subcommand)]
    Store(store::Command),
    /// Checks whether the gateway could run on this host, and says what to do if not.
    Check {
        /// Also checks whether this host can hold so many connections: 250000, 250k, 10M.
        #[arg(long, value_parser = numbers::count)]
        connections: Option<u64>,
    },
    /// Says what a host for so many connections needs.
    Plan(plan::Arguments),
    /// Shows what the gateway is doing: live on a terminal, otherwise as lines.
    Top(top::Arguments),
    /// Prints a file for this host, its monitoring or its users, such as a sample configuration; without a name, lists them.
    Print(printed::Arguments),
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text.as_bytes()).map_err(|fault| fault.to_string())
}

/// Reads a platform's name. Shells complete it.
fn platforms() -> impl TypedValueParser<Value = Platform> {
    PossibleValuesParser::new(Platform::ALL.map(Platform::name)).try_map(|name| {
        let mut all = Platform::ALL.into_iter();
        all.find(|platform| platform.name().eq_ignore_ascii_case(&name))
            .ok_or("no platform")
    })
}

/// Does what was typed.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    // A host whose configuration is wrong needs the sample and the manual all the more.
    if let Some(Command::Print(wanted)) = &arguments.command {
        return printed::printed(wanted).unwrap_or_else(|error| tell_error(&error));
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

impl Arguments {
    /// Takes what was not typed from the environment.
    fn add_environment(&mut self) -> Result<(), Problem> {
        if self.config.is_none() {
            self.config = variable("HOLDFAST_CONFIG").map(PathBuf::from);
        }
        match &mut self.command {
            Some(Command::Connect(connect)) => connect.add_environment(),
            None | Some(_) => Ok(()),
        }
    }
}

/// A variable that stands for an argument. An empty one is not set: compose files make it of what nobody filled in.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The settings that were typed. A path that is no text has another way in.
fn texts(set: Vec<OsString>) -> Result<Vec<String>, Vec<Problem>> {
    let not_text = |text: OsString| Problem {
        key: "--set".to_owned(),
        // What stands behind the key may be a secret.
        found: format!(
            "bytes that are not UTF-8, for {}",
            text.to_string_lossy().split('=').next().unwrap_or_default()
        ),
        remedy: "name a path of any bytes in the environment, as HOLDFAST_REGISTRY_PATH".to_owned(),
    };
    let (texts, others): (Vec<_>, Vec<_>) = set
        .into_iter()
        .map(OsString::into_string)
        .partition(Result::is_ok);
    if others.is_empty() {
        return Ok(texts.into_iter().flatten().collect());
    }
    Err(others.into_iter().filter_map(Result::err).map(not_text).collect())
}

/// Every `--set` of a command line, in its order. Where some stand before the command and some behind it, clap keeps the latter
/// alone. It has checked them: a value never begins with a hyphen.
fn all_set(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut rest = arguments.into_iter().take_while(|argument| argument != "--");
    let mut all = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.as_bytes().strip_prefix(b"--set=") {
            Some(text) => all.push(OsStr::from_bytes(text).to_owned()),
            None if argument == "--set" => all.extend(rest.next()),
            None => {}
        }
    }
    all
}

/// Runs the gateway. From here on nothing waits for whoever reads what it prints.
fn run_gateway(config: &Config, sources: &Sources) -> ExitCode {
    if let Err(error) = privacy::begin(config.core_dumps) {
        return tell_error(&error.into());
    }
    let log = match Log::start(config) {
        Ok(log) => log,
        Err(error) => return tell_error(&error.into()),
    };
    let outcome = serve(config, sources, &log);
    if let Err(error) = &outcome {
        log.say_why(error);
    }
    log.finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(config: &Config, sources: &Sources, log: &Log) -> anyhow::Result<()> {
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
    let shards = PreparedShards::new(config, plan, &addresses::usable(&config.terminals))?;
    let program = std::env::args_os().next().unwrap_or_else(|| "holdfast".into());
    let program = program.to_string_lossy();
    let greeting = greeting::greeting((config, sources), &program, plan.count, Clock::start().now().wall);
    run::run(config, source, shards, || {
        // A gateway that nobody listens to serves all the same: also where its output is a pipe that is full.
        let print = move || drop(print(&greeting));
        drop(
            std::thread::Builder::new()
                .name("greeting".to_owned())
                .spawn(print),
        );
    })
}

fn execute(command: Command, config: &Config, sources: &Sources) -> anyhow::Result<ExitCode> {
    match command {
        Command::Connect(arguments) => on_a_runtime(connect::connect(config, &arguments)),
        Command::Status { users, detail, json } => {
            let looks = status::Looks::of(detail, json);
            on_a_runtime(status::status(config, &users, looks))
        }
        Command::Usersig { user, days } => {
            anyhow::ensure!(
                best_key(config).counts(Clock::start().now().wall),
                "every key of usersig.keys has ended (not_after): no UserSig would be taken"
            );
            print(&format!("{}\n", sign(config, &user, days * 86_400)))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Config => print(&config.print())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Reload { dry_run } => {
            let how = if dry_run {
                reload::How::DryRun
            } else {
                reload::How::Take
            };
            on_a_runtime(reload::reload(config, sources, how))
        }
        Command::Callbacks(command) => on_a_runtime(callbacks::callbacks(config, command)),
        Command::Store(command) => {
            privacy::keep_files_private();
            store::store(config, command)
        }
        Command::Check { connections } => check::check(config, connections),
        Command::Plan(arguments) => plan::plan(config, &arguments),
        Command::Top(arguments) => on_a_runtime(top::top(config, &arguments)),
        Command::Print(wanted) => printed::printed(&wanted),
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

/// A UserSig, made now with the configuration's key that is good for longest.
fn sign(config: &Config, user: &UserId, lifetime_s: u64) -> String {
    let secret = best_key(config).secret.expose();
    usersig::sign(
        Clock::start().now().wall,
        config.logic.sdk_app_id,
        secret,
        user,
        lifetime_s,
    )
}

/// The key that is good for longest: while keys are changed, the new one.
fn best_key(config: &Config) -> &usersig::Key {
    let keys = config.logic.keys.iter();
    keys.max_by_key(|key| key.not_after_s.unwrap_or(u64::MAX))
        .expect("a configuration has a key, if only the development one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_set_before_and_behind_the_command_counts() {
        let typed = [
            "holdfast",
            "--set",
            "a=1",
            "status",
            "--set=b=2",
            "--set",
            "a=3",
            "alice",
            "--",
            "--set",
            "c=4",
        ];
        let all = all_set(typed.map(OsString::from));
        assert_eq!(all, ["a=1", "b=2", "a=3"]);
        let parsed = Arguments::try_parse_from(typed).unwrap();
        assert_eq!(
            parsed.set,
            ["b=2", "a=3"],
            "else nobody has to look at the command line again"
        );
    }

    #[test]
    fn platforms_are_named_in_any_case() {
        let read = |name: &str| {
            let typed = ["holdfast", "connect", "--user", "alice", "--platform", name];
            Arguments::try_parse_from(typed).map(drop)
        };
        for name in Platform::ALL.map(Platform::name) {
            assert!(read(name).is_ok() && read(&name.to_lowercase()).is_ok(), "{name}");
        }
        assert!(read("phone").unwrap_err().to_string().contains("iPhone"));
    }
}
