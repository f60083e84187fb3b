//! A user and a device in a shard's memory, as plain data, as small as they can be: they are what a million idle connections pay
//! for. Decides nothing.

use std::num::NonZeroU32;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, SessionId, UserId};
use crate::base::packed::Packed;
use crate::base::time::{Instant, Timestamp};
use crate::logic::contract::MessageSupport;
use crate::logic::record::Status;
use crate::logic::user_status::DeviceStatus;
use crate::logic::users::presence::DeviceState;

/// A key of an [`Arena`](crate::base::arena::Arena), or none, in 4 bytes; never 0, so that what holds it has a spare value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OptionalKey(NonZeroU32);

impl OptionalKey {
    pub(super) const NONE: Self = Self(NonZeroU32::MAX);

    pub(super) fn to(key: u32) -> Self {
        Self(NonZeroU32::new(key + 1).expect("one more than a key is not 0"))
    }

    pub(super) fn get(self) -> Option<u32> {
        (self != Self::NONE).then_some(self.0.get() - 1)
    }
}

/// The first device of a user, and the user's status, in 4 bytes: a status query reads no more than the user.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceList(u32);

/// Of [`DeviceList`]: the bits of the link. Above them is the status.
const LINK_BITS: u32 = 30;
const LINK_MASK: u32 = (1 << LINK_BITS) - 1;

impl DeviceList {
    pub(super) const NONE: Self = Self(0);

    /// The first one.
    pub(super) fn first(self) -> OptionalKey {
        (self.0 & LINK_MASK)
            .checked_sub(1)
            .map_or(OptionalKey::NONE, OptionalKey::to)
    }

    /// The highest status of all.
    pub(super) fn status(self) -> Status {
        match self.0 >> LINK_BITS {
            0 => Status::Offline,
            1 => Status::PushOnline,
            _ => Status::Online,
        }
    }

    pub(super) fn set_first(&mut self, first: OptionalKey) {
        let link = first.get().map_or(0, |key| key + 1);
        assert!(link <= LINK_MASK, "a shard has fewer than 2^30 devices");
        self.0 = self.0 & !LINK_MASK | link;
    }

    pub(super) fn set_status(&mut self, status: Status) {
        let status = match status {
            Status::Offline => 0,
            Status::PushOnline => 1,
            Status::Online => 2,
        };
        self.0 = self.0 & LINK_MASK | status << LINK_BITS;
    }
}

/// A user with a device that is not Offline, or with something waiting.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) change: ChangeNumber,
    pub(super) devices: DeviceList,
    /// What waits for this user, in the shard's table of such.
    pub(super) waiting: OptionalKey,
}

/// A device that is not Offline.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: u32,
    /// The user's next device.
    pub(super) next: OptionalKey,
    pub(super) instance: InstanceId,
    /// The slot of its connection; of one without, of the last it had. Whether the slot is still the device's, the connection
    /// there says.
    pub(super) slot: u32,
    pub(super) session: PackedSession,
    /// Up to the year 10889.
    pub(super) login_at: Packed<Timestamp, 6>,
    /// Online: when the last frame came. PushOnline: since when. Up to 33 years after the start.
    pub(super) moment: Packed<Instant, 5>,
    pub(super) platform: Platform,
    pub(super) marks: Marks,
}

/// The slot of a device that has had no connection: no ring has so many.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// A session and the fresh login that it goes back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedSession {
    /// How many changes before the session the fresh login was, at most this many: of one further back, the last ones count.
    fresh_back: [u8; 2],
    /// Of each user 2^40 changes are told apart.
    session: Packed<SessionId, 5>,
}

impl PackedSession {
    /// A session of the login `fresh`.
    pub(super) fn of(session: SessionId, fresh: ChangeNumber) -> Self {
        let back = u16::try_from(session.0 - fresh.0).unwrap_or(u16::MAX);
        Self {
            fresh_back: back.to_le_bytes(),
            session: Packed::of(session),
        }
    }

    pub(super) fn id(self) -> SessionId {
        self.session.get()
    }

    /// The change of the fresh login that the session goes back to.
    pub(super) fn fresh(self) -> ChangeNumber {
        ChangeNumber(self.id().0 - u64::from(u16::from_le_bytes(self.fresh_back)))
    }
}

/// What a device is in a few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// Its state, by its number.
    const STATE: u8 = 0b11;
    /// The app is in the background.
    const BACKGROUND: u8 = 0b100;
    /// Its alarm rang, and a check of it waits among the user's events.
    const CHECK: u8 = 0b1000;
    /// Its terminal takes messages.
    const MESSAGES: u8 = 0b1_0000;
    /// Its terminal acknowledges them.
    const ACKS: u8 = 0b10_0000;

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    fn set(&mut self, mark: u8, to: bool) {
        self.0 = if to { self.0 | mark } else { self.0 & !mark };
    }

    pub(super) fn state(self) -> DeviceState {
        match self.0 & Self::STATE {
            0 => DeviceState::Offline,
            1 => DeviceState::Linked,
            2 => DeviceState::Unlinked,
            _ => DeviceState::PushOnline,
        }
    }

    pub(super) fn set_state(&mut self, state: DeviceState) {
        let number = match state {
            DeviceState::Offline => 0,
            DeviceState::Linked => 1,
            DeviceState::Unlinked => 2,
            DeviceState::PushOnline => 3,
        };
        self.0 = self.0 & !Self::STATE | number;
    }

    /// Whether the app is in the background.
    pub(super) fn is_in_background(self) -> bool {
        self.has(Self::BACKGROUND)
    }

    pub(super) fn set_background(&mut self, is_in_background: bool) {
        self.set(Self::BACKGROUND, is_in_background);
    }

    /// What its terminal does with messages, as its last login said.
    pub(super) fn messages(self) -> MessageSupport {
        match (self.has(Self::MESSAGES), self.has(Self::ACKS)) {
            (false, _) => MessageSupport::None,
            (true, false) => MessageSupport::Taken,
            (true, true) => MessageSupport::Acked,
        }
    }

    pub(super) fn set_messages(&mut self, support: MessageSupport) {
        self.set(Self::MESSAGES, support != MessageSupport::None);
        self.set(Self::ACKS, support == MessageSupport::Acked);
    }

    /// Whether a check of it waits.
    pub(super) fn check_waits(self) -> bool {
        self.has(Self::CHECK)
    }

    pub(super) fn set_check_waits(&mut self, waits: bool) {
        self.set(Self::CHECK, waits);
    }
}

// The budget of an idle connection: user + device + connection + alarm (8) + index (about 8).
const _: () = assert!(size_of::<Option<User>>() == 48);
const _: () = assert!(size_of::<Option<Device>>() == 40);

impl Device {
    /// The first device of a user whose list goes on with `next`.
    pub(super) fn new(user: u32, next: OptionalKey, id: DeviceId) -> Self {
        Self {
            user,
            next,
            instance: id.instance,
            slot: NO_SLOT,
            session: PackedSession::of(SessionId::default(), SessionId::default()),
            login_at: Packed::of(Timestamp::default()),
            moment: Packed::of(Instant::default()),
            platform: id.platform,
            marks: Marks(0),
        }
    }

    pub(super) fn id(&self) -> DeviceId {
        DeviceId {
            platform: self.platform,
            instance: self.instance,
        }
    }

    pub(super) fn status(&self) -> DeviceStatus {
        DeviceStatus {
            device: self.id(),
            status: self.state().status(),
        }
    }

    pub(super) fn state(&self) -> DeviceState {
        self.marks.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_login_too_far_back_counts_as_the_farthest_that_is_kept() {
        let farthest = u64::from(u16::MAX);
        let check = |session, fresh, expected| {
            let packed = PackedSession::of(ChangeNumber(session), ChangeNumber(fresh));
            let seen = (packed.id(), packed.fresh());
            let expected = (ChangeNumber(session), ChangeNumber(expected));
            assert_eq!(seen, expected, "{session} {fresh}");
        };
        check(5, 5, 5);
        check(5, 2, 2);
        check(farthest + 1, 1, 1);
        check(farthest + 2, 1, 2);
        check(1 << 39, 1, (1 << 39) - farthest);
    }

    #[test]
    fn what_shares_a_byte_is_set_apart() {
        let mut packed = Marks(0);
        let states = [
            DeviceState::Linked,
            DeviceState::Unlinked,
            DeviceState::PushOnline,
            DeviceState::Offline,
        ];
        for (state, marks) in states.into_iter().zip(0_u8..) {
            let (background, waits) = (marks & 1 != 0, marks & 2 != 0);
            packed.set_background(background);
            packed.set_check_waits(waits);
            packed.set_state(state);
            for support in [MessageSupport::Acked, MessageSupport::Taken, MessageSupport::None] {
                packed.set_messages(support);
                let seen = (packed.state(), packed.is_in_background(), packed.check_waits());
                assert_eq!((seen, packed.messages()), ((state, background, waits), support));
            }
        }
    }
}
