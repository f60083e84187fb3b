//! `holdfast store`: looks at a store that no gateway has open, and makes a new one of a damaged one. Never changes the one it
//! looks at.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::outcome::print;
use crate::node::config::Config;
use crate::services::registry::embedded::{DamagedTable, Salvaged, VerifyReport, salvage, verify};

/// The store is damaged, or something of it could not be brought over.
const EXIT_DAMAGED: u8 = 6;

/// What is done.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum StoreCommand {
    /// Reads every file of a store, and says what is damaged and what would be lost. Exit code 6: something is.
    Verify {
        /// The store's folder; registry.path if not given.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
    },
    /// Makes a new store of everything that can be read of a damaged one, which is left as it is. Exit code 6: something
    /// was lost.
    Salvage {
        /// The damaged store's folder; registry.path if not given.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// The new store's folder; it must not exist yet, or be empty.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Does it.
pub(super) fn store(config: &Config, command: StoreCommand) -> anyhow::Result<ExitCode> {
    let path_of = |path: Option<PathBuf>| path.unwrap_or_else(|| config.registry.path.clone());
    match command {
        StoreCommand::Verify { path } => {
            let path = path_of(path);
            let report = verify(&path, &mut progress());
            end_progress();
            let report = report?;
            print(&told(&path, &report))?;
            Ok(if report.is_sound() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_DAMAGED)
            })
        }
        StoreCommand::Salvage { path, to } => {
            let path = path_of(path);
            let salvaged = salvage(&path, &to, &mut progress());
            end_progress();
            let salvaged = salvaged.with_context(|| format!("{} cannot be salvaged", path.display()))?;
            print(&brought(&to, &salvaged))?;
            let whole = salvaged.losses.is_empty() && salvaged.lost_changes == 0;
            Ok(if whole {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_DAMAGED)
            })
        }
    }
}

/// Shows on a terminal which table is read: a large store takes minutes.
fn progress() -> impl FnMut(&Path) {
    let mut seen = 0;
    move |table| {
        seen += 1;
        if std::io::stderr().is_terminal() {
            // Nobody is there to see it: then it need not be shown.
            let _ = write!(std::io::stderr(), "\r{seen} tables, at {}   ", table.display());
        }
    }
}

fn end_progress() {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr());
    }
}

fn told(path: &Path, report: &VerifyReport) -> String {
    let mut text = String::new();
    for fault in &report.faults {
        text.push_str(&format!("needed and damaged: {fault}\n"));
    }
    report
        .tables
        .iter()
        .for_each(|table| text.push_str(&told_table(table)));
    for (journal, bytes) in &report.torn {
        let journal = journal.display();
        text.push_str(&format!("{journal}: the last {bytes} bytes are of a batch that was not written to its end; nothing that was answered is lost\n"));
    }
    for lost in &report.lost_before {
        text.push_str(&format!("lost before, when a table was replaced: {lost}\n"));
    }
    let verdict = match (report.is_sound(), report.faults.is_empty()) {
        (true, _) => "everything is what was written",
        (false, true) => {
            "a gateway can use this store: it replaces damaged tables by what is intact in them, and keeps their files; `holdfast store salvage` makes up for lost users from their changes"
        }
        (false, false) => {
            "a gateway cannot use this store: `holdfast store salvage` makes a new one of the rest"
        }
    };
    text.push_str(&format!(
        "{}: {} tables; {verdict}\n",
        path.display(),
        report.tables_seen
    ));
    text
}

fn told_table(table: &DamagedTable) -> String {
    let lost = match &table.lost[..] {
        [] => "nothing is lost".to_owned(),
        lost => format!("lost is what it had {}", lost.join(", ")),
    };
    format!(
        "damaged: {} of {}: {}; {} records in it are intact, {lost}\n",
        table.file.display(),
        table.keyspace,
        table.what,
        table.intact
    )
}

fn brought(to: &Path, salvaged: &Salvaged) -> String {
    let mut text = String::new();
    for loss in &salvaged.losses {
        text.push_str(&format!("lost: {loss}\n"));
    }
    if salvaged.lost_changes > 0 {
        text.push_str(&format!("lost: {} changes in between\n", salvaged.lost_changes));
    }
    if salvaged.rebuilt > 0 {
        text.push_str(&format!(
            "{} users' records were made again from their changes\n",
            salvaged.rebuilt
        ));
    }
    let records: Vec<_> = salvaged
        .records
        .iter()
        .map(|(name, count)| format!("{count} of {name}"))
        .collect();
    text.push_str(&format!("{}: {}\n", to.display(), records.join(", ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_with_what_to_do() {
        let table = DamagedTable {
            file: "keyspaces/2/tables/7".into(),
            keyspace: "users".to_owned(),
            what: "records at byte 4096".to_owned(),
            intact: 12,
            lost: vec!["between bob and eve".to_owned()],
        };
        let report = VerifyReport {
            tables: vec![table],
            tables_seen: 3,
            ..VerifyReport::default()
        };
        let text = told(Path::new("data"), &report);
        let expected = "damaged: keyspaces/2/tables/7 of users: records at byte 4096; 12 records in it are intact, lost is what it had between bob and eve\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("data: 3 tables; a gateway can use this store"),
            "{text}"
        );
        let sound = told(Path::new("data"), &VerifyReport::default());
        assert_eq!(sound, "data: 0 tables; everything is what was written\n");
    }
}
