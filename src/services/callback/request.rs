//! What a callback says: its query, its headers and its body, as Tencent Cloud IM's `State.StateChange` (1047/34520), with
//! headers of our own beside. Sends nothing.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

use crate::base::ids::Platform;
use crate::base::json;
use crate::base::time::Timestamp;
use crate::logic::record::platforms_online;
use crate::logic::record::{Change, ChangeKind};
use crate::services::callback::attempt::AttemptOutcome;
use crate::services::registry::archive::Placed;

/// The number of this change among its user's.
pub const CHANGE: &str = "holdfast-change";
/// The number of the user's last change before that had a callback; 0 if there was none.
pub const PREVIOUS: &str = "holdfast-previous";
/// The same for every attempt of the same callback, and for no other callback.
pub const ID: &str = "holdfast-id";
/// The session that began, or that it happened to.
pub const SESSION: &str = "holdfast-session";
/// 1 for the first attempt.
pub const ATTEMPT: &str = "holdfast-attempt";
/// Present, with the value 1, if the operator has it sent again after it was given up.
pub const REPLAYED: &str = "holdfast-replayed";

/// What goes into the URL's query besides the change.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryContext<'a> {
    pub(super) sdk_app_id: u64,
    /// Signs the URL, if there is one.
    pub(super) token: Option<&'a str>,
    /// When the attempt is made, in Unix seconds.
    pub(super) now_s: u64,
}

/// The query of one attempt.
pub(super) fn query(context: QueryContext<'_>, change: &Change) -> String {
    let (app, platform) = (context.sdk_app_id, opt_platform(change));
    let mut query = format!("SdkAppid={app}&CallbackCommand=State.StateChange&contenttype=json");
    // An address that nobody knows is left out: an empty one would be read as a wrong one.
    if let Some(address) = change.address {
        write!(query, "&ClientIP={}", address_text(address)).expect("a text takes all");
    }
    write!(query, "&OptPlatform={platform}").expect("a text takes all");
    if let Some(token) = context.token {
        let sign = sign(token, context.now_s);
        write!(query, "&Sign={sign}&RequestTime={}", context.now_s).expect("a text takes all");
    }
    query
}

/// Lower-case hex of SHA-256 of the token and the time.
fn sign(token: &str, time_s: u64) -> String {
    let digest = Sha256::new_with_prefix(token)
        .chain_update(time_s.to_string())
        .finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}

/// An IPv6 address has colons, which a query may hold as they are.
fn address_text(address: Ipv6Addr) -> String {
    address.to_canonical().to_string()
}

/// The platform that the change came from: the backend itself, or the device's.
fn opt_platform(change: &Change) -> &'static str {
    match change.kind {
        ChangeKind::Kick | ChangeKind::Deletion => return "RESTAPI",
        ChangeKind::Login { .. } | ChangeKind::Logout | ChangeKind::LinkEnd => {}
        ChangeKind::TimeOut | ChangeKind::Expiry => {}
    }
    match change.device.platform {
        Platform::IPhone => "IOS",
        Platform::Linux => "Unknown",
        platform @ (Platform::Android | Platform::IPad | Platform::Windows) => platform.name(),
        platform @ (Platform::Mac | Platform::Web) => platform.name(),
    }
}

fn kicked_device(platform: Platform) -> &'static str {
    match platform {
        Platform::IPhone => "iOS",
        Platform::Android | Platform::IPad | Platform::Windows => platform.name(),
        Platform::Mac | Platform::Linux | Platform::Web => platform.name(),
    }
}

/// The body of every attempt.
pub(super) fn body(placed: &Placed) -> Vec<u8> {
    let (user, change) = (&placed.recorded.user, &placed.recorded.change);
    let (action, reason) = match &change.kind {
        ChangeKind::Login { .. } => ("Login", "Register"),
        ChangeKind::Logout | ChangeKind::Kick | ChangeKind::Deletion => ("Logout", "Unregister"),
        ChangeKind::LinkEnd => ("Disconnect", "LinkClose"),
        // The end of PushOnline has no callback of its own in any edition: it is a silence, too.
        ChangeKind::TimeOut | ChangeKind::Expiry => ("Disconnect", "TimeOut"),
    };
    let mut body = serde_json::json!({
        "CallbackCommand": "State.StateChange",
        "EventTime": change.at.0,
        "Info": { "Action": action, "To_Account": user.as_str(), "Reason": reason },
    });
    if let ChangeKind::Login { forced_off, .. } = &change.kind {
        let platforms = platforms_online(forced_off);
        if !platforms.is_empty() {
            let kicked = platforms
                .into_iter()
                .map(|platform| serde_json::json!({ "Platform": kicked_device(platform) }));
            body["KickedDevice"] = Value::Array(kicked.collect());
        }
    }
    body.to_string().into_bytes()
}

/// What the body of an answer with HTTP status 200 says. Whatever it is, the receiver is up, so what it does not take is
/// the affair of that callback's user alone: also a body that is no JSON, which a receiver's program writes when it stumbles over
/// one user.
pub(super) fn read_answer(body: &[u8]) -> AttemptOutcome {
    let answer = match json::read(body) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => return AttemptOutcome::Refused("the answer is no JSON object".to_owned()),
        Err(fault) => return AttemptOutcome::Refused(format!("the answer cannot be used: {fault}")),
    };
    match answer.get("ErrorCode") {
        None | Some(Value::Null) => AttemptOutcome::Refused("the answer has no ErrorCode".to_owned()),
        Some(code) if is_zero(code) => AttemptOutcome::Delivered,
        Some(code) => AttemptOutcome::Refused(format!("the answer's ErrorCode is {}", shortened(code))),
    }
}

/// Zero as any language writes it: 0, -0, 0.0, 0e5, or one of these as a text.
fn is_zero(code: &Value) -> bool {
    match code {
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            serde_json::from_str::<Number>(text).is_ok_and(|number| number.as_f64() == Some(0.0))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Characters of an ErrorCode that are kept with a dead letter.
const CODE_CHARACTERS_MAX: usize = 64;

fn shortened(code: &Value) -> String {
    code.to_string().chars().take(CODE_CHARACTERS_MAX).collect()
}

/// Whether a callback of this change is too old to be tried again.
pub(super) fn is_too_old(change: &Change, now: Timestamp, give_up_ms: u64) -> bool {
    change.at.0.saturating_add(give_up_ms) <= now.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, UserId};
    use crate::logic::record::{RecordedChange, Status};
    use crate::services::callback::receiver::ReceiverUrl;
    use crate::services::registry::archive::Position;

    fn device(platform: Platform) -> DeviceId {
        let instance = InstanceId::MIN;
        DeviceId { platform, instance }
    }

    fn placed(platform: Platform, kind: ChangeKind) -> Placed {
        let change = Change {
            number: ChangeNumber(7),
            at: Timestamp(1_700_000_000_123),
            device: device(platform),
            kind,
            address: Some(std::net::Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped()),
        };
        Placed {
            position: Position(1),
            recorded: RecordedChange {
                user: UserId::new(b"alice").unwrap(),
                change,
                session: ChangeNumber(7),
                previous: Some(ChangeNumber(6)),
            },
        }
    }

    fn login(forced_off: &[(Platform, Status)]) -> ChangeKind {
        ChangeKind::Login {
            fresh: ChangeNumber(7),
            forced_off: forced_off
                .iter()
                .map(|(platform, status)| (device(*platform), *status))
                .collect(),
        }
    }

    #[test]
    fn each_change_is_told_as_the_reference_says() {
        let forced_off = [
            (Platform::Windows, Status::Online),
            (Platform::IPhone, Status::Online),
            (Platform::IPad, Status::PushOnline),
        ];
        let cases = [
            (Platform::Android, login(&[])),
            (Platform::Android, login(&forced_off)),
            (Platform::IPhone, ChangeKind::Logout),
            (Platform::Linux, ChangeKind::LinkEnd),
            (Platform::Web, ChangeKind::TimeOut),
            (Platform::IPad, ChangeKind::Expiry),
            (Platform::Mac, ChangeKind::Kick),
            (Platform::Windows, ChangeKind::Deletion),
        ];
        let mut told = String::new();
        for (platform, kind) in cases {
            let placed = placed(platform, kind);
            let context = QueryContext {
                sdk_app_id: 1_400_000_001,
                token: None,
                now_s: 0,
            };
            let url = ReceiverUrl::read("https://example.com/cb").unwrap();
            let url = url.with_query(&query(context, &placed.recorded.change));
            let body = String::from_utf8(body(&placed)).unwrap();
            writeln!(told, "{url}\n{body}").unwrap();
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn the_url_is_signed_like_the_reference_vector() {
        let expected = "b3400952183ff352e2940121aa0a6e85273dce451893acb318810e227f789f92";
        assert_eq!(sign("cb-token-01", 1_700_000_000), expected);
        let context = QueryContext {
            sdk_app_id: 1,
            token: Some("cb-token-01"),
            now_s: 1_700_000_000,
        };
        let signed = query(
            context,
            &placed(Platform::Web, ChangeKind::Logout).recorded.change,
        );
        assert!(
            signed.ends_with(&format!("&Sign={expected}&RequestTime=1700000000")),
            "{signed}"
        );
    }

    #[test]
    fn an_unknown_address_is_left_out_and_ipv6_is_plain() {
        let mut change = placed(Platform::Web, ChangeKind::Logout).recorded.change;
        let context = QueryContext {
            sdk_app_id: 1,
            token: None,
            now_s: 0,
        };
        change.address = None;
        assert!(!query(context, &change).contains("ClientIP"));
        change.address = Some("2001:db8::1".parse().unwrap());
        assert!(query(context, &change).contains("&ClientIP=2001:db8::1&"));
    }

    #[test]
    fn a_zero_in_any_form_is_handled_and_nothing_else() {
        for good in [
            r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#,
            r#"{"ErrorCode":0.0}"#,
            r#"{"ErrorCode":-0}"#,
            r#"{"ErrorCode":0e5}"#,
            r#"{"ErrorCode":"0"}"#,
            "\u{feff} {\"ErrorCode\":0}\r\n",
        ] {
            assert_eq!(read_answer(good.as_bytes()), AttemptOutcome::Delivered, "{good}");
        }
        for bad in [
            "",
            "<html>",
            "{}",
            r#"{"ErrorCode":1}"#,
            r#"{"ErrorCode":0.5}"#,
            r#"{"ErrorCode":""}"#,
            r#"{"ErrorCode":"no"}"#,
            r#"{"ErrorCode":null}"#,
            r#"{"ErrorCode":false}"#,
            r#"{"ErrorCode":[0]}"#,
            r#"{"ErrorCode":1,"ErrorCode":0}"#,
            "[0]",
        ] {
            let outcome = read_answer(bad.as_bytes());
            assert!(
                matches!(outcome, AttemptOutcome::Refused(_)),
                "{bad}: {outcome:?}"
            );
        }
        let long = format!(r#"{{"ErrorCode":"{}"}}"#, "x".repeat(9_999));
        assert!(read_answer(long.as_bytes()).fault().unwrap().len() < 100);
    }
}
