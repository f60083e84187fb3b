//! What happens to users and waits for its turn, as plain data. Decides nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::{DeviceId, RequestId, SessionId};
use crate::base::time::Instant;
use crate::logic::between_wings::{LinkOrigin, PendingLogin};
use crate::logic::message::SendOrder;
use crate::logic::record::{Commit, EndedRecord};

/// What can happen to a user.
#[derive(Debug)]
pub(super) enum UserEvent {
    /// A login came home.
    Login(Box<PendingLogin>),
    /// A terminal said goodbye in this session.
    Logout(PendingLogout),
    /// A device's connection, which came from this address, is gone.
    LinkEnd(LinkOrigin, DeviceId),
    /// A device's alarm rang: was it silent, or PushOnline, for too long?
    AlarmCheck(DeviceId),
    /// The backend or the operator wants sessions to end.
    Kick(RequestId, KickTarget),
    /// The admin wants to know what is on record.
    Inspect(RequestId),
    /// The backend sends something.
    Send(PendingSend),
}

/// A message for one of the targets of a request.
#[derive(Debug)]
pub(super) struct PendingSend {
    pub(super) request: RequestId,
    pub(super) order: Arc<SendOrder>,
    /// Its place among the targets.
    pub(super) target: usize,
}

/// A logout, of a session that this connection had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingLogout {
    pub(super) origin: LinkOrigin,
    pub(super) device: DeviceId,
    pub(super) session: SessionId,
}

/// Whom a kick ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logic) enum KickTarget {
    /// All sessions, and the UserSigs made so far.
    Everyone,
    /// One device's session.
    Device(DeviceId),
    /// All of the user, and the account.
    Account,
}

/// What waits for a user.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) events: VecDeque<UserEvent>,
    pub(super) state: QueueState,
    pub(super) residency: Residency,
    /// How sessions of Offline devices ended, if the registry was asked since the last change.
    pub(super) ended: Option<Vec<EndedRecord>>,
    pub(super) logins: usize,
    pub(super) kicks: usize,
    pub(super) sends: usize,
    /// How often the registry could not take the change of the first event.
    pub(super) retries: u32,
    /// The first event may be answered from memory.
    pub(super) vouched: bool,
}

/// Why the first event is not decided now.
#[derive(Debug)]
pub(super) enum QueueState {
    /// It can be.
    Free,
    /// The registry is asked what is on record.
    Loading,
    /// The registry has the change of this event.
    Committing(Box<Committing>),
    /// The registry has no room.
    WaitingForRoom,
    /// The registry could not take the change.
    BackingOff,
    /// Its answer is from memory, and waits for the end of the turn.
    Gathered,
    /// The registry has something of a user that was dropped, perhaps the change of this event.
    Abandoned(Option<UserEvent>),
}

/// A change that the registry has.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) commit: Box<Commit>,
    pub(super) event: UserEvent,
    pub(super) decided_at: Instant,
    /// The stretch of the lease in which the registry was asked.
    pub(super) stretch: Option<u32>,
}

/// What is known of the user's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residency {
    /// Nothing.
    Unknown,
    /// That there is no such account. If there was one, its numbering and its kick second are known.
    NoAccount,
    /// All but how sessions ended.
    Resident,
    /// That another node owns the user: it was dropped, and is not found any more.
    Dropped,
}

/// What an event leads to.
#[derive(Debug)]
pub(super) enum Decision {
    /// Nothing more: it was answered, or does not matter any more.
    Done,
    /// The record must be known first.
    Load,
    /// This is recorded first.
    Commit(Box<Commit>),
    /// It is to be answered from memory, when that may leave.
    Gather,
}

impl Waiting {
    /// Nothing, for a user whose record is known so far.
    pub(super) fn new(residency: Residency) -> Self {
        Self {
            events: VecDeque::new(),
            state: QueueState::Free,
            residency,
            ended: None,
            logins: 0,
            kicks: 0,
            sends: 0,
            retries: 0,
            vouched: false,
        }
    }
}
