//! What becomes of messages that wait for a device: it acknowledges them, comes back and is sent them again, goes for good, or does
//! not take them in time. Each of them comes to one end, which is told.

use std::sync::Arc;
use std::time::Duration;

use crate::base::time::millis;
use crate::logic::between_wings::{ConnectionCommand, MessageToSend, WantsAck};
use crate::logic::context::Context;
use crate::logic::contract::MessageSupport;
use crate::logic::counting::count_outcome;
use crate::logic::message::{DeviceOutcome, DeviceResult, LateOutcome};
use crate::logic::users::Users;
use crate::logic::users::held::{HeldMessage, NoRoom};
use crate::protocol::packet::MessageAck;

impl Users {
    /// Keeps a message until the device has taken it, and sends it if it is one that is.
    pub(super) fn hold(&mut self, context: &mut Context, device: u32, message: HeldMessage) -> DeviceOutcome {
        let to_send = message
            .was_sent
            .then(|| message_to_send(context, &message, WantsAck::Yes));
        let bytes_max = context.settings.message_bytes_max;
        if let Err(NoRoom) = self.held.hold(device, message, bytes_max) {
            return DeviceOutcome::Full;
        }
        self.count_held(context);
        if let Some(message) = to_send {
            self.put_on_its_way(context, device, message);
        }
        DeviceOutcome::Held
    }

    /// Puts a message on the way out of the device's connection.
    pub(super) fn send_message(
        &self,
        context: &mut Context,
        device: u32,
        message: &HeldMessage,
        wants_ack: WantsAck,
    ) {
        let message = message_to_send(context, message, wants_ack);
        self.put_on_its_way(context, device, message);
    }

    fn put_on_its_way(&self, context: &mut Context, device: u32, message: MessageToSend) {
        let command = ConnectionCommand::SendMessage(self.table.link_of(device), message);
        context.commands.push_back(command);
    }

    /// A device has a connection: what has waited for it and is to be sent by that.
    pub(super) fn send_behind_login(&mut self, context: &mut Context, device: u32) -> Vec<MessageToSend> {
        let support = self.table.device(device).marks.messages();
        let keys = self.held.keys(device).into_iter();
        let sent = keys.filter_map(|key| {
            let message = self.held.message_mut(key);
            message.was_sent = true;
            if message.is_acked_by(support) {
                return Some(message_to_send(context, message, WantsAck::Yes));
            }
            let message = self.held.remove(key);
            if support == MessageSupport::None {
                self.tell_outcome(context, device, &message, DeviceOutcome::Unsupported);
                return None;
            }
            self.tell_outcome(context, device, &message, DeviceOutcome::Sent);
            Some(message_to_send(context, &message, WantsAck::No))
        });
        sent.collect()
    }

    /// A device's terminal says that its app has some messages, or could not take them.
    pub(super) fn acked(&mut self, context: &mut Context, device: u32, ack: MessageAck) {
        let outcome = if ack.refused {
            DeviceOutcome::Refused
        } else {
            DeviceOutcome::Acked
        };
        let mut reply = ack.reply;
        for id in ack.ids {
            match self.held.take(device, id) {
                Some(message) => {
                    let reply = std::mem::take(&mut reply);
                    self.tell_reply(context, (device, &message), outcome, reply);
                }
                // It came to its end before, or the terminal says so for the second time.
                None => context.counters.acks_unknown += 1,
            }
        }
    }

    /// Nothing that waits for a device can reach it any more.
    pub(super) fn lose_messages(&mut self, context: &mut Context, device: u32) {
        for key in self.held.keys(device) {
            let message = self.held.remove(key);
            self.tell_outcome(context, device, &message, DeviceOutcome::Lost);
        }
    }

    /// Messages that have lost their point.
    pub(super) fn expire_messages(&mut self, context: &mut Context) {
        if self.held.len() == 0 {
            return;
        }
        while let Some((device, message)) = self.held.expired(context.now.instant) {
            self.tell_outcome(context, device, &message, DeviceOutcome::Lost);
        }
    }

    /// A message that waited for a device has come to its end there.
    pub(super) fn tell_outcome(
        &self,
        context: &mut Context,
        device: u32,
        message: &HeldMessage,
        outcome: DeviceOutcome,
    ) {
        self.tell_reply(context, (device, message), outcome, Vec::new());
    }

    fn tell_reply(
        &self,
        context: &mut Context,
        (device, message): (u32, &HeldMessage),
        outcome: DeviceOutcome,
        reply: Vec<u8>,
    ) {
        count_outcome(&mut context.counters, outcome);
        self.count_held(context);
        let user = self.table.user(self.table.device(device).user);
        let after = context.now.instant.since(message.since);
        context.outcomes.push(LateOutcome {
            message: message.content.id,
            name: Arc::clone(&message.name),
            user: user.id,
            change: user.change,
            result: self.device_result(device, outcome, (after, reply)),
        });
    }

    /// What became of a message at this device, as it is now.
    pub(super) fn device_result(
        &self,
        device: u32,
        outcome: DeviceOutcome,
        (after, reply): (Duration, Vec<u8>),
    ) -> DeviceResult {
        let device = self.table.device(device);
        DeviceResult {
            device: device.id(),
            session: device.session.id(),
            outcome,
            after,
            reply,
        }
    }

    fn count_held(&self, context: &mut Context) {
        context.counters.messages_held_now = self.held.len() as u64;
        context.counters.message_bytes_held_now = self.held.bytes() as u64;
    }
}

fn message_to_send(context: &Context, message: &HeldMessage, wants_ack: WantsAck) -> MessageToSend {
    let ttl_ms = millis(message.left(context.now.instant));
    MessageToSend {
        content: Arc::clone(&message.content),
        ttl_ms: u32::try_from(ttl_ms).unwrap_or(u32::MAX),
        wants_ack,
    }
}
