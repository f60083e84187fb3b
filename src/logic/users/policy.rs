//! Who may be online together. Pure: sees the devices that are not Offline, names those that must go.

use crate::base::ids::{Class, DeviceId, Platform};
use crate::logic::record::{DeviceRecord, Status, UserRecord};
use crate::logic::settings::{Conflict, Policy, Settings};

/// A device that is not Offline, as the policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub device: DeviceId,
    /// Whether it has a connection.
    pub linked: bool,
    /// The number of its fresh login: the lower, the older.
    pub fresh: u64,
}

/// What a login finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyVerdict {
    /// It may; these must go.
    Admit(Vec<DeviceId>),
    /// It may not: a device with a connection is in the way.
    Refuse,
}

/// What the login of `newcomer` means for the user's other devices.
#[must_use]
pub fn admit(settings: &Settings, newcomer: DeviceId, devices: &[Candidate]) -> PolicyVerdict {
    let others: Vec<Candidate> = devices
        .iter()
        .filter(|other| other.device != newcomer)
        .copied()
        .collect();
    let mut leaving = wrong_platforms(settings.policy, newcomer.platform, &others);
    let instances = settings.instances_of(newcomer.platform);
    leaving.extend(surplus(instances, newcomer.platform, &others));
    let blocked = leaving.iter().any(|device| device.linked);
    if settings.conflict == Conflict::OldestWins && blocked {
        return PolicyVerdict::Refuse;
    }
    PolicyVerdict::Admit(leaving.iter().map(|device| device.device).collect())
}

/// How many devices of a user are Online, and would have to go if the newest login came again under `settings`.
#[must_use]
pub fn would_leave(settings: &Settings, record: &UserRecord) -> usize {
    let Some(newest) = record.devices.iter().max_by_key(|known| known.fresh) else {
        return 0;
    };
    let candidates: Vec<_> = record.devices.iter().map(Candidate::of).collect();
    match admit(settings, newest.device, &candidates) {
        PolicyVerdict::Admit(leaving) => {
            let online = |known: &&Candidate| known.linked && leaving.contains(&known.device);
            candidates.iter().filter(online).count()
        }
        // The oldest wins: it is the newest that would be refused.
        PolicyVerdict::Refuse => usize::from(newest.status == Status::Online),
    }
}

impl Candidate {
    fn of(known: &DeviceRecord) -> Self {
        Self {
            device: known.device,
            linked: known.status == Status::Online,
            fresh: known.fresh.0,
        }
    }
}

/// Platforms that share one place under a policy. `None`: the platform has a place of its own.
fn place(policy: Policy, platform: Platform) -> Option<u8> {
    match (policy, platform.class()) {
        (Policy::Single, _) => Some(0),
        (Policy::Dual, Class::Web) | (Policy::Triple, Class::Web) => Some(2),
        (Policy::Dual, Class::Mobile | Class::Desktop) | (Policy::Triple, Class::Mobile) => Some(0),
        (Policy::Triple, Class::Desktop) => Some(1),
        (Policy::Multi, _) => None,
    }
}

/// All devices of the platforms that may not stay: in the newcomer's place every other platform; in each other place
/// all but the best one (there can be more only after the policy was changed).
fn wrong_platforms(policy: Policy, newcomer: Platform, others: &[Candidate]) -> Vec<Candidate> {
    let stays = |platform: Platform| match place(policy, platform) {
        None => true,
        shared if shared == place(policy, newcomer) => platform == newcomer,
        shared => {
            let rivals = others
                .iter()
                .filter(|other| place(policy, other.device.platform) == shared);
            rivals
                .max_by_key(|other| rank(other))
                .is_some_and(|best| best.device.platform == platform)
        }
    };
    others
        .iter()
        .filter(|other| !stays(other.device.platform))
        .copied()
        .collect()
}

/// The devices of the newcomer's platform beyond its limit.
fn surplus(instances: usize, newcomer: Platform, others: &[Candidate]) -> Vec<Candidate> {
    let mut same: Vec<Candidate> = others
        .iter()
        .filter(|other| other.device.platform == newcomer)
        .copied()
        .collect();
    same.sort_by_key(rank);
    let leaving = (same.len() + 1).saturating_sub(instances);
    same.truncate(leaving);
    same
}

/// The lower goes first: those without a connection, then the one whose fresh login is oldest.
fn rank(device: &Candidate) -> (bool, u64) {
    (device.linked, device.fresh)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::base::ids::{ChangeNumber, InstanceId};
    use crate::base::time::Timestamp;

    fn device(platform: Platform, instance: u64, linked: bool) -> Candidate {
        let device = DeviceId {
            platform,
            instance: InstanceId::new(instance).unwrap(),
        };
        Candidate {
            device,
            linked,
            fresh: instance,
        }
    }

    fn name(device: DeviceId) -> String {
        format!("{}{}", device.platform.name(), device.instance)
    }

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for policy in [Policy::Single, Policy::Dual, Policy::Triple, Policy::Multi] {
            for there in Platform::ALL {
                write!(table, "{policy:?}: {} is online, a login on", there.name()).unwrap();
                for newcomer in Platform::ALL {
                    let settings = Settings {
                        policy,
                        ..Settings::default()
                    };
                    let others = [device(there, 1, true)];
                    let stays = admit(&settings, device(newcomer, 2, true).device, &others)
                        == PolicyVerdict::Admit(Vec::new());
                    write!(
                        table,
                        " {}:{}",
                        newcomer.name(),
                        if stays { "both" } else { "new" }
                    )
                    .unwrap();
                }
                table.push('\n');
            }
        }
        insta::assert_snapshot!(table);
    }

    fn check(settings: &Settings, newcomer: (Platform, u64), there: &[Candidate], expected: Option<&[&str]>) {
        let found = match admit(settings, device(newcomer.0, newcomer.1, true).device, there) {
            PolicyVerdict::Admit(leaving) => Some(leaving.into_iter().map(name).collect::<Vec<_>>()),
            PolicyVerdict::Refuse => None,
        };
        let expected = expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(found, expected);
    }

    #[test]
    fn of_its_own_platform_the_unlinked_go_first_then_the_oldest() {
        use Platform::IPhone;
        let settings = Settings {
            instances: [3; 7],
            ..Settings::default()
        };
        let there = [
            device(IPhone, 1, true),
            device(IPhone, 2, true),
            device(IPhone, 3, false),
        ];
        check(&settings, (IPhone, 9), &there[..2], Some(&[]));
        check(&settings, (IPhone, 9), &there, Some(&["iPhone3"]));
        check(
            &Settings::default(),
            (IPhone, 9),
            &there,
            Some(&["iPhone3", "iPhone1", "iPhone2"]),
        );
        check(&Settings::default(), (IPhone, 1), &there[..1], Some(&[]));
    }

    #[test]
    fn after_a_policy_change_the_best_platform_keeps_its_place() {
        use Platform::{Android, Linux, Mac, Web};
        let settings = Settings {
            policy: Policy::Dual,
            ..Settings::default()
        };
        let there = [
            device(Android, 5, false),
            device(Mac, 1, true),
            device(Linux, 2, true),
        ];
        check(&settings, (Web, 9), &there, Some(&["Android5", "Mac1"]));
    }

    #[test]
    fn the_oldest_wins_only_with_a_connection() {
        use Platform::{Android, Windows};
        let settings = Settings {
            conflict: Conflict::OldestWins,
            ..Settings::default()
        };
        check(&settings, (Android, 9), &[device(Windows, 1, true)], None);
        check(
            &settings,
            (Android, 9),
            &[device(Windows, 1, false)],
            Some(&["Windows1"]),
        );
        check(&settings, (Windows, 1), &[device(Windows, 1, true)], Some(&[]));
    }

    #[test]
    fn who_would_have_to_leave_is_counted_if_it_is_online() {
        use Platform::{Android, IPhone, Mac, Web};
        let check = |conflict, there: &[(Platform, Status)], expected| {
            let settings = Settings {
                policy: Policy::Single,
                conflict,
                ..Settings::default()
            };
            let mut record = UserRecord::default();
            for ((platform, status), fresh) in there.iter().zip(1..) {
                record.devices.push(DeviceRecord {
                    device: device(*platform, 1, true).device,
                    status: *status,
                    session: ChangeNumber(fresh),
                    fresh: ChangeNumber(fresh),
                    login_at: Timestamp(fresh),
                    since: Timestamp(fresh),
                    address: None,
                });
            }
            assert_eq!(
                would_leave(&settings, &record),
                expected,
                "{conflict:?} {there:?}"
            );
        };
        let (online, push_online) = (Status::Online, Status::PushOnline);
        let (newest, oldest) = (Conflict::NewestWins, Conflict::OldestWins);
        check(newest, &[], 0);
        check(newest, &[(Mac, online)], 0);
        let three = [(Android, online), (IPhone, push_online), (Web, online)];
        check(newest, &[three[0], three[1], three[2], (Mac, online)], 2);
        check(newest, &[three[1], (Mac, online)], 0);
        check(oldest, &[three[0], three[2], (Mac, online)], 1);
        check(oldest, &[three[0], three[1]], 0);
        check(oldest, &[three[1], (Mac, online)], 0);
    }
}
