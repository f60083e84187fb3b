//! The folder of results of rounds of faults. The tool writes its page and the index from the data.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::faults::Fault;
use crate::scenario::{Report, Step};

/// A world that was played, with its rounds.
pub struct Played {
    pub steps: Vec<Step>,
    pub report: Report,
}

/// Writes `bench-results/nemesis`.
pub fn write(played: &[Played]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sum = |of: fn(&Report) -> usize| played.iter().map(|world| of(&world.report)).sum::<usize>();
    let rounds = sum(|report| report.steps);
    let violations = sum(|report| report.violations.len());
    let (changes, sights) = (sum(|report| report.changes), sum(|report| report.sights));
    let mut text = vec![
        format!(
            "{rounds} rounds of one or two faults in {} worlds: {changes} changes, {sights} sights of users, {violations} violations.",
            played.len()
        ),
        String::new(),
    ];
    text.extend(played.iter().map(told));
    let each = played.iter().map(|Played { steps, report }| {
        json!({
            "seed": report.seed,
            "faults": steps.iter().map(|step| names(&step.faults)).collect::<Vec<_>>(),
            "changes": report.changes,
            "sights": report.sights,
            "violations": report.violations,
        })
    });
    let all = json!({ "rounds": rounds, "violations": violations, "changes": changes, "sights": sights });
    let data: Vec<Value> = std::iter::once(all).chain(each).collect();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let data = json!({
        "title": "Faults of a cluster of real processes, and what the checker found",
        "command": "HOLDFAST_NEMESIS_ROUNDS=100 cargo test --test nemesis -- --ignored rounds",
        "machine": { "commit": commit, "date": said("date", &["+%F"]), "profile": "dev" },
        "text": text,
        "data": data,
    });
    let folder = root.join("bench-results/nemesis");
    fs::create_dir_all(&folder).unwrap();
    let written = serde_json::to_string_pretty(&data).unwrap() + "\n";
    fs::write(folder.join("data.json"), written).unwrap();
    let index = Command::new(env!("CARGO_BIN_EXE_holdfast-load"))
        .arg("index")
        .current_dir(root)
        .status()
        .unwrap();
    assert!(index.success(), "the index can be written");
}

fn told(Played { steps, report }: &Played) -> String {
    let steps: Vec<String> = steps.iter().map(|step| names(&step.faults)).collect();
    let found = match &report.violations[..] {
        [] => "nothing was wrong".to_owned(),
        violations => violations.join("; "),
    };
    format!("- seed {}: {}: {found}", report.seed, steps.join(", "))
}

fn names(faults: &[Fault]) -> String {
    let names: Vec<String> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    names.join(" with ")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let command = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
