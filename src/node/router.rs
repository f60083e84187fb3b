//! The inboxes of the process by their addresses: carries deliveries there. Reads none.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::mpsc;

use crate::base::ids::{NodeId, ShardId};
use crate::logic::delivery::{Delivery, Router, ToPeer, ToRegistry, ToShard};
use crate::services::http::HttpReplySender;

/// The way into all shards. It never blocks: what finds no room comes back. A shard that has ended takes nothing.
pub type SendToShard = Arc<dyn Fn(ShardId, ToShard) -> Result<(), ToShard> + Send + Sync>;

/// The way to other nodes. It never blocks, either.
pub type PeersSender = mpsc::Sender<(NodeId, ToPeer)>;

/// The inboxes that one thread may write to.
#[derive(Clone)]
pub struct Inboxes {
    /// Of all shards.
    shards: SendToShard,
    /// The registry's; `None` for the registry itself, which ends when nobody can write to it.
    registry: Option<Sender<ToRegistry>>,
    /// The HTTP server's; `None` for the server itself.
    http: Option<HttpReplySender>,
    /// That of the thread that speaks to other nodes; `None` if there are none.
    peers: Option<PeersSender>,
}

impl std::fmt::Debug for Inboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inboxes")
    }
}

impl Inboxes {
    /// Those of whoever replies.
    #[must_use]
    pub fn of(shards: &SendToShard, http: HttpReplySender) -> Self {
        Self {
            shards: Arc::clone(shards),
            registry: None,
            http: Some(http),
            peers: None,
        }
    }

    /// The registry's beside them.
    #[must_use]
    pub fn with_registry(self, registry: Sender<ToRegistry>) -> Self {
        let registry = Some(registry);
        Self { registry, ..self }
    }

    /// Those that the HTTP server writes to: all but its own, and other nodes if there are any.
    #[must_use]
    pub fn of_http(self, peers: Option<PeersSender>) -> Self {
        Self {
            http: None,
            peers,
            ..self
        }
    }

    /// Carries to these inboxes.
    #[must_use]
    pub fn router(self) -> Router {
        Box::new(move |delivery| match delivery {
            Delivery::Shard(shard, to_shard) => {
                (self.shards)(shard, to_shard).map_err(|unsent| Delivery::Shard(shard, unsent))
            }
            Delivery::Registry(request) => {
                let registry = self.registry.as_ref().expect("the registry asks itself nothing");
                match registry.try_send(request) {
                    // The node notices by itself that the registry has ended.
                    Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
                    Err(TrySendError::Full(unsent)) => Err(Delivery::Registry(unsent)),
                }
            }
            Delivery::Http(reply) => {
                let http = self
                    .http
                    .as_ref()
                    .expect("the HTTP server replies to nobody in here");
                http.send(reply).map_err(Delivery::Http)
            }
            Delivery::Outcomes(outcomes) => {
                let http = self.http.as_ref().expect("the HTTP server tells itself nothing");
                http.tell(outcomes).map_err(Delivery::Outcomes)
            }
            Delivery::Peer(node, asked) => {
                let peers = self
                    .peers
                    .as_ref()
                    .expect("without other nodes nobody is at home there");
                let unsent = peers.try_send((node, asked)).err();
                unsent.map_or(Ok(()), |unsent| {
                    let (node, asked) = unsent.into_inner();
                    Err(Delivery::Peer(node, asked))
                })
            }
        })
    }
}

/// How long somebody waits who has a notice for a full inbox. A shard empties its own in each turn.
const NOTIFY_AGAIN: Duration = Duration::from_millis(1);

/// Puts a notice into a shard's inbox. Waits while there is no room.
pub fn notify(shards: &SendToShard, shard: ShardId, notice: ToShard) {
    let mut unsent = shards(shard, notice);
    while let Err(notice) = unsent {
        std::thread::sleep(NOTIFY_AGAIN);
        unsent = shards(shard, notice);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use crossbeam_channel::bounded;

    use super::*;
    use crate::base::ids::{RequestId, UserId};
    use crate::logic::delivery::{KickError, ToHttp, UserKey};

    fn full() -> SendToShard {
        Arc::new(|_, unsent| Err(unsent))
    }

    fn user() -> UserId {
        UserId::new(b"alice").unwrap()
    }

    #[test]
    fn what_finds_no_room_comes_back_and_nobody_panics() {
        let (registry, _inbox) = bounded(0);
        let router = Inboxes {
            shards: full(),
            registry: Some(registry),
            http: None,
            peers: None,
        }
        .router();
        let load = ToRegistry::Load(ShardId(0), UserKey(1), user());
        let all = [
            Delivery::Shard(ShardId(1), ToShard::Kick(RequestId(7), user())),
            Delivery::Shard(ShardId(1), ToShard::Stop),
            Delivery::Registry(load),
        ];
        for delivery in all {
            assert_eq!(router(delivery.clone()), Err(delivery));
        }
    }

    #[test]
    fn a_request_that_finds_no_room_is_refused_and_a_reply_or_notice_is_kept() {
        let refused = Delivery::Shard(ShardId(1), ToShard::Kick(RequestId(7), user())).refuse();
        let busy = ToHttp::Kicked(RequestId(7), Err(KickError::Busy));
        assert_eq!(refused, Ok(Delivery::Http(busy.clone())));
        for kept in [Delivery::Shard(ShardId(1), ToShard::Stop), Delivery::Http(busy)] {
            assert_eq!(kept.clone().refuse(), Err(kept));
        }
    }

    #[test]
    fn who_has_a_notice_waits_until_there_is_room() {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let third_time: SendToShard =
            Arc::new(move |_, notice| match counted.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(notice),
                _ => Ok(()),
            });
        notify(&third_time, ShardId(0), ToShard::Stop);
        assert_eq!(tries.load(Ordering::Relaxed), 3);
    }
}
