//! A request to send a message, as the gateway's own interface has it: JSON to an order for shards. Knows its form, never whether its
//! targets exist.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::base::ids::{ChangeNumber, InstanceId, Platform, UserId};
use crate::base::json;
use crate::base::limits::{
    MESSAGE_BODY_BYTES_MAX, MESSAGE_KIND_BYTES_MAX, SEND_TARGETS_MAX, USER_ID_BYTES_MAX,
};
use crate::logic::message::{AckWish, SendCondition, SendOrder, SendReach, SendTarget};
use crate::protocol::packet::MessageContent;
use crate::services::http::messages::fields::{Fields, Wrong};

/// What a backend may call a message.
const NAME_BYTES_MAX: usize = 64;

/// Of the key by which a message takes the place of another one.
const COLLAPSE_BYTES_MAX: usize = 64;

/// How long an answer may wait for what becomes of a message: a request has 3 s in all.
const WAIT_MS_MAX: u64 = 2_500;

/// How long a message matters if nothing is said of it, and at most: a device that is longer away gets by another way what it missed.
const TTL_S: u64 = 60;
pub(in crate::services::http) const TTL_S_MAX: u64 = 86_400;

/// What a message is if nothing is said of it.
const KIND: &str = "message";

/// Sessions that one request may pass over.
const SKIPPED_MAX: usize = 64;

/// A request to send.
#[derive(Debug)]
pub(in crate::services::http) struct SendRequest {
    /// What the backend calls it; nothing if it did not say.
    pub(in crate::services::http) name: Option<Arc<str>>,
    /// What shards are asked to do. It has no id yet.
    pub(in crate::services::http) order: SendOrder,
}

const MEMBERS: [&str; 14] = [
    "id", "to", "from", "kind", "body", "text", "json", "ack", "wait_ms", "ttl_s", "collapse", "only",
    "skip", "if",
];

/// Reads a request's body.
pub(in crate::services::http) fn read(body: &[u8]) -> Result<SendRequest, Wrong> {
    let value = json::read(body).map_err(|fault| format!("the body: {fault}"))?;
    let fields = Fields::of("", &value, &MEMBERS)?;
    let name: Option<Arc<str>> = fields.name("id", NAME_BYTES_MAX)?.map(Arc::from);
    let mut targets = read_targets(&fields)?;
    skip(&fields, &mut targets)?;
    condition(&fields, &mut targets)?;
    let ttl_s = fields.number_up_to("ttl_s", TTL_S_MAX)?.unwrap_or(TTL_S);
    let wait_ms = fields.number_up_to("wait_ms", WAIT_MS_MAX)?.unwrap_or(0);
    let content = MessageContent {
        id: 0,
        from: fields
            .name("from", USER_ID_BYTES_MAX)?
            .unwrap_or_default()
            .to_owned(),
        kind: read_kind(&fields)?,
        body: read_content(&fields)?,
    };
    let order = SendOrder {
        content: Arc::new(content),
        name: name.clone().unwrap_or_default(),
        ack: match fields.text("ack")? {
            None | Some("device") => AckWish::Device,
            Some("none") => AckWish::No,
            Some(_) => return Err(fields.wrong("ack", "is neither device nor none")),
        },
        ttl: Duration::from_secs(ttl_s),
        wait: Duration::from_millis(wait_ms),
        collapse: fields.name("collapse", COLLAPSE_BYTES_MAX)?.map(Box::from),
        reach: read_reach(&fields)?,
        targets,
    };
    Ok(SendRequest { name, order })
}

fn read_targets(fields: &Fields<'_>) -> Result<Vec<SendTarget>, Wrong> {
    let list = fields
        .list("to")?
        .ok_or_else(|| fields.wrong("to", "is missing"))?;
    if !(1..=SEND_TARGETS_MAX).contains(&list.len()) {
        let what = format_args!("has {} targets: 1 to {SEND_TARGETS_MAX} are allowed", list.len());
        return Err(fields.wrong("to", what));
    }
    let targets = list.iter().enumerate();
    targets
        .map(|(place, target)| read_target(&format!("to[{place}]"), target))
        .collect()
}

fn read_target(name: &str, target: &Value) -> Result<SendTarget, Wrong> {
    let fields = Fields::of(name, target, &["user", "platform", "instance"])?;
    Ok(SendTarget {
        user: read_user(&fields)?,
        platform: read_platform(&fields)?,
        instance: read_instance(&fields)?,
        skip: Vec::new(),
        condition: None,
    })
}

fn read_user(fields: &Fields<'_>) -> Result<UserId, Wrong> {
    let user = fields
        .text("user")?
        .ok_or_else(|| fields.wrong("user", "is missing"))?;
    UserId::new(user.as_bytes()).map_err(|_| fields.wrong("user", "is no UserID"))
}

fn read_platform(fields: &Fields<'_>) -> Result<Option<Platform>, Wrong> {
    let Some(name) = fields.text("platform")? else {
        return Ok(None);
    };
    let platform = Platform::ALL.into_iter().find(|platform| platform.name() == name);
    let what = "is none of Android, iPhone, iPad, Windows, Mac, Linux, Web";
    platform.map(Some).ok_or_else(|| fields.wrong("platform", what))
}

/// A text, as it is shown: many readers of JSON keep only 53 bits of a number.
fn read_instance(fields: &Fields<'_>) -> Result<Option<InstanceId>, Wrong> {
    let instance = fields.text("instance")?.map(|text| {
        let instance = text.parse().ok().and_then(InstanceId::new);
        instance.ok_or_else(|| fields.wrong("instance", "is no instance: a number in a string"))
    });
    instance.transpose()
}

/// Sessions that get nothing, at the targets of their users.
fn skip(fields: &Fields<'_>, targets: &mut [SendTarget]) -> Result<(), Wrong> {
    let skipped = fields.list("skip")?.unwrap_or_default();
    if skipped.len() > SKIPPED_MAX {
        return Err(fields.wrong("skip", format_args!("has more than {SKIPPED_MAX} sessions")));
    }
    for (place, skipped) in skipped.iter().enumerate() {
        let fields = Fields::of(&format!("skip[{place}]"), skipped, &["user", "session"])?;
        let user = read_user(&fields)?;
        let session = fields.number("session")?;
        let session = session.ok_or_else(|| fields.wrong("session", "is missing"))?;
        let of_user = targets.iter_mut().filter(|target| target.user == user);
        of_user.for_each(|target| target.skip.push(ChangeNumber(session)));
    }
    Ok(())
}

fn condition(fields: &Fields<'_>, targets: &mut [SendTarget]) -> Result<(), Wrong> {
    let Some(condition) = fields.get("if") else {
        return Ok(());
    };
    let [target] = targets else {
        return Err(fields.wrong("if", "is for a single target"));
    };
    let fields = Fields::of("if", condition, &["change", "session"])?;
    target.condition = match (fields.number("change")?, fields.number("session")?) {
        (Some(change), None) => Some(SendCondition::Change(ChangeNumber(change))),
        (None, Some(session)) => Some(SendCondition::Session(ChangeNumber(session))),
        _ => return Err("if has not one of change and session".to_owned()),
    };
    Ok(())
}

fn read_kind(fields: &Fields<'_>) -> Result<String, Wrong> {
    let kind = fields.name("kind", MESSAGE_KIND_BYTES_MAX)?.unwrap_or(KIND);
    if kind.contains(['+', '#', '/', ' ']) {
        return Err(fields.wrong("kind", "has a space, `+`, `#` or `/`"));
    }
    Ok(kind.to_owned())
}

/// The body, in one of three forms, or none.
fn read_content(fields: &Fields<'_>) -> Result<Vec<u8>, Wrong> {
    let forms = ["body", "text", "json"];
    let forms: Vec<&str> = forms
        .into_iter()
        .filter(|form| fields.get(form).is_some())
        .collect();
    let body = match forms[..] {
        [] => Vec::new(),
        ["body"] => fields.bytes("body")?.unwrap_or_default(),
        ["text"] => fields.text("text")?.unwrap_or_default().as_bytes().to_vec(),
        ["json"] => fields
            .get("json")
            .map(ToString::to_string)
            .unwrap_or_default()
            .into_bytes(),
        _ => return Err(format!("{} and {}: only one can be the body", forms[0], forms[1])),
    };
    if body.len() > MESSAGE_BODY_BYTES_MAX {
        let what = format_args!(
            "has {} bytes: at most {MESSAGE_BODY_BYTES_MAX} are allowed",
            body.len()
        );
        return Err(fields.wrong(forms[0], what));
    }
    Ok(body)
}

fn read_reach(fields: &Fields<'_>) -> Result<SendReach, Wrong> {
    let Some(only) = fields.list("only")? else {
        return Ok(SendReach::All);
    };
    let names: Vec<Option<&str>> = only.iter().map(Value::as_str).collect();
    match names[..] {
        [Some("Online")] => Ok(SendReach::Online),
        [Some("Online"), Some("PushOnline")] | [Some("PushOnline"), Some("Online")] => Ok(SendReach::All),
        _ => Err(fields.wrong("only", r#"is neither ["Online"] nor ["Online", "PushOnline"]"#)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(body: &Value) -> String {
        read(body.to_string().as_bytes()).expect_err("it is wrong")
    }

    #[test]
    fn a_request_says_all_that_there_is_to_say() {
        let body = json!({
            "id": "order-17", "from": "shop", "kind": "order", "text": "hello", "ack": "none", "wait_ms": 800,
            "to": [{"user": "alice", "platform": "iPhone", "instance": "18446744073709551615"}, {"user": "bob"}],
            "ttl_s": 5, "collapse": "a", "only": ["Online"], "skip": [{"user": "alice", "session": 4}],
        });
        let SendRequest { name, order } = read(body.to_string().as_bytes()).unwrap();
        assert_eq!((name.as_deref(), &*order.name), (Some("order-17"), "order-17"));
        let content = &*order.content;
        assert_eq!((&*content.from, &*content.kind), ("shop", "order"));
        assert_eq!((&*content.body, order.ack), (&b"hello"[..], AckWish::No));
        assert_eq!(
            (order.ttl, order.wait),
            (Duration::from_secs(5), Duration::from_millis(800))
        );
        assert_eq!(
            (order.collapse.as_deref(), order.reach),
            (Some("a"), SendReach::Online)
        );
        let [alice, bob] = &order.targets[..] else {
            panic!("{order:?}")
        };
        assert_eq!(
            (alice.platform, alice.instance),
            (Some(Platform::IPhone), Some(InstanceId::MAX))
        );
        assert_eq!((&*alice.skip, &*bob.skip), (&[ChangeNumber(4)][..], &[][..]));
    }

    #[test]
    fn what_is_not_said_has_a_good_value() {
        let SendRequest { name, order } = read(br#"{"to":[{"user":"alice"}]}"#).unwrap();
        assert_eq!(
            (name, order.ack, order.reach),
            (None, AckWish::Device, SendReach::All)
        );
        assert_eq!((&*order.content.kind, order.content.body.len()), ("message", 0));
        assert_eq!((order.ttl, order.wait), (Duration::from_secs(60), Duration::ZERO));
    }

    #[test]
    fn a_body_has_one_of_three_forms() {
        let check = |member: &str, value: Value, expected: &[u8]| {
            let mut body = json!({"to": [{"user": "alice"}]});
            body[member] = value;
            let order = read(body.to_string().as_bytes()).unwrap().order;
            assert_eq!(order.content.body, expected);
        };
        check("body", json!("AAH/"), &[0, 1, 255]);
        check("text", json!("Grüße"), "Grüße".as_bytes());
        check("json", json!({"a": [1, "b"]}), br#"{"a":[1,"b"]}"#);
        check("json", json!("a"), br#""a""#);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let to = || json!([{"user": "alice"}]);
        let many: Vec<Value> = vec![json!({"user": "a"}); SEND_TARGETS_MAX + 1];
        let long = "x".repeat(MESSAGE_BODY_BYTES_MAX + 1);
        let all = [
            (json!([]), "the body is not an object"),
            (json!({}), "to is missing"),
            (json!({"to": "alice"}), "to is not an array"),
            (json!({"to": []}), "to has 0 targets: 1 to 500 are allowed"),
            (json!({ "to": many }), "to has 501 targets: 1 to 500 are allowed"),
            (json!({"to": [{}]}), "to[0].user is missing"),
            (json!({"to": [{"user": 7}]}), "to[0].user is not a string"),
            (json!({"to": [{"user": "ü"}]}), "to[0].user is no UserID"),
            (
                json!({"to": [{"user": "a", "name": 1}]}),
                "to[0].name is not known",
            ),
            (json!({"to": to(), "push": {}}), "push is not known"),
            (
                json!({"to": to(), "id": ""}),
                "id has not 1 to 64 bytes of printable ASCII",
            ),
            (
                json!({"to": to(), "kind": "a/b"}),
                "kind has a space, `+`, `#` or `/`",
            ),
            (
                json!({"to": to(), "ack": "all"}),
                "ack is neither device nor none",
            ),
            (json!({"to": to(), "wait_ms": 2_501}), "wait_ms is above 2500"),
            (
                json!({"to": to(), "ttl_s": -1}),
                "ttl_s is not a whole number from 0 on",
            ),
            (json!({"to": to(), "body": "?"}), "body is not base64"),
            (
                json!({"to": to(), "body": "", "text": ""}),
                "body and text: only one can be the body",
            ),
            (
                json!({"to": to(), "text": long}),
                "text has 61441 bytes: at most 61440 are allowed",
            ),
            (
                json!({"to": to(), "only": ["Offline"]}),
                r#"only is neither ["Online"] nor ["Online", "PushOnline"]"#,
            ),
            (
                json!({"to": [{"user": "a"}, {"user": "b"}], "if": {"change": 1}}),
                "if is for a single target",
            ),
            (
                json!({"to": to(), "if": {}}),
                "if has not one of change and session",
            ),
            (
                json!({"to": to(), "skip": [{"user": "a"}]}),
                "skip[0].session is missing",
            ),
        ];
        for (body, expected) in all {
            assert_eq!(wrong(&body), expected, "{:.80}", body.to_string());
        }
        assert!(read(b"{").unwrap_err().starts_with("the body: it is not JSON"));
    }
}
