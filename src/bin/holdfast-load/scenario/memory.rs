//! What connections cost in memory: in the gateway's process, the registry's part apart, and in the kernel's caches.

use std::io;
use std::time::Duration;

use anyhow::Context;

use crate::gateway::Gateway;
use crate::generator::workload::Op;
use crate::process::rss_bytes;
use crate::slab::{self, PortBytes};

use super::stage::{LOGINS_AT_ONCE, ScenarioRun};

/// Huge pages would hide a slope in steps of 2 MiB.
pub(super) const SMALL_PAGES: (&str, &str) = ("MIMALLOC_ALLOW_THP", "0");

/// Nor may memory that was left behind when something grew be counted beside what it has. Giving it back at once costs CPU.
pub(super) const ENVIRONMENT: [(&str, &str); 2] = [SMALL_PAGES, ("MIMALLOC_PURGE_DELAY", "0")];

/// The memory of the registry's store, as small as it may be set: the store takes more than it says of itself, but no more than a
/// part of this, whatever the number of connections.
const STORE_BYTES: u32 = 16 << 20;

/// How often each of the first tenth comes and goes before anything is measured: as many logins as those of all others. What
/// threads keep for what is under way, in pages of each size, grows with the first thousands of logins of a shard and no more; it is
/// no part of what a connection costs.
const WARM_UP_VISITS: u32 = 9;

/// How that is told in a report.
pub(super) const WARM_UP: &str = "Before that each of the first tenth comes and goes nine times, as many visits as there are others, so that what a shard keeps for what is under way is there already.";

/// Lets the first terminals come and go, those before `end`. Gives how many visits there were.
pub(super) fn warm_up(run: &mut ScenarioRun, end: u32) -> anyhow::Result<u64> {
    let mut visits = 0;
    for _ in 0..WARM_UP_VISITS {
        let visit = run
            .server
            .each("the first tenth: visits", Op::Visit, (0, end), LOGINS_AT_ONCE)?;
        visits += visit.done;
    }
    let expected = u64::from(WARM_UP_VISITS) * u64::from(end);
    run.report
        .check_equal("visits of the first tenth that went well", expected, visits);
    Ok(visits)
}

/// The settings of a gateway whose terminals are told to beat this often, and whose memory is measured.
pub(super) fn settings(interval: Duration) -> Vec<(&'static str, String)> {
    vec![
        (
            "presence.heartbeat_interval_s",
            interval.as_secs().max(1).to_string(),
        ),
        ("registry.memory_bytes_max", STORE_BYTES.to_string()),
    ]
}

/// The allocator's part in what is resident, as the conditions of a run name it.
pub(super) fn environment(is_ours: bool) -> String {
    if is_ours {
        let pairs = ENVIRONMENT.map(|(key, value)| format!("{key}={value}"));
        format!(
            "without huge pages, and with freed memory given back at once ({})",
            pairs.join(" ")
        )
    } else {
        "with the allocator as it is set in the running gateway".to_owned()
    }
}

/// What is resident with some terminals, and what of it is the registry's. Bytes.
#[derive(Clone, Copy)]
pub(super) struct ResidentMemory {
    pub(super) rss: u64,
    pub(super) registry: u64,
}

/// What one connection adds to resident memory, and what of it is the registry's. Bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct UserBytes {
    pub(super) rss: f64,
    pub(super) registry: f64,
}

impl ResidentMemory {
    /// What is resident now.
    pub(super) fn of(run: &ScenarioRun) -> anyhow::Result<Self> {
        Self::of_all(run, &[&run.gateway])
    }

    /// The same of some gateways together.
    pub(super) fn of_all(run: &ScenarioRun, gateways: &[&Gateway]) -> anyhow::Result<Self> {
        let (mut rss, mut registry) = (0, 0);
        for gateway in gateways {
            let metrics = run.http.metrics(gateway.admin)?;
            rss += rss_bytes(gateway.process)?;
            registry += metrics
                .get("holdfast_registry_bytes_now")
                .context("the gateway does not say what its registry takes")?;
        }
        Ok(Self { rss, registry })
    }

    /// What each of `more` connections, which came in between, added.
    pub(super) fn each_since(self, before: Self, more: f64) -> UserBytes {
        let each = |before: u64, now: u64| (now as f64 - before as f64) / more;
        UserBytes {
            rss: each(before.rss, self.rss),
            registry: each(before.registry, self.registry),
        }
    }
}

impl UserBytes {
    /// Without the registry's part.
    pub(super) fn own(self) -> f64 {
        self.rss - self.registry
    }
}

/// The kernel's caches before the first connection.
pub(super) struct Caches {
    port: PortBytes,
    before: f64,
}

/// What the caches have grown by, with both ends of all connections in it. Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct BothEnds {
    pub(super) grown: f64,
    /// Of it the ports of the terminals' ends; the gateway's ends share one.
    pub(super) ports: f64,
}

impl Caches {
    /// Before the first connection.
    ///
    /// # Errors
    /// If this is not root, who alone may read `/proc/slabinfo`.
    pub(super) fn before() -> io::Result<Self> {
        Ok(Self {
            port: slab::port_bytes()?,
            before: slab::bytes()?,
        })
    }

    /// What they have grown by until now, with so many connections.
    ///
    /// # Errors
    /// As above.
    pub(super) fn grown(&self, connections: f64) -> io::Result<BothEnds> {
        Ok(BothEnds {
            grown: slab::bytes()? - self.before,
            ports: slab::ports_bytes(self.port, connections),
        })
    }
}

impl BothEnds {
    /// The gateway's half: both ends are direct descriptors with an armed poll, and only the terminals' have ports of their
    /// own.
    pub(super) fn gateways(self) -> f64 {
        (self.grown - self.ports) / 2.0
    }

    /// What of it came behind an earlier look.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            grown: self.grown - before.grown,
            ports: self.ports - before.ports,
        }
    }
}

/// What there is with so many connections.
pub(super) struct MemoryAt {
    pub(super) connections: u32,
    pub(super) memory: ResidentMemory,
    /// If the kernel tells.
    pub(super) both_ends: Option<BothEnds>,
}

impl MemoryAt {
    /// What there is now.
    pub(super) fn at(run: &ScenarioRun, connections: u32, caches: Option<&Caches>) -> anyhow::Result<Self> {
        let both_ends = caches.map(|caches| caches.grown(connections.into()));
        Ok(Self {
            connections,
            memory: ResidentMemory::of(run)?,
            both_ends: both_ends.transpose()?,
        })
    }

    /// What each connection that came since `few` added to resident memory.
    pub(super) fn user_bytes_since(&self, few: &Self) -> UserBytes {
        self.memory.each_since(few.memory, self.more_than(few))
    }

    /// What each of them added to the kernel's caches with the gateway's end.
    pub(super) fn kernel_bytes_since(&self, few: &Self) -> Option<f64> {
        let both_ends = self.both_ends?.since(few.both_ends?);
        Some(both_ends.gateways() / self.more_than(few))
    }

    fn more_than(&self, few: &Self) -> f64 {
        f64::from(self.connections) - f64::from(few.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_its_share_of_what_was_added() {
        let (rss, registry) = (1_000, 200);
        let few = ResidentMemory { rss, registry };
        let (rss, registry) = (5_000, 1_000);
        let many = ResidentMemory { rss, registry };
        let each = many.each_since(few, 10.0);
        assert_eq!((each.rss, each.registry, each.own()), (400.0, 80.0, 320.0));
        // ResidentMemory may also be given back.
        assert_eq!(few.each_since(many, 10.0).own(), -320.0);
    }

    #[test]
    fn the_gateway_has_half_of_what_is_not_the_ports() {
        let (grown, ports) = (1_000.0, 100.0);
        let few = BothEnds { grown, ports };
        assert_eq!(few.gateways(), 450.0);
        let (grown, ports) = (4_000.0, 300.0);
        assert_eq!(BothEnds { grown, ports }.since(few).gateways(), 1_400.0);
    }

    #[test]
    fn what_was_there_with_few_is_no_part_of_what_each_more_costs() {
        let look = |connections: u32, rss, registry, (grown, ports)| MemoryAt {
            connections,
            memory: ResidentMemory { rss, registry },
            both_ends: Some(BothEnds { grown, ports }),
        };
        let few = look(10, 70_000, 500, (90_000.0, 1_000.0));
        let many = look(100, 97_000, 1_400, (990_000.0, 10_000.0));
        let user_bytes = many.user_bytes_since(&few);
        assert_eq!((user_bytes.rss, user_bytes.registry), (300.0, 10.0));
        assert_eq!(many.kernel_bytes_since(&few), Some(4_950.0));
        let both_ends = None;
        let silent = MemoryAt { both_ends, ..few };
        assert_eq!(many.kernel_bytes_since(&silent), None);
    }
}
