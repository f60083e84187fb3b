//! Messages and what became of them as the bodies have them. Reading checks everything: the other end may have another version.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{ChangeNumber, InstanceId, Platform, UserId};
use crate::base::limits::{MESSAGE_BODY_BYTES_MAX, SEND_TARGETS_MAX};
use crate::base::time::millis;
use crate::logic::message::{
    AckWish, DeviceOutcome, DeviceResult, ReachedUser, SendCondition, SendOrder, SendReach, SendRefusal,
    SendTarget, TargetOutcome, TargetResult,
};
use crate::protocol::packet::MessageContent;
use crate::services::peers::bodies::{SendBody, SentBody, SentDevice, SentTarget, TargetBody};
use crate::services::peers::values::{damaged, put_device, put_status, read_device, read_status, read_user};

pub(super) fn put_order(order: &SendOrder) -> SendBody {
    let content = &order.content;
    SendBody {
        message: content.id,
        from: content.from.clone(),
        kind: content.kind.clone(),
        body: content.body.clone(),
        ack: order.ack == AckWish::Device,
        ttl_ms: millis(order.ttl),
        collapse: order.collapse.as_deref().unwrap_or_default().to_owned(),
        online_only: order.reach == SendReach::Online,
        targets: order.targets.iter().map(put_target).collect(),
        name: order.name.to_string(),
        wait_ms: millis(order.wait),
    }
}

fn put_target(target: &SendTarget) -> TargetBody {
    let (if_change, if_session) = match target.condition {
        None => (None, None),
        Some(SendCondition::Change(change)) => (Some(change.0), None),
        Some(SendCondition::Session(session)) => (None, Some(session.0)),
    };
    TargetBody {
        user: target.user.as_bytes().to_vec(),
        platform: target.platform.map_or(0, |platform| platform as u32),
        instance: target.instance.map_or(0, InstanceId::get),
        skip: target.skip.iter().map(|session| session.0).collect(),
        if_change,
        if_session,
    }
}

pub(super) fn read_order(body: SendBody) -> io::Result<SendOrder> {
    let targets = body.targets.into_iter().map(read_target);
    let targets = targets.collect::<io::Result<Vec<SendTarget>>>()?;
    // One more is the sender, whose own devices get it, too.
    let count_is_fine = (1..=SEND_TARGETS_MAX + 1).contains(&targets.len());
    let is_in_bounds = body.body.len() <= MESSAGE_BODY_BYTES_MAX && count_is_fine;
    if !is_in_bounds {
        return Err(damaged("message"));
    }
    Ok(SendOrder {
        content: Arc::new(MessageContent {
            id: body.message,
            from: body.from,
            kind: body.kind,
            body: body.body,
        }),
        ack: if body.ack { AckWish::Device } else { AckWish::No },
        name: body.name.into(),
        ttl: Duration::from_millis(body.ttl_ms),
        wait: Duration::from_millis(body.wait_ms),
        collapse: (!body.collapse.is_empty()).then(|| body.collapse.into()),
        reach: if body.online_only {
            SendReach::Online
        } else {
            SendReach::All
        },
        targets,
    })
}

fn read_target(body: TargetBody) -> io::Result<SendTarget> {
    let platform = Platform::ALL
        .into_iter()
        .find(|platform| *platform as u32 == body.platform);
    if platform.is_none() && body.platform != 0 {
        return Err(damaged("target"));
    }
    let condition = match (body.if_change, body.if_session) {
        (Some(change), _) => Some(SendCondition::Change(ChangeNumber(change))),
        (None, Some(session)) => Some(SendCondition::Session(ChangeNumber(session))),
        (None, None) => None,
    };
    Ok(SendTarget {
        user: read_user(&body.user)?,
        platform,
        instance: InstanceId::new(body.instance),
        skip: body.skip.into_iter().map(ChangeNumber).collect(),
        condition,
    })
}

/// Refusals, each by its place and 1.
const REFUSALS: [SendRefusal; 4] = [
    SendRefusal::UnknownAccount,
    SendRefusal::Precondition,
    SendRefusal::Busy,
    SendRefusal::Unavailable,
];

fn place_in<T: PartialEq>(all: &[T], one: &T) -> u32 {
    let place = all.iter().position(|known| known == one);
    place.map_or(0, |place| u32::try_from(place).unwrap_or(0))
}

pub(super) fn put_results(results: &[TargetResult]) -> SentBody {
    let targets = results.iter().map(|result| match &result.outcome {
        TargetOutcome::Refused(refusal) => SentTarget {
            refusal: 1 + place_in(&REFUSALS, refusal),
            ..SentTarget::default()
        },
        TargetOutcome::Reached(reached) => SentTarget {
            refusal: 0,
            change: reached.change.0,
            status: u32::from(put_status(reached.status)),
            devices: reached.devices.iter().map(put_result).collect(),
        },
    });
    SentBody {
        targets: targets.collect(),
    }
}

fn put_result(result: &DeviceResult) -> SentDevice {
    SentDevice {
        device: put_device(result.device),
        session: result.session.0,
        outcome: place_in(&DeviceOutcome::ALL, &result.outcome),
        after_ms: millis(result.after),
        reply: result.reply.clone(),
    }
}

pub(super) fn read_results(users: &[UserId], body: SentBody) -> io::Result<Vec<TargetResult>> {
    if body.targets.len() != users.len() {
        return Err(damaged("list of outcomes"));
    }
    let targets = users.iter().zip(body.targets);
    let results = targets.map(|(user, target)| {
        let outcome = read_target_outcome(target)?;
        Ok(TargetResult { user: *user, outcome })
    });
    results.collect()
}

fn read_target_outcome(body: SentTarget) -> io::Result<TargetOutcome> {
    if let Some(place) = body.refusal.checked_sub(1) {
        let refusal = REFUSALS.get(place as usize).copied();
        return refusal
            .map(TargetOutcome::Refused)
            .ok_or_else(|| damaged("outcome"));
    }
    let status = u8::try_from(body.status).map_err(|_| damaged("status"))?;
    let devices = body.devices.into_iter().map(read_result);
    Ok(TargetOutcome::Reached(ReachedUser {
        change: ChangeNumber(body.change),
        status: read_status(status)?,
        devices: devices.collect::<io::Result<_>>()?,
    }))
}

fn read_result(body: SentDevice) -> io::Result<DeviceResult> {
    let outcome = DeviceOutcome::ALL.get(body.outcome as usize).copied();
    Ok(DeviceResult {
        device: read_device(&body.device)?,
        session: ChangeNumber(body.session),
        outcome: outcome.ok_or_else(|| damaged("outcome"))?,
        after: Duration::from_millis(body.after_ms),
        reply: body.reply,
    })
}
