//! What queries may wait for, by the gateway's own counts: how long turns of its shards took between two readings, and how
//! long queries took in it. It measures no time itself.

use crate::buckets::Buckets;
use crate::report::RunReport;

use super::stage::ScenarioRun;

/// Turns of each shard, and queries.
pub(super) struct Waits {
    turns: Vec<Buckets>,
    queries: Buckets,
}

impl Waits {
    /// How the figures are to be read.
    pub(super) const CONDITION: &str = "Turns and queries by the gateway's own counts are histograms whose buckets double: a figure is the upper bound of its bucket, so the true one is above half of it, or anything in the lowest bucket, and a ratio of two of them may be off by 2 either way; `inf` is beyond the last bound. Turns are given for each shard: the columns are over shards. A query goes to each shard as one letter; it waits until the turn that the shard is in has ended, and is answered in the next. So one that took longer in the gateway than two of the longest turns waited for something else: a core, or the front, which takes one query after the other.";

    /// All that was counted so far.
    pub(super) fn read(run: &ScenarioRun) -> anyhow::Result<Self> {
        let metrics = run.http.metrics(run.gateway.admin)?;
        let label = |shard: usize| format!("shard=\"{shard}\"");
        let is_there = |shard: &usize| {
            let count = format!("holdfast_shard_turn_seconds_count{{{}}}", label(*shard));
            metrics.contains_key(&count)
        };
        let shards = (0..).take_while(is_there);
        let turns = shards.map(|shard| Buckets::of(&metrics, "holdfast_shard_turn_seconds", &label(shard)));
        Ok(Self {
            turns: turns.collect::<anyhow::Result<_>>()?,
            queries: Buckets::of(&metrics, "holdfast_http_query_seconds", "")?,
        })
    }

    /// What came between an earlier reading and this one.
    pub(super) fn since(&self, earlier: &Self) -> anyhow::Result<Self> {
        let pairs = self.turns.iter().zip(&earlier.turns);
        Ok(Self {
            turns: pairs
                .map(|(now, before)| now.since(before))
                .collect::<anyhow::Result<_>>()?,
            queries: self.queries.since(&earlier.queries)?,
        })
    }

    /// `when` it was, as in "in the storm".
    pub(super) fn report(&self, report: &mut RunReport, when: &str) {
        let ms = |seconds: f64| seconds * 1_000.0;
        let by_shard = |of: fn(&Buckets) -> Option<f64>| -> Vec<f64> {
            self.turns.iter().filter_map(of).map(ms).collect()
        };
        let longest_turns = by_shard(Buckets::longest_s);
        let longest_turn = longest_turns.iter().copied().fold(0.0, f64::max);
        let name = format!("{when}: turn of a shard, p99 at most");
        report.rounds(&name, "ms", by_shard(|turns| turns.percentile_s(99.0)));
        let name = format!("{when}: longest turn of a shard, at most");
        report.rounds(&name, "ms", longest_turns);
        for percent in [50.0, 99.0] {
            if let Some(seconds) = self.queries.percentile_s(percent) {
                let name = format!("{when}: query in the gateway, p{percent:.0} at most");
                report.figure(&name, "ms", ms(seconds));
            }
        }
        if let Some(seconds) = self.queries.longest_s() {
            let name = format!("{when}: longest query in the gateway, at most");
            report.figure(&name, "ms", ms(seconds));
            let turns = ms(seconds) / longest_turn;
            let name = format!("{when}: that query ÷ the longest turn of any shard");
            report.figure(&name, "", turns);
        }
    }
}
