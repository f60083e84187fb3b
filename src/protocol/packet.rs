//! What terminals and the gateway say to one another, in plain types that know no bytes. Of each packet that has an answer a
//! connection waits for one at a time, or for answers that are all alike: so none has a number.

use std::sync::Arc;

use crate::base::ids::Platform;
use crate::protocol::verdict::Verdict;

/// From a terminal. Fields are as they came: nothing is checked but their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalPacket {
    /// Who it is.
    Login(Box<Login>),
    /// That it lives.
    Heartbeat,
    /// That the person logs out.
    Logout,
    /// Whether the app is in the background.
    Background(bool),
    /// That the app has some messages.
    MessageAck(Box<MessageAck>),
    /// Something of a later protocol.
    Unknown,
}

/// The terminal connects to the address that a login's answer names, and logs in there.
pub const FEATURE_REDIRECT: u64 = 1;

/// The terminal takes messages.
pub const FEATURE_MESSAGES: u64 = 2;

/// The terminal acknowledges messages. Without [`FEATURE_MESSAGES`] it says nothing.
pub const FEATURE_ACKS: u64 = 4;

/// A login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The version of the protocol.
    pub protocol: u32,
    /// What it knows beyond the protocol's first page, in bits: [`FEATURE_REDIRECT`], [`FEATURE_MESSAGES`], [`FEATURE_ACKS`].
    pub features: u64,
    /// Who.
    pub user_id: String,
    /// What proves it.
    pub user_sig: String,
    /// `None`: not given, or none that is known here.
    pub platform: Option<Platform>,
    /// Which of the user's devices of this platform.
    pub instance: u64,
    /// The session to resume; 0: a fresh login.
    pub session: u64,
    /// For people.
    pub sdk_version: String,
    /// For people.
    pub app_version: String,
    /// The app is in the background.
    pub background: bool,
}

/// That the app has some messages, or could not take them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageAck {
    /// Their ids.
    pub ids: Vec<u64>,
    /// What the app answers the backend.
    pub reply: Vec<u8>,
    /// The app could not take them.
    pub refused: bool,
}

/// What a message is, to whichever device it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContent {
    /// Tells messages apart.
    pub id: u64,
    /// Whom it is from, for the app.
    pub from: String,
    /// What it is, for the app.
    pub kind: String,
    /// The app's own bytes.
    pub body: Vec<u8>,
}

/// To a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayPacket {
    /// The login was taken, or refused.
    LoginAnswer(Box<LoginAnswer>),
    /// The heartbeat was heard.
    HeartbeatAnswer,
    /// The session has ended.
    LogoutAnswer,
    /// The session was ended, and the link ends, for this reason; on this platform somebody took its place.
    ForceOffline(Verdict, Option<Platform>),
    /// The gateway ends the link for a reason of its own. Where there is an address, the terminal is to go on there.
    GoAway(Verdict, Option<Box<str>>),
    /// The link ends, for this reason.
    Error(Verdict),
    /// Something of the app's backend.
    Message {
        /// What it is.
        content: Arc<MessageContent>,
        /// How long it still matters.
        ttl_ms: u32,
        /// Whether it is to be acknowledged.
        wants_ack: bool,
    },
}

/// A login's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAnswer {
    /// Whether it was taken.
    pub verdict: Verdict,
    /// On which platform somebody took the place of the session that was to be resumed.
    pub winner: Option<Platform>,
    /// Where the terminal is to log in.
    pub address: Option<Box<str>>,
    /// What a login that was taken has to know.
    pub session: Option<SessionTerms>,
}

/// What a terminal that is logged in has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTerms {
    /// The session's id, for resumes.
    pub session: u64,
    /// How often to send a heartbeat.
    pub heartbeat_interval_ms: u32,
    /// After how much silence the gateway ends the link.
    pub heartbeat_timeout_ms: u32,
    /// The gateway's wall clock, Unix milliseconds.
    pub server_time_ms: u64,
    /// The platforms of devices that were forced off.
    pub forced_off: Vec<Platform>,
    /// What the terminal and the gateway both know beyond the protocol's first page.
    pub features: u64,
}

impl LoginAnswer {
    /// The answer to a login that is refused.
    #[must_use]
    pub fn refused(verdict: Verdict) -> Self {
        Self {
            verdict,
            winner: None,
            address: None,
            session: None,
        }
    }
}

/// What the bytes of a terminal begin with.
#[derive(Debug, PartialEq)]
pub enum NextPacket<'a> {
    /// A whole packet.
    Packet {
        /// What it says.
        packet: TerminalPacket,
        /// Fields of a later protocol, which were ignored.
        unknown_fields: u64,
        /// The bytes behind it.
        rest: &'a [u8],
    },
    /// As many bytes as a packet has, that say nothing of this dialect.
    Unreadable,
    /// The first part of a packet that may become whole, or nothing.
    Incomplete,
    /// A packet of more bytes than the limit.
    TooLarge,
    /// Bytes that no packet begins with.
    Malformed,
}
