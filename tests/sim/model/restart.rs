//! What a crash and a start mean by the rules: devices that were Online have the grace to come back in, everything that
//! was not recorded never happened.

use crate::base::ids::{ShardId, UserId};
use crate::base::time::{Now, millis};
use crate::logic::record::Status;

use super::Model;
use super::user::{Busy, Grace};

/// A login that was refused as busy stops the grace for this long.
const PAUSE_MS: u64 = 1_000;
/// All pauses together, in graces.
const PAUSES_MAX: u64 = 3;

impl Model {
    /// The gateway is gone. Changes of the users in `recorded` were on their way and arrived.
    pub(crate) fn crashed(&mut self, now: Now, shards: u16, recorded: &[UserId]) {
        self.now = now;
        let users: Vec<UserId> = self.users.keys().copied().collect();
        for id in users {
            let busy = std::mem::take(&mut self.user(id).busy);
            if let Busy::Committing { decision, at, .. } = busy
                && recorded.contains(&id)
            {
                self.confirmed(id, decision, at);
            }
            self.forget_unrecorded(id);
        }
        self.out.clear();
        self.links.clear();
        self.logged_out.clear();
        self.failed.clear();
        self.taken.clear();
        self.shards = shards;
        self.room_used = vec![0; usize::from(shards)];
        self.starved = vec![Vec::new(); usize::from(shards)];
        self.graces = vec![Grace::default(); usize::from(shards)];
    }

    fn forget_unrecorded(&mut self, id: UserId) {
        let now = self.now;
        let user = self.user(id);
        user.busy = Busy::Idle;
        user.queue.clear();
        user.tries = 0;
        user.ends_known = None;
        user.resident = !user.devices.is_empty();
        for device in user.devices.values_mut() {
            (device.link, device.leaving) = (None, None);
            (device.background, device.rung) = (false, false);
            device.armed = now.instant.0;
            if device.status == Status::Online {
                device.restored = true;
                device.heard.0 = now.instant.0 - (now.wall.0 - device.login_at.0);
            }
        }
    }

    /// Terminals can connect again.
    pub(crate) fn opened_doors(&mut self, now: Now) {
        let began = now.instant.0;
        self.graces.fill(Grace {
            began,
            ends: began + millis(self.settings.restart_grace),
            busy_until: 0,
            paused: 0,
        });
    }

    /// A login was refused as busy: the grace stands still for a second from now on, not twice for the same moment.
    pub(crate) fn pause_grace(&mut self, shard: ShardId) {
        let now = self.now.instant.0;
        let grace = &mut self.graces[usize::from(shard.0)];
        if grace.ends > now {
            let paused_already = grace.busy_until.saturating_sub(now);
            let most = PAUSES_MAX * millis(self.settings.restart_grace) - grace.paused;
            let pause = (PAUSE_MS - paused_already).min(most);
            (grace.ends, grace.paused) = (grace.ends + pause, grace.paused + pause);
            grace.busy_until = now + PAUSE_MS;
        }
    }

    /// Whether nothing of the user is under way or resident.
    pub(crate) fn is_quiet(&self, id: UserId) -> bool {
        let user = &self.users[&id];
        user.devices.is_empty() && user.queue.is_empty() && matches!(user.busy, Busy::Idle)
    }

    /// The backend registered the account.
    pub(crate) fn imported(&mut self, id: UserId) {
        self.user(id).account = true;
    }
}
