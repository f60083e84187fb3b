//! The error codes of the REST interface, and what is said with them. The numbers are Tencent Cloud IM's
//! (1047/34348, 1047/34620, 269/2566, 269/3853, 269/1608, 269/4919, 269/36443, 269/38417).

use std::borrow::Cow;

use crate::protocol::usersig::Fault;
use crate::services::http::pending::NoReply;

/// Something that a request is told instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For programs.
    pub(crate) code: u32,
    /// For people. Never holds anything secret of the request.
    pub(crate) text: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: u32, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// What is said to a request that got no reply.
    pub(super) fn of_no_reply(why: NoReply) -> Self {
        match why {
            NoReply::Full => Self::new(TOO_FREQUENT, "too many requests are open: try again later"),
            NoReply::Late => Self::new(TIMED_OUT, "the gateway did not answer in time: try again"),
        }
    }
}

/// The URL cannot be read.
pub(crate) const URL_INVALID: u32 = 60_002;
/// The body is not JSON.
pub(crate) const BODY_NOT_JSON: u32 = 60_003;
/// `identifier` is missing or no UserID.
pub(crate) const IDENTIFIER_INVALID: u32 = 60_004;
/// `sdkappid` is not this app's.
pub(crate) const SDK_APP_ID_INVALID: u32 = 60_006;
/// No answer in time, or a request that came too slowly.
pub(crate) const TIMED_OUT: u32 = 60_008;
/// There is no such command.
pub(crate) const COMMAND_UNKNOWN: u32 = 60_009;
/// The caller is not an administrator.
pub(crate) const NOT_ADMINISTRATOR: u32 = 60_010;
/// `sdkappid` is missing.
pub(crate) const SDK_APP_ID_MISSING: u32 = 60_012;
/// Too much at once: try again later.
pub(crate) const TOO_FREQUENT: u32 = 60_018;

/// A field of an account is too long.
pub(crate) const FIELD_TOO_LONG: u32 = 40_601;
/// There is no such account.
pub(crate) const ACCOUNT_UNKNOWN: u32 = 70_107;
/// A parameter is missing or wrong.
pub(crate) const PARAMETER_INVALID: u32 = 70_402;

/// The registry or the user's home could not do it in time: try again.
pub(crate) const ACCOUNT_LATE: u32 = 70_169;
/// Too many accounts in one request, or none.
pub(crate) const BATCH_INVALID: u32 = 70_206;

/// The query's body is not JSON, or asks for nobody.
pub(crate) const QUERY_BODY_INVALID: u32 = 90_001;
/// `To_Account` is not a list of UserIDs.
pub(crate) const ACCOUNTS_INVALID: u32 = 90_003;
/// `To_Account` names too many.
pub(crate) const ACCOUNTS_TOO_MANY: u32 = 90_011;
/// The registry could not be asked: try again.
pub(crate) const ACCOUNT_UNAVAILABLE: u32 = 91_000;

/// The sender of a message does not exist.
pub(crate) const SENDER_UNKNOWN: u32 = 20_003;
/// A message cannot be sent now: try again.
pub(crate) const SEND_AGAIN: u32 = 20_004;
/// There is no `MsgBody`, or a number of the message is none.
pub(crate) const BODY_INVALID: u32 = 90_002;
/// `MsgRandom` is missing or no number.
pub(crate) const RANDOM_INVALID: u32 = 90_005;
/// `MsgTimeStamp` is no number.
pub(crate) const TIMESTAMP_INVALID: u32 = 90_006;
/// `MsgBody` is no array.
pub(crate) const BODY_NO_ARRAY: u32 = 90_007;
/// `From_Account` is no text.
pub(crate) const SENDER_INVALID: u32 = 90_008;
/// An element of `MsgBody` is none.
pub(crate) const ELEMENT_INVALID: u32 = 90_010;
/// The receiver of a message does not exist.
pub(crate) const RECEIVER_UNKNOWN: u32 = 90_012;
/// `MsgLifeTime` is too long, or asks for a store that is not there.
pub(crate) const LIFETIME_INVALID: u32 = 90_026;
/// `SyncOtherMachine` is no number.
pub(crate) const SYNC_INVALID: u32 = 90_031;
/// `MsgLifeTime` or `OnlineOnlyFlag` is no number.
pub(crate) const LIFETIME_NO_NUMBER: u32 = 90_044;
/// A message is too long.
pub(crate) const MESSAGE_TOO_LARGE: u32 = 93_000;

/// The UserSig was made before its user was kicked.
pub(crate) const USERSIG_KICKED: u32 = 70_052;

/// The code of a UserSig that is not good.
pub(crate) fn of_fault(fault: Fault) -> u32 {
    match fault {
        Fault::Expired | Fault::Ahead => 70_001,
        Fault::Empty => 70_002,
        Fault::Unreadable | Fault::LivesTooLong => 70_003,
        Fault::WrongSignature => 70_009,
        Fault::WrongUser => 70_013,
        Fault::WrongApp => 70_014,
        Fault::NoKey => 70_016,
    }
}
