//! The limits of one address by their settings: how many connections a shard holds of it, and how many of its logins may
//! fail in a minute.

use crate::base::ids::ShardId;
use crate::base::time::Instant;
use crate::protocol::native::proto::Code;
use crate::sim::shown::{Group, Link};

use super::Model;
use super::link::{Phase, Whose};

/// Failed logins count for so long from the first of them on.
const WINDOW_MS: u64 = 60_000;

/// Logins of one address that failed at one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    count: u32,
    since: Instant,
}

impl Model {
    /// Whether one more connection of its address may be at this shard.
    pub(super) fn may_enter(&self, shard: ShardId, link: Link) -> bool {
        let most = self.settings.addresses.connections_max;
        !self.has_failed_too_often(shard, link) && (most == 0 || self.held(shard, link) < most as usize)
    }

    /// Others of its address that are at this shard.
    fn held(&self, shard: ShardId, link: Link) -> usize {
        let others = self.links.iter().filter(|(other, conn)| {
            let here = match conn.phase {
                Phase::Gone | Phase::Moving(..) => false,
                Phase::Greeting | Phase::Waiting(..) | Phase::Live(..) | Phase::LoggingOut => true,
            };
            let counts = here && conn.shard == shard && conn.whose == Whose::Clients;
            counts && **other != link && Group::of(**other) == Group::of(link)
        });
        others.count()
    }

    pub(super) fn has_failed_too_often(&self, shard: ShardId, link: Link) -> bool {
        let most = self.settings.addresses.failed_logins_max;
        let failed = self.failed.get(&(shard, Group::of(link)));
        let count = failed
            .filter(|failed| !self.is_over(failed))
            .map_or(0, |failed| failed.count);
        most > 0 && count >= most
    }

    /// A login was refused before it was anyone's.
    pub(super) fn note_failed(&mut self, shard: ShardId, link: Link, code: Code) {
        if !code.as_str_name().starts_with("CODE_USERSIG_") {
            return;
        }
        let place = (shard, Group::of(link));
        let since = self.now.instant;
        match self.failed.get(&place).copied() {
            Some(failed) if !self.is_over(&failed) => {
                let count = failed.count + 1;
                self.failed.insert(place, Failed { count, ..failed });
            }
            Some(_) | None => {
                self.failed.insert(place, Failed { count: 1, since });
            }
        }
    }

    fn is_over(&self, failed: &Failed) -> bool {
        self.now.instant.0 >= failed.since.0 + WINDOW_MS
    }
}
