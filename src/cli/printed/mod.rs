//! `holdfast print`: the texts that come with the program, each under a name. They are files of `src/package`, or made from what
//! the program knows of itself. Never asks for a configuration, a gateway or a network.

mod man;
mod settings;

use std::borrow::Cow;
use std::process::ExitCode;

use clap::{Command, Subcommand};
use clap_complete::Shell;

use super::outcome::print;
use crate::node::config;

/// Which text.
#[derive(Debug, Clone, clap::Args)]
#[command(
    subcommand_value_name = "NAME",
    subcommand_help_heading = "Names",
    disable_help_subcommand = true
)]
pub(super) struct PrintArguments {
    #[command(subcommand)]
    name: Option<Name>,
}

/// The names. Another text is one more of them, and its file in [`Name::text`].
#[derive(Debug, Clone, Subcommand)]
enum Name {
    /// A sample configuration file: every setting with its default, bounds and meaning.
    Config,
    /// Completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// A manual page; with --to, all of them as files.
    Man(man::ManArguments),
    /// The unit of a systemd service, hardened.
    Unit,
    /// A seccomp profile for containers: the default of container engines, with io_uring.
    Seccomp,
    /// How an image for containers is made.
    Containerfile,
    /// The licences of holdfast, and of all libraries that are built into it.
    Licenses,
    /// What changed from version to version.
    Changelog,
    /// A Grafana dashboard over the gateway's metrics, as JSON.
    Dashboard,
    /// Alerts, as rules of Prometheus, each with its reason.
    Alerts,
    /// The OpenAPI document of both HTTP listeners, as JSON.
    Openapi,
}

impl Name {
    fn text(&self, holdfast: Command) -> anyhow::Result<Cow<'static, str>> {
        Ok(match self {
            Self::Config => config::sample().into(),
            Self::Completions { shell } => completions(*shell, holdfast).into(),
            Self::Man(arguments) => man::man(arguments, holdfast)?.into(),
            Self::Unit => include_str!("../../package/holdfast.service").into(),
            Self::Seccomp => include_str!("../../package/seccomp.json").into(),
            Self::Containerfile => include_str!("../../package/Containerfile").into(),
            Self::Licenses => licenses().into(),
            Self::Changelog => include_str!("../../package/changelog.md").into(),
            Self::Dashboard => include_str!("../../package/dashboard.json").into(),
            Self::Alerts => include_str!("../../package/alerts.yaml").into(),
            Self::Openapi => include_str!("../../package/openapi.json").into(),
        })
    }
}

/// Prints one text, or the list of all.
/// `holdfast` is the whole command line, of which some texts are made.
pub(super) fn printed(arguments: &PrintArguments, holdfast: Command) -> anyhow::Result<ExitCode> {
    match &arguments.name {
        Some(name) => print(&name.text(holdfast)?)?,
        None => print(&list(holdfast))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What `holdfast print --help` says.
fn list(mut holdfast: Command) -> String {
    holdfast.build();
    let print = holdfast.find_subcommand_mut("print");
    let print = print.expect("it is the command that was typed");
    print.render_help().to_string()
}

fn completions(shell: Shell, mut holdfast: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut holdfast, "holdfast", &mut script);
    String::from_utf8(script).expect("what completes are texts")
}

/// Holdfast's own licences first, then those of others.
fn licenses() -> String {
    [
        "holdfast is licensed under the MIT License or the Apache License, Version 2.0, at your choice. The texts of both come first,\n",
        "then the licences of the libraries that are built into it.\n\n",
        include_str!("../../package/LICENSE-MIT"),
        "\n",
        include_str!("../../package/LICENSE-APACHE"),
        "\n",
        include_str!("../../package/licenses.txt"),
    ]
    .concat()
}
