//! Requests and answers as frames. Who gets a request that it does not know answers so; what is not understood is refused, and never
//! believed.

use std::io;

use prost::Message;

use crate::base::ids::{RequestId, UserId};
use crate::logic::delivery::{AccountsRequest, KickError, ToHttp, ToPeer};
use crate::logic::user_status::{QueryDepth, UserStatuses};
use crate::services::peers::bodies::{AccountsBody, InspectedBody, PeerBody, PeerFrame, UsersBody};
use crate::services::peers::sends::{put_order, put_results, read_order, read_results};
use crate::services::peers::values::{
    damaged, put_device, put_inspection, put_statuses, put_users, read_device, read_inspection,
    read_statuses, read_user, read_users,
};

/// What was kicked, as a number.
const KICKED: u32 = 0;
const KICK_UNKNOWN_ACCOUNT: u32 = 1;
const KICK_UNKNOWN_DEVICE: u32 = 2;
const KICK_BUSY: u32 = 3;

/// Reads a frame's content.
///
/// # Errors
/// If it is none.
pub(super) fn read(bytes: &[u8]) -> io::Result<PeerFrame> {
    PeerFrame::decode(bytes).map_err(|_| damaged("frame"))
}

/// A request as a frame, which has its number.
pub(super) fn request(asked: &ToPeer) -> PeerFrame {
    let (id, body) = match asked {
        ToPeer::Query(id, depth, users) => {
            let depth = u32::from(*depth == QueryDepth::Devices);
            (
                id,
                PeerBody::Query(UsersBody {
                    depth,
                    users: put_users(users),
                }),
            )
        }
        ToPeer::Kick(id, user) => (id, PeerBody::Kick(user.as_bytes().to_vec())),
        ToPeer::KickDevice(id, user, device) => {
            let mut device = put_device(*device);
            device.user = user.as_bytes().to_vec();
            (id, PeerBody::KickDevice(device))
        }
        ToPeer::Delete(id, user) => (id, PeerBody::Delete(user.as_bytes().to_vec())),
        ToPeer::Inspect(id, user) => (id, PeerBody::Inspect(user.as_bytes().to_vec())),
        ToPeer::Accounts(id, ask, users) => {
            let ask = u32::from(*ask == AccountsRequest::Import);
            (
                id,
                PeerBody::Accounts(AccountsBody {
                    ask,
                    users: put_users(users),
                }),
            )
        }
        ToPeer::Send(id, order) => (id, PeerBody::Send(put_order(order))),
    };
    PeerFrame {
        id: id.0,
        body: Some(body),
    }
}

/// The request of a frame; `None` if it has none that this version knows.
///
/// # Errors
/// If what is in it is not what it says.
pub(super) fn read_request(frame: PeerFrame) -> io::Result<Option<ToPeer>> {
    let id = RequestId(frame.id);
    Ok(Some(match frame.body {
        Some(PeerBody::Query(body)) => {
            let depth = match body.depth {
                0 => QueryDepth::Status,
                _ => QueryDepth::Devices,
            };
            ToPeer::Query(id, depth, read_users(&body.users)?)
        }
        Some(PeerBody::Kick(user)) => ToPeer::Kick(id, read_user(&user)?),
        Some(PeerBody::KickDevice(device)) => {
            ToPeer::KickDevice(id, read_user(&device.user)?, read_device(&device)?)
        }
        Some(PeerBody::Delete(user)) => ToPeer::Delete(id, read_user(&user)?),
        Some(PeerBody::Inspect(user)) => ToPeer::Inspect(id, read_user(&user)?),
        Some(PeerBody::Accounts(body)) => {
            let ask = match body.ask {
                0 => AccountsRequest::Check,
                _ => AccountsRequest::Import,
            };
            ToPeer::Accounts(id, ask, read_users(&body.users)?)
        }
        Some(PeerBody::Send(body)) => ToPeer::Send(id, Box::new(read_order(body)?)),
        Some(
            PeerBody::Proof(_)
            | PeerBody::Statuses(_)
            | PeerBody::Kicked(_)
            | PeerBody::Inspected(_)
            | PeerBody::Existed(_)
            | PeerBody::Sent(_)
            | PeerBody::Refused(_)
            | PeerBody::Exchange(_),
        )
        | None => return Ok(None),
    }))
}

/// An answer as a frame.
pub(super) fn answer(id: u64, answer: &ToHttp) -> PeerFrame {
    let body = match answer {
        ToHttp::Statuses(_, statuses) => PeerBody::Statuses(put_statuses(&statuses.statuses)),
        ToHttp::Kicked(_, outcome) => PeerBody::Kicked(match outcome {
            Ok(()) => KICKED,
            Err(KickError::UnknownAccount) => KICK_UNKNOWN_ACCOUNT,
            Err(KickError::UnknownDevice) => KICK_UNKNOWN_DEVICE,
            Err(KickError::Busy) => KICK_BUSY,
        }),
        ToHttp::Inspected(_, Ok(known)) => PeerBody::Inspected(InspectedBody {
            known: known.as_deref().map(put_inspection),
        }),
        ToHttp::Accounts(_, Ok(existed)) => {
            PeerBody::Existed(existed.iter().map(|it| u8::from(*it)).collect())
        }
        ToHttp::Sent(_, results) => PeerBody::Sent(put_results(results)),
        ToHttp::Inspected(_, Err(_)) | ToHttp::Accounts(_, Err(_)) => PeerBody::Refused(true),
    };
    PeerFrame { id, body: Some(body) }
}

/// The answer to a request, by the frame that came; if that is none, or says that it was refused: the refusal.
pub(super) fn read_answer(asked: ToPeer, body: Option<PeerBody>) -> ToHttp {
    let refusal = asked.clone().refuse();
    match (asked, body) {
        (ToPeer::Query(id, depth, users), Some(PeerBody::Statuses(body))) => {
            read_statuses(depth, users.len(), &body).map_or(refusal, |statuses| {
                ToHttp::Statuses(id, UserStatuses { users, statuses })
            })
        }
        (
            ToPeer::Kick(id, _) | ToPeer::KickDevice(id, ..) | ToPeer::Delete(id, _),
            Some(PeerBody::Kicked(outcome)),
        ) => ToHttp::Kicked(
            id,
            match outcome {
                KICKED => Ok(()),
                KICK_UNKNOWN_ACCOUNT => Err(KickError::UnknownAccount),
                KICK_UNKNOWN_DEVICE => Err(KickError::UnknownDevice),
                _ => Err(KickError::Busy),
            },
        ),
        (ToPeer::Inspect(id, _), Some(PeerBody::Inspected(body))) => {
            let known = body.known.map(read_inspection).transpose();
            known.map_or(refusal, |known| ToHttp::Inspected(id, Ok(known.map(Box::new))))
        }
        (ToPeer::Accounts(id, _, users), Some(PeerBody::Existed(existed)))
            if existed.len() == users.len() =>
        {
            ToHttp::Accounts(id, Ok(existed.iter().map(|it| *it != 0).collect()))
        }
        (ToPeer::Send(id, order), Some(PeerBody::Sent(body))) => {
            let users: Vec<UserId> = order.targets.iter().map(|target| target.user).collect();
            read_results(&users, body).map_or(refusal, |results| ToHttp::Sent(id, results))
        }
        (_, _) => refusal,
    }
}

/// What is told of a request that could not be carried out.
pub(super) fn refused(id: u64) -> PeerFrame {
    PeerFrame {
        id,
        body: Some(PeerBody::Refused(true)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prost::Message;

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
    use crate::base::limits::{MESSAGE_BODY_BYTES_MAX, QUERY_USERS_MAX};
    use crate::base::time::Timestamp;
    use crate::logic::delivery::RegistryError;
    use crate::logic::inspection::{DeviceInspection, Inspection, LinkInspection};
    use crate::logic::message::{
        AckWish, DeviceOutcome, DeviceResult, ReachedUser, SendCondition, SendOrder, SendReach, SendRefusal,
        SendTarget, TargetOutcome, TargetResult,
    };
    use crate::logic::record::Status;
    use crate::logic::user_status::{BriefStatus, DeviceStatus, StatusList, UserStatus};
    use crate::protocol::packet::MessageContent;
    use crate::protocol::transport::Transport;
    use crate::services::peers::bodies::StatusesBody;

    fn user(name: &str) -> UserId {
        UserId::new(name.as_bytes()).unwrap()
    }

    const PHONE: DeviceId = DeviceId {
        platform: Platform::IPhone,
        instance: InstanceId::MAX,
    };
    const PAGE: DeviceId = DeviceId {
        platform: Platform::Web,
        instance: InstanceId::MIN,
    };

    /// A request and its answer on their way there and back.
    fn check(asked: ToPeer, answered: ToHttp) {
        let frame = request(&asked);
        let bytes = frame.encode_to_vec();
        assert_eq!(read_request(read(&bytes).unwrap()).unwrap(), Some(asked.clone()));
        let back = answer(frame.id, &answered).encode_to_vec();
        let back = read(&back).unwrap();
        assert_eq!(back.id, frame.id);
        assert_eq!(read_answer(asked, back.body), answered);
    }

    #[test]
    fn what_is_asked_and_answered_arrives_as_it_was() {
        let id = RequestId(1 << 40);
        let users = vec![user("a"), user(&"b".repeat(32)), user("c"), user("d"), user("e")];
        let brief = StatusList::Status(vec![
            BriefStatus::Known(Status::Offline),
            BriefStatus::Known(Status::PushOnline),
            BriefStatus::Known(Status::Online),
            BriefStatus::UnknownAccount,
            BriefStatus::Unavailable,
        ]);
        let statuses = |statuses| {
            ToHttp::Statuses(
                id,
                UserStatuses {
                    users: users.clone(),
                    statuses,
                },
            )
        };
        check(
            ToPeer::Query(id, QueryDepth::Status, users.clone()),
            statuses(brief),
        );
        let on = |device, status| DeviceStatus { device, status };
        let known = |change, devices: &[DeviceStatus]| UserStatus::Known {
            change: ChangeNumber(change),
            devices: devices.iter().copied().collect(),
        };
        let full = StatusList::Devices(vec![
            known(3, &[]),
            UserStatus::UnknownAccount,
            known(u64::MAX, &[on(PHONE, Status::PushOnline)]),
            UserStatus::Unavailable,
            known(5, &[on(PHONE, Status::Online), on(PAGE, Status::Online)]),
        ]);
        check(
            ToPeer::Query(id, QueryDepth::Devices, users.clone()),
            statuses(full),
        );
        for outcome in [Ok(()), Err(KickError::UnknownAccount), Err(KickError::Busy)] {
            check(ToPeer::Kick(id, user("a")), ToHttp::Kicked(id, outcome));
            check(ToPeer::Delete(id, user("a")), ToHttp::Kicked(id, outcome));
        }
        let unknown = ToHttp::Kicked(id, Err(KickError::UnknownDevice));
        check(ToPeer::KickDevice(id, user("a"), PHONE), unknown);
        check(ToPeer::Inspect(id, user("a")), ToHttp::Inspected(id, Ok(None)));
        check(
            ToPeer::Inspect(id, user("a")),
            ToHttp::Inspected(id, Err(RegistryError::Unavailable)),
        );
        check(
            ToPeer::Inspect(id, user("a")),
            ToHttp::Inspected(id, Ok(Some(Box::new(inspection())))),
        );
        for ask in [AccountsRequest::Check, AccountsRequest::Import] {
            let existed = ToHttp::Accounts(id, Ok(vec![true, false, true, true, false]));
            check(ToPeer::Accounts(id, ask, users.clone()), existed);
        }
    }

    fn order(ack: AckWish, reach: SendReach, collapse: Option<&str>) -> SendOrder {
        let one = SendTarget {
            platform: Some(Platform::Web),
            instance: Some(InstanceId::MAX),
            skip: vec![ChangeNumber(4), ChangeNumber(u64::MAX)],
            condition: Some(SendCondition::Change(ChangeNumber(7))),
            ..SendTarget::all_of(user("b"))
        };
        let other = SendTarget {
            condition: Some(SendCondition::Session(ChangeNumber(8))),
            ..SendTarget::all_of(user("c"))
        };
        SendOrder {
            content: Arc::new(MessageContent {
                id: u64::MAX,
                from: "shop".to_owned(),
                kind: "order".to_owned(),
                body: vec![0, 255],
            }),
            name: "order-17".into(),
            ack,
            ttl: Duration::from_secs(60),
            wait: Duration::from_millis(800),
            collapse: collapse.map(Box::from),
            reach,
            targets: vec![SendTarget::all_of(user("a")), one, other],
        }
    }

    /// What became of that message, with every outcome and this refusal.
    fn results(refusal: SendRefusal) -> Vec<TargetResult> {
        let result = |outcome| DeviceResult {
            device: PHONE,
            session: ChangeNumber(9),
            outcome,
            after: Duration::from_millis(38),
            reply: vec![1, 2],
        };
        let reached = TargetOutcome::Reached(ReachedUser {
            change: ChangeNumber(3),
            status: Status::PushOnline,
            devices: DeviceOutcome::ALL.into_iter().map(result).collect(),
        });
        let outcomes = [reached.clone(), TargetOutcome::Refused(refusal), reached];
        let results = ["a", "b", "c"].map(user).into_iter().zip(outcomes);
        results
            .map(|(user, outcome)| TargetResult { user, outcome })
            .collect()
    }

    #[test]
    fn a_message_and_what_became_of_it_arrive_as_they_were() {
        let id = RequestId(7);
        for refusal in [
            SendRefusal::UnknownAccount,
            SendRefusal::Precondition,
            SendRefusal::Busy,
            SendRefusal::Unavailable,
        ] {
            let asked = Box::new(order(AckWish::Device, SendReach::All, Some("key")));
            check(ToPeer::Send(id, asked), ToHttp::Sent(id, results(refusal)));
        }
        let asked = Box::new(order(AckWish::No, SendReach::Online, None));
        let refused = asked.refused(SendRefusal::Unavailable);
        let answer = read_answer(ToPeer::Send(id, asked), None);
        assert_eq!(answer, ToHttp::Sent(id, refused));
    }

    #[test]
    fn a_message_out_of_its_bounds_is_refused() {
        let good = order(AckWish::No, SendReach::All, None);
        let too_large = SendOrder {
            content: Arc::new(MessageContent {
                body: vec![0; MESSAGE_BODY_BYTES_MAX + 1],
                ..MessageContent::default()
            }),
            ..good.clone()
        };
        let nobody = SendOrder {
            targets: Vec::new(),
            ..good
        };
        for wrong in [too_large, nobody] {
            let asked = ToPeer::Send(RequestId(7), Box::new(wrong));
            assert!(read_request(request(&asked)).is_err());
        }
    }

    fn inspection() -> Inspection {
        let device = |device, until, link| DeviceInspection {
            device,
            status: Status::Online,
            session: ChangeNumber(7),
            login_at: Timestamp(8),
            heard_at: Timestamp(9),
            until,
            link,
        };
        let link = LinkInspection {
            address: "2001:db8::7".parse().unwrap(),
            transport: Transport::WebSocket,
            sdk_version: "1.2".to_owned(),
            app_version: String::new(),
            background: true,
        };
        Inspection {
            user: user("a"),
            change: ChangeNumber(9),
            kicked_at_s: 10,
            devices: vec![
                device(PHONE, Some(Timestamp(0)), None),
                device(PAGE, None, Some(link)),
            ],
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_never_believed() {
        let id = RequestId(3);
        let query = ToPeer::Query(id, QueryDepth::Status, vec![user("a"), user("b")]);
        let unavailable = query.clone().refuse();
        let too_few = StatusesBody {
            brief: vec![2],
            devices: Vec::new(),
        };
        let unknown = StatusesBody {
            brief: vec![2, 77],
            devices: Vec::new(),
        };
        for body in [
            Some(PeerBody::Statuses(too_few)),
            Some(PeerBody::Statuses(unknown)),
            Some(PeerBody::Kicked(KICKED)),
            Some(PeerBody::Refused(true)),
            None,
        ] {
            assert_eq!(read_answer(query.clone(), body), unavailable);
        }
        let later = PeerFrame { id: 3, body: None };
        assert_eq!(read_request(later).unwrap(), None);
        let nobody = AccountsBody {
            ask: 0,
            users: Vec::new(),
        };
        let cut = UsersBody {
            depth: 0,
            users: vec![5, b'a'],
        };
        let bad = UsersBody {
            depth: 0,
            users: vec![1, 7],
        };
        let many = UsersBody {
            depth: 0,
            users: [1, b'a'].repeat(QUERY_USERS_MAX + 1),
        };
        for body in [
            PeerBody::Accounts(nobody),
            PeerBody::Query(cut),
            PeerBody::Query(bad),
            PeerBody::Query(many),
        ] {
            assert!(
                read_request(PeerFrame {
                    id: 3,
                    body: Some(body)
                })
                .is_err()
            );
        }
        assert!(read(&[0xff, 0xff]).is_err());
    }
}
