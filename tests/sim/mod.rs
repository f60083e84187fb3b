//! The simulation: a world of shards on the model of a kernel, terminals and a registry under one seed, compared at every step with
//! a model written from the presence rules. A failure prints its seed, and the same seed repeats it:
//!
//! ```text
//! HOLDFAST_SIM_SEED=17 cargo test --lib sim -- --nocapture     one seed, with a trace
//! HOLDFAST_SIM_SEEDS=20000 cargo test --release --lib sim      many more
//! ```

mod backend;
mod callbacks;
mod checks;
mod client;
mod cluster;
mod crowd;
mod effects;
mod messages;
mod model;
mod network;
mod network_size;
mod registry;
mod replay;
mod restart;
mod rush;
mod shelf;
mod shown;
mod steps;
mod terminal;
pub(crate) mod watched;
pub(crate) mod ways;
mod seeds;
mod whole;
pub(crate) mod wire;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::counters::Counters;
use crate::base::ids::{DeviceId, Platform, UserId};
use crate::base::time::{BEFORE_START_MS, Instant, Now, Timestamp};
use crate::logic::settings::{
    AddressLimits, Capacities, Conflict, ConnectionTrace, Policy, Registration, Settings, TimeoutByClass,
    WebClose,
};
use crate::protocol::usersig::Key;
use callbacks::Post;
use checks::Failure;
use crowd::Crowd;
use messages::MessageBook;
use model::Model;
use network::Pace;
use network_size::NetworkSize;
use registry::Registry;
use seeds::number;
use shelf::Shelf;
use steps::Mood;
use terminal::{APP, SECRET, Wallet};
use ways::Ways;
use wire::TransportCounts;
use world::{Trace, World};

const SEEDS: u64 = 1_000;
const STEPS: u32 = 2_000;

const NAMES: &[(&str, &str)] = Counters::NAMES;

/// In the order of [`NAMES`].
type Counts = [u64; NAMES.len()];

fn add(one: Counts, other: Counts) -> Counts {
    std::array::from_fn(|place| one[place] + other[place])
}

/// Counters that the world leaves alone: it has always a key, few addresses, and rarely as many kicks as
/// are too many.
const NOT_REACHED: &[&str] = &[
    "kicks_refused",
    "logins{code=\"USERSIG_NO_KEY\"}",
    "addresses_full",
    "login_rates_full",
    // A world is one gateway, and no node of a cluster.
    "logins{code=\"ELSEWHERE\"}",
];

/// Where a seed failed.
#[derive(Debug, Clone)]
struct Fall {
    seed: u64,
    step: u32,
    failure: Failure,
}

fn settings(random: &mut fastrand::Rng) -> Settings {
    let mut instances = [1; 7];
    for (platform, count) in Platform::ALL.into_iter().zip(&mut instances) {
        let most = if platform == Platform::Web { 10 } else { 3 };
        *count = if random.bool() { 1 } else { random.u8(1..=most) };
    }
    let mut timeout = || {
        let choices = [400_000, 60_000, 130_700];
        Duration::from_millis(choices[random.usize(..choices.len())])
    };
    let heartbeat_timeout = TimeoutByClass {
        mobile: timeout(),
        desktop: timeout(),
        web: timeout(),
    };
    let policies = [Policy::Single, Policy::Dual, Policy::Triple, Policy::Multi];
    Settings {
        sdk_app_id: APP,
        keys: vec![Key {
            secret: SECRET.into(),
            not_after_s: None,
        }],
        policy: random.choice(policies).expect("there are four"),
        conflict: if random.u8(..3) == 0 {
            Conflict::OldestWins
        } else {
            Conflict::NewestWins
        },
        instances,
        web_close: if random.u8(..3) == 0 {
            WebClose::AtOnce
        } else {
            WebClose::TimeOut
        },
        heartbeat_timeout,
        restart_grace: random
            .choice([2_000, 5_000, 60_000, 500_000])
            .map(Duration::from_millis)
            .expect("there are some"),
        registration: if random.u8(..5) == 0 {
            Registration::ByImport
        } else {
            Registration::AtLogin
        },
        addresses: if random.u8(..4) == 0 {
            AddressLimits {
                connections_max: random.choice([0, 1, 2, 4]).expect("there are some"),
                failed_logins_max: random.choice([0, 1, 2]).expect("there are some"),
                ..AddressLimits::default()
            }
        } else {
            AddressLimits::default()
        },
        logins_per_user_max: match random.u8(..4) {
            0 => random.u32(1..=8),
            1 => 0,
            _ => 60,
        },
        message_bytes_max: random.choice([1_000, 5_000, 1 << 20]).expect("there are some"),
        capacities: Capacities {
            registry_in_flight: random.choice([1, 2, 2, 4_096]).expect("there are some"),
            logins_waiting: random.choice([1, 2, 16]).expect("there are some"),
        },
        ..Settings::default()
    }
}

/// Notes decide nothing: every third world takes them, and goes on as it would without.
fn trace(seed: u64) -> ConnectionTrace {
    if seed.is_multiple_of(3) {
        ConnectionTrace::On
    } else {
        ConnectionTrace::Off
    }
}

fn pools(random: &mut fastrand::Rng) -> Vec<(UserId, Vec<DeviceId>)> {
    let users = random.u8(3..=8);
    let mut pool = |number: u8| {
        let user = UserId::new(format!("user {number}").as_bytes()).expect("a good name");
        let devices = if random.u8(..8) == 0 {
            random.u64(18..30)
        } else {
            random.u64(2..7)
        };
        let device = |instance: u64| DeviceId {
            platform: random.choice(Platform::ALL).expect("there are seven"),
            instance: NonZeroU64::new(instance + 1).expect("not 0"),
        };
        (user, (0..devices).map(device).collect())
    };
    (0..users).map(&mut pool).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = Arc::new(Settings {
            trace: trace(seed),
            ..settings(&mut random)
        });
        let pools = pools(&mut random);
        let shards = random.u16(1..=4);
        let instant = Instant(BEFORE_START_MS + random.u64(..100_000));
        let wall = Timestamp(1_700_000_000_000 + random.u64(..1_000_000));
        let now = Now { instant, wall };
        let shelf = Arc::<Shelf>::default();
        let users: Vec<UserId> = pools.iter().map(|(user, _)| *user).collect();
        let size = NetworkSize::some(&mut random);
        let kernel = size.kernel(random.fork(), shards);
        Self {
            now,
            shards: size.shards((now, seed), &kernel, &settings, &users),
            kernel,
            model: Model::new(settings.clone(), shards, &users),
            registry: Registry::new(Arc::clone(&shelf)),
            post: Post::new(shelf, &users, &mut random),
            terminals: BTreeMap::new(),
            wallet: Wallet::default(),
            pools,
            ways: Ways::some(&mut random),
            terminals_tls: ways::terminals_tls(&mut random),
            counted: TransportCounts::default(),
            sessions: BTreeMap::new(),
            known: vec![BTreeMap::new(); usize::from(shards)],
            turned_away: vec![false; usize::from(shards)],
            messages: MessageBook::default(),
            size,
            crowds: (0..shards).map(|_| Crowd::default()).collect(),
            requests: 0,
            mood: Mood::Slow,
            pace: Pace::Prompt,
            past: [0; NAMES.len()],
            trace: Trace::Off,
            history: Cell::new(0),
            settings,
            random,
        }
    }
}

impl World {
    /// What the shards have counted, those that are gone among them.
    fn counts(&self) -> Counts {
        let counts = self.shards.iter().map(|shard| shard.logic().counters().values());
        counts.fold(self.past, add)
    }
}

/// Gives the world at its end.
fn run(seed: u64, steps: u32, trace: Trace) -> Result<World, Fall> {
    let mut world = World::new(seed);
    world.trace = trace;
    for step in 0..steps {
        world.note(|| format!("step {step}, {} ms, {:?}", world.now.instant.0, world.mood));
        let done = catch_unwind(AssertUnwindSafe(|| world.step(step)));
        let done = done.unwrap_or_else(|panic| Err(fall_of_panic(&*panic)));
        done.map_err(|failure| Fall { seed, step, failure })?;
    }
    let ended = catch_unwind(AssertUnwindSafe(|| {
        world.check_end()?;
        world.post.settle(world.now.wall)
    }));
    let ended = ended.unwrap_or_else(|panic| Err(fall_of_panic(&*panic)));
    ended.map_err(|failure| Fall {
        seed,
        step: steps,
        failure,
    })?;
    Ok(world)
}

fn fall_of_panic(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Failure {
        check: "panic",
        text: text.unwrap_or_default(),
    }
}

/// Runs every second seed from `first` on, up to the first that falls, in this half or the other one.
fn run_half(first: u64, seeds: u64, steps: u32, has_fallen: &AtomicBool) -> Result<Counts, Fall> {
    let mut seeds = (first..seeds)
        .step_by(2)
        .take_while(|_| !has_fallen.load(Ordering::Relaxed));
    seeds.try_fold([0; NAMES.len()], |sum, seed| {
        let world = run(seed, steps, Trace::Off);
        let world = world.inspect_err(|_| has_fallen.store(true, Ordering::Relaxed))?;
        Ok(add(sum, world.counts()))
    })
}

/// Runs the seeds on two threads.
fn run_all(seeds: u64, steps: u32) -> [Result<Counts, Fall>; 2] {
    let has_fallen = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|first| scope.spawn(move || run_half(first, seeds, steps, has_fallen)));
        halves.map(|half| half.join().expect("it catches panics"))
    })
}

#[test]
fn shards_do_what_the_rules_say() {
    if let Some(seed) = number("HOLDFAST_SIM_SEED") {
        if let Err(fall) = run(seed, STEPS, Trace::Printed) {
            panic!(
                "seed {seed}, step {}: {}\n{}",
                fall.step, fall.failure.check, fall.failure.text
            );
        }
        return;
    }
    let seeds = number("HOLDFAST_SIM_SEEDS").unwrap_or(SEEDS);
    let halves = run_all(seeds, STEPS);
    let tell = |fall: &Fall| {
        let Fall { seed, step, failure } = fall;
        format!(
            "HOLDFAST_SIM_SEED={seed} falls at step {step}, {}:\n{}",
            failure.check, failure.text
        )
    };
    let falls: Vec<String> = halves
        .iter()
        .filter_map(|half| half.as_ref().err())
        .map(tell)
        .collect();
    assert!(falls.is_empty(), "\n{}", falls.join("\n"));
    let counts = halves.into_iter().flatten().fold([0; NAMES.len()], add);
    for ((name, _), count) in NAMES.iter().zip(counts) {
        println!("{name:<28} {count:>10}");
        assert!(
            count > 0 || seeds < SEEDS || NOT_REACHED.contains(name),
            "the world never reaches {name}"
        );
    }
}

#[test]
fn a_seed_has_one_history() {
    let with_tls = (0..).filter(|seed| World::new(*seed).ways == Ways::All);
    for seed in with_tls.take(2) {
        let [one, other] = [(); 2].map(|()| {
            let world = run(seed, STEPS / 4, Trace::Hashed);
            world
                .map(|world| world.history.get())
                .map_err(|fall| fall.failure.text)
        });
        assert_eq!(one, other, "seed {seed}");
        assert!(one.is_ok(), "{one:?}");
    }
}
