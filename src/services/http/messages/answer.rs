//! What became of a message, as JSON. It only shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::base::time::millis;
use crate::logic::message::{
    DeviceOutcome, DeviceResult, LateOutcome, ReachedUser, TargetOutcome, TargetResult,
};
use crate::logic::record::Status;

/// What became of it at each target.
pub(in crate::services::http) fn results(results: &[TargetResult]) -> Value {
    results.iter().map(result).collect()
}

fn result(result: &TargetResult) -> Value {
    let user = result.user.as_str();
    match &result.outcome {
        TargetOutcome::Refused(refusal) => json!({ "user": user, "outcome": refusal.name() }),
        TargetOutcome::Reached(reached) => json!({
            "user": user,
            "outcome": best(reached),
            "change": reached.change.0,
            "status": reached.status.name(),
            "devices": reached.devices.iter().map(device).collect::<Vec<_>>(),
        }),
    }
}

/// Outcomes from the one on that says most of a user.
const BEST_FIRST: [DeviceOutcome; 8] = [
    DeviceOutcome::Acked,
    DeviceOutcome::Sent,
    DeviceOutcome::Held,
    DeviceOutcome::Refused,
    DeviceOutcome::Replaced,
    DeviceOutcome::Full,
    DeviceOutcome::Lost,
    DeviceOutcome::Unsupported,
];

/// What became of it at a user: the best of the devices.
fn best(reached: &ReachedUser) -> &'static str {
    let is_among = |outcome: &DeviceOutcome| reached.devices.iter().any(|device| device.outcome == *outcome);
    match BEST_FIRST.into_iter().find(is_among) {
        Some(outcome) => outcome.name(),
        None if reached.status == Status::Offline => "offline",
        None => "no_device",
    }
}

fn device(result: &DeviceResult) -> Value {
    let mut device = json!({
        "platform": result.device.platform.name(),
        // A string: many readers of JSON keep only 53 bits of a number.
        "instance": result.device.instance.to_string(),
        "session": result.session.0,
        "outcome": result.outcome.name(),
    });
    if !result.after.is_zero() || result.outcome == DeviceOutcome::Acked {
        device["ms"] = millis(result.after).into();
    }
    if !result.reply.is_empty() {
        device["reply"] = STANDARD.encode(&result.reply).into();
    }
    device
}

/// A line of the outcomes that came later.
pub(in crate::services::http) fn line(late: &LateOutcome) -> Value {
    let mut line = device(&late.result);
    line["id"] = (*late.name).into();
    line["user"] = late.user.as_str().into();
    line["change"] = late.change.0.into();
    line
}
