//! The numbers of a cluster, and how they have to stand to each other. All times are counted by the clock of who waits.

use std::time::Duration;

use crate::base::ids::NodeId;
use crate::services::cluster::token::Site;

/// How often a node beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// How often a member is told that time has passed.
pub const TICK: Duration = Duration::from_millis(100);
/// When something that was not done is asked for again.
pub const RETRY: Duration = Duration::from_millis(200);
/// How many partitions a node takes over at the same time: each is a scan of a whole hash in the store.
pub const ADOPTIONS_MAX: usize = 8;
/// A node that has just joined leaves partitions of nobody to others for so long, so that nodes that start together share them.
pub const NEWCOMER: Duration = Duration::from_secs(2);
/// How long a partition waits for the next life of its owner before others think of taking it.
pub const RESERVED: Duration = Duration::from_secs(10);
/// How long the next best waits for the best to take a partition.
pub const PRECEDENCE: Duration = Duration::from_secs(1);
/// A peer that was not heard for so long cannot be reached.
pub const PEER_SILENCE_MAX: Duration = Duration::from_secs(2);
/// For so long most others must have failed to reach a node before it hands over.
pub const ISOLATED_AFTER: Duration = Duration::from_secs(15);
/// How long a node that has announced its return is waited for.
pub const RETURN_MAX: Duration = Duration::from_secs(60);
/// For so long the peers must have said the same before a node sends its terminals away. A shared store that comes back is not noticed
/// by all at the same moment.
pub const VERDICT: Duration = Duration::from_secs(3);
/// Within so long a node that gives up all closes its links.
pub const SEND_AWAY: Duration = Duration::from_secs(5);
/// A node may have so much more than its share, in percent.
pub const SHARE_SLACK_PERCENT: u64 = 5;

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// This node.
    pub node: NodeId,
    /// Where it is.
    pub site: Site,
    /// How many partitions it is to have, against others. At least 1.
    pub weight: u32,
    /// How many there are.
    pub partitions: u16,
    /// How long a beat is good for.
    pub lease: Duration,
    /// A node whose beat stands still for so long is dead.
    pub dead: Duration,
    /// For so long after its lease a node without the shared store keeps its terminals.
    pub hold: Duration,
    /// How long devices that were Online may return after an adoption.
    pub restart_grace: Duration,
}

/// Why settings cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsFault {
    /// Three beats do not fit into the lease.
    LeaseTooShort,
    /// The dead time is less than one and a half leases: clocks that run apart could find a node dead that holds its lease.
    DeadTooEarly,
    /// Terminals of a node that was cut off would have less than 30 s to return elsewhere.
    GraceTooShort,
}

impl ClusterSettings {
    /// As they are without a setting.
    #[must_use]
    pub fn new(node: NodeId, site: Site, partitions: u16) -> Self {
        Self {
            node,
            site,
            weight: 1,
            partitions,
            lease: Duration::from_secs(6),
            dead: Duration::from_secs(9),
            hold: Duration::from_secs(15),
            restart_grace: Duration::from_secs(60),
        }
    }

    /// Whether the times fit together.
    ///
    /// # Errors
    /// Says which do not.
    pub fn check(&self) -> Result<(), SettingsFault> {
        if self.lease < BEAT * 3 {
            return Err(SettingsFault::LeaseTooShort);
        }
        if self.dead * 2 < self.lease * 3 {
            return Err(SettingsFault::DeadTooEarly);
        }
        if self.restart_grace < self.hold + Duration::from_secs(30) {
            return Err(SettingsFault::GraceTooShort);
        }
        Ok(())
    }

    /// The longest time between two beats that succeeded after which a node still trusts what it saw of the others in between.
    #[must_use]
    pub fn contact_gap_max(&self) -> Duration {
        self.dead - self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_do_not_fit_are_told() {
        let good = ClusterSettings::new(NodeId(1), Site(1), 256);
        let seconds = Duration::from_secs;
        let check = |settings: ClusterSettings, expected| assert_eq!(settings.check(), expected);
        check(good.clone(), Ok(()));
        let lease = |lease, dead| ClusterSettings {
            lease: seconds(lease),
            dead: seconds(dead),
            ..good.clone()
        };
        check(lease(2, 9), Err(SettingsFault::LeaseTooShort));
        check(lease(6, 8), Err(SettingsFault::DeadTooEarly));
        let grace = ClusterSettings {
            restart_grace: seconds(44),
            ..good.clone()
        };
        check(grace, Err(SettingsFault::GraceTooShort));
    }
}
