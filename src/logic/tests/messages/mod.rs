//! Messages to devices: what their tests share.

use std::sync::Arc;
use std::time::Duration;

use super::harness::{TestShard, user};
use crate::base::ids::{ChangeNumber, ConnKey, Platform, RequestId};
use crate::base::limits::{DEVICE_MESSAGES_MAX, SENDS_WAITING_MAX};
use crate::logic::delivery::{Delivery, ToHttp, ToShard};
use crate::logic::message::{
    AckWish, DeviceOutcome, LateOutcome, ReachedUser, SendCondition, SendOrder, SendReach, SendRefusal,
    SendTarget, TargetOutcome,
};
use crate::logic::record::Status;
use crate::logic::settings::{Policy, Settings};
use crate::logic::{Effect, Input, LinkLoss};
use crate::protocol::native::proto::{self, request, response};
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, MessageContent};

mod ends;
mod reach;

const REQUEST: RequestId = RequestId(7);
const TTL: Duration = Duration::from_secs(60);

fn shard() -> TestShard {
    TestShard::new(Settings {
        policy: Policy::Multi,
        ..Settings::default()
    })
}

/// A login of a terminal that knows this much of messages.
fn knows(features: u64, session: u64) -> proto::Login {
    proto::Login {
        features,
        session,
        ..proto::Login::default()
    }
}

const ACKS: u64 = FEATURE_MESSAGES | FEATURE_ACKS;

/// Alice logs in from a terminal that acknowledges messages.
fn alice(shard: &mut TestShard, platform: Platform) -> ConnKey {
    let key = shard.log_in_by("alice", platform, knows(ACKS, 0));
    shard.record();
    key
}

fn to(name: &str) -> SendTarget {
    SendTarget {
        user: user(name),
        platform: None,
        instance: None,
        skip: Vec::new(),
        condition: None,
    }
}

fn order(id: u64, ack: AckWish, targets: &[SendTarget]) -> SendOrder {
    SendOrder {
        content: Arc::new(MessageContent {
            id,
            from: "shop".to_owned(),
            kind: "order".to_owned(),
            body: vec![7; 10],
        }),
        name: format!("order {id}").into(),
        ack,
        ttl: TTL,
        wait: Duration::ZERO,
        collapse: None,
        reach: SendReach::All,
        targets: targets.to_vec(),
    }
}

impl TestShard {
    fn send(&mut self, order: SendOrder) {
        let request = RequestId(order.content.id);
        self.deliver(ToShard::Send(request, Box::new(order)));
    }

    /// What became of what was sent, at its targets; nothing if that is not known yet.
    fn sent(&mut self) -> Option<Vec<TargetOutcome>> {
        let place = self
            .out
            .iter()
            .position(|effect| matches!(effect, Effect::Deliver(Delivery::Http(ToHttp::Sent(..)))))?;
        let Effect::Deliver(Delivery::Http(ToHttp::Sent(_, results))) = self.out.remove(place) else {
            unreachable!("it was just looked for");
        };
        Some(results.into_iter().map(|result| result.outcome).collect())
    }

    /// What became of a message at the devices of its one target.
    fn at_devices(&mut self) -> Vec<DeviceOutcome> {
        let mut sent = self.sent().expect("it is answered");
        match sent.pop() {
            Some(TargetOutcome::Reached(reached)) if sent.is_empty() => {
                reached.devices.iter().map(|device| device.outcome).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends Alice a message that wants to be acknowledged.
    fn send_alice(&mut self, id: u64) -> Vec<DeviceOutcome> {
        self.send(order(id, AckWish::Device, &[to("alice")]));
        self.at_devices()
    }

    /// The messages that terminals were sent, and whether each wants to be acknowledged.
    fn messages(&mut self) -> Vec<(ConnKey, u64, bool)> {
        let told = self.told().into_iter();
        let messages = told.filter_map(|(key, packet)| {
            let response::Packet::Message(message) = packet else {
                return None;
            };
            Some((key, message.id, message.wants_ack))
        });
        messages.collect()
    }

    fn ack(&mut self, key: ConnKey, ids: &[u64]) {
        let ack = proto::MessageAck {
            id: ids.to_vec(),
            ..proto::MessageAck::default()
        };
        self.say(key, request::Packet::MessageAck(ack));
    }

    /// What came to its end, as the turn ends.
    fn ended(&mut self) -> Vec<LateOutcome> {
        self.end_turn();
        let mut ended = Vec::new();
        self.out.retain_mut(|effect| {
            let Effect::Deliver(Delivery::Outcomes(outcomes)) = effect else {
                return true;
            };
            ended.append(outcomes);
            false
        });
        ended
    }

    fn ends(&mut self) -> Vec<(u64, DeviceOutcome)> {
        let ended = self.ended().into_iter();
        ended.map(|end| (end.message, end.result.outcome)).collect()
    }
}
