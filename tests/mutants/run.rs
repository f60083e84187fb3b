//! Builds mutants and runs their checks. A mutant whose checks all pass has survived; one that cannot be built, or whose
//! checks do not exist, is a fault of the list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast::base::time::Stopwatch;

use crate::list::root;
use crate::plant::{Planted, SWITCH, copy};

/// How many seeds of a simulation a mutant has to survive. Nearly all are caught by one of the first twenty.
const SEEDS: u32 = 1_000;

/// When a check is ended. It has shown nothing then. More than three times what all seeds of the simulation take without a mutant,
/// which is 72 s of CPU: the switches cost something, and other machines are slower.
const TIME_OUT_S: u32 = 240;

/// Mutants that run at the same time: a simulation has two threads of its own.
const AT_ONCE: usize = 2;

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The test that failed, and where in it.
    Caught {
        by: String,
        at: String,
    },
    Survived,
    /// Its checks take too long to show anything.
    TimedOut,
}

/// Builds each batch and runs its mutants' checks.
pub(crate) fn run(batches: &[Vec<Planted>]) -> BTreeMap<usize, Fate> {
    let target = target();
    let tree = target.join("mutants");
    let mut fates = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let began = Stopwatch::start();
        copy(root(), &tree, batch);
        let program = build(&tree, &target, batch);
        println!(
            "built {} of {}, {} mutants, in {} s",
            number + 1,
            batches.len(),
            batch.len(),
            began.elapsed().as_secs()
        );
        if number == 0 {
            checks_pass(&program, batches);
        }
        fates.extend(run_batch(&program, batch));
    }
    fates
}

/// Has the compiler read each batch. Nothing is run.
pub(crate) fn check(batches: &[Vec<Planted>]) {
    let target = target();
    let tree = target.join("mutants");
    for batch in batches {
        copy(root(), &tree, batch);
        cargo(&["check", "--profile=test"], &tree, &target, batch);
    }
}

/// The folder of this build, whose dependencies serve the copy, too.
fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().expect("it is in the target folder").to_owned()
}

/// The library's tests with a batch in them.
fn build(tree: &Path, target: &Path, batch: &[Planted]) -> PathBuf {
    let words = ["test", "--no-run", "--message-format=json-render-diagnostics"];
    let output = cargo(&words, tree, target, batch);
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executables.next_back().expect("cargo names what it built")
}

/// Of the library of the copy, with the features that the package's tests have, so that the dependencies are the same.
fn cargo(words: &[&str], tree: &Path, target: &Path, batch: &[Planted]) -> Output {
    let output = Command::new(env!("CARGO"))
        .args(words)
        .args(["--lib", "--features=load", "--offline"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let names: Vec<&str> = batch.iter().map(|planted| planted.mutant.name.as_str()).collect();
    assert!(output.status.success(), "it cannot be built with {names:?}");
    output
}

/// Without a mutant every check passes, with as many seeds as a mutant gets: else it would catch anything, or take too long to
/// show anything.
fn checks_pass(program: &Path, batches: &[Vec<Planted>]) {
    let checks: BTreeSet<&str> = batches
        .iter()
        .flatten()
        .map(|planted| planted.mutant.check.as_str())
        .collect();
    for check in checks {
        let fate = run_check(program, check, 0, SEEDS);
        assert_eq!(fate, Fate::Survived, "{check} fails without a mutant");
    }
}

fn run_batch(program: &Path, batch: &[Planted]) -> BTreeMap<usize, Fate> {
    let (next, fates) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(planted) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Stopwatch::start();
                    let fate = run_check(program, &planted.mutant.check, planted.number, SEEDS);
                    println!(
                        "{:<32} {:>3} s  {}",
                        planted.mutant.name,
                        began.elapsed().as_secs(),
                        told(&fate)
                    );
                    fates
                        .lock()
                        .expect("no run panics with it")
                        .insert(planted.number, fate);
                }
            });
        }
    });
    fates.into_inner().expect("no run panics with it")
}

/// A fate in a few words.
pub(crate) fn told(fate: &Fate) -> String {
    match fate {
        Fate::Caught { by, at } => format!("{by} {at}"),
        Fate::Survived => "SURVIVED".to_owned(),
        Fate::TimedOut => "TIMED OUT".to_owned(),
    }
}

fn run_check(program: &Path, check: &str, number: usize, seeds: u32) -> Fate {
    let output = Command::new("timeout")
        .args(["--kill-after=5", &TIME_OUT_S.to_string()])
        .arg(program)
        .args(check.split_whitespace())
        .env(SWITCH, number.to_string())
        .env("HOLDFAST_SIM_SEEDS", seeds.to_string())
        .env("HOLDFAST_KERNEL_SEEDS", seeds.to_string())
        .env("RUST_BACKTRACE", "0")
        // As cargo has it for tests.
        .current_dir(root())
        .output()
        .expect("coreutils are there");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!told.contains("\nrunning 0 tests"), "{check:?} names no test");
    match output.status.code() {
        Some(0) => return Fate::Survived,
        // As `timeout` has it. A test that failed before has said so.
        Some(124) if !told.contains(" ... FAILED") => return Fate::TimedOut,
        _ => {}
    }
    fate_of(&told, &String::from_utf8_lossy(&output.stderr))
}

/// Who caught it, from what the tests said.
fn fate_of(told: &str, errors: &str) -> Fate {
    let failed = told
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let by = failed.map(|test| test.split(" - ").next().unwrap_or(test)).next();
    let text = format!("{told}\n{errors}");
    let seed = text.split("_SEED=").nth(1).and_then(|rest| {
        let (seed, rest) = rest.split_once(' ')?;
        let Some(step) = rest.strip_prefix("falls at step ") else {
            return Some(format!("seed {seed}"));
        };
        let (step, rest) = step.split_once(", ")?;
        let check = rest.split([':', '\n']).next()?;
        Some(format!("{check}, seed {seed}, step {step}"))
    });
    Fate::Caught {
        by: by.unwrap_or("the end of the process").to_owned(),
        at: seed.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_caught_a_mutant_is_read_from_what_the_tests_say() {
        let check = |told: &str, by: &str, at: &str| {
            assert_eq!(
                fate_of(told, ""),
                Fate::Caught {
                    by: by.to_owned(),
                    at: at.to_owned()
                }
            );
        };
        check("test a::b ... ok\ntest a::c ... FAILED\n", "a::c", "");
        check("test a::c - should panic ... FAILED\n", "a::c", "");
        let sim = "test sim::rules ... FAILED\nHOLDFAST_SIM_SEED=17 falls at step 3, model:\nonly";
        check(sim, "sim::rules", "model, seed 17, step 3");
        check(
            "test a::b has been running for over 60 seconds\n",
            "the end of the process",
            "",
        );
    }
}
