//! The callback service in the node: its settings by the configuration, and the operator's way to what was given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::cluster_plan::{ClusterPlan, DeskEnds};
use super::store::{self, DiskStore};
use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::logic::record::Callbacks;
use crate::node::config::Config;
use crate::services::callback::{CallbackHandle, CallbackSettings, CallbackStore};
use crate::services::http::{Archived, CallbackStatus, DeadLetters, DeadSelection};
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::{Dead, OutboxStep};
use crate::services::registry::shared::open_lanes::OpenLanes;
use crate::services::shared_store::client::RedisStore;
use crate::services::trust::Trust;

/// Dead letters that are read at once.
const READ_AT_ONCE: usize = 1_000;

/// What the callback service goes by, with the certificates of `callback.ca_file`.
pub(super) fn settings(config: &Config, trust: Trust) -> CallbackSettings {
    let callback = &config.callback;
    CallbackSettings {
        sdk_app_id: config.logic.sdk_app_id,
        url: callback.url.clone(),
        token: callback.token.clone(),
        // An attempt has a connection of its own.
        parallel: callback.parallel.min(callback.connections_max),
        timeout: callback.timeout,
        give_up: callback.give_up,
        dead_kept: callback.dead_kept,
        trust,
    }
}

/// Who has to know which changes are told, and how.
pub struct CallbackUpdates {
    owed: watch::Sender<Callbacks>,
    service: Option<CallbackHandle>,
}

impl CallbackUpdates {
    /// The registry, which goes by `owed` from the next commit on, and the callback service, if there is a store to tell from.
    #[must_use]
    pub fn new(owed: watch::Sender<Callbacks>, service: Option<CallbackHandle>) -> Self {
        Self { owed, service }
    }

    /// Tells both of a changed configuration. What the registry is told counts at once.
    pub fn tell(&self, config: &Config, trust: Trust, receipt: Receipt) {
        self.owed.send_replace(store::callbacks(config));
        if let Some(service) = &self.service {
            service.update(settings(config, trust), receipt);
        }
    }
}

/// What readers and the operator see of the store that callbacks are told from; nothing of one in memory.
pub(super) fn readable(
    kept: Option<&DiskStore>,
    cluster: Option<&(ClusterPlan, DeskEnds)>,
    handle: Option<CallbackHandle>,
) -> (Option<Archived>, Option<Arc<dyn DeadLetters>>) {
    let (archived, lanes) = match (cluster, kept) {
        (Some((_, ends)), _) => (ends.archived(), CallbackLanes::Open(ends.lanes.clone())),
        (None, Some(kept)) => {
            let store = Arc::clone(&kept.reader) as Arc<dyn CallbackStore>;
            (kept.archived(), CallbackLanes::Sole(store))
        }
        (None, None) => return (None, None),
    };
    let access = handle.map(|handle| DeadLetterAccess { handle, lanes });
    (
        Some(archived),
        access.map(|access| Arc::new(access) as Arc<dyn DeadLetters>),
    )
}

/// The lanes that callbacks are told from.
enum CallbackLanes {
    /// The one of a store that has no other.
    Sole(Arc<dyn CallbackStore>),
    /// Those of the partitions that this node owns.
    Open(OpenLanes<RedisStore>),
}

impl CallbackLanes {
    fn all(&self) -> Vec<PartitionId> {
        match self {
            Self::Sole(_) => vec![PartitionId::SOLE],
            Self::Open(lanes) => lanes.open(),
        }
    }

    fn lane(&self, lane: PartitionId) -> Option<Arc<dyn CallbackStore>> {
        match self {
            Self::Sole(store) => (lane == PartitionId::SOLE).then(|| Arc::clone(store)),
            Self::Open(lanes) => Some(lanes.get(lane)? as Arc<dyn CallbackStore>),
        }
    }
}

/// The dead letters of a running callback service.
struct DeadLetterAccess {
    handle: CallbackHandle,
    lanes: CallbackLanes,
}

/// Dead letters of one lane: whose each is, and where its change is.
type NamedLetters = Vec<(UserId, Position)>;

/// The same with their lane.
type LettersOfLane = (Arc<dyn CallbackStore>, NamedLetters);

impl DeadLetterAccess {
    /// The chosen ones that are there, by their lanes.
    fn named(&self, which: &DeadSelection) -> Result<Vec<LettersOfLane>, ReadError> {
        let mut chosen: BTreeMap<PartitionId, Option<Vec<Position>>> = BTreeMap::new();
        match which {
            DeadSelection::These(places) => {
                for (lane, place) in places {
                    let places = chosen.entry(*lane).or_insert_with(|| Some(Vec::new()));
                    places.iter_mut().for_each(|places| places.push(*place));
                }
            }
            DeadSelection::All => chosen.extend(self.lanes.all().into_iter().map(|lane| (lane, None))),
        }
        let mut named = Vec::new();
        for (lane, places) in chosen {
            // One that is another node's by now is that node's to deal with.
            if let Some(store) = self.lanes.lane(lane) {
                let letters = named_of(&*store, places.as_deref())?;
                named.push((store, letters));
            }
        }
        Ok(named)
    }
}

/// Those of these places, or all.
fn named_of(store: &dyn CallbackStore, places: Option<&[Position]>) -> Result<NamedLetters, ReadError> {
    let name = |dead: &Dead| (dead.placed.recorded.user, dead.placed.position);
    let mut named = Vec::new();
    if let Some(places) = places {
        for place in places {
            let there = store.dead(Position(place.0.saturating_sub(1)), 1)?;
            named.extend(there.iter().map(name).filter(|(_, found)| found == place));
        }
        return Ok(named);
    }
    loop {
        let after = named.last().map_or(Position(0), |(_, place)| *place);
        let page = store.dead(after, READ_AT_ONCE)?;
        if page.is_empty() {
            return Ok(named);
        }
        named.extend(page.iter().map(name));
    }
}

impl DeadLetters for DeadLetterAccess {
    fn status(&self) -> Result<Vec<(PartitionId, CallbackStatus)>, ReadError> {
        let lanes = self.lanes.all().into_iter();
        let open = lanes.filter_map(|lane| Some((lane, self.lanes.lane(lane)?)));
        let status = |(lane, store): (PartitionId, Arc<dyn CallbackStore>)| {
            let status = CallbackStatus {
                done: store.cursor()?,
                last: store.last(),
                late: store.late_count(),
                dead: store.dead_count(),
            };
            Ok((lane, status))
        };
        open.map(status).collect()
    }

    fn dead(&self, lane: PartitionId, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        let store = self.lanes.lane(lane);
        store.map_or(Ok(Vec::new()), |store| store.dead(after, count_max))
    }

    fn replay(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        let named = self.named(which)?.into_iter();
        let letters: NamedLetters = named.flat_map(|(_, letters)| letters).collect();
        let count = letters.len() as u64;
        self.handle.replay(letters);
        Ok(count)
    }

    fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError> {
        self.handle.drop_late(user)
    }

    fn forget(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        let mut count = 0;
        for (store, letters) in self.named(which)? {
            for some in letters.chunks(READ_AT_ONCE) {
                let steps: Vec<_> = some.iter().map(|(_, place)| OutboxStep::Unbury(*place)).collect();
                store.take(&steps)?;
                count += steps.len() as u64;
            }
        }
        Ok(count)
    }
}
