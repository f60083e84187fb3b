//! The folder of results of a run of all mutants. The tool writes its page and the index from the data.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::list::root;
use crate::plant::Planted;
use crate::run::{Fate, told};
use crate::{Fates, git};

/// Writes `bench-results/mutants`.
pub(crate) fn write(planted: &[Planted], fates: &Fates) {
    let caught = fates
        .values()
        .filter(|fate| matches!(fate, Fate::Caught { .. }))
        .count();
    let mut text = vec![
        format!("{} mutants, {caught} caught.", planted.len()),
        String::new(),
    ];
    text.extend(planted.iter().map(|Planted { number, mutant, .. }| {
        let fate = told(&fates[number]);
        format!("- `{}`: {} {}", mutant.name, mutant.breaks, fate.trim_end())
    }));
    let each = planted.iter().map(|Planted { number, mutant, place }| {
        let rule = mutant.rule.as_deref().unwrap_or_default();
        json!({ "mutant": mutant.name, "rule": rule, "file": place.file, "caught by": told(&fates[number]) })
    });
    let all = json!({ "mutants": planted.len(), "survivors": planted.len() - caught });
    let data: Vec<Value> = std::iter::once(all).chain(each).collect();
    let data = json!({
        "title": "Mutants of the source, and what caught them",
        "command": "cargo test --test mutants -- --ignored",
        "machine": { "commit": git(&["rev-parse", "--short", "HEAD"]).trim(), "date": date(), "profile": "dev" },
        "text": text,
        "data": data,
    });
    let folder = root().join("bench-results/mutants");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("data.json"),
        serde_json::to_string_pretty(&data).unwrap() + "\n",
    )
    .unwrap();
    let index = Command::new(env!("CARGO_BIN_EXE_holdfast-load"))
        .arg("index")
        .current_dir(root())
        .status()
        .unwrap();
    assert!(index.success(), "the index can be written");
}

fn date() -> String {
    let output = Command::new("date").arg("+%F").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
