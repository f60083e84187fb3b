//! The simulation of a cluster: members in a world of nodes, a shared store with replicas, terminals, and everything that goes wrong, under
//! one seed. A failure prints its seed, and the same seed repeats it:
//!
//! ```text
//! HOLDFAST_SIM_SEED=17 cargo test --lib sim::cluster -- --nocapture     one seed, with a trace
//! HOLDFAST_SIM_SEEDS=100000 cargo test --release --lib sim::cluster     many more
//! ```

mod shared_store;
pub(super) mod group;
pub(super) mod clock;
mod process;
mod history;
mod world;
mod lines;
mod carry;
mod shards;
mod desk;
mod terminal;
mod chaos;
mod checks;
mod adoption;

use super::seeds::SeededWorlds;
use history::Counts;
use world::{Happening, World, WorldSize};

const SEEDS: u64 = 1_000;
/// How long things go wrong.
const CHAOS_MS: u64 = 150_000;
const PEACE_MS: u64 = 60_000;

fn size(random: &mut fastrand::Rng) -> WorldSize {
    let partitions = if random.bool() { 8 } else { 16 };
    WorldSize {
        nodes: random.u16(1..=4),
        partitions,
        groups: random.u16(1..=3),
        users: usize::from(partitions) * 2,
    }
}

/// Gives what has happened, or what is wrong.
fn run(seed: u64, is_traced: bool) -> Result<Counts, String> {
    let mut random = fastrand::Rng::with_seed(!seed);
    let mut world = World::new(seed, size(&mut random));
    world.trace = is_traced;
    let calm = random.u64(3_000..30_000);
    world.run(calm);
    world.is_peaceful = false;
    world.after(0, Happening::Chaos);
    world.run(calm + CHAOS_MS);
    world.peace();
    world.run(calm + CHAOS_MS + PEACE_MS);
    world.check_peace();
    match world.history.fault {
        Some(fault) => Err(fault),
        None => Ok(world.history.counts),
    }
}

const WORLDS: SeededWorlds<Counts> = SeededWorlds {
    run,
    add: Counts::add,
};

#[test]
fn members_keep_their_promises_whatever_goes_wrong() {
    WORLDS.check(SEEDS);
}

/// For those who change something: all seeds that fall, at once.
#[test]
#[ignore = "tells all that fall, and fails for none"]
fn all_falls() {
    WORLDS.tell_falls(SEEDS);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    WORLDS.check_same(5);
}
