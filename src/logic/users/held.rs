//! The messages that wait for devices: for an acknowledgement, or for a connection. Keeps them within bounds, in their order, and
//! knows when each has lost its point; decides nothing of devices. A device for which nothing waits costs nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::arena::Arena;
use crate::base::limits::{DEVICE_MESSAGE_BYTES_MAX, DEVICE_MESSAGES_MAX, HELD_MESSAGE_BYTES};
use crate::base::time::Instant;
use crate::base::wheel::Wheel;
use crate::logic::contract::MessageSupport;
use crate::logic::message::AckWish;
use crate::protocol::packet::MessageContent;

/// A message that waits for one device.
#[derive(Debug, Clone)]
pub(super) struct HeldMessage {
    pub(super) content: Arc<MessageContent>,
    pub(super) name: Arc<str>,
    pub(super) ack: AckWish,
    pub(super) collapse: Option<Box<str>>,
    /// When it came.
    pub(super) since: Instant,
    /// When it has lost its point.
    pub(super) until: Instant,
    /// Whether it was sent on any connection.
    pub(super) was_sent: bool,
}

impl HeldMessage {
    /// How long it still matters. It is never nothing, which would say that it matters no more.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.since(now).max(Duration::from_millis(1))
    }

    /// Whether a terminal that does this with messages is asked to acknowledge it.
    pub(super) fn is_acked_by(&self, support: MessageSupport) -> bool {
        self.ack == AckWish::Device && support == MessageSupport::Acked
    }

    /// What it counts for: as if each device had a copy.
    fn bytes(&self) -> usize {
        self.content.body.len() + HELD_MESSAGE_BYTES
    }
}

/// As many wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What waits for one device, in its order.
#[derive(Debug, Default)]
struct DeviceQueue {
    keys: VecDeque<u32>,
    bytes: usize,
}

/// What waits, and for which device.
#[derive(Debug)]
struct Entry {
    device: u32,
    message: HeldMessage,
}

/// All messages that wait for the devices of a shard, whose keys they go by.
#[derive(Debug)]
pub(super) struct HeldMessages {
    entries: Arena<Entry>,
    devices: HashMap<u32, DeviceQueue>,
    alarms: Wheel,
    bytes: usize,
}

impl HeldMessages {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            entries: Arena::default(),
            devices: HashMap::new(),
            alarms: Wheel::new(now),
            bytes: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they count for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps one more for a device.
    ///
    /// # Errors
    /// If there is no room: the device may have no more, or the shard no more than `bytes_max`.
    pub(super) fn hold(&mut self, device: u32, message: HeldMessage, bytes_max: usize) -> Result<(), NoRoom> {
        let bytes = message.bytes();
        let queue = self.devices.get(&device);
        let (count, device_bytes) = queue.map_or((0, 0), |queue| (queue.keys.len(), queue.bytes));
        let is_full = count >= DEVICE_MESSAGES_MAX || device_bytes + bytes > DEVICE_MESSAGE_BYTES_MAX;
        if is_full || self.bytes + bytes > bytes_max {
            return Err(NoRoom);
        }
        let until = message.until;
        let key = self.entries.insert(Entry { device, message });
        self.alarms.arm(key, until);
        let queue = self.devices.entry(device).or_default();
        queue.keys.push_back(key);
        queue.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes one away that has this id, and waits for this device.
    pub(super) fn take(&mut self, device: u32, id: u64) -> Option<HeldMessage> {
        self.take_first(device, |message| message.content.id == id)
    }

    /// Takes one away that has this key and was not sent, and waits for this device.
    pub(super) fn take_collapsed(&mut self, device: u32, collapse: &str) -> Option<HeldMessage> {
        self.take_first(device, |message| {
            !message.was_sent && message.collapse.as_deref() == Some(collapse)
        })
    }

    fn take_first(&mut self, device: u32, is_meant: impl Fn(&HeldMessage) -> bool) -> Option<HeldMessage> {
        let mut keys = self.devices.get(&device)?.keys.iter().copied();
        let key = keys.find(|key| is_meant(&self.entries[*key].message))?;
        Some(self.remove(key))
    }

    /// The keys of all that wait for this device, in their order.
    pub(super) fn keys(&self, device: u32) -> Vec<u32> {
        let queue = self.devices.get(&device);
        queue.map_or_else(Vec::new, |queue| queue.keys.iter().copied().collect())
    }

    /// The message of a key in use.
    pub(super) fn message_mut(&mut self, key: u32) -> &mut HeldMessage {
        &mut self.entries[key].message
    }

    /// Takes the next one away that has lost its point, and says whose it was.
    pub(super) fn expired(&mut self, now: Instant) -> Option<(u32, HeldMessage)> {
        while let Some(key) = self.alarms.pop(now) {
            let entry = &self.entries[key];
            let (device, until) = (entry.device, entry.message.until);
            if until <= now {
                return Some((device, self.remove(key)));
            }
            self.alarms.arm(key, until);
        }
        None
    }

    /// When [`HeldMessages::expired`] has one.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.alarms.next_deadline()
    }

    /// Takes the message of a key in use away.
    pub(super) fn remove(&mut self, key: u32) -> HeldMessage {
        self.alarms.cancel(key);
        let Entry { device, message } = self.entries.remove(key);
        let bytes = message.bytes();
        self.bytes -= bytes;
        let queue = self.devices.get_mut(&device).expect("it waited for a device");
        queue.bytes -= bytes;
        queue.keys.retain(|kept| *kept != key);
        if queue.keys.is_empty() {
            self.devices.remove(&device);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_BOUND: usize = usize::MAX;

    fn message(id: u64, bytes: usize, until: u64) -> HeldMessage {
        HeldMessage {
            content: Arc::new(MessageContent {
                id,
                from: String::new(),
                kind: String::new(),
                body: vec![0; bytes],
            }),
            name: "".into(),
            ack: AckWish::Device,
            collapse: None,
            since: Instant(0),
            until: Instant(until),
            was_sent: false,
        }
    }

    fn ids(held: &mut HeldMessages, device: u32) -> Vec<u64> {
        let keys = held.keys(device);
        let ids = keys.into_iter().map(|key| held.message_mut(key).content.id);
        ids.collect()
    }

    #[test]
    fn a_device_has_no_more_than_it_may_in_number_and_in_bytes() {
        let mut held = HeldMessages::new(Instant(0));
        for id in 0..DEVICE_MESSAGES_MAX as u64 {
            assert_eq!(held.hold(1, message(id, 0, 9), NO_BOUND), Ok(()));
        }
        assert_eq!(held.hold(1, message(99, 0, 9), NO_BOUND), Err(NoRoom));
        let largest = DEVICE_MESSAGE_BYTES_MAX - HELD_MESSAGE_BYTES;
        assert_eq!(held.hold(2, message(1, largest, 9), NO_BOUND), Ok(()));
        assert_eq!(held.hold(2, message(2, 0, 9), NO_BOUND), Err(NoRoom));
        assert_eq!(held.hold(3, message(1, largest + 1, 9), NO_BOUND), Err(NoRoom));
    }

    #[test]
    fn all_together_have_no_more_bytes_than_they_may_and_give_them_back() {
        let mut held = HeldMessages::new(Instant(0));
        let room = 2 * (100 + HELD_MESSAGE_BYTES);
        assert_eq!(held.hold(1, message(1, 100, 9), room), Ok(()));
        assert_eq!(held.hold(2, message(2, 100, 9), room), Ok(()));
        assert_eq!(held.hold(3, message(3, 0, 9), room), Err(NoRoom));
        assert!(held.take(1, 1).is_some());
        assert_eq!(held.hold(3, message(3, 100, 9), room), Ok(()));
        assert_eq!((held.len(), held.bytes()), (2, room));
    }

    #[test]
    fn they_keep_their_order_and_each_is_taken_once() {
        let mut held = HeldMessages::new(Instant(0));
        for id in 1..=4 {
            held.hold(7, message(id, 0, 9), NO_BOUND).unwrap();
        }
        assert!(held.take(7, 2).is_some());
        assert!(held.take(7, 2).is_none());
        assert!(held.take(8, 1).is_none(), "of another device");
        assert_eq!(ids(&mut held, 7), [1, 3, 4]);
        for key in held.keys(7) {
            held.remove(key);
        }
        assert_eq!((held.len(), held.bytes(), held.devices.len()), (0, 0, 0));
        assert_eq!(held.next_deadline(), None);
    }

    #[test]
    fn only_what_was_not_sent_is_replaced() {
        let mut held = HeldMessages::new(Instant(0));
        let mut sent = message(1, 0, 9);
        sent.collapse = Some("a".into());
        sent.was_sent = true;
        let mut unsent = message(2, 0, 9);
        unsent.collapse = Some("a".into());
        held.hold(7, sent, NO_BOUND).unwrap();
        held.hold(7, unsent, NO_BOUND).unwrap();
        assert!(held.take_collapsed(7, "b").is_none());
        let replaced = held.take_collapsed(7, "a").unwrap();
        assert_eq!(replaced.content.id, 2);
        assert!(held.take_collapsed(7, "a").is_none());
    }

    #[test]
    fn each_expires_when_it_has_lost_its_point_and_no_sooner() {
        let mut held = HeldMessages::new(Instant(0));
        for (id, until) in [(1, 5_000), (2, 2_000), (3, 90_000_000)] {
            held.hold(7, message(id, 0, until), NO_BOUND).unwrap();
        }
        assert!(held.expired(Instant(1_999)).is_none());
        assert_eq!(held.next_deadline(), Some(Instant(2_000)));
        let (device, message) = held.expired(Instant(6_000)).unwrap();
        assert_eq!((device, message.content.id), (7, 2));
        assert_eq!(held.expired(Instant(6_000)).unwrap().1.content.id, 1);
        assert!(held.expired(Instant(6_000)).is_none());
        assert_eq!(held.expired(Instant(90_000_000)).unwrap().1.content.id, 3);
    }

    #[test]
    fn what_is_left_of_its_time_is_never_nothing() {
        let message = message(1, 0, 500);
        assert_eq!(message.left(Instant(100)), Duration::from_millis(400));
        assert_eq!(message.left(Instant(600)), Duration::from_millis(1));
    }
}
