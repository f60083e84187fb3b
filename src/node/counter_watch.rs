//! Watches what shards count for what an operator has to hear of: accepting that pauses, connections that are lost, turns that
//! take long. Each is told once when it begins and once when it is over. Only tells.

use std::time::Duration;

use crate::base::histogram::{BUCKETS, Counted, bound};
use crate::services::http::ShardCounters;

/// So many looks without another occurrence, and it is over: a table that is full pauses again and again.
const QUIET_LOOKS: u32 = 10;

/// A turn that takes longer keeps every terminal of its shard waiting as long.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Compares the counters with what they were.
#[derive(Debug)]
pub(super) struct CounterWatch {
    counters: ShardCounters,
    pauses: Episode,
    lost: Episode,
    paced: Episode,
    slow_turns: Episode,
}

impl CounterWatch {
    pub(super) fn new(counters: ShardCounters) -> Self {
        Self {
            counters,
            pauses: Episode::default(),
            lost: Episode::default(),
            paced: Episode::default(),
            slow_turns: Episode::default(),
        }
    }

    /// Tells what has begun and what is over since the last look.
    pub(super) fn look(&mut self) {
        let sum = |name| self.counters.sum(name);
        let (pauses, lost, paced) = (sum("accept_pauses"), sum("accepts_failed"), sum("accepts_paced"));
        match self.pauses.look(pauses) {
            Some(EpisodeChange::Began) => {
                let (taken, slots) = (sum("slots_taken_now"), sum("slots_now"));
                tracing::warn!(
                    taken,
                    slots,
                    "accepting pauses: a shard's table of connections is nearly full"
                );
            }
            Some(EpisodeChange::Over(times)) => {
                tracing::info!(times, "accepting goes on: the tables have room")
            }
            None => {}
        }
        match self.lost.look(lost) {
            Some(EpisodeChange::Began) => tracing::warn!(
                "accepting pauses: the system has no descriptor or no memory for a connection (EMFILE, ENFILE, ENOMEM, ENOBUFS)"
            ),
            Some(EpisodeChange::Over(times)) => {
                tracing::info!(times, "accepting goes on: the system has room")
            }
            None => {}
        }
        match self.paced.look(paced) {
            Some(EpisodeChange::Began) => {
                tracing::info!("accepting is held to terminals.accepts_per_second_max")
            }
            Some(EpisodeChange::Over(times)) => tracing::info!(times, "accepting is not held back"),
            None => {}
        }
        match self.slow_turns.look(slow_turns(&(self.counters.turn_times)())) {
            Some(EpisodeChange::Began) => {
                tracing::warn!(longer_than = ?TURN_MAX, "a shard's turns take long: terminals wait")
            }
            Some(EpisodeChange::Over(times)) => tracing::info!(times, "no shard's turn takes long"),
            None => {}
        }
    }
}

fn slow_turns(shards: &[Counted]) -> u64 {
    let slow = (1..BUCKETS).filter(|bucket| bound(bucket - 1) >= TURN_MAX);
    slow.map(|bucket| shards.iter().map(|shard| shard.counts[bucket]).sum::<u64>())
        .sum()
}

/// A counter that grows now and then.
#[derive(Debug, Default)]
struct Episode {
    seen: u64,
    /// What it was before the episode, while there is one.
    began_at: Option<u64>,
    quiet: u32,
}

/// What there is to say of one.
#[derive(Debug, PartialEq, Eq)]
enum EpisodeChange {
    Began,
    /// It happened so often.
    Over(u64),
}

impl Episode {
    fn look(&mut self, now: u64) -> Option<EpisodeChange> {
        let before = std::mem::replace(&mut self.seen, now);
        if now > before {
            self.quiet = 0;
            let begins = self.began_at.is_none();
            self.began_at.get_or_insert(before);
            return begins.then_some(EpisodeChange::Began);
        }
        let began_at = self.began_at?;
        self.quiet += 1;
        if self.quiet < QUIET_LOOKS {
            return None;
        }
        self.began_at = None;
        Some(EpisodeChange::Over(now - began_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_is_told_when_it_begins_and_when_it_is_over() {
        let mut episode = Episode::default();
        assert_eq!(episode.look(0), None);
        assert_eq!(episode.look(3), Some(EpisodeChange::Began));
        assert_eq!(episode.look(5), None, "told already");
        for _ in 1..QUIET_LOOKS {
            assert_eq!(episode.look(5), None);
        }
        assert_eq!(episode.look(5), Some(EpisodeChange::Over(5)));
        assert_eq!(episode.look(5), None, "told already");
        assert_eq!(episode.look(6), Some(EpisodeChange::Began), "and again");
    }

    #[test]
    fn only_turns_beyond_the_limit_are_slow() {
        let counts = std::array::from_fn(|bucket| 10_u64.pow(u32::try_from(bucket % 18).unwrap()));
        let counted = Counted { counts, sum_ns: 0 };
        let slow = (0..BUCKETS).filter(|bucket| *bucket > 0 && bound(bucket - 1) >= TURN_MAX);
        let slow: u64 = slow.map(|bucket| counts[bucket]).sum();
        assert_eq!(slow_turns(&[counted, counted]), 2 * slow);
        assert!(
            bound(18) > TURN_MAX && bound(17) < TURN_MAX,
            "three buckets are slow"
        );
        assert_eq!(slow, 10 + 100 + 1_000);
    }
}
