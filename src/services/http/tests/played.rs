//! Shards and a registry that a test makes up.

use super::*;

/// Shards in which `online…` is Online on an iPhone, `off…` is Offline, and nobody else exists.
pub(super) fn shards(shard: ShardId, request: ToShard) -> Option<ToHttp> {
    match request {
        ToShard::Query(request, depth, users) => {
            assert!(
                users.iter().all(|user| user.home(SHARDS) == shard),
                "a request went to a wrong shard"
            );
            let statuses = users.iter().map(status_of);
            let statuses = match depth {
                QueryDepth::Status => StatusList::Status(statuses.map(|status| status.brief()).collect()),
                QueryDepth::Devices => StatusList::Devices(statuses.collect()),
            };
            Some(ToHttp::Statuses(request, UserStatuses { users, statuses }))
        }
        ToShard::Kick(request, user) => {
            let outcome = match user.as_str() {
                "ghost" => Err(KickError::UnknownAccount),
                "busy" => Err(KickError::Busy),
                _ => Ok(()),
            };
            Some(ToHttp::Kicked(request, outcome))
        }
        ToShard::Inspect(request, user) => {
            let known = user
                .as_str()
                .starts_with("online")
                .then(|| Box::new(inspection(user)));
            Some(ToHttp::Inspected(request, Ok(known)))
        }
        ToShard::KickDevice(request, user, device) => {
            let outcome = match user.as_str() {
                "ghost" => Err(KickError::UnknownAccount),
                "busy" => Err(KickError::Busy),
                _ if device.platform != Platform::IPhone => Err(KickError::UnknownDevice),
                _ => Ok(()),
            };
            Some(ToHttp::Kicked(request, outcome))
        }
        ToShard::Delete(request, user) => {
            assert_eq!(user.home(SHARDS), shard, "a request went to a wrong shard");
            shards(shard, ToShard::Kick(request, user))
        }
        ToShard::Send(request, order) => {
            let right = order
                .targets
                .iter()
                .all(|target| target.user.home(SHARDS) == shard);
            assert!(right, "a request went to a wrong shard");
            Some(ToHttp::Sent(request, order.targets.iter().map(sent_to).collect()))
        }
        ToShard::Loaded(..)
        | ToShard::Committed(..)
        | ToShard::Adopt(..)
        | ToShard::Open(_)
        | ToShard::Settle(..)
        | ToShard::Drop(..)
        | ToShard::SendAway(_)
        | ToShard::Homes(_)
        | ToShard::Lease(_)
        | ToShard::TurnedAway
        | ToShard::Settings(..)
        | ToShard::Transports(..)
        | ToShard::Stop => panic!("the HTTP server does not send this"),
    }
}

/// A registry with the accounts `online…` and `off…`, which fails when it is asked for `busy`.
pub(super) fn registry(request: ToRegistry) -> ToHttp {
    match request {
        ToRegistry::Accounts(request, _, users) if users.contains(&user("busy")) => {
            ToHttp::Accounts(request, Err(RegistryError::Unavailable))
        }
        ToRegistry::Accounts(request, _, users) => {
            let exists = |user: &UserId| status_of(user) != UserStatus::UnknownAccount;
            ToHttp::Accounts(request, Ok(users.iter().map(exists).collect()))
        }
        ToRegistry::Load(..) | ToRegistry::Commit(..) | ToRegistry::Complete(..) => {
            panic!("the HTTP server does not send this")
        }
    }
}

pub(super) fn device() -> DeviceId {
    DeviceId {
        platform: Platform::IPhone,
        instance: NonZeroU64::MAX,
    }
}

pub(super) fn status_of(user: &UserId) -> UserStatus {
    let devices = match user.as_str() {
        name if name.starts_with("online") => DeviceStatuses::One(DeviceStatus {
            device: device(),
            status: Status::Online,
        }),
        name if name.starts_with("off") => DeviceStatuses::None,
        _ => return UserStatus::UnknownAccount,
    };
    UserStatus::Known {
        change: ChangeNumber(1),
        devices,
    }
}

/// A message reaches `online…`, and is held there.
fn sent_to(target: &SendTarget) -> TargetResult {
    let outcome = match status_of(&target.user) {
        UserStatus::Known { change, devices } => TargetOutcome::Reached(ReachedUser {
            change,
            status: devices.status(),
            devices: devices
                .as_slice()
                .iter()
                .map(|_| device_result(DeviceOutcome::Held))
                .collect(),
        }),
        UserStatus::Unresolved | UserStatus::UnknownAccount | UserStatus::Unavailable => {
            TargetOutcome::Refused(SendRefusal::UnknownAccount)
        }
    };
    TargetResult {
        user: target.user,
        outcome,
    }
}

/// What became of a message at the device.
pub(super) fn device_result(outcome: DeviceOutcome) -> DeviceResult {
    DeviceResult {
        device: device(),
        session: ChangeNumber(4),
        outcome,
        after: std::time::Duration::ZERO,
        reply: Vec::new(),
    }
}

pub(super) fn inspection(user: UserId) -> Inspection {
    let link = LinkInspection {
        address: std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        transport: Transport::Tcp,
        sdk_version: "1.2".to_owned(),
        app_version: "other".to_owned(),
        background: true,
    };
    let device = DeviceInspection {
        device: device(),
        status: Status::Online,
        session: ChangeNumber(4),
        login_at: Timestamp(1_700_000_000_000),
        heard_at: Timestamp(1_700_000_001_500),
        until: None,
        link: Some(link),
    };
    Inspection {
        user,
        change: ChangeNumber(5),
        kicked_at_s: 0,
        devices: vec![device],
    }
}

/// What was asked so far.
type Noted<T> = Arc<Mutex<Vec<T>>>;

/// Has the shards and the registry answer, and notes what they were asked.
pub(super) fn router(
    script: Script,
    (of_shards, of_registry): (Noted<ToShard>, Noted<ToRegistry>),
    replies: HttpReplySender,
) -> Router {
    Box::new(move |delivery| {
        let reply = match delivery {
            Delivery::Registry(request) => {
                of_registry.lock().unwrap().push(request.clone());
                Some(registry(request))
            }
            Delivery::Shard(shard, request) => {
                if let Some(request) = asks_for_the_kick(&request) {
                    Some(ToHttp::Inspected(request, Ok(None)))
                } else {
                    of_shards.lock().unwrap().push(request.clone());
                    script(shard, request)
                }
            }
            Delivery::Http(reply) => panic!("it answers itself: {reply:?}"),
            Delivery::Outcomes(outcomes) => panic!("it tells itself: {outcomes:?}"),
            Delivery::Peer(node, asked) => Some(peers::answer(node, asked)),
        };
        let sent = reply.map_or(Ok(()), |reply| replies.send(reply));
        sent.map_err(Delivery::Http)
    })
}
