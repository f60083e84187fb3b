//! `holdfast callbacks`: shows how callbacks stand and those that were given up, and has these sent again or dropped.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client;
use super::outcome::CommandFault;
use super::outcome::print;
use crate::node::config::Config;

/// What is done.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum CallbacksCommand {
    /// Shows how far callbacks are, and how many are late or were given up.
    Status,
    /// Lists dead letters: callbacks that were given up.
    List {
        /// Prints JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Sends dead letters again, marked as replayed.
    Replay(LetterChoice),
    /// Drops dead letters, or late callbacks.
    Drop(DropChoice),
}

/// What is dropped.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DropChoice {
    /// Cursors of dead letters, as `callbacks list` shows them.
    #[arg(required_unless_present_any = ["all", "late"], conflicts_with_all = ["all", "late"])]
    cursors: Vec<String>,
    /// All dead letters.
    #[arg(long, conflicts_with = "late")]
    all: bool,
    /// All callbacks that are late: those that failed, and those that wait behind them.
    #[arg(long)]
    late: bool,
    /// Only the late callbacks of this user.
    #[arg(long, requires = "late", value_name = "USER")]
    user: Option<String>,
}

impl DropChoice {
    fn body(&self) -> Value {
        match (self.late, &self.user) {
            (true, None) => json!({ "late": true }),
            (true, Some(user)) => json!({ "late": true, "user": user }),
            (false, _) if self.all => json!({ "all": true }),
            (false, _) => json!({ "positions": self.cursors }),
        }
    }
}

/// Which of them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LetterChoice {
    /// Cursors of dead letters, as `callbacks list` shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    cursors: Vec<String>,
    /// All dead letters.
    #[arg(long)]
    all: bool,
}

impl LetterChoice {
    fn body(&self) -> Value {
        match self.all {
            true => json!({ "all": true }),
            false => json!({ "positions": self.cursors }),
        }
    }
}

/// Lines that are asked for at a time.
const PAGE_LINES: usize = 1_000;

/// Does it.
pub(super) async fn callbacks(config: &Config, command: CallbacksCommand) -> anyhow::Result<ExitCode> {
    match command {
        CallbacksCommand::Status => {
            let standing = client::lines(config, "/v1/callbacks").await?;
            print(&standing.first().map_or_else(String::new, status))?;
        }
        CallbacksCommand::List { json } => list(config, if json { whole } else { row }).await?,
        CallbacksCommand::Replay(choice) => deal(config, "replay", &choice.body()).await?,
        CallbacksCommand::Drop(unwanted) => deal(config, "drop", &unwanted.body()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(standing: &Value) -> String {
    let number = |name: &str| standing[name].as_u64().unwrap_or(0);
    format!(
        "changes not looked at yet: {}\nlate callbacks: {}\ngiven up: {}\n",
        number("changes_behind"),
        number("late"),
        number("dead")
    )
}

async fn list(config: &Config, show: fn(&Value) -> String) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let page = client::lines(config, &format!("/v1/callbacks/dead?limit={PAGE_LINES}{after}")).await?;
        for line in &page {
            print(&show(line))?;
        }
        match page.last().filter(|_| page.len() == PAGE_LINES) {
            Some(last) => after = format!("&after={}", text(&last["cursor"])),
            None => return Ok(()),
        }
    }
}

fn whole(line: &Value) -> String {
    format!("{line}\n")
}

fn row(line: &Value) -> String {
    format!(
        "{}  {}  change {}, {} at {}; given up at {} after {} attempts: {}\n",
        text(&line["cursor"]),
        text(&line["user"]),
        line["change"],
        text(&line["kind"]),
        text(&line["at"]),
        text(&line["given_up_at"]),
        line["attempts"],
        text(&line["fault"])
    )
}

async fn deal(config: &Config, deed: &str, body: &Value) -> anyhow::Result<()> {
    let path = format!("/v1/callbacks/{deed}");
    let (status, answer) = client::command(config, &path, body).await?;
    if status != 200 {
        return Err(CommandFault::Refused(client::quoted(text(&answer["error"]))).into());
    }
    for (name, count) in answer.as_object().into_iter().flatten() {
        print(&format!("{name}: {count}\n"))?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_named() {
        let unwanted = DropChoice {
            cursors: vec!["AQ".to_owned()],
            all: false,
            late: false,
            user: None,
        };
        assert_eq!(unwanted.body(), json!({ "positions": ["AQ"] }));
        let late = DropChoice {
            late: true,
            cursors: Vec::new(),
            ..unwanted
        };
        assert_eq!(late.body(), json!({ "late": true }));
        let user = Some("alice".to_owned());
        let of_one = DropChoice { user, ..late };
        assert_eq!(of_one.body(), json!({ "late": true, "user": "alice" }));
    }

    #[test]
    fn people_read_a_line_each() {
        let line = json!({"cursor": "AQ", "user": "alice", "change": 3, "kind": "logout", "at": "then", "attempts": 9,
            "given_up_at": "now", "fault": "no answer"});
        assert_eq!(
            row(&line),
            "AQ  alice  change 3, logout at then; given up at now after 9 attempts: no answer\n"
        );
        let standing = json!({"changes_behind": 1, "late": 2, "dead": 3});
        assert_eq!(
            status(&standing),
            "changes not looked at yet: 1\nlate callbacks: 2\ngiven up: 3\n"
        );
    }
}
