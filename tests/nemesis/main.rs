//! A cluster of real processes under failures, and an offline checker of what everybody saw. Each node and each server of the shared
//! store is on a host of its own, a network namespace.
//!
//! ```text
//! cargo test --test nemesis                                              the checker, and some scenarios
//! cargo test --test nemesis -- --ignored --nocapture pairs               all pairs of faults; takes an hour or two
//! HOLDFAST_NEMESIS_ROUNDS=100 cargo test --test nemesis -- --ignored --nocapture rounds    faults at random, into bench-results/nemesis
//! HOLDFAST_NEMESIS_SEED=7 cargo test …                                   with this seed
//! ```
//!
//! Scenarios need root, redis-server, ip, nsenter and unshare; wall clocks that are off need libfaketime.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

#[path = "../support/mod.rs"]
mod support;

mod backend;
mod checker;
mod device;
mod faults;
mod history;
mod network;
mod node;
mod peace;
mod report;
mod scenario;
mod servers;
mod stream;
mod terminal;
mod workload;
mod world;

use std::sync::Mutex;

use faults::{ALL, Fault};
use report::Played;
use scenario::{Report, Step, play};

/// The seed of this run.
fn seed() -> u64 {
    let given = std::env::var("HOLDFAST_NEMESIS_SEED").ok();
    given.map_or_else(
        || fastrand::u64(..100_000),
        |text| text.parse().expect("a number"),
    )
}

/// Plays a scenario, and nothing may be wrong.
fn holds(name: &str, steps: &[Step]) {
    let Some(report) = play(name, seed(), steps) else {
        return;
    };
    let first: Vec<_> = report.violations.iter().take(10).collect();
    assert!(
        first.is_empty(),
        "{}: {} violations, with seed {}:\n{first:#?}",
        report.name,
        report.violations.len(),
        report.seed
    );
    assert!(report.changes > 1_000, "hardly anything happened: {report:?}");
}

#[test]
fn a_node_is_killed_and_comes_back_and_another_one_crashes() {
    let steps = [
        Step::new(&[Fault::KillNode], 8),
        Step::new(&[Fault::CrashNode], 1),
    ];
    holds("kill-node", &steps);
}

#[test]
fn a_node_stands_still_past_its_lease() {
    let steps = [
        Step::new(&[Fault::PauseNode], 8),
        Step::new(&[Fault::PauseNode], 1),
    ];
    holds("pause-node", &steps);
}

#[test]
fn a_master_stands_still_over_its_failover_and_another_one_is_killed() {
    let steps = [
        Step::new(&[Fault::PauseMaster], 2),
        Step::new(&[Fault::KillMaster], 8),
    ];
    holds("masters", &steps);
}

#[test]
fn a_node_is_killed_while_a_replica_is_away() {
    holds("pair", &[Step::new(&[Fault::KillReplica, Fault::KillNode], 8)]);
}

#[test]
fn a_node_and_the_shared_store_do_not_hear_each_other() {
    let steps = [
        Step::new(&[Fault::CutNodeToStore], 9),
        Step::new(&[Fault::CutStoreToNode], 4),
    ];
    holds("cut-store", &steps);
}

#[test]
fn a_node_is_cut_off_from_others() {
    let steps = [
        Step::new(&[Fault::CutNodeToPeers, Fault::CutOutsideToNode], 8),
        Step::new(&[Fault::CutNode], 8),
    ];
    holds("cut-node", &steps);
}

#[test]
fn clocks_are_an_hour_off_while_a_node_drains() {
    holds("clocks", &[Step::new(&[Fault::Clocks, Fault::Drain], 4)]);
}

#[test]
fn nodes_are_added_and_restarted_and_a_slot_moves() {
    let steps = [
        Step::new(&[Fault::AddNode, Fault::Reshard], 6),
        Step::new(&[Fault::RollingRestart], 1),
    ];
    holds("operator", &steps);
}

/// How many rounds a world has, before it has to come to rest.
const ROUNDS_OF_A_WORLD: usize = 10;

/// A scenario that is to be played.
struct Planned {
    name: String,
    seed: u64,
    steps: Vec<Step>,
}

/// Plays them all, as many at once as there are cores: a world waits most of its time.
fn play_all(planned: Vec<Planned>) -> Vec<Played> {
    let left = Mutex::new(planned.into_iter().enumerate());
    let played = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some((place, Planned { name, seed, steps })) = next else {
                        return;
                    };
                    if let Some(report) = play_to_the_end(&name, seed, &steps) {
                        played.lock().unwrap().push((place, Played { steps, report }));
                    }
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort_by_key(|(place, _)| *place);
    played.into_iter().map(|(_, world)| world).collect()
}

/// Plays one, which is wrong if it does not come to its end.
fn play_to_the_end(name: &str, seed: u64, steps: &[Step]) -> Option<Report> {
    let played = std::panic::catch_unwind(|| play(name, seed, steps));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Some(Report {
            name: name.to_owned(),
            seed,
            steps: steps.len(),
            changes: 0,
            sights: 0,
            violations: vec![text.unwrap_or_else(|| "it did not come to its end".to_owned())],
        })
    })
}

fn assert_nothing_is_wrong(played: &[Played]) {
    let wrong = played.iter().map(|world| &world.report);
    let wrong: Vec<_> = wrong.filter(|report| !report.violations.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "takes an hour or two"]
fn pairs() {
    let pairs = ALL.iter().enumerate();
    let pairs = pairs.flat_map(|(place, one)| ALL[place + 1..].iter().map(move |other| [*one, *other]));
    let planned = pairs.map(|[one, other]| Planned {
        name: format!("{one:?}-{other:?}"),
        seed: seed(),
        steps: vec![Step::new(&[one, other], 8)],
    });
    assert_nothing_is_wrong(&play_all(planned.collect()));
}

#[test]
#[ignore = "as many rounds as HOLDFAST_NEMESIS_ROUNDS says, each of some 20 s"]
fn rounds() {
    let wanted = std::env::var("HOLDFAST_NEMESIS_ROUNDS").expect("HOLDFAST_NEMESIS_ROUNDS=100");
    let wanted: usize = wanted.parse().expect("a number");
    let mut rng = fastrand::Rng::with_seed(seed());
    let planned = (0..wanted).step_by(ROUNDS_OF_A_WORLD).map(|first| Planned {
        name: "rounds".to_owned(),
        seed: rng.u64(..100_000),
        steps: (first..wanted.min(first + ROUNDS_OF_A_WORLD))
            .map(|_| any_step(&mut rng))
            .collect(),
    });
    let played = play_all(planned.collect());
    assert_eq!(
        played.iter().map(|world| world.steps.len()).sum::<usize>(),
        wanted
    );
    report::write(&played);
    assert_nothing_is_wrong(&played);
}

/// One fault or two.
fn any_step(rng: &mut fastrand::Rng) -> Step {
    let count = rng.usize(1..=2);
    Step::new(&rng.choose_multiple(ALL, count), rng.u64(1..9))
}

#[test]
#[ignore = "judges the history that HOLDFAST_NEMESIS_HISTORY names"]
fn judge() {
    let path = std::env::var("HOLDFAST_NEMESIS_HISTORY").expect("HOLDFAST_NEMESIS_HISTORY=FILE");
    let violations = checker::check(&history::read(path.as_ref()));
    for violation in &violations {
        println!("{violation}");
    }
    assert!(violations.is_empty(), "{} violations", violations.len());
}
