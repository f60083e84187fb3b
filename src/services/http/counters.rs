//! What the shards count, as the HTTP server reads it. Counts nothing itself.

use std::fmt;

use crate::base::histogram::Counted;

/// What the shards count, as they publish it.
pub struct ShardCounters {
    /// Name and meaning of each number; those named `…_now` are present amounts.
    pub names: Vec<(&'static str, &'static str)>,
    /// The numbers of each shard, in the order of the names.
    pub values: Box<dyn Fn() -> Vec<Vec<u64>> + Send>,
    /// How long the turns of each shard took.
    pub turn_times: Box<dyn Fn() -> Vec<Counted> + Send>,
}

impl ShardCounters {
    /// One number, summed over the shards.
    ///
    /// # Panics
    /// If nobody counts under that name.
    #[must_use]
    pub fn sum(&self, name: &str) -> u64 {
        let index = self.names.iter().position(|(known, _)| *known == name);
        let index = index.expect("only known numbers are asked for");
        (self.values)().iter().map(|shard| shard[index]).sum()
    }
}

impl fmt::Debug for ShardCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardCounters")
    }
}
