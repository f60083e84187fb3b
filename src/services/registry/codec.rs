//! How records and changes are stored: protobuf messages, so that later versions can add fields and read what earlier
//! ones wrote. The numbers of the fields are for ever. Decoding checks everything: a store can be damaged.

use std::net::{Ipv4Addr, Ipv6Addr};

use prost::Message;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
use crate::base::time::Timestamp;
use crate::logic::record::{
    Change, ChangeKind, DeviceRecord, EndedRecord, Ending, RecordedChange, Status, UserRecord,
};
use crate::services::registry::archive::{Placed, Position};

/// The version of everything below. A store of another version is not opened.
pub(super) const FORMAT: u64 = 1;

/// A user's record, and where its last change lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StoredRecord {
    pub(crate) record: UserRecord,
    pub(crate) last: Position,
    /// Of a deleted account whose record does not tell since when: when that was found; else 0.
    pub(crate) deleted_by: Timestamp,
}

/// A change with the place of the same user's change before it: a user's changes are a chain from the last one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainedChange {
    pub(super) recorded: RecordedChange,
    pub(super) before: Position,
}

impl ChainedChange {
    pub(super) fn placed(self, position: Position) -> Placed {
        Placed {
            position,
            recorded: self.recorded,
        }
    }
}

/// A stored value is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored {0} is damaged")]
pub(crate) struct Damage(pub(super) &'static str);

#[derive(Clone, PartialEq, Message)]
struct StoredUser {
    #[prost(uint64, tag = "1")]
    change: u64,
    #[prost(uint64, tag = "2")]
    told: u64,
    #[prost(bool, tag = "3")]
    registered: bool,
    #[prost(uint64, tag = "4")]
    kicked_at_s: u64,
    #[prost(message, repeated, tag = "5")]
    devices: Vec<StoredDevice>,
    #[prost(message, repeated, tag = "6")]
    ended: Vec<StoredEnd>,
    #[prost(uint64, tag = "7")]
    last: u64,
    /// 0 in records of earlier versions.
    #[prost(uint64, tag = "8")]
    changed_at: u64,
    #[prost(uint64, tag = "9")]
    deleted_by: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredDevice {
    #[prost(uint32, tag = "1")]
    platform: u32,
    #[prost(fixed64, tag = "2")]
    instance: u64,
    #[prost(uint32, tag = "3")]
    status: u32,
    #[prost(uint64, tag = "4")]
    session: u64,
    #[prost(uint64, tag = "5")]
    fresh: u64,
    #[prost(uint64, tag = "6")]
    login_at: u64,
    #[prost(uint64, tag = "7")]
    since: u64,
    /// Of IPv4 4 bytes, of IPv6 16; none in records of earlier versions.
    #[prost(bytes = "vec", tag = "8")]
    address: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredEnd {
    #[prost(uint32, tag = "1")]
    platform: u32,
    #[prost(fixed64, tag = "2")]
    instance: u64,
    #[prost(uint64, tag = "3")]
    session: u64,
    #[prost(uint64, tag = "4")]
    fresh: u64,
    #[prost(uint32, tag = "5")]
    ending: u32,
    #[prost(uint32, tag = "6")]
    winner: u32,
    #[prost(uint64, tag = "7")]
    at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredChange {
    #[prost(bytes = "vec", tag = "1")]
    user: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(uint32, tag = "4")]
    platform: u32,
    #[prost(fixed64, tag = "5")]
    instance: u64,
    #[prost(uint32, tag = "6")]
    kind: u32,
    #[prost(uint64, tag = "7")]
    fresh: u64,
    #[prost(message, repeated, tag = "8")]
    forced_off: Vec<StoredLoser>,
    #[prost(bytes = "vec", tag = "9")]
    address: Vec<u8>,
    #[prost(uint64, tag = "10")]
    session: u64,
    #[prost(uint64, optional, tag = "11")]
    previous: Option<u64>,
    #[prost(uint64, tag = "12")]
    before: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredLoser {
    #[prost(uint32, tag = "1")]
    platform: u32,
    #[prost(fixed64, tag = "2")]
    instance: u64,
    #[prost(uint32, tag = "3")]
    status: u32,
}

/// The bytes of a user's record.
pub(crate) fn encode_user(known: &StoredRecord) -> Vec<u8> {
    let record = &known.record;
    let stored = StoredUser {
        change: record.change.0,
        told: record.told.0,
        registered: record.registered,
        kicked_at_s: record.kicked_at_s,
        devices: record.devices.iter().map(stored_device).collect(),
        ended: record.ended.iter().map(stored_end).collect(),
        last: known.last.0,
        changed_at: record.changed_at.0,
        deleted_by: known.deleted_by.0,
    };
    stored.encode_to_vec()
}

/// Reads what [`encode_user`] wrote.
pub(crate) fn decode_user(bytes: &[u8]) -> Result<StoredRecord, Damage> {
    let damage = Damage("user record");
    let stored = StoredUser::decode(bytes).map_err(|_| damage)?;
    let record = UserRecord {
        changed_at: changed_at(&stored),
        change: ChangeNumber(stored.change),
        told: ChangeNumber(stored.told),
        registered: stored.registered,
        kicked_at_s: stored.kicked_at_s,
        devices: stored
            .devices
            .iter()
            .map(|known| device_record(known, damage))
            .collect::<Result<_, _>>()?,
        ended: stored
            .ended
            .iter()
            .map(|known| ended_record(known, damage))
            .collect::<Result<_, _>>()?,
    };
    Ok(StoredRecord {
        record,
        last: Position(stored.last),
        deleted_by: Timestamp(stored.deleted_by),
    })
}

/// The time of the last change; of a record that does not say it, the latest time in it.
fn changed_at(stored: &StoredUser) -> Timestamp {
    let devices = stored.devices.iter().map(|known| known.since.max(known.login_at));
    let ends = stored.ended.iter().map(|known| known.at);
    let known = [stored.changed_at].into_iter();
    Timestamp(known.chain(devices).chain(ends).max().unwrap_or(0))
}

/// The bytes of a change.
pub(super) fn encode_change(link: &ChainedChange) -> Vec<u8> {
    let RecordedChange {
        user,
        change,
        session,
        previous,
    } = &link.recorded;
    let (fresh, forced_off) = match &change.kind {
        ChangeKind::Login { fresh, forced_off } => (fresh.0, &forced_off[..]),
        ChangeKind::Logout | ChangeKind::LinkEnd | ChangeKind::TimeOut => (0, &[][..]),
        ChangeKind::Expiry | ChangeKind::Kick | ChangeKind::Deletion => (0, &[][..]),
    };
    let loser = |(device, status): &(DeviceId, Status)| StoredLoser {
        platform: device.platform as u32,
        instance: device.instance.get(),
        status: status_number(*status),
    };
    let stored = StoredChange {
        user: user.as_str().as_bytes().to_vec(),
        number: change.number.0,
        at: change.at.0,
        platform: change.device.platform as u32,
        instance: change.device.instance.get(),
        kind: kind_number(&change.kind),
        fresh,
        forced_off: forced_off.iter().map(loser).collect(),
        address: change
            .address
            .map_or(Vec::new(), |address| address.octets().to_vec()),
        session: session.0,
        previous: previous.map(|number| number.0),
        before: link.before.0,
    };
    stored.encode_to_vec()
}

/// Reads what [`encode_change`] wrote.
pub(super) fn decode_change(bytes: &[u8]) -> Result<ChainedChange, Damage> {
    let damage = Damage("change");
    let stored = StoredChange::decode(bytes).map_err(|_| damage)?;
    let loser = |known: &StoredLoser| {
        let device = device_id(known.platform, known.instance).ok_or(damage)?;
        Ok((device, status(known.status).ok_or(damage)?))
    };
    let forced_off: Vec<_> = stored.forced_off.iter().map(loser).collect::<Result<_, _>>()?;
    let change = Change {
        number: ChangeNumber(stored.number),
        at: Timestamp(stored.at),
        device: device_id(stored.platform, stored.instance).ok_or(damage)?,
        kind: kind(stored.kind, ChangeNumber(stored.fresh), forced_off).ok_or(damage)?,
        address: address(&stored.address).ok_or(damage)?,
    };
    let recorded = RecordedChange {
        user: UserId::new(&stored.user).map_err(|_| damage)?,
        change,
        session: ChangeNumber(stored.session),
        previous: stored.previous.map(ChangeNumber),
    };
    Ok(ChainedChange {
        recorded,
        before: Position(stored.before),
    })
}

fn stored_device(known: &DeviceRecord) -> StoredDevice {
    StoredDevice {
        platform: known.device.platform as u32,
        instance: known.device.instance.get(),
        status: status_number(known.status),
        session: known.session.0,
        fresh: known.fresh.0,
        login_at: known.login_at.0,
        since: known.since.0,
        address: known.address.map_or(Vec::new(), stored_address),
    }
}

fn device_record(stored: &StoredDevice, damage: Damage) -> Result<DeviceRecord, Damage> {
    Ok(DeviceRecord {
        device: device_id(stored.platform, stored.instance).ok_or(damage)?,
        status: status(stored.status)
            .filter(|status| *status != Status::Offline)
            .ok_or(damage)?,
        session: ChangeNumber(stored.session),
        fresh: ChangeNumber(stored.fresh),
        login_at: Timestamp(stored.login_at),
        since: Timestamp(stored.since),
        address: address(&stored.address).ok_or(damage)?,
    })
}

fn stored_address(address: Ipv6Addr) -> Vec<u8> {
    let short = address.to_ipv4_mapped();
    short.map_or(address.octets().to_vec(), |short| short.octets().to_vec())
}

/// What [`stored_address`] wrote, or nothing; `None` if it is neither.
fn address(bytes: &[u8]) -> Option<Option<Ipv6Addr>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let short = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).to_ipv6_mapped());
    let long = <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from);
    short.or(long).ok().map(Some)
}

fn stored_end(known: &EndedRecord) -> StoredEnd {
    let (ending, winner) = match known.ending {
        Ending::LinkEnd => (1, 0),
        Ending::TimeOut => (2, 0),
        Ending::Expiry => (3, 0),
        Ending::Logout => (4, 0),
        Ending::ForcedOff { winner } => (5, winner as u32),
        Ending::Kick => (6, 0),
    };
    StoredEnd {
        platform: known.device.platform as u32,
        instance: known.device.instance.get(),
        session: known.session.0,
        fresh: known.fresh.0,
        ending,
        winner,
        at: known.at.0,
    }
}

fn ended_record(stored: &StoredEnd, damage: Damage) -> Result<EndedRecord, Damage> {
    let ending = match stored.ending {
        1 => Ending::LinkEnd,
        2 => Ending::TimeOut,
        3 => Ending::Expiry,
        4 => Ending::Logout,
        5 => Ending::ForcedOff {
            winner: platform(stored.winner).ok_or(damage)?,
        },
        6 => Ending::Kick,
        _ => return Err(damage),
    };
    Ok(EndedRecord {
        device: device_id(stored.platform, stored.instance).ok_or(damage)?,
        session: ChangeNumber(stored.session),
        fresh: ChangeNumber(stored.fresh),
        ending,
        at: Timestamp(stored.at),
    })
}

fn kind_number(kind: &ChangeKind) -> u32 {
    match kind {
        ChangeKind::Login { .. } => 1,
        ChangeKind::Logout => 2,
        ChangeKind::LinkEnd => 3,
        ChangeKind::TimeOut => 4,
        ChangeKind::Expiry => 5,
        ChangeKind::Kick => 6,
        ChangeKind::Deletion => 7,
    }
}

fn kind(number: u32, fresh: ChangeNumber, forced_off: Vec<(DeviceId, Status)>) -> Option<ChangeKind> {
    match number {
        1 => Some(ChangeKind::Login { fresh, forced_off }),
        2 => Some(ChangeKind::Logout),
        3 => Some(ChangeKind::LinkEnd),
        4 => Some(ChangeKind::TimeOut),
        5 => Some(ChangeKind::Expiry),
        6 => Some(ChangeKind::Kick),
        7 => Some(ChangeKind::Deletion),
        _ => None,
    }
}

fn status_number(status: Status) -> u32 {
    match status {
        Status::Offline => 0,
        Status::PushOnline => 1,
        Status::Online => 2,
    }
}

fn status(number: u32) -> Option<Status> {
    [Status::Offline, Status::PushOnline, Status::Online]
        .into_iter()
        .find(|status| status_number(*status) == number)
}

fn platform(number: u32) -> Option<Platform> {
    Platform::ALL
        .into_iter()
        .find(|platform| *platform as u32 == number)
}

fn device_id(number: u32, instance: u64) -> Option<DeviceId> {
    Some(DeviceId {
        platform: platform(number)?,
        instance: InstanceId::new(instance)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_device() -> impl Strategy<Value = DeviceId> {
        (0_usize..7, 1..=u64::MAX).prop_map(|(place, instance)| DeviceId {
            platform: Platform::ALL[place],
            instance: InstanceId::new(instance).unwrap(),
        })
    }

    fn any_address() -> impl Strategy<Value = Option<Ipv6Addr>> {
        let short = any::<u32>().prop_map(|bits| Some(Ipv4Addr::from(bits).to_ipv6_mapped()));
        let long = any::<u128>().prop_map(|bits| Some(Ipv6Addr::from(bits)));
        prop_oneof![Just(None), short, long]
    }

    fn any_kind() -> impl Strategy<Value = ChangeKind> {
        let losers = prop::collection::vec((any_device(), 0_u32..3), 0..3);
        (1_u32..8, any::<u64>(), losers).prop_map(|(number, fresh, losers)| {
            let losers = losers
                .into_iter()
                .map(|(device, number)| (device, status(number).unwrap()));
            kind(number, ChangeNumber(fresh), losers.collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn changes_are_read_as_they_were_written(
            device in any_device(),
            kind in any_kind(),
            numbers in any::<[u64; 4]>(),
            address in any_address(),
            previous in any::<Option<u64>>(),
        ) {
            let change = Change {
                number: ChangeNumber(numbers[0]),
                at: Timestamp(numbers[1]),
                device,
                kind,
                address,
            };
            let recorded = RecordedChange {
                user: UserId::new(b"alice").unwrap(),
                change,
                session: ChangeNumber(numbers[2]),
                previous: previous.map(ChangeNumber),
            };
            let link = ChainedChange { recorded, before: Position(numbers[3]) };
            prop_assert_eq!(decode_change(&encode_change(&link)), Ok(link));
        }

        #[test]
        fn users_are_read_as_they_were_written(
            devices in prop::collection::vec((any_device(), any::<[u64; 4]>(), any::<bool>(), any_address()), 0..4),
            ended in prop::collection::vec((any_device(), any::<[u64; 3]>(), 0_u32..7), 0..4),
            numbers in any::<[u64; 4]>(),
            registered in any::<bool>(),
        ) {
            let device = |(device, numbers, online, address): (DeviceId, [u64; 4], bool, Option<Ipv6Addr>)| DeviceRecord {
                device,
                status: if online { Status::Online } else { Status::PushOnline },
                session: ChangeNumber(numbers[0]),
                fresh: ChangeNumber(numbers[1]),
                login_at: Timestamp(numbers[2]),
                since: Timestamp(numbers[3]),
                address,
            };
            let end = |(device, numbers, ending): (DeviceId, [u64; 3], u32)| EndedRecord {
                device,
                session: ChangeNumber(numbers[0]),
                fresh: ChangeNumber(numbers[1]),
                ending: match ending {
                    0 => Ending::LinkEnd,
                    1 => Ending::TimeOut,
                    2 => Ending::Expiry,
                    3 => Ending::Logout,
                    4 => Ending::Kick,
                    _ => Ending::ForcedOff { winner: device.platform },
                },
                at: Timestamp(numbers[2]),
            };
            let record = UserRecord {
                changed_at: Timestamp(u64::MAX),
                change: ChangeNumber(numbers[0]),
                told: ChangeNumber(numbers[1]),
                registered,
                kicked_at_s: numbers[2],
                devices: devices.into_iter().map(device).collect(),
                ended: ended.into_iter().map(end).collect(),
            };
            let known = StoredRecord { record, last: Position(numbers[3]), deleted_by: Timestamp(numbers[1]) };
            prop_assert_eq!(decode_user(&encode_user(&known)), Ok(known));
        }

        #[test]
        fn an_address_costs_a_record_6_or_18_bytes(address in any_address()) {
            let login = DeviceRecord {
                device: DeviceId { platform: Platform::Web, instance: InstanceId::MIN },
                status: Status::Online,
                session: ChangeNumber(1),
                fresh: ChangeNumber(1),
                login_at: Timestamp(1),
                since: Timestamp(1),
                address: None,
            };
            let bytes = |address| {
                let devices = vec![DeviceRecord { address, ..login }];
                let record = UserRecord { devices, ..UserRecord::default() };
                encode_user(&StoredRecord { record, ..StoredRecord::default() }).len()
            };
            let expected = match address {
                None => 0,
                Some(address) if address.to_ipv4_mapped().is_some() => 6,
                Some(_) => 18,
            };
            prop_assert_eq!(bytes(address) - bytes(None), expected);
        }

        #[test]
        fn damage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_user(&bytes);
            let _ = decode_change(&bytes);
        }
    }
}
