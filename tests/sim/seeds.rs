//! Worlds that differ by their seeds: one of them with a trace, or many on two threads, up to the first that falls.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that the caller of the tests gives.
pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A kind of world. `C` counts what has happened.
pub(super) struct SeededWorlds<C> {
    /// Runs a seed, perhaps with a trace. Gives what has happened, or what is wrong.
    pub(super) run: fn(u64, bool) -> Result<C, String>,
    pub(super) add: fn(&mut C, &C),
}

impl<C: Debug + Default + Send> SeededWorlds<C> {
    /// Runs a seed; a panic is wrong, too.
    fn run_caught(&self, seed: u64, is_traced: bool) -> Result<C, String> {
        let done = catch_unwind(AssertUnwindSafe(|| (self.run)(seed, is_traced)));
        done.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        })
    }

    /// Gives the first failure, and what happened in all.
    fn run_all(&self, seeds: u64) -> (Option<(u64, String)>, C) {
        let next = AtomicU64::new(0);
        let found = Mutex::new((None::<(u64, String)>, C::default()));
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let is_over = found.lock().expect("no run panics with it").0.is_some();
                if seed >= seeds || is_over {
                    return;
                }
                let done = self.run_caught(seed, false);
                let mut found = found.lock().expect("no run panics with it");
                match done {
                    Ok(counts) => (self.add)(&mut found.1, &counts),
                    Err(fault) => drop(found.0.get_or_insert((seed, fault))),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(work);
            }
        });
        found.into_inner().expect("no run panics with it")
    }

    /// No seed may fall: the one that the caller names, or so many.
    pub(super) fn check(&self, seeds: u64) {
        if let Some(seed) = number("HOLDFAST_SIM_SEED") {
            let counts = self.run_caught(seed, true);
            println!("{counts:?}");
            assert!(counts.is_ok(), "HOLDFAST_SIM_SEED={seed} falls: {counts:?}");
            return;
        }
        let (fall, counts) = self.run_all(number("HOLDFAST_SIM_SEEDS").unwrap_or(seeds));
        if let Some((seed, fault)) = fall {
            panic!("HOLDFAST_SIM_SEED={seed} falls: {fault}");
        }
        println!("{counts:#?}");
    }

    /// Tells all seeds that fall, and fails for none.
    pub(super) fn tell_falls(&self, seeds: u64) {
        let seeds = number("HOLDFAST_SIM_SEEDS").unwrap_or(seeds);
        for seed in number("HOLDFAST_SIM_FROM").unwrap_or(0)..seeds {
            if let Err(fault) = self.run_caught(seed, false) {
                println!("{seed} {fault}");
            }
        }
    }

    /// A seed has one history.
    pub(super) fn check_same(&self, seeds: u64) {
        for seed in 0..seeds {
            let told = |seed| format!("{:?}", self.run_caught(seed, false));
            assert_eq!(told(seed), told(seed));
        }
    }
}
