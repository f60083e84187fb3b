//! Where the node's records are kept, by the configuration: opened, read for the shards' beginning, and handed to the
//! registry. Keeps nothing itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::Sender;
use tokio::sync::watch;

use super::config::{Config, StoreKind};
use super::privacy;
use super::startup_wait::StartupWait;
use crate::base::time::{Timestamp, millis};
use crate::logic::record::Callbacks;
use crate::services::http::Archived;
use crate::services::registry::Store;
use crate::services::registry::archive::{Archive, Position, SoleLane};
use crate::services::registry::embedded::{
    EmbeddedSettings, EmbeddedStore, OpenError, StoreLocation, StoreReader,
};
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::memory::MemoryStore;
use crate::shard::Restored;

/// Users that a shard takes in at once.
const RESTORED_AT_ONCE: usize = 256;

/// The node's store.
pub(super) struct OpenedStore {
    pub(super) store: Box<dyn Store>,
    pub(super) health: RegistryHealth,
    /// `None` if it is in memory.
    pub(super) kept: Option<DiskStore>,
    /// Decides which changes owe a callback from now on.
    pub(super) callbacks: watch::Sender<Callbacks>,
}

/// What only a store on disk has.
#[derive(Clone)]
pub(super) struct DiskStore {
    pub(super) reader: Arc<StoreReader>,
    pub(super) news: watch::Receiver<Position>,
}

impl DiskStore {
    pub(super) fn archive(self) -> Arc<dyn Archive> {
        self.reader
    }

    pub(super) fn archived(&self) -> Archived {
        Archived {
            lanes: Arc::new(SoleLane(Arc::clone(&self.reader) as Arc<dyn Archive>)),
            news: self.news.clone(),
        }
    }
}

/// Which changes are told, by the configuration.
pub(super) fn callbacks(config: &Config) -> Callbacks {
    match config.callback.url {
        Some(_) => config.callback.sent,
        None => Callbacks::None,
    }
}

/// Opens the store, once an earlier gateway that is being ended has let go of it.
fn open(
    place: &StoreLocation,
    settings: &EmbeddedSettings,
    wait: StartupWait,
) -> Result<EmbeddedStore, OpenError> {
    let attempt = || EmbeddedStore::open(place.clone(), settings.clone());
    let is_taken = |error: &OpenError| matches!(error, OpenError::InUse(_));
    wait.wait_for(attempt, is_taken, |error| {
        tracing::warn!(%error, within_s = wait.0.as_secs(), "the store is taken: waiting for it");
    })
}

impl OpenedStore {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let (callbacks, follows) = watch::channel(callbacks(config));
        if config.registry.store == StoreKind::Memory {
            let store = MemoryStore::default();
            return Ok(Self {
                health: store.health(),
                store: Box::new(store),
                kept: None,
                callbacks,
            });
        }
        let place = StoreLocation {
            path: config.registry.path.clone(),
            memory_bytes_max: config.registry.memory_bytes_max,
        };
        let settings = EmbeddedSettings {
            durability: config.registry.durability,
            callbacks: follows,
            changes_kept_ms: millis(config.registry.changes_kept),
            deleted_kept_ms: millis(config.registry.deleted_kept),
        };
        let store = open(&place, &settings, StartupWait(config.startup_wait)).context("registry.path")?;
        warn_if_open(&config.registry.path);
        let kept = DiskStore {
            reader: store.reader(),
            news: store.news(),
        };
        Ok(Self {
            health: store.health(),
            store: Box::new(store),
            kept: Some(kept),
            callbacks,
        })
    }
}

/// Files in it are made for nobody else, but older ones, and the folder itself, are as somebody made them.
fn warn_if_open(folder: &Path) {
    if let Some(mode) = privacy::open_to_others(folder) {
        tracing::warn!(
            folder = %folder.display(),
            mode = format_args!("{mode:o}"),
            "others than the gateway's user may look into the folder of the records: chmod -R go= would end that"
        );
    }
}

/// The time of the newest change. The start needs it for nothing but a warning: what cannot be read is passed over.
fn newest_at(reader: &StoreReader) -> Timestamp {
    let before = Position(reader.last().0.saturating_sub(1));
    let newest = reader.changes(before, 1).unwrap_or_default();
    newest
        .first()
        .map_or(Timestamp::default(), |placed| placed.recorded.change.at)
}

/// Hands all users that are on record with devices to their home shards, and notes the latest time that was seen. Gives how
/// many users there were.
pub(super) fn restore(
    kept: Option<&DiskStore>,
    senders: &[Sender<Restored>],
    health: &RegistryHealth,
) -> anyhow::Result<u64> {
    let Some(DiskStore { reader, .. }) = kept else {
        return Ok(0);
    };
    health.note_time(newest_at(reader));
    let shards = u16::try_from(senders.len()).context("too many shards")?;
    let mut batches: Vec<Restored> = senders.iter().map(|_| Vec::new()).collect();
    let mut count = 0;
    // A shard that is gone is noticed by the node.
    reader.residents(&mut |user, record| {
        health.note_time(record.changed_at);
        let home = usize::from(user.home(shards).0);
        batches[home].push((user, record));
        count += 1;
        if batches[home].len() == RESTORED_AT_ONCE {
            let _ = senders[home].send(std::mem::take(&mut batches[home]));
        }
    })?;
    for (sender, batch) in senders.iter().zip(batches) {
        let _ = sender.send(batch);
    }
    Ok(count)
}
