//! The simulation of whole nodes: the real members, desks and shards of a cluster, joined as in a process, in a world of terminals, backends
//! and a shared store that fails, under one clock and one seed. A failure prints its seed, and the same seed repeats it:
//!
//! ```text
//! HOLDFAST_SIM_SEED=17 cargo test --lib sim::whole -- --nocapture     one seed, with a trace
//! HOLDFAST_SIM_SEEDS=20000 cargo test --release --lib sim::whole      many more
//! ```

mod servers;
mod client;
mod process;
mod world;
mod threads;
mod shards;
mod terminal;
mod whims;
mod backend;
mod history;
mod chaos;
mod checks;

use std::sync::Arc;
use std::time::Duration;

use super::cluster::group::Ms;
use super::seeds::SeededWorlds;
use super::terminal::{APP, SECRET};
use crate::base::ids::NodeId;
use crate::logic::settings::{Policy, Settings, TimeoutByClass, WebClose};
use crate::protocol::usersig::Key;
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::token::Site;
use history::Counts;
use process::ProcessPlan;
use world::{Happening, World, WorldSize};

const SEEDS: u64 = 1_000;
/// How long things go wrong.
const CHAOS_MS: Ms = 45_000;
/// Longer than a lease, a grace and a silence together.
const PEACE_MS: Ms = 58_000;
/// Terminals begin nothing new for so long before the end.
const QUIET_MS: Ms = 50_000;
const GRACE: Duration = Duration::from_secs(35);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// As short as they may be.
fn cluster_settings(node: NodeId, site: Site, partitions: u16) -> ClusterSettings {
    let settings = ClusterSettings {
        lease: Duration::from_secs(3),
        dead: Duration::from_secs(5),
        hold: Duration::from_secs(5),
        restart_grace: GRACE,
        ..ClusterSettings::new(node, site, partitions)
    };
    assert_eq!(settings.check(), Ok(()));
    settings
}

fn settings(random: &mut fastrand::Rng) -> Settings {
    let policies = [Policy::Single, Policy::Dual, Policy::Triple, Policy::Multi];
    Settings {
        sdk_app_id: APP,
        keys: vec![Key {
            secret: SECRET.into(),
            not_after_s: None,
        }],
        policy: policies[random.usize(0..policies.len())],
        web_close: if random.bool() {
            WebClose::AtOnce
        } else {
            WebClose::TimeOut
        },
        heartbeat_interval: Duration::from_millis(terminal::BEAT_MS),
        heartbeat_timeout: TimeoutByClass {
            mobile: SILENCE_MAX,
            desktop: SILENCE_MAX,
            web: SILENCE_MAX,
        },
        restart_grace: GRACE,
        logins_per_user_max: 0,
        ..Settings::default()
    }
}

fn world(seed: u64) -> World {
    let mut random = fastrand::Rng::with_seed(!seed);
    let plan = ProcessPlan {
        partitions: if random.bool() { 4 } else { 8 },
        shards: random.u16(1..=2),
        settings: Arc::new(settings(&mut random)),
        cluster: cluster_settings,
    };
    let size = WorldSize {
        nodes: random.u16(1..=3),
        groups: random.usize(1..=2),
        people: random.usize(4..=9),
    };
    World::new(seed, size, plan)
}

/// Gives what has happened, or what is wrong.
fn run(seed: u64, is_traced: bool) -> Result<Counts, String> {
    let mut world = world(seed);
    world.trace = is_traced;
    let calm = world.random.u64(3_000..8_000);
    world.run(calm);
    world.is_peaceful = false;
    world.servers().is_peaceful = false;
    world.after(0, Happening::Chaos);
    world.run(calm + CHAOS_MS);
    world.peace();
    world.run(calm + CHAOS_MS + PEACE_MS - QUIET_MS);
    world.is_quiet = true;
    world.run(calm + CHAOS_MS + PEACE_MS);
    world.ask_all();
    world.run(calm + CHAOS_MS + PEACE_MS + 200);
    world.judge();
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
fn whole_nodes_keep_their_promises_whatever_goes_wrong() {
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
