//! Mutants: the source is broken on purpose, in a copy, and a check must notice. The lists are in `tests/sim/mutants`.
//!
//! ```text
//! cargo test --test mutants                                              whether the lists fit the source
//! cargo test --test mutants -- --ignored --nocapture                     all of them, into bench-results/mutants
//! HOLDFAST_MUTANTS=late-logout-counts,grace-forgotten cargo test …       these
//! HOLDFAST_MUTANTS_SINCE=main cargo test …                               those of changed files, and a handful of the others
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod list;
mod plant;
mod report;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use list::{Mutant, place, root};
use plant::{Planted, batches};
use run::Fate;

/// Mutants that are tried with each commit besides those of changed files.
const HANDFUL: usize = 8;

/// All mutants in their places; those that have none are told together.
fn planted(mutants: Vec<Mutant>) -> Vec<Planted> {
    let mut faults = Vec::new();
    let mut planted = Vec::new();
    for (number, mutant) in (1..).zip(mutants) {
        match place(root(), &mutant) {
            Ok(place) => planted.push(Planted {
                number,
                mutant,
                place,
            }),
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    planted
}

#[test]
fn every_mutant_applies_once_and_has_a_name() {
    let planted = planted(list::all());
    let mut names = BTreeSet::new();
    for Planted { mutant, .. } in &planted {
        assert!(
            names.insert(&mutant.name),
            "two mutants are called {}",
            mutant.name
        );
        assert!(
            !mutant.check.is_empty() && !mutant.breaks.is_empty(),
            "{}",
            mutant.name
        );
        assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
    }
}

#[test]
fn every_rule_is_broken_by_a_mutant() {
    let mutants = list::all();
    let broken: BTreeSet<&str> = mutants
        .iter()
        .filter_map(|mutant| mutant.rule.as_deref())
        .collect();
    let rules = list::rules();
    let rules: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(broken, rules);
}

#[test]
#[ignore = "builds the library again, and takes minutes"]
fn every_mutant_is_caught() {
    let all = planted(list::all());
    let tries_some = std::env::var("HOLDFAST_MUTANTS_SINCE").is_ok();
    if tries_some {
        // Those that are not run can be built all the same.
        run::check(&batches(&all));
    }
    let planted = chosen(all);
    let fates = run::run(&batches(&planted));
    if std::env::var("HOLDFAST_MUTANTS").is_err() && !tries_some {
        report::write(&planted, &fates);
    }
    let survived = planted.iter().filter(|planted| {
        match fates[&planted.number] {
            Fate::Caught { .. } => false,
            Fate::Survived => true,
            // A slow host shows nothing by it. The whole list is run where there is time.
            Fate::TimedOut => !tries_some,
        }
    });
    let survived: Vec<&str> = survived.map(|planted| planted.mutant.name.as_str()).collect();
    assert!(survived.is_empty(), "nothing caught {survived:?}");
}

/// The mutants that the environment asks for.
fn chosen(planted: Vec<Planted>) -> Vec<Planted> {
    if let Ok(names) = std::env::var("HOLDFAST_MUTANTS") {
        let names: Vec<&str> = names.split(',').collect();
        let is_named = |one: &Planted| names.contains(&one.mutant.name.as_str());
        return planted.into_iter().filter(is_named).collect();
    }
    let Ok(since) = std::env::var("HOLDFAST_MUTANTS_SINCE") else {
        return planted;
    };
    let changed = git(&["diff", "--name-only", &since]);
    let changed: BTreeSet<&str> = changed.lines().collect();
    let is_changed = |one: &Planted| one.place.file.to_str().is_some_and(|file| changed.contains(file));
    let (mut taken, mut others): (Vec<_>, Vec<_>) = planted.into_iter().partition(is_changed);
    let commit = git(&["rev-parse", "HEAD"]);
    let seed = u64::from_str_radix(&commit[..16], 16).expect("a commit is a number");
    fastrand::Rng::with_seed(seed).shuffle(&mut others);
    taken.extend(others.into_iter().take(HANDFUL));
    taken
}

fn git(arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What became of each, by number.
type Fates = BTreeMap<usize, Fate>;
