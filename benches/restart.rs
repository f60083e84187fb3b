//! A start with 2,000,000 users on record, of whom every tenth was Online when the gateway died: how long until terminals
//! can connect, how much memory it takes, and how heartbeats fare when all those who do not come back are given up at
//! the same moment.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use common::report::Report;
use common::terminals::{self, Terminals};
use common::{Spread, metric, peak_rss_bytes, rss_bytes, wait_for_metric};
use holdfast::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId, UserId};
use holdfast::base::time::{Clock, Timestamp};
use holdfast::logic::delivery::{ToRegistry, UserKey};
use holdfast::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use holdfast::services::registry::Store;
use holdfast::services::registry::embedded::{Durability, EmbeddedSettings, EmbeddedStore, StoreLocation};
use serde_json::json;
use support::gateway::Gateway;
use tempfile::TempDir;

const USERS: usize = 2_000_000;
/// One of so many was Online.
const ONLINE_EACH: usize = 10;
/// Commits of one write while the store is filled.
const AT_ONCE: usize = 2_000;
/// Terminals that come back and beat.
const BACK: usize = 1_000;
const GRACE_S: u64 = 20;

/// What those are called that were Online.
const ONLINE: &str = "online";

const ONLINE_NOW: &str = "holdfast_devices_online_now";

fn main() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let filling = Instant::now();
    fill(folder.path());
    println!("{USERS} users on record after {:?}", filling.elapsed());
    let path = format!("{:?}", folder.path());
    let grace = GRACE_S.to_string();
    let settings = [
        ("shards.count", "2"),
        ("registry.path", path.as_str()),
        ("presence.restart_grace_s", grace.as_str()),
    ];
    let started = Instant::now();
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_holdfast"), &settings);
    let ready = started.elapsed();
    let (rss, peak) = (rss_bytes(gateway.id()), peak_rss_bytes(gateway.id()));
    let restored = metric(&gateway, "holdfast_devices_restored_total");
    assert_eq!(restored, USERS as u64);

    let mut back = Terminals::log_in(gateway.terminals, ONLINE, BACK);
    let all = metric(&gateway, ONLINE_NOW);
    let calm = beats(&mut back, &gateway, |online| online < all);
    let first_given_up = Instant::now();
    let busy = beats(&mut back, &gateway, |online| online == BACK as u64);
    let worked_off = first_given_up.elapsed();

    let mut report = Report::new("restart", "A start with 2,000,000 users on record");
    report.line(&format!(
        "{USERS} users with one device each, {} of them Online, the others PushOnline; 2 shards. {BACK} come back and beat; the others are given up together when the grace of {GRACE_S} s ends. The store was written just before the start, so its pages are in memory.\n",
        USERS / ONLINE_EACH
    ));
    report.line(&format!(
        "- from its start until it is ready: {:.2} s",
        ready.as_secs_f64()
    ));
    report.line(&format!(
        "- resident memory: {:.0} MiB, {:.0} B per user; at most {:.0} MiB",
        mib(rss),
        rss as f64 / USERS as f64,
        mib(peak)
    ));
    let given = USERS / ONLINE_EACH - BACK;
    report.line(&format!(
        "- from the first of {given} devices given up to the last: {:.1} s, their changes durable",
        worked_off.as_secs_f64()
    ));
    report.line(&format!(
        "- a heartbeat and its answer, ms: {} until the first was given up, {} from then on until the last was; median (smallest to largest)",
        Spread::of(&calm),
        Spread::of(&busy)
    ));
    report.data(json!({ "ready_s": ready.as_secs_f64(), "rss_bytes": rss, "peak_rss_bytes": peak,
        "given_up_s": worked_off.as_secs_f64(), "calm_ms": percentiles(&calm), "busy_ms": percentiles(&busy) }));
    report.claim("seconds from the start until it is ready", ready.as_secs_f64());
    report.write();
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn percentiles(figures: &[f64]) -> [f64; 4] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    [500, 900, 990, 999].map(|part| sorted[(sorted.len() - 1) * part / 1_000])
}

/// One heartbeat after the other, each on the next connection, until so many devices are Online that it fits. Gives how
/// long each took, ms.
fn beats(back: &mut Terminals, gateway: &Gateway, fits: impl Fn(u64) -> bool + Send) -> Vec<f64> {
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| wait_for_metric(gateway, ONLINE_NOW, fits));
        let mut took_ms = Vec::new();
        while !wait.is_finished() {
            took_ms.push(back.beat_one(took_ms.len() % BACK));
            std::thread::sleep(Duration::from_millis(1));
        }
        wait.join().expect("the number of devices that are Online fits");
        took_ms
    })
}

/// Puts everybody on record, as a gateway would have.
fn fill(path: &Path) {
    let place = StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: 256 << 20,
    };
    let rules = EmbeddedSettings {
        durability: Durability::Relaxed,
        callbacks: tokio::sync::watch::channel(Callbacks::None).1,
        changes_kept_ms: 7 * 86_400_000,
        deleted_kept_ms: 400 * 86_400_000,
    };
    let mut store = EmbeddedStore::open(place, rules).expect("a new store");
    let now = Clock::start().now().wall;
    let numbers: Vec<usize> = (0..USERS).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let mut letters: Vec<ToRegistry> = numbers.iter().map(|number| letter(*number, now)).collect();
        let mut answers = Vec::new();
        store.work_off(now, &mut letters, &mut answers);
        assert_eq!(answers.len(), numbers.len());
    }
    store.close(now);
}

/// Those that were Online are numbered for themselves, as they come back.
fn user(number: usize) -> String {
    match number % ONLINE_EACH {
        0 => terminals::user(ONLINE, number / ONLINE_EACH),
        _ => terminals::user("others", number),
    }
}

/// One user's login, and mostly the end of its link.
fn letter(number: usize, now: Timestamp) -> ToRegistry {
    let kinds = [
        ChangeKind::Login {
            fresh: ChangeNumber(1),
            forced_off: Vec::new(),
        },
        ChangeKind::LinkEnd,
    ];
    let count = if number.is_multiple_of(ONLINE_EACH) { 1 } else { 2 };
    let changes = kinds
        .into_iter()
        .take(count)
        .zip(1..)
        .map(|(kind, number)| Change {
            number: ChangeNumber(number),
            at: now,
            device: DeviceId {
                platform: Platform::Android,
                instance: InstanceId::MIN,
            },
            kind,
            address: None,
        });
    let commit = Commit {
        user: UserId::new(user(number).as_bytes()).expect("a UserID"),
        changes: changes.collect(),
        kicked_at_s: None,
        account: AccountStep::Keep,
    };
    ToRegistry::Commit(ShardId(0), UserKey(0), Box::new(commit))
}
