//! How many shards there are, and how many connections each holds: what was asked for, the cores and RLIMIT_NOFILE
//! together decide. Knows no thread.

use super::problem::Problem;

/// What the configuration says. 0 means: choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardsWanted {
    /// Shards.
    pub count: u16,
    /// Connections of one shard, or of one core if the count is to be chosen.
    pub connections_max: u32,
}

/// What will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardPlan {
    /// Shards, at least 1.
    pub count: u16,
    /// Connections of each.
    pub connections_max: u32,
}

/// Direct descriptors of one ring: the kernel allows no more (`IORING_MAX_FIXED_FILES`).
const RING_SLOTS_MAX: u64 = 1 << 20;

/// More shards than this are no use on any machine.
const SHARDS_MAX: u64 = 1_024;

impl ShardsWanted {
    /// Chooses, on a machine with `cores` cores where RLIMIT_NOFILE is `descriptors_max`.
    ///
    /// # Errors
    /// If a shard cannot hold as many connections as it was told to.
    pub fn plan(self, cores: usize, descriptors_max: u64) -> Result<ShardPlan, Problem> {
        let slots_max = descriptors_max.clamp(1, RING_SLOTS_MAX);
        let wanted = match self.connections_max {
            0 => slots_max,
            wanted => u64::from(wanted),
        };
        let rings_a_core = wanted.div_ceil(slots_max);
        if self.count > 0 && rings_a_core > 1 {
            let found = format!("{wanted}, while RLIMIT_NOFILE allows a shard {slots_max}");
            let remedy = format!(
                "raise the limit (ulimit -n), or use {} shards",
                u64::from(self.count) * rings_a_core
            );
            return Err(Problem::new("shards.connections_max", found, remedy));
        }
        let count = match self.count {
            0 => (cores.max(1) as u64).saturating_mul(rings_a_core).min(SHARDS_MAX),
            count => u64::from(count),
        };
        let connections_max = wanted.div_ceil(rings_a_core);
        Ok(ShardPlan {
            count: u16::try_from(count).expect("at most SHARDS_MAX"),
            connections_max: u32::try_from(connections_max).expect("at most RING_SLOTS_MAX"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check((count, connections_max): (u16, u32), cores: usize, nofile: u64, expected: Option<(u16, u32)>) {
        let plan = ShardsWanted {
            count,
            connections_max,
        }
        .plan(cores, nofile);
        assert_eq!(plan.ok().map(|plan| (plan.count, plan.connections_max)), expected);
    }

    #[test]
    fn one_per_core_and_more_where_the_limit_demands_it() {
        check((0, 0), 4, 20_000, Some((4, 20_000)));
        check((0, 0), 4, u64::MAX, Some((4, 1 << 20)));
        check((0, 1_000), 4, 20_000, Some((4, 1_000)));
        check((0, 50_000), 4, 20_000, Some((12, 16_667)));
        check((3, 0), 4, 20_000, Some((3, 20_000)));
        check((3, 20_000), 4, 20_000, Some((3, 20_000)));
        check((3, 20_001), 4, 20_000, None);
        check((0, 0), 0, 0, Some((1, 1)));
    }
}
