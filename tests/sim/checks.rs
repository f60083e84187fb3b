//! What can be wrong, and the comparison of what showed with what must have shown.

use crate::base::counters::Counters;
use crate::base::ids::{RequestId, ShardId, UserId};
use crate::base::time::Now;
use crate::logic::inspection::Inspection;
use crate::logic::record::{Status, UserRecord};
use crate::logic::user_status::{BriefStatus, StatusList, UserStatus, UserStatuses};
use crate::sim::model::Model;
use crate::sim::shown::Shown;

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which check saw it.
    pub(crate) check: &'static str,
    pub(crate) text: String,
}

pub(crate) fn ensure(check: &'static str, holds: bool, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure { check, text: text() })
    }
}

/// Everything of one connection, and everything of one user, in its order.
pub(crate) fn compare(mut seen: Vec<Shown>, mut must: Vec<Shown>) -> Result<(), Failure> {
    seen.sort_by_key(Shown::key);
    must.sort_by_key(Shown::key);
    ensure("model", seen == must, || {
        let lines = |of: &[Shown], other: &[Shown]| {
            let only = of.iter().filter(|shown| !other.contains(shown));
            only.map(|shown| format!("    {shown:?}\n")).collect::<String>()
        };
        format!(
            "only shown:\n{}  only by the rules:\n{}  ({} shown, {} by the rules)",
            lines(&seen, &must),
            lines(&must, &seen),
            seen.len(),
            must.len()
        )
    })
}

/// What a query answered.
pub(crate) fn compare_statuses(statuses: &UserStatuses, model: &Model) -> Result<(), Failure> {
    let users = statuses.users.iter();
    let answers = match &statuses.statuses {
        StatusList::Status(all) => all.len(),
        StatusList::Devices(all) => all.len(),
    };
    ensure("query", answers == users.len(), || {
        format!("{answers} answers for {} users", users.len())
    })?;
    match &statuses.statuses {
        StatusList::Status(all) => users
            .zip(all)
            .try_for_each(|(user, brief)| compare_brief(*user, *brief, model)),
        StatusList::Devices(all) => users
            .zip(all)
            .try_for_each(|(user, status)| compare_status(*user, status, model)),
    }
}

fn compare_brief(user: UserId, brief: BriefStatus, model: &Model) -> Result<(), Failure> {
    let (account, _, devices) = model.standing(user);
    let must = devices.iter().map(|(_, status)| *status).max();
    let holds = match brief {
        BriefStatus::Unresolved => must.is_none(),
        BriefStatus::UnknownAccount => !account,
        BriefStatus::Unavailable => false,
        BriefStatus::Known(status) => account && status == must.unwrap_or(Status::Offline),
    };
    ensure("query", holds, || {
        format!("{user} {brief:?}, by the rules {account} {devices:?}")
    })
}

fn compare_status(user: UserId, status: &UserStatus, model: &Model) -> Result<(), Failure> {
    let (account, change, mut must) = model.standing(user);
    must.sort_unstable();
    let holds = match status {
        UserStatus::Unresolved => must.is_empty(),
        UserStatus::UnknownAccount => !account,
        UserStatus::Unavailable => false,
        UserStatus::Known {
            change: seen,
            devices,
        } => {
            let devices = devices
                .as_slice()
                .iter()
                .map(|known| (known.device, known.status));
            let mut devices: Vec<_> = devices.collect();
            devices.sort_unstable();
            account && seen.0 == change && devices == must
        }
    };
    ensure("query", holds, || {
        format!("{user} {status:?}, by the rules {account} {change} {must:?}")
    })
}

/// What the registry keeps of a user while nothing of the user is under way.
pub(crate) fn compare_record(
    user: UserId,
    record: Option<&UserRecord>,
    model: &Model,
) -> Result<(), Failure> {
    let known = &model.users[&user];
    let empty = UserRecord::default();
    let seen = record.unwrap_or(&empty);
    let mut devices: Vec<(_, Status, u64, u64)> = seen
        .devices
        .iter()
        .map(|device| (device.device, device.status, device.session.0, device.fresh.0))
        .collect();
    devices.sort_unstable();
    let must = known
        .devices
        .iter()
        .map(|(id, device)| (*id, device.status, device.session, device.fresh));
    let ended = seen
        .ended
        .iter()
        .map(|ended| (ended.device, ended.session.0, ended.fresh.0, ended.ending));
    let must_ended = known
        .ended
        .iter()
        .map(|ended| (ended.device, ended.session, ended.fresh, ended.ending));
    let holds = (seen.change.0, seen.kicked_at_s, seen.registered)
        == (known.change, known.kicked_at_s, known.account)
        && devices.into_iter().eq(must)
        && ended.eq(must_ended);
    ensure("record", holds, || {
        format!("{user}: {seen:?}, by the rules {known:?}")
    })
}

/// What an inspection answered.
pub(crate) fn compare_inspection(
    (request, seen): (RequestId, &Inspection),
    model: &Model,
    now: Now,
) -> Result<(), Failure> {
    let text = || format!("{seen:?} came uncalled for");
    let known = model.inspected.get(&request);
    let known = known.ok_or_else(|| Failure {
        check: "inspection",
        text: text(),
    })?;
    let fits = |device: &crate::logic::inspection::DeviceInspection| {
        let Some(must) = known.devices.get(&device.device) else {
            return false;
        };
        let heard = now.wall_at(must.heard);
        let link_known = must.link.is_some_and(|link| !model.is_gone(link));
        let link_fits = device
            .link
            .as_ref()
            .is_none_or(|link| link.background == must.background);
        device.status == must.status
            && device.session.0 == must.session
            && device.login_at == must.login_at
            && device.heard_at == heard
            && device.until.is_some() == must.link.is_none()
            && (!link_known || device.link.is_some())
            && (must.link.is_some() || device.link.is_none())
            && (!link_known || link_fits)
    };
    let holds = seen.change.0 == known.change
        && seen.kicked_at_s == known.kicked_at_s
        && seen.devices.len() == known.devices.len()
        && seen.devices.iter().all(fits);
    ensure("inspection", holds, || {
        format!("{seen:?}, by the rules {known:?}")
    })
}

/// What a shard counts of the present.
pub(crate) fn compare_counters(seen: &Counters, shard: ShardId, model: &Model) -> Result<(), Failure> {
    let here = model.of_shard(shard);
    let users = here.iter().map(|user| &model.users[user]);
    let devices = users.clone().flat_map(|user| user.devices.values());
    let online = devices
        .clone()
        .filter(|device| device.status == Status::Online)
        .count();
    let push_online = devices.count() - online;
    let retrying = users.clone().filter(|user| user.tries > 0).count();
    let present = users
        .filter(|user| !user.devices.is_empty() || user.undecided().next().is_some())
        .count();
    let must = [present, online, push_online, retrying].map(|count| count as u64);
    let seen = [
        seen.users_now,
        seen.devices_online_now,
        seen.devices_push_online_now,
        seen.commits_retrying_now,
    ];
    ensure("counters", seen == must, || {
        format!("{shard:?}: {seen:?}, by the rules {must:?}")
    })
}
