//! What a terminal is told when something ends or is refused: a code with its text and what to do next. The one
//! table of both.

use super::packet::Packet;
use super::proto::{self, Code, WhatNext, response};

impl proto::Verdict {
    /// The verdict of a code whose text says all.
    #[must_use]
    pub fn of(code: Code) -> Self {
        let (text, what_next) = meaning(code);
        Self {
            code: code.into(),
            text: text.to_owned(),
            retry_after_ms: 0,
            what_next: what_next.into(),
        }
    }

    /// The verdict of a code, with a text of its own.
    #[must_use]
    pub fn with_text(code: Code, text: String) -> Self {
        Self {
            text,
            ..Self::of(code)
        }
    }

    /// The same, to be tried again no sooner than this.
    #[must_use]
    pub fn after_ms(self, retry_after_ms: u32) -> Self {
        Self {
            retry_after_ms,
            ..self
        }
    }
}

/// The error packet of a code. Where the terminal may try again, it waits for `retry_after_ms` first.
#[must_use]
pub fn error(code: Code, retry_after_ms: u32) -> Packet {
    let verdict = proto::Verdict::of(code);
    let wait_ms = if verdict.what_next() == WhatNext::Retry {
        retry_after_ms
    } else {
        0
    };
    let error = proto::Error {
        verdict: Some(verdict.after_ms(wait_ms)),
    };
    Packet::Response(Box::new(response::Packet::Error(error)))
}

fn meaning(code: Code) -> (&'static str, WhatNext) {
    use WhatNext::{LogInAfresh, RenewUsersig, Retry, Stop};
    match code {
        Code::Ok => ("", WhatNext::Unspecified),
        Code::FrameTooLarge => ("the frame is larger than allowed", Stop),
        Code::Malformed => ("the bytes are no packet of this protocol", Stop),
        Code::LoginFirst => ("the first packet must be a login", Stop),
        Code::AlreadyLoggedIn => ("this connection is logged in already", Stop),
        Code::ProtocolUnsupported => ("this protocol version is not spoken here", Stop),
        Code::FieldInvalid => ("a field of the login is out of its bounds", Stop),
        Code::LoginTooLate => ("no login came in time", Retry),
        Code::TooEager => ("too many bytes came before the login was answered", Retry),
        Code::Busy => ("the gateway is busy", Retry),
        Code::NotRecorded => ("the login could not be recorded", Retry),
        Code::AddressLimit => (
            "too many connections, or failed logins, come from this address",
            Retry,
        ),
        Code::UserLimit => (
            "too many logins of this user wait, or came in the last minute",
            Retry,
        ),
        Code::Stopping => ("the gateway is stopping", Retry),
        Code::Silent => ("no frame came for the heartbeat time-out", Retry),
        Code::SessionUnknown => ("the session is not known", LogInAfresh),
        Code::SessionForcedOff => ("another device logged in and took this one's place", LogInAfresh),
        Code::SessionKicked => ("the app's backend ended the session", LogInAfresh),
        Code::SessionLoggedOut => ("the session was logged out", LogInAfresh),
        Code::OtherDeviceOnline => ("another device is online and keeps its place", Stop),
        Code::AccountUnknown => ("the account does not exist", LogInAfresh),
        Code::UsersigExpired => ("the UserSig has expired", RenewUsersig),
        Code::UsersigEmpty => ("the UserSig is empty", RenewUsersig),
        Code::UsersigUnreadable => ("the UserSig cannot be decoded", RenewUsersig),
        Code::UsersigWrongSignature => (
            "the UserSig's signature is wrong; was it made with another app's secret key?",
            RenewUsersig,
        ),
        Code::UsersigWrongUser => ("the UserSig is for another UserID", RenewUsersig),
        Code::UsersigWrongApp => ("the UserSig is for another SDKAppID", RenewUsersig),
        Code::UsersigNoKey => ("the gateway has no key to check a UserSig with", Stop),
        // The kick has ended the sessions, too: whoever renewed by itself would undo it.
        Code::UsersigKicked => (
            "the UserSig was made before the backend ended the user's logins; make a new one, one second later",
            LogInAfresh,
        ),
    }
}
