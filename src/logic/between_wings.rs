//! What the two wings of a shard tell one another, as plain data: connections say what happened to a user, users say what to do
//! with a connection. Decides nothing.

use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::base::ids::{Class, ConnKey, Platform, SessionId, UserId};
use crate::logic::contract::{LoginRequest, MessageSupport, Peer, Redirects};
use crate::logic::trace::Subject;
use crate::protocol::packet::{MessageAck, MessageContent};
use crate::protocol::verdict::Code;

/// What happened to a user. Users and devices are named by their keys, which are theirs as long as the connection has them.
#[derive(Debug)]
pub(super) enum UserSignal {
    /// A login is at home.
    Login(Box<PendingLogin>),
    /// The link of a waiting login ended, after the terminal had said this.
    LoginLinkEnd(u32, ConnKey, Pipelined),
    /// A frame came from this device.
    Heard(u32),
    /// The device's app went to the background, or came back.
    Background(u32, bool),
    /// The device's terminal says that its app has some messages, or could not take them.
    Acked(u32, Box<MessageAck>),
    /// The device's terminal says goodbye.
    Logout(DeviceLink, LinkOrigin),
    /// The device's link ended.
    LinkEnd(DeviceLink, LinkOrigin),
}

/// A login that waits for its user's turn.
#[derive(Debug)]
pub(super) struct PendingLogin {
    pub(super) origin: LinkOrigin,
    pub(super) login: LoginRequest,
    pub(super) commitment: Commitment,
    pub(super) link: LoginLink,
}

/// Which connection something came by, and from where: the connection may be gone when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkOrigin {
    pub(super) key: ConnKey,
    pub(super) address: Ipv6Addr,
}

/// Whether a login may still be refused because the registry has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commitment {
    /// Nothing was waiting when it came.
    Refusable,
    /// Others waited, or it was asked to wait: it is accepted work.
    Accepted,
}

/// The link of a login that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginLink {
    Open,
    /// It ended after the terminal had said this.
    Ended(Pipelined),
}

/// What a terminal said behind a login whose answer it did not wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipelined {
    /// Nothing that outlives its link. As long as the link is there, what it says is kept with the connection.
    Nothing,
    /// That the person logs out.
    Logout,
}

/// A device and the slot that its connection has, or last had. The connection there says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceLink {
    pub(super) device: u32,
    pub(super) slot: u32,
}

/// A device's connection, as users see it.
#[derive(Debug)]
pub(super) struct LinkView<'a> {
    pub(super) peer: Peer,
    pub(super) sdk_version: &'a str,
    pub(super) app_version: &'a str,
}

/// What is to be done with a connection. One that is gone, or that another device has, is left alone.
#[derive(Debug)]
pub(super) enum ConnectionCommand {
    /// Its login waits for this user's turn.
    Wait(ConnKey, u32),
    /// Answer its login with a refusal, and close.
    Refuse(ConnKey, LoginRefusal),
    /// Its login's user is not at home here: say where it is to go, and close.
    TurnAway(ConnKey, UserId, Redirects),
    /// The user of this device is not at home here any more: say where its terminal is to go, and close.
    SendAway(DeviceLink, Subject, UserId),
    /// Answer its login: the terminal is logged in as this device.
    GoLive(ConnKey, LoginGrant),
    /// The device's session was ended, by the login of this platform or by a kick: tell its terminal, and close.
    ForceOffline(DeviceLink, Subject, Option<Platform>),
    /// The device timed out: tell its terminal, and close.
    EndSilent(DeviceLink, Subject),
    /// Close without a word: the device has another connection.
    Close(DeviceLink),
    /// Say goodbye to a terminal that logged out, and close.
    AnswerLogout(ConnKey),
    /// Send the device's terminal a message.
    SendMessage(DeviceLink, MessageToSend),
}

/// A message on its way to a terminal.
#[derive(Debug)]
pub(super) struct MessageToSend {
    pub(super) content: Arc<MessageContent>,
    /// How long it still matters.
    pub(super) ttl_ms: u32,
    pub(super) wants_ack: WantsAck,
}

/// Whether a terminal is asked to acknowledge a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantsAck {
    No,
    Yes,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoginRefusal {
    pub(super) code: Code,
    /// The platform that forced the session off.
    pub(super) winner: Option<Platform>,
    pub(super) retry: LoginRetry,
}

/// When a refused login may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginRetry {
    /// Not by itself, or at once.
    Unsaid,
    /// After so many milliseconds at least.
    AfterMs(u64),
    /// The later, the more have been sent away.
    Spread,
}

/// What a login was given.
#[derive(Debug)]
pub(super) struct LoginGrant {
    pub(super) device: u32,
    pub(super) class: Class,
    pub(super) session: SessionId,
    /// The platforms of the devices that had to leave for it.
    pub(super) forced_off: Vec<Platform>,
    pub(super) messages: MessageSupport,
    /// What has waited for the device: it is sent before anything is read that the terminal said behind its login.
    pub(super) held: Vec<MessageToSend>,
}

impl PendingLogin {
    /// A login that has just come home.
    pub(super) fn new(origin: LinkOrigin, login: LoginRequest) -> Self {
        Self {
            origin,
            login,
            commitment: Commitment::Refusable,
            link: LoginLink::Open,
        }
    }
}

impl LoginRefusal {
    /// By a code that says all.
    pub(super) fn of(code: Code) -> Self {
        Self::until(code, LoginRetry::Unsaid)
    }

    /// For now.
    pub(super) fn until(code: Code, retry: LoginRetry) -> Self {
        let winner = None;
        Self { code, winner, retry }
    }
}
