//! Proves that the simulation bites: each planted bug is caught, or the test fails. Prints by which check, and where.

use std::cell::Cell;
use std::fmt::Write;

use crate::base::planted::{Bug, plant};

use super::{Fall, STEPS, run};

/// Every bug is caught long before; the bound only ends a hunt in vain.
const SEEDS_MAX: u64 = 400;

thread_local! {
    /// This thread hunts: what panics is prey, not news.
    static HUNTS: Cell<bool> = const { Cell::new(false) };
}

fn hunt(bug: Bug) -> Option<Fall> {
    plant(Some(bug));
    HUNTS.set(true);
    let fall = (0..SEEDS_MAX).find_map(|seed| run(seed, STEPS, false).err());
    plant(None);
    fall
}

#[test]
fn every_planted_bug_is_caught() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !HUNTS.get() {
            tell(panic);
        }
    }));
    let (odd, even): (Vec<_>, Vec<_>) = (0..).zip(Bug::ALL).partition(|(number, _)| number % 2 == 1);
    let hunt_all = |bugs: Vec<(u32, Bug)>| {
        move || {
            let hunted = bugs.into_iter().map(|(number, bug)| (number, bug, hunt(bug)));
            hunted.collect::<Vec<_>>()
        }
    };
    let mut hunted = std::thread::scope(|scope| {
        let halves = [odd, even].map(|bugs| scope.spawn(hunt_all(bugs)));
        halves
            .map(|half| half.join().expect("a hunt catches panics"))
            .concat()
    });
    hunted.sort_by_key(|(number, ..)| *number);
    let mut table = String::new();
    for (_, bug, fall) in &hunted {
        let (name, caught) = (format!("{bug:?}"), fall.as_ref());
        let by = caught.map_or("NOT CAUGHT".to_owned(), |fall| {
            format!(
                "{:<16} seed {:>3}, step {:>4}",
                fall.failure.check, fall.seed, fall.step
            )
        });
        writeln!(table, "{name:<24} {by}").expect("a text takes all");
    }
    println!("{table}");
    assert!(hunted.iter().all(|(.., fall)| fall.is_some()), "\n{table}");
}
