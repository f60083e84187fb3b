//! What may be typed: the commands and their arguments. Does none of it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::callbacks::CallbacksCommand;
use super::cluster::ClusterCommand;
use super::connect::{ConnectArguments, FOR_SCRIPTS};
use super::numbers;
use super::plan::PlanArguments;
use super::printed::PrintArguments;
use super::store::StoreCommand;
use super::top::TopArguments;
use super::values::{user, variable};
use crate::base::ids::UserId;
use crate::node::config::Problem;

/// An io_uring, thread-per-core connection and presence gateway.
///
/// Without a command it runs the gateway.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version)]
pub(super) struct CommandLine {
    /// Reads the configuration from this TOML file; if not given, from that of the variable HOLDFAST_CONFIG.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Overrides one setting, as in `--set shards.count=4`; `holdfast config` shows them all.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<OsString>,
    #[command(subcommand)]
    pub(super) command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Logs in as a terminal and stays; shows what the gateway says.
    #[command(after_help = FOR_SCRIPTS)]
    Connect(ConnectArguments),
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
    Callbacks(CallbacksCommand),
    /// Looks for damage in a store that no gateway has open, and makes a new store from a damaged one.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Founds a cluster of gateways in a shared store, shows its nodes, and moves records into it and back.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Checks whether the gateway could run on this host, and says what to do if not.
    Check {
        /// Also checks every server of the shared store.
        #[arg(long)]
        cluster: bool,
        /// Also checks whether this host can hold so many connections: 250000, 250k, 10M.
        #[arg(long, value_parser = numbers::count)]
        connections: Option<u64>,
    },
    /// Says what a host for so many connections needs.
    Plan(PlanArguments),
    /// Shows what the gateway is doing: live on a terminal, otherwise as lines.
    Top(TopArguments),
    /// Prints a file for this host, its monitoring or its users, such as a sample configuration; without a name, lists them.
    Print(PrintArguments),
}

impl CommandLine {
    /// Takes what was not typed from the environment.
    pub(super) fn add_environment(&mut self) -> Result<(), Problem> {
        if self.config.is_none() {
            self.config = variable("HOLDFAST_CONFIG").map(PathBuf::from);
        }
        match &mut self.command {
            Some(CliCommand::Connect(connect)) => connect.add_environment(),
            None | Some(_) => Ok(()),
        }
    }
}

/// The settings that were typed. A path that is no text has another way in.
pub(super) fn texts(set: Vec<OsString>) -> Result<Vec<String>, Vec<Problem>> {
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
pub(super) fn all_set(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Platform;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
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
        let parsed = CommandLine::try_parse_from(typed).unwrap();
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
            CommandLine::try_parse_from(typed).map(drop)
        };
        for name in Platform::ALL.map(Platform::name) {
            assert!(read(name).is_ok() && read(&name.to_lowercase()).is_ok(), "{name}");
        }
        assert!(read("phone").unwrap_err().to_string().contains("iPhone"));
    }
}
