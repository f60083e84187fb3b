//! A kernel that is a model: rings whose operations end late and in any order, with every end that the real kernel has, under one
//! seed. It checks what the real one would not forgive, while owners like a shard and like a load generator drive the connection
//! machine. A failure prints its seed, and the same seed repeats it:
//!
//! ```text
//! HOLDFAST_KERNEL_SEED=17 cargo test --lib kernel      one seed
//! HOLDFAST_KERNEL_SEEDS=100000 cargo test --lib kernel many more
//! ```

pub(crate) mod model;
pub(crate) mod ring;
pub(crate) mod shared;
pub(crate) mod socket;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

const SEEDS: u64 = 1_000;
const STEPS: usize = 3_000;

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    World::live(seed, std::iter::repeat_with(|| random.u64(..)).take(STEPS));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_finds_anything_that_the_kernel_would_not_forgive() {
    let seeds = match number("HOLDFAST_KERNEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOLDFAST_KERNEL_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| run(seed)));
        assert!(
            result.is_ok(),
            "seed {seed}: HOLDFAST_KERNEL_SEED={seed} repeats it"
        );
    }
}
