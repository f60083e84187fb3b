//! A shard of a node that is one of several, and what its tests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::harness::{TestShard, user};
use crate::base::ids::{
    ChangeNumber, DeviceId, Epoch, InstanceId, NodeId, PartitionId, Platform, RequestId, UserId,
};
use crate::base::time::Timestamp;
use crate::logic::cluster::home::{Home, HomeMap, PublicAddresses};
use crate::logic::delivery::{ToRegistry, ToShard, UserKey};
use crate::logic::record::{Commit, DeviceRecord, Status, UserRecord};
use crate::logic::settings::Settings;
use crate::protocol::native::proto::{self, Code, response};
use crate::protocol::packet::FEATURE_REDIRECT;

pub(super) const SOLE: PartitionId = PartitionId::SOLE;
pub(super) const REQUEST: RequestId = RequestId(7);
pub(super) const HERE: Home = Home::Here(Epoch(1));
pub(super) const THERE: Home = Home::There(NodeId(2));
/// One without any address.
pub(super) const ELSEWHERE: Home = Home::There(NodeId(3));

pub(super) fn homes(home: Home) -> ToShard {
    let addresses = PublicAddresses {
        tcp: Some("two.example:9001".parse().unwrap()),
        ..PublicAddresses::default()
    };
    let addresses: BTreeMap<_, _> = [(NodeId(2), addresses)].into();
    ToShard::Homes(Arc::new(HomeMap::new(vec![home], addresses)))
}

/// A shard whose only partition is open.
pub(super) fn member() -> TestShard {
    member_with(Settings::default())
}

pub(super) fn member_with(settings: Settings) -> TestShard {
    let mut shard = TestShard::new(settings);
    shard.deliver(ToShard::Open(SOLE));
    shard.deliver(homes(HERE));
    shard
}

pub(super) fn follower() -> proto::Login {
    proto::Login {
        features: FEATURE_REDIRECT,
        ..Default::default()
    }
}

pub(super) fn resume() -> proto::Login {
    proto::Login {
        session: 1,
        ..follower()
    }
}

/// Code, wait and address of the only answer that there is to a login.
pub(super) fn answer(shard: &mut TestShard) -> (Code, u32, String) {
    let mut told = shard.told();
    match (told.pop(), told.is_empty()) {
        (Some((_, response::Packet::LoginAnswer(answer))), true) => {
            let verdict = answer.verdict.unwrap();
            (verdict.code(), verdict.retry_after_ms, answer.address)
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn only_commit(shard: &mut TestShard) -> (UserKey, Box<Commit>) {
    match shard.asked().as_slice() {
        [ToRegistry::Commit(_, key, commit)] => (*key, commit.clone()),
        other => panic!("{other:?}"),
    }
}

pub(super) fn record_of(name: &str) -> (UserId, UserRecord) {
    let mut record = UserRecord {
        change: ChangeNumber(1),
        registered: true,
        ..UserRecord::default()
    };
    record.devices.push(DeviceRecord {
        device: DeviceId {
            platform: Platform::Mac,
            instance: InstanceId::MIN,
        },
        status: Status::Online,
        session: ChangeNumber(1),
        fresh: ChangeNumber(1),
        login_at: Timestamp(1),
        since: Timestamp(1),
        address: None,
    });
    (user(name), record)
}
