//! Messages that a terminal gets: which it has seen before, and which it still has to acknowledge.

use std::collections::VecDeque;

use crate::base::limits::{ACK_IDS_MAX, DEVICE_MESSAGES_MAX};
use crate::protocol::native::proto;

/// What a terminal knows of its messages.
#[derive(Debug)]
pub(super) struct SeenMessages {
    acks: bool,
    unacked: Vec<u64>,
    /// As many as may wait for one device.
    latest: VecDeque<u64>,
}

impl Default for SeenMessages {
    /// Acknowledges all.
    fn default() -> Self {
        Self {
            acks: true,
            unacked: Vec::new(),
            latest: VecDeque::new(),
        }
    }
}

impl SeenMessages {
    /// A message came. Gives what is to be said of it beside its content.
    pub(super) fn take(&mut self, message: &proto::Message) -> &'static str {
        if message.wants_ack && !self.unacked.contains(&message.id) {
            self.unacked.push(message.id);
        }
        if self.latest.contains(&message.id) {
            return " (again)";
        }
        self.latest.truncate(DEVICE_MESSAGES_MAX - 1);
        self.latest.push_front(message.id);
        ""
    }

    /// Whether messages are to be acknowledged from now on.
    pub(super) fn set_acks(&mut self, to: bool) {
        self.acks = to;
    }

    /// The acknowledgement of what has come, if one is to be sent.
    pub(super) fn ack(&mut self) -> Option<proto::MessageAck> {
        if !self.acks || self.unacked.is_empty() {
            return None;
        }
        let most = self.unacked.len().min(ACK_IDS_MAX);
        Some(proto::MessageAck {
            id: self.unacked.drain(..most).collect(),
            ..proto::MessageAck::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, wants_ack: bool) -> proto::Message {
        proto::Message {
            id,
            wants_ack,
            ..proto::Message::default()
        }
    }

    #[test]
    fn what_wants_it_is_acknowledged_once_each_time_it_comes() {
        let mut seen = SeenMessages::default();
        assert_eq!(
            (seen.take(&message(1, true)), seen.take(&message(2, false))),
            ("", "")
        );
        assert_eq!(seen.ack().map(|ack| ack.id), Some(vec![1]));
        assert_eq!(seen.ack(), None);
        assert_eq!(seen.take(&message(1, true)), " (again)");
        assert_eq!(seen.ack().map(|ack| ack.id), Some(vec![1]));
    }

    #[test]
    fn what_came_while_nothing_was_acknowledged_is_acknowledged_later() {
        let mut seen = SeenMessages::default();
        seen.set_acks(false);
        seen.take(&message(1, true));
        seen.take(&message(1, true));
        assert_eq!(seen.ack(), None);
        seen.set_acks(true);
        assert_eq!(seen.ack().map(|ack| ack.id), Some(vec![1]));
    }
}
