//! Messages on their way to users: whom one reaches, and what becomes of it at each device at first, against the user's confirmed
//! state. While something of a user is not recorded yet, a message waits for its turn like anything else.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::RequestId;
use crate::base::limits::SENDS_WAITING_MAX;
use crate::logic::between_wings::WantsAck;
use crate::logic::cluster::lease::Lease;
use crate::logic::connections::Connections;
use crate::logic::context::{Context, deliver};
use crate::logic::contract::MessageSupport;
use crate::logic::counting::count_outcome;
use crate::logic::delivery::ToHttp;
use crate::logic::message::{
    DeviceOutcome, ReachedUser, SendCondition, SendOrder, SendReach, SendRefusal, SendTarget, TargetOutcome,
};
use crate::logic::record::Status;
use crate::logic::users::Users;
use crate::logic::users::device::{Device, OptionalKey};
use crate::logic::users::events::{Decision, PendingSend, Residency, UserEvent};
use crate::logic::users::held::HeldMessage;
use crate::logic::users::presence::DeviceState;
use crate::logic::users::sends::OpenSend;

impl Users {
    /// Brings a message to users of this shard. Answered when it is known what became of it at first at each of them.
    pub(in crate::logic) fn send(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        request: RequestId,
        order: SendOrder,
    ) {
        let targets = order.targets.iter();
        let outcomes = targets.map(|target| self.send_now((context, connections), &order, target));
        let outcomes: Vec<Option<TargetOutcome>> = outcomes.collect();
        let waits = |(target, outcome): (usize, &Option<TargetOutcome>)| outcome.is_none().then_some(target);
        let waiting: Vec<usize> = outcomes.iter().enumerate().filter_map(waits).collect();
        let order = Arc::new(order);
        match OpenSend::new(Arc::clone(&order), outcomes).results() {
            Ok(results) => deliver(context, ToHttp::Sent(request, results)),
            Err(open) => self.sends.insert(request, open),
        }
        for target in waiting {
            let order = Arc::clone(&order);
            self.send_later(
                context,
                PendingSend {
                    request,
                    order,
                    target,
                },
            );
        }
    }

    /// Brings a message to one user, unless it has to wait for its turn.
    fn send_now(
        &mut self,
        (context, connections): (&mut Context, &Connections),
        order: &SendOrder,
        target: &SendTarget,
    ) -> Option<TargetOutcome> {
        let user = self.table.find(&target.user)?;
        let nothing_waits = self.table.user(user).waiting == OptionalKey::NONE;
        (nothing_waits && self.is_open(context, &target.user))
            .then(|| self.bring((context, connections), user, order, target))
    }

    /// A message has to wait for its user's turn.
    fn send_later(&mut self, context: &mut Context, pending: PendingSend) {
        let id = pending.order.targets[pending.target].user;
        if !self.is_open(context, &id) {
            return self.refuse_send(context, &pending, SendRefusal::Unavailable);
        }
        let user = self.key_of(context, &id);
        let waiting = self.waiting_mut(user);
        if waiting.sends >= SENDS_WAITING_MAX {
            return self.refuse_send(context, &pending, SendRefusal::Busy);
        }
        waiting.sends += 1;
        self.enqueue(user, UserEvent::Send(pending));
    }

    /// A message is brought to nobody of its target.
    pub(super) fn refuse_send(&mut self, context: &mut Context, pending: &PendingSend, refusal: SendRefusal) {
        context.counters.sends_refused += 1;
        self.settle_send(context, pending, TargetOutcome::Refused(refusal));
    }

    fn settle_send(&mut self, context: &mut Context, pending: &PendingSend, outcome: TargetOutcome) {
        let request = pending.request;
        if let Some(results) = self.sends.settle(request, pending.target, outcome) {
            deliver(context, ToHttp::Sent(request, results));
        }
    }

    /// The turn of a message has come.
    pub(super) fn decide_send(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        pending: &PendingSend,
    ) -> Decision {
        match self.waiting(user).residency {
            Residency::Unknown => return Decision::Load,
            Residency::NoAccount => self.refuse_send(context, pending, SendRefusal::UnknownAccount),
            Residency::Dropped => unreachable!("nothing is decided of a user that was dropped"),
            Residency::Resident => {
                let order = &pending.order;
                let outcome = self.bring(
                    (context, connections),
                    user,
                    order,
                    &order.targets[pending.target],
                );
                self.settle_send(context, pending, outcome);
            }
        }
        Decision::Done
    }

    /// Brings a message to a user whose state is confirmed.
    fn bring(
        &mut self,
        (context, connections): (&mut Context, &Connections),
        user: u32,
        order: &SendOrder,
        target: &SendTarget,
    ) -> TargetOutcome {
        let refusal = if !self.may_be_told(context, user) {
            SendRefusal::Unavailable
        } else if !self.meets(user, target.condition) {
            SendRefusal::Precondition
        } else {
            return TargetOutcome::Reached(self.reach((context, connections), user, order, target));
        };
        context.counters.sends_refused += 1;
        TargetOutcome::Refused(refusal)
    }

    /// Whether what is known of a user counts: another node could own the user once the lease is over.
    fn may_be_told(&self, context: &Context, user: u32) -> bool {
        context.lease == Lease::Forever || self.partition_of(user).passes(context.now.instant, context.lease)
    }

    fn meets(&self, user: u32, condition: Option<SendCondition>) -> bool {
        match condition {
            None => true,
            Some(SendCondition::Change(change)) => self.table.user(user).change == change,
            Some(SendCondition::Session(session)) => {
                let mut devices = self.table.devices_of(user);
                devices.any(|(_, device)| device.session.id() == session)
            }
        }
    }

    fn reach(
        &mut self,
        (context, connections): (&mut Context, &Connections),
        user: u32,
        order: &SendOrder,
        target: &SendTarget,
    ) -> ReachedUser {
        let devices = self.table.devices_of(user);
        let devices = devices.filter(|(_, device)| is_for(device, order.reach, target));
        let devices: Vec<u32> = devices.map(|(key, _)| key).collect();
        let devices = devices.into_iter().map(|key| {
            let outcome = self.reach_device((context, connections), key, order);
            count_outcome(&mut context.counters, outcome);
            let (after, reply) = (Duration::ZERO, Vec::new());
            self.device_result(key, outcome, (after, reply))
        });
        let devices = devices.collect();
        let user = self.table.user(user);
        ReachedUser {
            change: user.change,
            status: user.devices.status(),
            devices,
        }
    }

    /// What becomes of a message at one device at first.
    fn reach_device(
        &mut self,
        (context, connections): (&mut Context, &Connections),
        key: u32,
        order: &SendOrder,
    ) -> DeviceOutcome {
        let device = self.table.device(key);
        let (support, now) = (device.marks.messages(), context.now.instant);
        // Its connection may be gone, and that not be recorded yet.
        let is_linked = device.state() == DeviceState::Linked && connections.is_live(self.table.link_of(key));
        let message = HeldMessage {
            content: Arc::clone(&order.content),
            name: Arc::clone(&order.name),
            ack: order.ack,
            collapse: order.collapse.clone(),
            since: now,
            until: now.after(order.ttl),
            was_sent: is_linked,
        };
        if is_linked && support == MessageSupport::None {
            return DeviceOutcome::Unsupported;
        }
        if is_linked && !message.is_acked_by(support) {
            self.send_message(context, key, &message, WantsAck::No);
            return DeviceOutcome::Sent;
        }
        self.make_way(context, key, order.collapse.as_deref());
        self.hold(context, key, message)
    }

    /// An older message with the same key goes for a newer one, if it was not sent yet.
    fn make_way(&mut self, context: &mut Context, key: u32, collapse: Option<&str>) {
        let older = collapse.and_then(|collapse| self.held.take_collapsed(key, collapse));
        if let Some(older) = older {
            self.tell_outcome(context, key, &older, DeviceOutcome::Replaced);
        }
    }
}

/// Whether a message is for this device of a target.
fn is_for(device: &Device, reach: SendReach, target: &SendTarget) -> bool {
    let id = device.id();
    let reached = reach == SendReach::All || device.state().status() == Status::Online;
    reached
        && target.platform.is_none_or(|platform| platform == id.platform)
        && target.instance.is_none_or(|instance| instance == id.instance)
        && !target.skip.contains(&device.session.id())
}
