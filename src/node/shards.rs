//! The node's shards: made from the configuration, and connected with each other and with the services.

use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::Receiver;

use super::addresses::{ListenAddress, ListenerRole, await_free};
use super::certificates::TlsTerms;
use super::config::shards::ShardPlan;
use super::config::{Config, Pin};
use super::deadline::StopStage;
use super::listeners::listeners;
use super::router::{Inboxes, SendToShard};
use super::shard_set::{LiveShards, ShardLauncher};
use super::startup_wait::StartupWait;
use crate::base::counters::Counters;
use crate::base::ids::ShardId;
use crate::base::limits::{RECEIVE_BUFFER_BYTES, RING_COMPLETIONS, RING_SUBMISSIONS};
use crate::base::time::Clock;
use crate::engine::probe;
use crate::engine::setup::{PreparedRing, SetupError};
use crate::logic::ShardPosition;
use crate::logic::delivery::ToShard;
use crate::protocol::transport::settings::ListenerTransports;
use crate::services::http::ShardCounters;
use crate::shard::mesh::ShardSendError;
use crate::shard::view;
use crate::shard::{Core, PreparedShard, Restored, ShardConfig, ShardHandle};

/// All shards' receive buffers together. They are touched only as far as they are needed at once.
pub const RECEIVE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a newer kernel (seen with Linux 6.18) counts as locked memory of a shard, for a process without CAP_IPC_LOCK: its
/// completions of 16 B, its submissions of 64 B with their places of 4 B, its buffers' entries of 16 B, and their parts of pages.
pub const LOCKED_BYTES_PER_SHARD: u64 = RING_COMPLETIONS as u64 * 16
    + RING_SUBMISSIONS as u64 * (64 + 4)
    + RECEIVE_BUFFERS_MAX as u64 * 16
    + 4 * 4_096;

/// Receive buffers of one shard. A turn reaps fewer receives than this at once, so more would never be in use.
const RECEIVE_BUFFERS_MAX: usize = 1_024;

/// Shards that are bound to their addresses.
#[derive(Debug)]
pub struct PreparedShards {
    shards: Vec<PreparedShard>,
    transports: ListenerTransports,
}

/// Shards that run.
#[derive(Debug)]
pub struct RunningShards(Vec<ShardHandle>);

impl PreparedShards {
    /// Makes all shards of `plan`, each listening at all addresses of terminals, for users of so many partitions.
    ///
    /// # Errors
    /// Says what the system lacks, or which address cannot be listened at.
    pub fn new(config: &Config, plan: ShardPlan, partitions: u16, tls: &TlsTerms) -> anyhow::Result<Self> {
        probe::check()?;
        let wait = StartupWait(config.startup_wait);
        let addresses = ListenAddress::all(ListenerRole::Terminals, config);
        addresses.iter().try_for_each(|at| await_free(at, wait))?;
        let listen = listeners(config, tls);
        let transports = listen.iter().map(|listener| Arc::clone(&listener.transport));
        let transports = ListenerTransports(transports.collect());
        let settings = Arc::new(config.logic.clone());
        let prepare = |shard: u16| {
            let config = ShardConfig {
                place: ShardPosition {
                    shard: ShardId(shard),
                    shards: plan.count,
                    partitions,
                    connections_max: plan.connections_max,
                },
                settings: Arc::clone(&settings),
                seed: fastrand::u64(..),
                listen: listen.clone(),
                receive_buffers: receive_buffers(plan.count),
                accepts_per_second_max: config.accepts_per_second_max,
                heartbeat_delay_max: config.heartbeat_delay_max,
                stop_deadline: StopStage::Clients.of(config.stop_within),
                core: match config.pin {
                    Pin::Yes => Core::Pinned(usize::from(shard)),
                    Pin::No => Core::Any,
                },
            };
            PreparedShard::new(config).with_context(|| format!("shard {shard}"))
        };
        let shards = (0..plan.count).map(prepare);
        let shards = shards.collect::<anyhow::Result<_>>()?;
        Ok(Self { shards, transports })
    }
}

/// Makes as many rings of the kind that `shards` shards have as take `bytes` of locked memory by reckoning, and drops them again.
///
/// # Errors
/// Says what the kernel refused.
pub fn try_rings(bytes: u64, shards: u16) -> Result<(), SetupError> {
    let count = bytes.div_ceil(LOCKED_BYTES_PER_SHARD);
    PreparedRing::try_many(count, receive_buffers(shards))
}

/// A power of two, as the ring wants it.
fn receive_buffers(shards: u16) -> u16 {
    let share = RECEIVE_BYTES_MAX / RECEIVE_BUFFER_BYTES / usize::from(shards);
    let buffers = 1_usize << share.clamp(1, RECEIVE_BUFFERS_MAX).ilog2();
    u16::try_from(buffers).expect("at most RECEIVE_BUFFERS_MAX")
}

impl ShardLauncher for PreparedShards {
    type Shards = RunningShards;

    fn count(&self) -> u16 {
        u16::try_from(self.shards.len()).expect("a plan counts its shards by a u16")
    }

    fn transports(&self) -> ListenerTransports {
        self.transports.clone()
    }

    fn sender(&self) -> SendToShard {
        let senders: Vec<_> = self.shards.iter().map(PreparedShard::sender).collect();
        Arc::new(
            move |shard, to_shard: ToShard| match senders[usize::from(shard.0)].send(to_shard) {
                // A shard that has ended needs no answer, and gives none.
                Ok(()) | Err(ShardSendError::Gone(_)) => Ok(()),
                Err(ShardSendError::Full(unsent)) => Err(unsent),
            },
        )
    }

    fn start(
        self,
        clock: Clock,
        inboxes: &Inboxes,
        restored: Vec<Receiver<Restored>>,
    ) -> anyhow::Result<RunningShards> {
        let neighbours: Vec<_> = self.shards.iter().map(PreparedShard::neighbour).collect();
        let start = |(shard, restored): (PreparedShard, Receiver<Restored>)| {
            let router = inboxes.clone().router();
            shard
                .spawn(clock.clone(), neighbours.clone(), router, restored)
                .context("a shard's thread")
        };
        self.shards
            .into_iter()
            .zip(restored)
            .map(start)
            .collect::<anyhow::Result<_>>()
            .map(RunningShards)
    }
}

impl LiveShards for RunningShards {
    fn counters(&self) -> ShardCounters {
        let views: Vec<_> = self.0.iter().map(|shard| shard.counters.clone()).collect();
        let timed = views.clone();
        let values = move || {
            views
                .iter()
                .map(|view| [&view.values()[..], &view.own_values()[..]].concat())
                .collect()
        };
        ShardCounters {
            names: [Counters::NAMES, &view::ShardView::OWN_NAMES[..]].concat(),
            values: Box::new(values),
            turn_times: Box::new(move || timed.iter().map(view::ShardView::turn_times).collect()),
        }
    }

    fn connections(&self) -> u64 {
        let taken = self.0.iter().map(|shard| shard.counters.slots_taken_now());
        taken.sum()
    }

    fn has_ended(&self) -> bool {
        self.0.iter().any(|shard| shard.thread.is_finished())
    }

    fn join(self) -> u64 {
        let mut dropped = 0;
        for shard in self.0 {
            match shard.thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(shard = shard.id.0, %error, "the shard could not work"),
                Err(_) => tracing::error!(shard = shard.id.0, "the shard has panicked"),
            }
            dropped += shard.counters.slots_taken_now();
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_buffers_keep_to_their_share() {
        for (shards, expected) in [(1, 1_024), (2, 1_024), (51, 512), (1_024, 32)] {
            assert_eq!(receive_buffers(shards), expected);
            assert!(usize::from(expected) * RECEIVE_BUFFER_BYTES * usize::from(shards) <= RECEIVE_BYTES_MAX);
        }
    }
}
