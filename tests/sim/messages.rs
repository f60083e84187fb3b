//! What is promised of messages, beside the rules of presence: a book of all that were sent, by device, that is compared with whatever
//! shows of them.
//!
//! * Each message comes to one end at each device, or its gateway crashes first. Nothing is lost without a word.
//! * An acknowledgement is the terminal's own. What has ended is not sent any more.
//! * A terminal sees the messages in the order in which they were sent; on each connection each of them once.
//! * None comes before the login's answer, or behind the end of the session.
//! * What is told of a user is the user's confirmed state, and its number.
//! * No more waits than may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{ChangeNumber, DeviceId, RequestId, SessionId, ShardId, UserId};
use crate::base::limits::{DEVICE_MESSAGES_MAX, HELD_MESSAGE_BYTES};
use crate::base::time::{Instant, millis};
use crate::base::wheel::TICK_MS;
use crate::logic::message::{
    AckWish, DeviceOutcome, LateOutcome, ReachedUser, SendCondition, SendOrder, SendReach, SendRefusal,
    SendTarget, TargetOutcome, TargetResult,
};
use crate::logic::record::Status;
use crate::protocol::native::proto;
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, MessageContent};
use crate::sim::checks::{Failure, ensure};
use crate::sim::model::user::Event as Waits;
use crate::sim::shown::{Link, SentTo};
use crate::sim::terminal::Item;
use crate::sim::world::{Event, World};

/// Devices that one kick ends.
const CHANGES_AT_ONCE_MAX: u64 = 64;

/// All messages of a world.
#[derive(Debug, Default)]
pub(crate) struct MessageBook {
    orders: BTreeMap<RequestId, Arc<SendOrder>>,
    /// By message and device.
    stories: BTreeMap<(u64, UserId, DeviceId), Story>,
    /// What the terminal of each connection knows of messages, as its login says.
    features: BTreeMap<Link, u64>,
    /// The same of all logins of a device.
    logins: BTreeMap<(UserId, DeviceId), BTreeSet<u64>>,
    /// The last message that each connection that is logged in was sent.
    live: BTreeMap<Link, u64>,
    /// What terminals have said of messages.
    said: BTreeSet<(UserId, DeviceId, u64, bool)>,
    /// The id of the last one.
    latest: u64,
}

/// A message at one device.
#[derive(Debug)]
struct Story {
    order: Arc<SendOrder>,
    since: Instant,
    /// The login that the device's session went back to.
    fresh: u64,
    outcome: DeviceOutcome,
    was_sent: bool,
}

impl Story {
    fn until(&self) -> u64 {
        self.since.0 + millis(self.order.ttl)
    }

    fn is_held(&self) -> bool {
        self.outcome == DeviceOutcome::Held
    }
}

/// Whether a terminal with these features takes messages and acknowledges them.
fn acks_too(features: u64) -> bool {
    let both = FEATURE_MESSAGES | FEATURE_ACKS;
    features & both == both
}

fn fault(text: String) -> Failure {
    Failure {
        check: "messages",
        text,
    }
}

fn must(holds: bool, text: impl FnOnce() -> String) -> Result<(), Failure> {
    ensure("messages", holds, text)
}

impl World {
    /// The backend sends something to somebody.
    pub(crate) fn send_message(&mut self) -> Result<(), Failure> {
        let (request, user, home) = self.request();
        self.messages.latest += 1;
        let (_, change, _) = self.model.standing(user);
        let condition = match self.random.u8(..20) {
            0 => Some(SendCondition::Change(ChangeNumber(change))),
            1 => Some(SendCondition::Change(ChangeNumber(change + 1))),
            _ => None,
        };
        let order = SendOrder {
            content: Arc::new(MessageContent {
                id: self.messages.latest,
                from: "the backend".to_owned(),
                kind: "test".to_owned(),
                body: vec![7; self.random.usize(..200)],
            }),
            name: format!("message {}", self.messages.latest).into(),
            ack: if self.random.u8(..4) == 0 {
                AckWish::No
            } else {
                AckWish::Device
            },
            ttl: Duration::from_millis(
                self.random
                    .choice([1, 900, 60_000, 500_000])
                    .expect("there are some"),
            ),
            wait: Duration::ZERO,
            collapse: (self.random.u8(..3) == 0).then(|| "one".into()),
            reach: if self.random.u8(..4) == 0 {
                SendReach::Online
            } else {
                SendReach::All
            },
            targets: vec![SendTarget {
                condition,
                ..SendTarget::all_of(user)
            }],
        };
        self.note(|| format!("{request:?}: {order:?}"));
        self.messages.orders.insert(request, Arc::new(order.clone()));
        self.happen(home, &Event::Send(request, user, order))
    }

    /// A terminal says that it has messages, or cannot take them, or something that it should not say.
    pub(crate) fn acknowledge(&mut self) -> Result<(), Failure> {
        let Some(link) = self.connected(|terminal| !terminal.unacked.is_empty() && !terminal.broken) else {
            return Ok(());
        };
        let terminal = self.terminals.get_mut(&link).expect("it is connected");
        let (user, device) = (terminal.user, terminal.device);
        let count = self.random.usize(1..=terminal.unacked.len());
        let mut ids: Vec<u64> = terminal.unacked.drain(..count).collect();
        match self.random.u8(..20) {
            0 => ids.push(ids[0]),
            1 => ids.push(u64::MAX),
            2 => ids = vec![7; DEVICE_MESSAGES_MAX + 1],
            _ => {}
        }
        let refused = self.random.u8(..8) == 0;
        self.messages
            .said
            .extend(ids.iter().map(|id| (user, device, *id, refused)));
        self.say(link, Item::Ack(ids, refused));
        if self.random.u8(..100) < 80 {
            self.deliver(link, usize::MAX)?;
        }
        Ok(())
    }

    /// What became of a message at first.
    pub(crate) fn message_sent(
        &mut self,
        request: RequestId,
        results: &[TargetResult],
    ) -> Result<SentTo, Failure> {
        let order = self.messages.orders.remove(&request);
        let order =
            order.ok_or_else(|| fault(format!("{request:?} is answered twice, or was never asked")))?;
        let [TargetResult { user, outcome }] = results else {
            return Err(fault(format!("{request:?} has one target: {results:?}")));
        };
        let (account, change, _) = self.model.standing(*user);
        let condition = order.targets[0].condition;
        let is_met = condition.is_none_or(|met| met == SendCondition::Change(ChangeNumber(change)));
        match outcome {
            TargetOutcome::Reached(reached) => {
                must(account && is_met, || format!("{order:?} reached {user}"))?;
                self.reached((request, &order), *user, reached)?;
                Ok(SentTo::Known)
            }
            TargetOutcome::Refused(SendRefusal::Precondition) => {
                must(account && !is_met, || format!("{order:?} has its condition met"))?;
                Ok(SentTo::Known)
            }
            TargetOutcome::Refused(SendRefusal::UnknownAccount) => Ok(SentTo::Nobody),
            TargetOutcome::Refused(refusal) => Ok(SentTo::Refused(*refusal)),
        }
    }

    /// It is for all devices that the user has, as the rules have them.
    fn reached(
        &mut self,
        (request, order): (RequestId, &Arc<SendOrder>),
        user: UserId,
        reached: &ReachedUser,
    ) -> Result<(), Failure> {
        let known = self.model.sent_to.remove(&request);
        let known = known.ok_or_else(|| fault(format!("{request:?} came uncalled for")))?;
        let text = || format!("{order:?} at {user}: {reached:?}, by the rules {known:?}");
        let is_meant = |status: Status| order.reach == SendReach::All || status == Status::Online;
        let devices = known.devices.iter().filter(|(_, device)| is_meant(device.status));
        let mut expected: Vec<(DeviceId, SessionId)> = devices
            .map(|(id, device)| (*id, ChangeNumber(device.session)))
            .collect();
        let mut seen: Vec<(DeviceId, SessionId)> = reached
            .devices
            .iter()
            .map(|result| (result.device, result.session))
            .collect();
        expected.sort_unstable();
        seen.sort_unstable();
        let status = known.devices.values().map(|device| device.status).max();
        let is_state =
            reached.change.0 == known.change && reached.status == status.unwrap_or(Status::Offline);
        must(is_state && seen == expected, text)?;
        for result in &reached.devices {
            let device = &known.devices[&result.device];
            let features = device.link.map_or(0, |link| self.messages.features[&link]);
            let fits = match (result.outcome, device.link) {
                (DeviceOutcome::Unsupported, Some(_)) => features & FEATURE_MESSAGES == 0,
                (DeviceOutcome::Sent, Some(_)) => {
                    let acks = order.ack == AckWish::Device && acks_too(features);
                    features & FEATURE_MESSAGES != 0 && !acks
                }
                (DeviceOutcome::Held | DeviceOutcome::Full, Some(link)) => {
                    // It may be gone, or about to go, and that not be recorded yet.
                    let goes = |event: &Waits| matches!(event, Waits::LinkEnd(of, _) | Waits::Logout(of, _) if *of == link);
                    let is_leaving = self.model.is_gone(link) || known.queue.iter().any(goes);
                    is_leaving || acks_too(features) && order.ack == AckWish::Device
                }
                (DeviceOutcome::Held | DeviceOutcome::Full, None) => true,
                (_, _) => false,
            };
            must(fits, text)?;
            let story = Story {
                order: Arc::clone(order),
                since: self.now.instant,
                fresh: device.fresh,
                outcome: result.outcome,
                was_sent: false,
            };
            let before = self
                .messages
                .stories
                .insert((order.content.id, user, result.device), story);
            must(before.is_none(), || format!("{order:?} came to {user} twice"))?;
        }
        Ok(())
    }

    /// A message is on its way to a terminal.
    pub(crate) fn message_shown(&mut self, link: Link, message: &proto::Message) -> Result<(), Failure> {
        let (user, device) = (self.terminals[&link].user, self.terminals[&link].device);
        let text = || format!("{} to {link:?} of {user}", message.id);
        let last = self.messages.live.get_mut(&link);
        let last = last.ok_or_else(|| fault(format!("{}: it is not logged in", text())))?;
        must(*last < message.id, || format!("{} behind {last}", text()))?;
        *last = message.id;
        let story = self.messages.stories.get_mut(&(message.id, user, device));
        let story = story.ok_or_else(|| fault(format!("{}: it is not for it", text())))?;
        let acks = acks_too(self.messages.features[&link]);
        let is_again = message.wants_ack == (acks && story.order.ack == AckWish::Device);
        let is_once = !message.wants_ack && !story.was_sent;
        let may_come = (story.is_held() && is_again) || (story.outcome == DeviceOutcome::Sent && is_once);
        let left = story.until().saturating_sub(self.now.instant.0).max(1);
        must(may_come && u64::from(message.ttl_ms) == left, || {
            format!("{}: {story:?}", text())
        })?;
        let content = &story.order.content;
        let is_it =
            (&message.from, &message.kind, &message.body) == (&content.from, &content.kind, &content.body);
        must(is_it, text)?;
        story.was_sent = true;
        Ok(())
    }

    /// Messages have come to their ends.
    pub(crate) fn messages_ended(&mut self, outcomes: &[LateOutcome]) -> Result<(), Failure> {
        outcomes.iter().try_for_each(|late| self.message_ended(late))
    }

    fn message_ended(&mut self, late: &LateOutcome) -> Result<(), Failure> {
        let (user, device) = (late.user, late.result.device);
        let text = || format!("{late:?}");
        let (_, change, _) = self.model.standing(user);
        // A kick of several devices has a change for each.
        let is_confirmed = late.change.0 <= change && change < late.change.0 + CHANGES_AT_ONCE_MAX;
        must(is_confirmed, || format!("{}: the rules have {change}", text()))?;
        let known = self.model.users[&user].devices.get(&device);
        // Which connection it was is not known any more, if there were several in one turn.
        let logins = self.messages.logins.get(&(user, device)).into_iter().flatten();
        let knows_none = logins.clone().any(|features| features & FEATURE_MESSAGES == 0);
        let said = |refused| {
            self.messages
                .said
                .contains(&(user, device, late.message, refused))
        };
        let story = self.messages.stories.get(&(late.message, user, device));
        let story = story.filter(|story| story.is_held());
        let story = story.ok_or_else(|| fault(format!("{}: it came to its end before", text())))?;
        let fits = match late.result.outcome {
            DeviceOutcome::Acked => story.was_sent && said(false),
            DeviceOutcome::Refused => story.was_sent && said(true),
            DeviceOutcome::Lost => {
                let is_over = known.is_none_or(|known| known.fresh != story.fresh);
                is_over || self.now.instant.0 >= story.until()
            }
            DeviceOutcome::Replaced => !story.was_sent && story.order.collapse.is_some(),
            DeviceOutcome::Sent => story.was_sent,
            DeviceOutcome::Unsupported => knows_none,
            DeviceOutcome::Held | DeviceOutcome::Full => false,
        };
        let after = self.now.instant.since(story.since);
        must(
            fits && late.result.after == after && late.name == story.order.name,
            || format!("{}: {story:?}", text()),
        )?;
        let story = self.messages.stories.get_mut(&(late.message, user, device));
        let story = story.expect("it was just seen");
        story.outcome = late.result.outcome;
        // What is sent at last goes out in the same moment.
        Ok(())
    }

    /// A terminal says what it knows of messages, by its login.
    pub(crate) fn message_login(&mut self, link: Link, features: u64) {
        self.messages.features.entry(link).or_insert(features);
        let terminal = &self.terminals[&link];
        let logins = self.messages.logins.entry((terminal.user, terminal.device));
        logins.or_default().insert(features);
    }

    /// A terminal is told something that is no message.
    pub(crate) fn message_link(&mut self, link: Link, is_logged_in: bool) {
        if !is_logged_in {
            self.messages.live.remove(&link);
            return;
        }
        self.messages.live.insert(link, 0);
    }

    /// All that a shard still holds is what has to be held there.
    pub(crate) fn check_messages(&self, shard: ShardId) -> Result<(), Failure> {
        let here = |user: &UserId| user.home(self.shard_count()) == shard;
        let held = self.messages.stories.iter().filter(|(_, story)| story.is_held());
        let held = held.filter(|((_, user, _), _)| here(user));
        let (mut count, mut bytes) = (0, 0);
        for ((id, user, device), story) in held {
            (count, bytes) = (
                count + 1,
                bytes + story.order.content.body.len() + HELD_MESSAGE_BYTES,
            );
            let known = self.model.users[user].devices.get(device);
            let matters = self.now.instant.0 < story.until() + TICK_MS;
            let has_a_session = known.is_some_and(|known| known.fresh == story.fresh);
            must(matters && has_a_session, || {
                format!("{id} at {device:?} of {user} came to no end: {story:?}, {known:?}")
            })?;
        }
        let counters = self.shards[usize::from(shard.0)].logic().counters();
        let seen = (counters.messages_held_now, counters.message_bytes_held_now);
        let is_bounded = bytes <= self.settings.message_bytes_max;
        must(is_bounded && seen == (count, bytes as u64), || {
            format!("{shard:?} holds {seen:?}, by the book {count} and {bytes}")
        })
    }

    /// The gateway crashed: of what was held nothing is known any more, which its new epoch says.
    pub(crate) fn messages_are_forgotten(&mut self) {
        let latest = self.messages.latest;
        self.messages = MessageBook {
            latest,
            ..MessageBook::default()
        };
    }
}
