//! One simulated terminal: who it is, how far it is, and what the world should see of it. It touches no socket.

use holdfast::base::ids::UserId;
use holdfast::base::time::Timestamp;
use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{self, Platform, request};
use holdfast::protocol::packet::{FEATURE_MESSAGES, FEATURE_REDIRECT};
use holdfast::protocol::usersig;

use super::home::TerminalHome;
use super::workload::{ExpectedStatus, Op, ShownStatus};

/// Good for longer than any run.
const USERSIG_LIFETIME_S: u64 = 7 * 86_400;

/// Those whose link's end shows at once. A web page stays Online until its time-out: nothing could be said of it here.
pub(crate) const MIXED: &[Platform] = &[
    Platform::Android,
    Platform::Iphone,
    Platform::Ipad,
    Platform::Windows,
    Platform::Mac,
    Platform::Linux,
];

/// Phones alone: each is PushOnline when its link has ended.
#[allow(dead_code, reason = "the benches ask for it")]
pub(crate) const ANDROID: &[Platform] = &[Platform::Android];

/// Who the terminals are: the app, its secret, and how numbers become names.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    pub(crate) sdk_app_id: u64,
    pub(crate) secret: String,
    pub(crate) prefix: String,
    pub(crate) devices_per_user: DevicesPerUser,
    /// Users have them in turn.
    pub(crate) platforms: &'static [Platform],
    /// What terminals know beside redirects, in the bits of the protocol.
    pub(crate) features: u64,
}

/// How many devices each user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DevicesPerUser {
    /// Each terminal has a user of its own.
    One,
    /// Two of a platform, with neighbouring numbers, are one user's: one forces the other off.
    Two,
}

impl Identities {
    /// The UserID of a terminal's user.
    pub(crate) fn user(&self, number: u32) -> String {
        let user = match self.devices_per_user {
            DevicesPerUser::One => number,
            DevicesPerUser::Two => number / 2,
        };
        format!("{}-{user:07}", self.prefix)
    }

    /// Whether terminals are there for messages.
    pub(super) fn take_messages(&self) -> bool {
        self.features & FEATURE_MESSAGES != 0
    }

    pub(super) fn platform(&self, number: u32) -> Platform {
        let user = match self.devices_per_user {
            DevicesPerUser::One => number,
            DevicesPerUser::Two => number / 2,
        };
        self.platforms[user as usize % self.platforms.len()]
    }

    /// The terminal's platform as the details of a query name it.
    pub(crate) fn platform_shown(&self, number: u32) -> &'static str {
        match self.platform(number) {
            Platform::Android => "Android",
            Platform::Iphone => "iPhone",
            Platform::Ipad => "iPad",
            Platform::Windows | Platform::Linux => "PC",
            Platform::Mac => "Mac",
            Platform::Web => "Web",
            Platform::Unspecified => unreachable!("terminals know their platform"),
        }
    }

    /// A device that is the only one of its platform has instance 1, the other of a pair 2.
    fn instance(&self, number: u32) -> u64 {
        match self.devices_per_user {
            DevicesPerUser::One => 1,
            DevicesPerUser::Two => 1 + u64::from(number % 2),
        }
    }

    /// What is expected of a device whose link has ended.
    pub(super) fn after_link_end(&self, number: u32) -> ShownStatus {
        match self.platform(number) {
            Platform::Android | Platform::Iphone | Platform::Ipad => ShownStatus::PushOnline,
            Platform::Windows | Platform::Mac | Platform::Linux | Platform::Web | Platform::Unspecified => {
                ShownStatus::Offline
            }
        }
    }

    /// A UserSig for anybody.
    pub(crate) fn sign(&self, now: Timestamp, user: &str) -> String {
        let id = UserId::new(user.as_bytes()).expect("the prefix was checked with the arguments");
        usersig::sign(now, self.sdk_app_id, &self.secret, &id, USERSIG_LIFETIME_S)
    }

    /// The frame that logs a terminal in, or resumes `session` if it is not 0.
    pub(super) fn login(&self, now: Timestamp, number: u32, session: u64) -> Vec<u8> {
        let user_id = self.user(number);
        let login = proto::Login {
            protocol: 1,
            features: FEATURE_REDIRECT | self.features,
            user_sig: self.sign(now, &user_id),
            user_id,
            platform: self.platform(number).into(),
            instance: self.instance(number),
            session,
            sdk_version: "load/1".to_owned(),
            app_version: "1.0".to_owned(),
            ..Default::default()
        };
        encode(&proto::Request {
            packet: Some(request::Packet::Login(login)),
        })
    }
}

/// How far a terminal is.
///
/// ```text
/// Away -> Connecting -> Greeting -> Live -> Leaving -> Ending -> Away
///                                    Live -> Losing --> Ending
///            Greeting (refused), Live (link cut) -----> Ending
///                     refused or sent away, and told when to come back: Ending -> Waiting -> Connecting
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TerminalPhase {
    /// It has no link.
    Away,
    /// It has no link, and comes back by itself when it was told to.
    Waiting,
    Connecting,
    /// Its login is sent, or it was refused and the gateway is about to close.
    Greeting,
    Live,
    /// Its logout is sent.
    Leaving,
    /// The other device of the user logs in: it waits to be told.
    Losing,
    /// Its link is over, and its slot not free yet.
    Ending,
}

impl TerminalPhase {
    /// Whether the gateway may say something.
    pub(super) fn has_link(self) -> bool {
        matches!(self, Self::Greeting | Self::Live | Self::Leaving | Self::Losing)
    }
}

/// No workload waits for it.
pub(super) const NO_WORKLOAD: u32 = u32::MAX;

/// One terminal.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    /// Of the last login's answer; 0 when a fresh login has to follow.
    pub(super) session: u64,
    pub(super) began_us: u64,
    pub(super) steps: u32,
    /// Who waits for the end of `op`.
    pub(super) workload: u32,
    pub(super) op: Op,
    pub(super) phase: TerminalPhase,
    pub(super) expected: ExpectedStatus,
    /// It does not beat.
    pub(super) silent: bool,
    /// Where its user is.
    pub(super) home: TerminalHome,
    /// When to come back, in milliseconds from when it was told: the gateway is full, or another node has the user.
    pub(super) retry_after_ms: Option<u32>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            session: 0,
            began_us: 0,
            steps: 0,
            workload: NO_WORKLOAD,
            op: Op::Beat,
            phase: TerminalPhase::Away,
            expected: ExpectedStatus::Never,
            silent: false,
            home: TerminalHome::default(),
            retry_after_ms: None,
        }
    }

    /// It was logged in, and its next login goes on with that where its user is now.
    pub(super) fn follows_user(&self) -> bool {
        self.workload == NO_WORKLOAD || matches!(self.op, Op::Beat | Op::LogOut | Op::FallSilent)
    }

    /// Nothing is asked of it, and nothing is on its way.
    pub(super) fn rests(&self) -> bool {
        self.workload == NO_WORKLOAD && matches!(self.phase, TerminalPhase::Away | TerminalPhase::Live)
    }

    /// Whether it can do this now. `other` is the other device of its user.
    pub(super) fn can(&self, op: Op, other: Option<&Self>) -> bool {
        let away = self.rests() && self.phase == TerminalPhase::Away;
        let live = self.rests() && self.phase == TerminalPhase::Live;
        let free = other.is_none_or(|other| other.rests() && other.phase == TerminalPhase::Away);
        match op {
            Op::LogIn | Op::Visit => away && free,
            Op::Resume => away && free && self.session != 0,
            Op::ForceOff => {
                away && other
                    .is_some_and(|other| other.rests() && other.phase == TerminalPhase::Live && !other.silent)
            }
            Op::Beat => live && !self.silent,
            Op::LogOut | Op::CutFin | Op::CutRst | Op::FallSilent => live && !self.silent,
        }
    }
}
