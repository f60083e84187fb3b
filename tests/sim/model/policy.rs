//! Who must leave when a device logs in, told from the rules alone.

use std::collections::BTreeMap;

use crate::base::ids::{Class, DeviceId, Platform};
use crate::logic::settings::{Policy, Settings};

/// What the rules look at in a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) live: bool,
    pub(crate) fresh: u64,
}

/// Platforms of the same circle may not be online together.
fn circle(policy: Policy, platform: Platform) -> u8 {
    match (policy, platform.class()) {
        (Policy::Single, _) => 0,
        (Policy::Dual, Class::Web) | (Policy::Triple, Class::Web) => 1,
        (Policy::Dual, Class::Mobile | Class::Desktop) => 2,
        (Policy::Triple, Class::Mobile) => 3,
        (Policy::Triple, Class::Desktop) => 4,
        (Policy::Multi, _) => 10 + platform as u8,
    }
}

/// The devices among `others` that a login of `newcomer` forces off. `others` are the user's devices that are not
/// Offline; the newcomer itself may be among them.
pub(crate) fn losers(
    settings: &Settings,
    newcomer: DeviceId,
    others: &BTreeMap<DeviceId, Standing>,
) -> Vec<DeviceId> {
    let own = newcomer.platform;
    let mut leaving: Vec<Platform> = Vec::new();
    for number in 0..32 {
        let mut present: Vec<Platform> = others.keys().map(|device| device.platform).collect();
        present.retain(|platform| circle(settings.policy, *platform) == number && *platform != own);
        present.sort_unstable();
        present.dedup();
        if circle(settings.policy, own) != number {
            present.sort_by_key(|platform| best(*platform, others));
            present.pop();
        }
        leaving.extend(present);
    }
    let mut losers: Vec<DeviceId> = others.keys().copied().collect();
    losers.retain(|device| leaving.contains(&device.platform));
    let mut siblings: Vec<DeviceId> = others.keys().copied().collect();
    siblings.retain(|device| device.platform == own && *device != newcomer);
    siblings.sort_by_key(|device| (others[device].live, others[device].fresh));
    let surplus = (siblings.len() + 1).saturating_sub(settings.instances_of(own));
    losers.extend(siblings.into_iter().take(surplus));
    losers
}

/// The best device of a platform: what is live stays before what is not, what is newer before what is older.
fn best(platform: Platform, others: &BTreeMap<DeviceId, Standing>) -> (bool, u64) {
    let of_platform = others.iter().filter(|(device, _)| device.platform == platform);
    of_platform
        .map(|(_, known)| (known.live, known.fresh))
        .max()
        .unwrap_or_default()
}

/// Whether these devices may be online together.
pub(crate) fn may_be_together(settings: &Settings, devices: &[DeviceId]) -> bool {
    let fits = |one: &DeviceId| {
        let same = devices
            .iter()
            .filter(|other| other.platform == one.platform)
            .count();
        let in_circle = |other: &&DeviceId| {
            circle(settings.policy, other.platform) == circle(settings.policy, one.platform)
                && other.platform != one.platform
        };
        same <= settings.instances_of(one.platform) && !devices.iter().any(|other| in_circle(&other))
    };
    devices.iter().all(fits)
}
