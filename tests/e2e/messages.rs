//! Messages from the backend to real terminals, and what the backend is told of each.

use std::collections::BTreeMap;
use std::process::Stdio;

use holdfast::protocol::native::proto::{self, Platform, request, response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway;
use crate::support::certificate::TestCertificate;
use crate::support::command::{Running, piped};
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

/// The bits by which a terminal says that it takes messages, and that it acknowledges them.
const MESSAGES: u64 = 2;
const ACKS: u64 = 4;

/// A device of Alice logs in, whose terminal knows this much of messages.
fn alice(gateway: &Gateway, platform: Platform, features: u64) -> Terminal {
    let login = proto::Login {
        features,
        ..login("alice", platform, 7)
    };
    Terminal::logged_in(gateway.terminals, login).0
}

impl Terminal {
    fn message(&mut self) -> proto::Message {
        match self.read() {
            Some(response::Packet::Message(message)) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    fn ack(&mut self, id: u64, reply: &[u8]) {
        let ack = proto::MessageAck {
            id: vec![id],
            reply: reply.to_vec(),
            refused: false,
        };
        self.send(request::Packet::MessageAck(ack));
    }
}

/// What became of a message at each of a user's devices, by their platforms.
fn by_platform(result: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let devices = result["devices"].as_array().unwrap().iter();
    devices
        .map(|device| (text(&device["platform"]), text(&device["outcome"])))
        .collect()
}

#[test]
fn one_message_comes_to_an_end_at_each_device() {
    let gateway = gateway(&[("presence.policy", "\"multi\"")]);
    let http = Http::default();
    let mut mac = alice(&gateway, Platform::Mac, MESSAGES | ACKS);
    let mut slow = alice(&gateway, Platform::Ipad, MESSAGES | ACKS);
    let away = alice(&gateway, Platform::Iphone, MESSAGES | ACKS);
    let _old = alice(&gateway, Platform::Windows, 0);
    drop(away);
    http.await_status(gateway.http, "alice", "Online");
    let is_away = || {
        http.query(gateway.http, &["alice"])["QueryResult"][0]["Detail"]
            .to_string()
            .contains("PushOnline")
    };
    while !is_away() {}
    let (_, none, cursor) = http.outcomes(gateway.http, None);
    assert_eq!((none.len(), cursor.is_some()), (0, true), "nothing was sent yet");
    let send = json!({
        "id": "order-17", "from": "shop", "kind": "order", "text": "hello", "to": [{"user": "alice"}], "wait_ms": 2_000,
    });
    let (answer, message) = std::thread::scope(|scope| {
        let answer = scope.spawn(|| Http::default().send(gateway.http, &send));
        let message = mac.message();
        mac.ack(message.id, b"thanks");
        (answer.join().unwrap(), message)
    });
    assert_eq!(
        (&*message.from, &*message.kind, &*message.body),
        ("shop", "order", &b"hello"[..])
    );
    assert!(message.wants_ack && (1..=60_000).contains(&message.ttl_ms));
    let (status, answer) = answer;
    assert_eq!(
        (status, &answer["message"]),
        (200, &json!(message.id.to_string()))
    );
    let result = &answer["results"][0];
    assert_eq!(
        (&result["outcome"], &result["status"]),
        (&json!("acked"), &json!("Online"))
    );
    let expected = [
        ("Mac", "acked"),
        ("iPad", "held"),
        ("iPhone", "held"),
        ("Windows", "unsupported"),
    ];
    let expected = expected.map(|(platform, outcome)| (platform.to_owned(), outcome.to_owned()));
    assert_eq!(by_platform(result), BTreeMap::from(expected));
    // The same request again is answered by what is known of it.
    assert_eq!(http.send(gateway.http, &send), (200, answer));
    // The slow one takes it at last, and the one that was away as soon as it is back.
    let again = slow.message();
    assert_eq!(again.id, message.id);
    slow.ack(again.id, b"");
    let resumed = proto::Login {
        features: MESSAGES | ACKS,
        session: 3,
        ..login("alice", Platform::Iphone, 7)
    };
    let (mut back, _) = Terminal::logged_in(gateway.terminals, resumed);
    let again = back.message();
    assert_eq!(
        again,
        proto::Message {
            ttl_ms: again.ttl_ms,
            ..message
        }
    );
    back.ack(again.id, b"");
    let (mut after, mut late) = (cursor, Vec::new());
    while late.len() < 2 {
        let (status, lines, next) = http.outcomes(gateway.http, after.as_deref());
        assert_eq!(status, 200);
        late.extend(lines);
        after = next;
    }
    let told: Vec<(&str, &str, &str)> = late
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap();
            (text("id"), text("platform"), text("outcome"))
        })
        .collect();
    assert_eq!(
        told,
        [("order-17", "iPad", "acked"), ("order-17", "iPhone", "acked")]
    );
}

#[test]
fn of_what_was_held_in_a_crash_the_new_epoch_tells() {
    let folder = TempDir::new().unwrap();
    let store = format!("{:?}", folder.path().join("registry").to_str().unwrap());
    let settings = [("registry.path", &*store)];
    let first = gateway(&settings);
    let http = Http::default();
    let mut mac = alice(&first, Platform::Mac, MESSAGES | ACKS);
    let held = json!({"id": "a", "to": [{"user": "alice"}]});
    let (_, answer) = http.send(first.http, &held);
    let (_, _, cursor) = http.outcomes(first.http, None);
    let before = mac.message();
    first.kill();
    drop(first);
    let second = gateway(&settings);
    let (status, gone, _) = http.outcomes(second.http, cursor.as_deref());
    assert_eq!(status, 410);
    assert_ne!(gone[0]["epoch"], answer["epoch"]);
    // The backend sends it again, and the terminal can tell that it has it already.
    let back = proto::Login {
        features: MESSAGES | ACKS,
        session: 1,
        ..login("alice", Platform::Mac, 7)
    };
    let (mut mac, _) = Terminal::logged_in(second.terminals, back);
    http.send(second.http, &held);
    assert_eq!(mac.message().id, before.id);
}

#[test]
fn many_messages_go_in_one_request() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let mut mac = alice(&gateway, Platform::Mac, MESSAGES);
    let one = |number: usize| json!({"id": format!("{number}"), "to": [{"user": "alice"}], "ack": "none", "text": format!("{number}")});
    let mut lines: Vec<String> = (0..200).map(|number| one(number).to_string()).collect();
    lines[7] = "{".to_owned();
    lines[8] = one(3).to_string();
    lines.insert(5, String::new());
    let (status, answers) = http.send_lines(gateway.http, &lines.join("\r\n"));
    assert_eq!((status, answers.len()), (200, 200));
    for (place, answer) in answers.iter().enumerate() {
        match place {
            7 => assert_eq!(
                (&answer["status"], answer["error"].is_string()),
                (&json!(400), true)
            ),
            8 => assert_eq!(answer["status"], 409, "{answer}"),
            _ => assert_eq!(
                (&answer["id"], &answer["results"][0]["outcome"]),
                (&json!(place.to_string()), &json!("sent"))
            ),
        }
    }
    for number in (0..200).filter(|number| *number != 7 && *number != 8) {
        assert_eq!(
            mac.message().body,
            number.to_string().as_bytes(),
            "they come in their order"
        );
    }
    // What is too much for one request is not begun.
    let to = |count: usize| json!({"to": vec![json!({"user": "alice"}); count]}).to_string();
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("{}\n", one(1_000 + number)))
            .collect::<String>()
    };
    for (body, what) in [
        ("\n \n".to_owned(), "no line"),
        (many(257), "257 lines"),
        (to(251) + "\n" + &to(250), "501 targets"),
    ] {
        let (status, answers) = http.send_lines(gateway.http, &body);
        let said = answers[0]["error"].as_str().unwrap();
        assert!(status == 400 && said.contains(what), "{status} {said}");
    }
    let (status, answers) = http.send_lines(gateway.http, &many(256));
    assert_eq!((status, answers.len()), (200, 256));
}

#[test]
fn a_message_comes_by_each_transport() {
    let certificate = TestCertificate::new(&["localhost"]);
    let [tls, web, both] = free_addresses();
    let listeners = format!(
        "[{{address=\"{tls}\", tls=true}}, {{address=\"{web}\", transport=\"websocket\"}}, \
         {{address=\"{both}\", transport=\"websocket\", tls=true}}]"
    );
    let settings = [
        ("terminals.listener", &*listeners),
        ("terminals.tls.certificates", &*certificate.setting()),
    ];
    let gateway = gateway(&settings);
    let http = Http::default();
    let plain = gateway.terminals.to_string();
    let (tls, both) = (
        format!("localhost:{}", tls.port()),
        format!("localhost:{}", both.port()),
    );
    let web = web.to_string();
    let ways: [&[&str]; 4] = [
        &["--address", &plain],
        &["--address", &tls, "--tls", "--insecure"],
        &["--address", &web, "--websocket"],
        &["--address", &both, "--websocket", "--tls", "--insecure"],
    ];
    for way in ways {
        let words = [&["connect", "--user", "alice", "--platform", "iPhone"], way].concat();
        let mut command = piped(env!("CARGO_BIN_EXE_holdfast"), &words);
        let mut terminal = Running::start(command.stdin(Stdio::piped()));
        terminal.line_with("logged in");
        // As large as one may be, and none.
        for text in ["hello".to_owned(), String::new(), "x".repeat(60 * 1024)] {
            let body = json!({"from": "shop", "text": text, "to": [{"user": "alice"}], "wait_ms": 2_500});
            let (status, answer) = http.send(gateway.http, &body);
            let outcome = &answer["results"][0]["devices"][0]["outcome"];
            assert_eq!((status, outcome), (200, &json!("acked")), "{way:?}: {answer}");
            let line = terminal.line_with("message from shop");
            assert!(line.contains(&text[..text.len().min(500)]), "{line}");
        }
    }
}

#[test]
fn the_vendors_interface_reaches_terminals() {
    let gateway = gateway(&[("presence.policy", "\"multi\"")]);
    let http = Http::default();
    let mut mac = alice(&gateway, Platform::Mac, MESSAGES | ACKS);
    let body = json!({
        "SyncOtherMachine": 2, "To_Account": "alice", "MsgLifeTime": 60, "MsgSeq": 93_847_636, "MsgRandom": 1_287_657,
        "MsgTimeStamp": 1_557_387_418, "ForbidCallbackControl": ["ForbidBeforeSendMsgCallback"],
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi, beauty"}}],
        "CloudCustomData": "your cloud custom data", "SupportMessageExtension": 0,
        "OfflinePushInfo": {"PushFlag": 0, "Desc": "x", "Ext": "y"},
    });
    let answer = http.call(gateway.http, "openim/sendmsg", &body);
    assert_eq!(answer["ErrorCode"], 0, "{answer}");
    let message = mac.message();
    let content: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!((&*message.kind, &content["MsgBody"]), ("tim", &body["MsgBody"]));
    // A message that is not stored is sent once.
    let many = json!({
        "To_Account": ["alice", "nobody"], "MsgRandom": 9_312_457, "OnlineOnlyFlag": 1,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi, beauty"}}],
    });
    let answer = http.call(gateway.http, "openim/batchsendmsg", &many);
    assert_eq!(
        answer["ErrorList"],
        json!([{"To_Account": "nobody", "ErrorCode": 70_107}]),
        "{answer}"
    );
    assert!(!mac.message().wants_ack);
}
