//! What is on record of a user, and the changes that it is the fold of. Shared by the shard that decides a
//! change, the registry that keeps it, and whoever checks them. Never decides whether a change may happen.

use std::net::Ipv6Addr;

use crate::base::ids::{ChangeNumber, Class, DeviceId, Platform, SessionId, UserId};
use crate::base::limits::ENDED_DEVICES_MAX;
use crate::base::time::Timestamp;
use crate::logic::kick_order::later_kick;

/// The status of a device, or of a user: the highest of its devices'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// No session, or one that has ended.
    Offline,
    /// A mobile device whose link is gone and that may be reached by push.
    PushOnline,
    /// Logged in.
    Online,
}

impl Status {
    /// The name in every interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::PushOnline => "PushOnline",
            Self::Online => "Online",
        }
    }
}

/// One step of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Follows the user's previous change without a gap.
    pub number: ChangeNumber,
    /// When it was decided. On record it is never before the user's previous change: see [`UserRecord::changed_at`].
    pub at: Timestamp,
    /// Whose step it is.
    pub device: DeviceId,
    /// What it is.
    pub kind: ChangeKind,
    /// Where the terminal was connected from, if that is known. A change that says nothing of it gets the device's address on
    /// record.
    pub address: Option<Ipv6Addr>,
}

/// What can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A login was accepted, by the person or as a resume that needs a new session.
    Login {
        /// The change of the fresh login that the session goes back to: this one's own number, if it is fresh.
        fresh: ChangeNumber,
        /// Devices that had to go, each with the status it had.
        forced_off: Vec<(DeviceId, Status)>,
    },
    /// The terminal logged out.
    Logout,
    /// The link ended.
    LinkEnd,
    /// No frame came for the heartbeat time-out.
    TimeOut,
    /// The device was PushOnline for too long.
    Expiry,
    /// The backend ended the session.
    Kick,
    /// The backend deleted the account.
    Deletion,
}

/// What a commit does to the account besides its changes. A login always registers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AccountStep {
    /// It stays what it is.
    #[default]
    Keep,
    /// It is unknown from now on. Its record goes on, for the numbering.
    Delete,
}

/// The platforms of those of some devices that were Online, for `KickedDevice` and the login answer.
#[must_use]
pub fn platforms_online(devices: &[(DeviceId, Status)]) -> Vec<Platform> {
    let online = devices.iter().filter(|(_, status)| *status == Status::Online);
    online.map(|(device, _)| device.platform).collect()
}

/// Which changes the app backend is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Callbacks {
    /// None: no receiver is configured.
    #[default]
    None,
    /// All but the end of PushOnline, for which no callback is documented.
    Documented,
    /// All.
    All,
}

/// A change as it stands on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// Whose.
    pub user: UserId,
    /// What happened.
    pub change: Change,
    /// The session that began, or the one that it happened to.
    pub session: SessionId,
    /// It has a callback, which names the user's last change before it that had one; 0 if there was none.
    pub previous: Option<ChangeNumber>,
}

/// Changes of one user that are recorded together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Whose.
    pub user: UserId,
    /// In order, the first following what is on record. Empty if only `kicked_at_s` is recorded, or nothing: that the registry takes
    /// it shows that the user is this node's.
    pub changes: Vec<Change>,
    /// The Unix second of a kick: UserSigs made in it or before are refused from now on.
    pub kicked_at_s: Option<u64>,
    /// What becomes of the account.
    pub account: AccountStep,
}

/// All that is on record of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserRecord {
    /// The number of the last change.
    pub change: ChangeNumber,
    /// The time of the last change. None that follows has an earlier one, also if the clock was set back: time is held back
    /// for each user alone, so a clock that was wrong once is wrong for nobody else.
    pub changed_at: Timestamp,
    /// The number of the last change that had a callback.
    pub told: ChangeNumber,
    /// Whether the account exists. The record of a deleted one goes on, for the numbering and the kick second.
    pub registered: bool,
    /// The Unix second of the last kick; 0 if there was none.
    pub kicked_at_s: u64,
    /// The devices that are not Offline.
    pub devices: Vec<DeviceRecord>,
    /// How the last session of each Offline device ended: the latest last, at most [`ENDED_DEVICES_MAX`].
    pub ended: Vec<EndedRecord>,
}

/// A device that is not Offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Which.
    pub device: DeviceId,
    /// Online or PushOnline.
    pub status: Status,
    /// The session it has.
    pub session: SessionId,
    /// The change of the fresh login that the session goes back to.
    pub fresh: ChangeNumber,
    /// When the session began.
    pub login_at: Timestamp,
    /// When it got its present status.
    pub since: Timestamp,
    /// The last address that a change of the device came from. A link that ended is not in a shard's memory any more, and what
    /// happens to the device later is told with this.
    pub address: Option<Ipv6Addr>,
}

/// The end of a device's last session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRecord {
    /// Which device.
    pub device: DeviceId,
    /// The session that ended.
    pub session: SessionId,
    /// The change of the fresh login that it went back to.
    pub fresh: ChangeNumber,
    /// How.
    pub ending: Ending,
    /// When.
    pub at: Timestamp,
}

/// How a session can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The link ended, of a device that is never PushOnline.
    LinkEnd,
    /// Silence, of a device that is never PushOnline.
    TimeOut,
    /// It was PushOnline for too long.
    Expiry,
    /// The terminal logged out.
    Logout,
    /// Another login forced it off.
    ForcedOff {
        /// The platform of that login.
        winner: Platform,
    },
    /// The backend ended it.
    Kick,
}

impl ChangeKind {
    /// The status that a device of this class has after the change. Devices that a login forces off are Offline.
    #[must_use]
    pub fn status_after(&self, class: Class) -> Status {
        match (self, class) {
            (Self::Login { .. }, _) => Status::Online,
            (Self::LinkEnd | Self::TimeOut, Class::Mobile) => Status::PushOnline,
            (Self::LinkEnd | Self::TimeOut, Class::Desktop | Class::Web) => Status::Offline,
            (Self::Logout | Self::Expiry | Self::Kick | Self::Deletion, _) => Status::Offline,
        }
    }

    /// How a session ends by the change, if it does.
    fn ending(&self) -> Ending {
        match self {
            Self::LinkEnd => Ending::LinkEnd,
            Self::TimeOut => Ending::TimeOut,
            Self::Expiry => Ending::Expiry,
            Self::Logout => Ending::Logout,
            Self::Kick | Self::Deletion => Ending::Kick,
            Self::Login { .. } => unreachable!("a login ends no session of its own device"),
        }
    }
}

impl Commit {
    /// Whether it changes nothing, and only asks whether it could.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        self.changes.is_empty() && self.kicked_at_s.is_none() && self.account == AccountStep::Keep
    }
}

impl Change {
    /// Whether the app backend is called for it.
    #[must_use]
    pub fn has_callback(&self, callbacks: Callbacks) -> bool {
        match (callbacks, &self.kind) {
            (Callbacks::None, _) | (Callbacks::Documented, ChangeKind::Expiry) => false,
            (Callbacks::Documented | Callbacks::All, _) => true,
        }
    }
}

impl UserRecord {
    /// The user's status: the highest of the devices'.
    #[must_use]
    pub fn status(&self) -> Status {
        self.devices
            .iter()
            .map(|device| device.status)
            .max()
            .unwrap_or(Status::Offline)
    }

    /// Takes a commit in.
    ///
    /// # Panics
    /// If it does not follow what is on record: that is a defect of whoever decided it.
    pub fn apply(&mut self, commit: &Commit) {
        self.finish(commit);
        for change in &commit.changes {
            self.apply_change(&self.as_kept(change.clone()));
        }
    }

    /// As [`UserRecord::apply`]; gives the changes as they are to be kept.
    ///
    /// # Panics
    /// As [`UserRecord::apply`].
    pub fn record(&mut self, commit: Commit, callbacks: Callbacks) -> Vec<RecordedChange> {
        let mut recorded = Vec::with_capacity(commit.changes.len());
        self.finish(&commit);
        for change in commit.changes {
            let change = self.as_kept(change);
            let before = self.session_of(change.device);
            self.apply_change(&change);
            let session = self.session_of(change.device).or(before).unwrap_or_default();
            let previous = change.has_callback(callbacks).then_some(self.told);
            if previous.is_some() {
                self.told = change.number;
            }
            recorded.push(RecordedChange {
                user: commit.user,
                change,
                session,
                previous,
            });
        }
        recorded
    }

    /// A record that has no change yet takes up the numbering of a commit. Its shard had loaded the record of a deleted account
    /// that was forgotten before the commit came, and goes on behind that one's last change.
    pub fn go_on_numbering(&mut self, commit: &Commit) {
        if let Some(first) = commit.changes.first().filter(|_| self.change.0 == 0) {
            self.change = ChangeNumber(first.number.0.saturating_sub(1));
        }
    }

    fn finish(&mut self, commit: &Commit) {
        let logs_in = |change: &Change| matches!(change.kind, ChangeKind::Login { .. });
        self.registered |= commit.changes.iter().any(logs_in);
        self.kicked_at_s = later_kick(self.kicked_at_s, commit.kicked_at_s.unwrap_or(0));
        match commit.account {
            AccountStep::Keep => {}
            AccountStep::Delete => self.registered = false,
        }
    }

    /// The change with the time and the address that it has on record.
    fn as_kept(&self, change: Change) -> Change {
        let at = change.at.max(self.changed_at);
        let known = self.device(change.device);
        let address = change.address.or_else(|| known?.address);
        Change {
            at,
            address,
            ..change
        }
    }

    fn device(&self, device: DeviceId) -> Option<&DeviceRecord> {
        self.devices.iter().find(|known| known.device == device)
    }

    fn session_of(&self, device: DeviceId) -> Option<SessionId> {
        self.device(device).map(|known| known.session)
    }

    fn apply_change(&mut self, change: &Change) {
        assert_eq!(
            change.number,
            self.change.next(),
            "changes are numbered without a gap"
        );
        self.change = change.number;
        self.changed_at = change.at;
        let status = change.kind.status_after(change.device.platform.class());
        match (&change.kind, status) {
            (ChangeKind::Login { fresh, forced_off }, _) => {
                let winner = change.device.platform;
                for (loser, _) in forced_off {
                    self.end(*loser, Ending::ForcedOff { winner }, change.at);
                }
                self.begin(change, *fresh);
            }
            (kind, Status::Offline) => self.end(change.device, kind.ending(), change.at),
            (_, Status::Online | Status::PushOnline) => self.go_on(change, status),
        }
    }

    fn begin(&mut self, change: &Change, fresh: ChangeNumber) {
        self.devices.retain(|known| known.device != change.device);
        self.ended.retain(|known| known.device != change.device);
        self.devices.push(DeviceRecord {
            device: change.device,
            status: Status::Online,
            session: change.number,
            fresh,
            login_at: change.at,
            since: change.at,
            address: change.address,
        });
    }

    /// The session goes on with another status.
    fn go_on(&mut self, change: &Change, status: Status) {
        let known = self
            .devices
            .iter_mut()
            .find(|known| known.device == change.device);
        let known = known.expect("a device that loses its link is on record");
        known.status = status;
        known.since = change.at;
        known.address = change.address;
    }

    fn end(&mut self, device: DeviceId, ending: Ending, at: Timestamp) {
        let place = self.devices.iter().position(|known| known.device == device);
        let known = self
            .devices
            .remove(place.expect("a device that ends is on record"));
        if self.ended.len() == ENDED_DEVICES_MAX {
            self.ended.remove(0);
        }
        self.ended.push(EndedRecord {
            device,
            session: known.session,
            fresh: known.fresh,
            ending,
            at,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::InstanceId;

    const YEARS_AHEAD: u64 = 315_360_000_000;

    fn commit(number: u64, at: u64) -> Commit {
        let device = DeviceId {
            platform: Platform::Web,
            instance: InstanceId::MIN,
        };
        let kind = ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        };
        let change = Change {
            number: ChangeNumber(number),
            at: Timestamp(at),
            device,
            kind,
            address: None,
        };
        Commit {
            user: UserId::new(b"alice").unwrap(),
            changes: vec![change],
            kicked_at_s: None,
            account: AccountStep::Keep,
        }
    }

    #[test]
    fn the_time_of_one_user_never_falls_and_rises_with_the_clock() {
        let mut record = UserRecord::default();
        let mut at = |number, at| {
            let recorded = record.record(commit(number, at), Callbacks::None);
            assert_eq!(record.devices[0].login_at, recorded[0].change.at);
            recorded[0].change.at.0
        };
        let times = [
            (1, 1_000, 1_000),
            (2, YEARS_AHEAD, YEARS_AHEAD),
            (3, 2_000, YEARS_AHEAD),
            (4, YEARS_AHEAD + 1, YEARS_AHEAD + 1),
        ];
        for (number, decided_at, expected) in times {
            assert_eq!(at(number, decided_at), expected);
        }
        let mut applied = UserRecord::default();
        times
            .iter()
            .for_each(|(number, at, _)| applied.apply(&commit(*number, *at)));
        assert_eq!(applied, record, "both ways to take a commit agree");
    }

    const HOME: Option<Ipv6Addr> = Some(Ipv6Addr::LOCALHOST);
    const ROAD: Option<Ipv6Addr> = Some(Ipv6Addr::UNSPECIFIED);

    /// Changes of one device with their addresses, and the addresses that they have on record.
    fn check_addresses(platform: Platform, changes: &[(ChangeKind, Option<Ipv6Addr>, Option<Ipv6Addr>)]) {
        let (mut record, mut applied) = (UserRecord::default(), UserRecord::default());
        for ((kind, address, expected), number) in changes.iter().zip(1..) {
            let mut commit = commit(number, number);
            let change = &mut commit.changes[0];
            change.device.platform = platform;
            (change.kind, change.address) = (kind.clone(), *address);
            applied.apply(&commit);
            let recorded = record.record(commit, Callbacks::None);
            assert_eq!(
                recorded[0].change.address, *expected,
                "{platform:?} {number}: {kind:?}"
            );
            assert_eq!(applied, record, "both ways to take a commit agree");
        }
    }

    fn login() -> ChangeKind {
        ChangeKind::Login {
            fresh: ChangeNumber(1),
            forced_off: Vec::new(),
        }
    }

    #[test]
    fn a_time_out_without_a_link_has_the_address_of_the_login() {
        check_addresses(
            Platform::Web,
            &[(login(), HOME, HOME), (ChangeKind::TimeOut, None, HOME)],
        );
        check_addresses(
            Platform::Android,
            &[
                (login(), HOME, HOME),
                (ChangeKind::TimeOut, None, HOME),
                (ChangeKind::Expiry, None, HOME),
            ],
        );
    }

    #[test]
    fn a_change_with_an_address_replaces_the_one_on_record() {
        check_addresses(
            Platform::Android,
            &[
                (login(), HOME, HOME),
                (ChangeKind::LinkEnd, ROAD, ROAD),
                (ChangeKind::Expiry, None, ROAD),
            ],
        );
        check_addresses(
            Platform::Mac,
            &[
                (login(), HOME, HOME),
                (login(), ROAD, ROAD),
                (ChangeKind::LinkEnd, None, ROAD),
            ],
        );
    }

    #[test]
    fn kicks_and_deletions_of_a_device_without_a_link_have_its_last_address() {
        for end in [ChangeKind::Kick, ChangeKind::Deletion, ChangeKind::Logout] {
            check_addresses(
                Platform::IPhone,
                &[
                    (login(), HOME, HOME),
                    (ChangeKind::LinkEnd, ROAD, ROAD),
                    (end, None, ROAD),
                ],
            );
        }
    }

    #[test]
    fn the_address_of_an_ended_session_is_gone_with_it() {
        check_addresses(
            Platform::Web,
            &[
                (login(), HOME, HOME),
                (ChangeKind::Logout, None, HOME),
                (login(), None, None),
                (ChangeKind::TimeOut, None, None),
            ],
        );
    }

    #[test]
    fn each_device_has_an_address_of_its_own() {
        let mut record = UserRecord::default();
        let mut at = |number, platform, kind, address| {
            let mut commit = commit(number, number);
            let change = &mut commit.changes[0];
            change.device.platform = platform;
            (change.kind, change.address) = (kind, address);
            record.record(commit, Callbacks::All).remove(0).change.address
        };
        at(1, Platform::Web, login(), HOME);
        at(2, Platform::Android, login(), ROAD);
        assert_eq!(at(3, Platform::Web, ChangeKind::TimeOut, None), HOME);
        assert_eq!(at(4, Platform::Android, ChangeKind::TimeOut, None), ROAD);
    }
}
