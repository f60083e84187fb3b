//! The error codes of the REST interface, and what is said with them. The numbers are Tencent Cloud IM's
//! (1047/34348, 1047/34620, 269/2566, 269/3853, 269/1608, 269/4919, 269/36443, 269/38417).

use std::borrow::Cow;

use crate::protocol::usersig::Fault;

/// Something that a request is told instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// For programs.
    pub(super) code: u32,
    /// For people. Never holds anything secret of the request.
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(code: u32, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

/// The URL cannot be read.
pub(super) const URL_INVALID: u32 = 60_002;
/// The body is not JSON.
pub(super) const BODY_NOT_JSON: u32 = 60_003;
/// `identifier` is missing or no UserID.
pub(super) const IDENTIFIER_INVALID: u32 = 60_004;
/// `sdkappid` is not this app's.
pub(super) const SDK_APP_ID_INVALID: u32 = 60_006;
/// No answer in time, or a request that came too slowly.
pub(super) const TIMED_OUT: u32 = 60_008;
/// There is no such command.
pub(super) const COMMAND_UNKNOWN: u32 = 60_009;
/// The caller is not an administrator.
pub(super) const NOT_ADMINISTRATOR: u32 = 60_010;
/// `sdkappid` is missing.
pub(super) const SDK_APP_ID_MISSING: u32 = 60_012;
/// Too much at once: try again later.
pub(super) const TOO_FREQUENT: u32 = 60_018;

/// A field of an account is too long.
pub(super) const FIELD_TOO_LONG: u32 = 40_601;
/// There is no such account.
pub(super) const ACCOUNT_UNKNOWN: u32 = 70_107;
/// A parameter is missing or wrong.
pub(super) const PARAMETER_INVALID: u32 = 70_402;

/// The registry or the user's home could not do it in time: try again.
pub(super) const ACCOUNT_LATE: u32 = 70_169;
/// Too many accounts in one request, or none.
pub(super) const BATCH_INVALID: u32 = 70_206;

/// The query's body is not JSON, or asks for nobody.
pub(super) const QUERY_BODY_INVALID: u32 = 90_001;
/// `To_Account` is not a list of UserIDs.
pub(super) const ACCOUNTS_INVALID: u32 = 90_003;
/// `To_Account` names too many.
pub(super) const ACCOUNTS_TOO_MANY: u32 = 90_011;
/// The registry could not be asked: try again.
pub(super) const ACCOUNT_UNAVAILABLE: u32 = 91_000;

/// The UserSig was made before its user was kicked.
pub(super) const USERSIG_KICKED: u32 = 70_052;

/// The code of a UserSig that is not good.
pub(super) fn of_fault(fault: Fault) -> u32 {
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
