//! What is on record in the shared store, read as a node reads it.

use std::sync::{Arc, Mutex};

use holdfast::base::ids::PartitionId;
use holdfast::logic::record::{Change, ChangeKind};
use holdfast::services::registry::archive::{Archive, Placed, Position};
use holdfast::services::registry::shared::lane::{LaneSource, SharedLane};
use holdfast::services::registry::shared::ownership::ConfirmedPlaces;
use holdfast::services::shared_store::calls::SharedStore;
use holdfast::services::shared_store::client::RedisStore;
use holdfast::services::shared_store::settings::{CopiesMissing, RedisSettings, TypedRedis};

use crate::history::{Event, Recorder};
use crate::world::{PARTITIONS, World, wait_until};

/// As many as come at once.
const PAGE: usize = 1_000;

/// Puts every change of every partition into the history.
pub fn record(world: &World) {
    let urls: Vec<String> = world.servers.0.iter().map(|server| server.url()).collect();
    let typed = TypedRedis {
        urls: &urls,
        user: None,
        password: None,
        ca: None,
        identity: None,
        copies: 1,
        copies_missing: CopiesMissing::Wait,
    };
    let store = RedisStore::new(RedisSettings::read(&typed).unwrap(), "nemesis", PARTITIONS);
    let store = Arc::new(Mutex::new(store));
    for partition in (0..PARTITIONS).map(PartitionId) {
        wait_until("a lane that can be read", || {
            let Some(changes) = changes(&store, partition) else {
                return false;
            };
            for placed in changes {
                put(&world.recorder, &placed);
            }
            true
        });
    }
}

/// All changes of a partition; `None` if it cannot be read now.
fn changes(store: &Arc<Mutex<RedisStore>>, partition: PartitionId) -> Option<Vec<Placed>> {
    let seen = store.lock().unwrap().look(partition).ok()?.answer;
    let confirmed = ConfirmedPlaces::new(PARTITIONS);
    confirmed.set(partition, Position(seen.places.seq));
    let lane = SharedLane::open(LaneSource {
        store: Arc::clone(store),
        partition,
        fence: seen.fence,
        store_id: 0,
        copies: 1,
        confirmed,
    });
    let lane = lane.ok()?;
    let mut all: Vec<Placed> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |placed| placed.position);
        let page = lane.changes(after, PAGE).ok()?;
        if page.is_empty() {
            return Some(all);
        }
        all.extend(page);
    }
}

fn put(recorder: &Recorder, placed: &Placed) {
    let recorded = &placed.recorded;
    let change = &recorded.change;
    let forced_off = match &change.kind {
        ChangeKind::Login { forced_off, .. } => forced_off.clone(),
        _ => Vec::new(),
    };
    let named = forced_off
        .iter()
        .map(|(device, status)| (device.platform.name().to_owned(), status.name().to_owned()));
    recorder.record(&Event::Change {
        user: recorded.user.as_str().to_owned(),
        change: change.number.0,
        kind: kind(change).to_owned(),
        platform: change.device.platform.name().to_owned(),
        session: recorded.session.0,
        forced_off: named.collect(),
        previous: recorded.previous.map(|previous| previous.0),
    });
}

fn kind(change: &Change) -> &'static str {
    match change.kind {
        ChangeKind::Login { .. } => "login",
        ChangeKind::Logout => "logout",
        ChangeKind::LinkEnd => "link-end",
        ChangeKind::TimeOut => "time-out",
        ChangeKind::Expiry => "expiry",
        ChangeKind::Kick => "kick",
        ChangeKind::Deletion => "deletion",
    }
}
