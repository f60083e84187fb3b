//! What a terminal is told when something ends or is refused: a code with its name, its text and what to do next. The one
//! table of them all.

use std::borrow::Cow;

/// What the terminal is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatNext {
    /// Nothing: all is well.
    Nothing,
    /// Come back by itself, with its session, when the wait is over.
    Retry,
    /// Ask the person for a fresh login.
    LogInAfresh,
    /// Get another UserSig, and come back with its session.
    RenewUsersig,
    /// Give up.
    Stop,
}

macro_rules! codes {
    ($($code:ident = $number:literal, $name:literal, $what_next:ident, $text:literal;)*) => {
        /// Why something ends or is refused. The numbers are those of `proto/gateway.proto`, which explains them.
        #[expect(missing_docs, reason = "each has its text")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($code = $number,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Its name in the log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What the terminal is told in words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// What the terminal is to do.
            #[must_use]
            pub fn what_next(self) -> WhatNext {
                match self { $(Self::$code => WhatNext::$what_next,)* }
            }
        }
    };
}

codes! {
    Ok = 0, "OK", Nothing, "";
    FrameTooLarge = 101, "FRAME_TOO_LARGE", Stop, "the frame is larger than allowed";
    Malformed = 102, "MALFORMED", Stop, "the bytes are no packet of this protocol";
    LoginFirst = 103, "LOGIN_FIRST", Stop, "the first packet must be a login";
    AlreadyLoggedIn = 104, "ALREADY_LOGGED_IN", Stop, "this connection is logged in already";
    ProtocolUnsupported = 105, "PROTOCOL_UNSUPPORTED", Stop, "this protocol version is not spoken here";
    FieldInvalid = 106, "FIELD_INVALID", Stop, "a field of the login is out of its bounds";
    LoginTooLate = 107, "LOGIN_TOO_LATE", Retry, "no login came in time";
    TooEager = 108, "TOO_EAGER", Retry, "too many bytes came before the login was answered";
    TlsFirst = 109, "TLS_FIRST", Stop, "this listener speaks TLS, and a connection has to begin with it";
    AckInvalid = 110, "ACK_INVALID", Stop, "an acknowledgement names too many messages, or answers with too much";
    Busy = 201, "BUSY", Retry, "the gateway is busy";
    NotRecorded = 202, "NOT_RECORDED", Retry, "the login could not be recorded";
    Stopping = 203, "STOPPING", Retry, "the gateway is stopping";
    Silent = 204, "SILENT", Retry, "no frame came for the heartbeat time-out";
    AddressLimit = 205, "ADDRESS_LIMIT", Retry, "too many connections, or failed logins, come from this address";
    UserLimit = 206, "USER_LIMIT", Retry, "too many logins of this user wait, or came in the last minute";
    Elsewhere = 207, "ELSEWHERE", Retry, "another node of the cluster has this user";
    SessionUnknown = 301, "SESSION_UNKNOWN", LogInAfresh, "the session is not known";
    SessionForcedOff = 302, "SESSION_FORCED_OFF", LogInAfresh, "another device logged in and took this one's place";
    SessionKicked = 303, "SESSION_KICKED", LogInAfresh, "the app's backend ended the session";
    SessionLoggedOut = 304, "SESSION_LOGGED_OUT", LogInAfresh, "the session was logged out";
    OtherDeviceOnline = 305, "OTHER_DEVICE_ONLINE", Stop, "another device is online and keeps its place";
    UsersigExpired = 70001, "USERSIG_EXPIRED", RenewUsersig, "the UserSig has expired";
    UsersigEmpty = 70002, "USERSIG_EMPTY", RenewUsersig, "the UserSig is empty";
    UsersigUnreadable = 70003, "USERSIG_UNREADABLE", RenewUsersig, "the UserSig cannot be decoded";
    UsersigWrongSignature = 70009, "USERSIG_WRONG_SIGNATURE", RenewUsersig, "the UserSig's signature is wrong; was it made with another app's secret key?";
    UsersigWrongUser = 70013, "USERSIG_WRONG_USER", RenewUsersig, "the UserSig is for another UserID";
    UsersigWrongApp = 70014, "USERSIG_WRONG_APP", RenewUsersig, "the UserSig is for another SDKAppID";
    UsersigNoKey = 70016, "USERSIG_NO_KEY", Stop, "the gateway has no key to check a UserSig with";
    // The kick has ended the sessions, too: whoever renewed by itself would undo it.
    UsersigKicked = 70052, "USERSIG_KICKED", LogInAfresh, "the UserSig was made before the backend ended the user's logins; make a new one, one second later";
    AccountUnknown = 70107, "ACCOUNT_UNKNOWN", LogInAfresh, "the account does not exist";
}

/// A code with all that is said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub code: Code,
    /// The same for people.
    pub text: Cow<'static, str>,
    /// The terminal is to wait at least this long before it tries again; 0: nothing is said of it.
    pub retry_after_ms: u32,
}

impl Verdict {
    /// The verdict of a code whose text says all.
    #[must_use]
    pub fn of(code: Code) -> Self {
        Self {
            code,
            text: Cow::Borrowed(code.text()),
            retry_after_ms: 0,
        }
    }

    /// The verdict of a code, with a text of its own.
    #[must_use]
    pub fn with_text(code: Code, text: String) -> Self {
        Self {
            text: Cow::Owned(text),
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

    /// The verdict of a code that ends a link. Where the terminal may try again, it waits this long first.
    #[must_use]
    pub fn ending(code: Code, retry_after_ms: u32) -> Self {
        let may_retry = code.what_next() == WhatNext::Retry;
        Self::of(code).after_ms(if may_retry { retry_after_ms } else { 0 })
    }
}
