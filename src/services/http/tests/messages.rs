//! Messages as backends send them, by the gateway's own interface and by the vendor's.

use std::sync::mpsc;

use super::*;
use crate::logic::message::{AckWish, LateOutcome, SendOrder, SendReach};
use played::device_result;

const SEND: &str = "/v1/send";
const OUTCOMES: &str = "/v1/outcomes";
const ONE: &str = "/v4/openim/sendmsg";
const MANY: &str = "/v4/openim/batchsendmsg";

impl World {
    fn send(&self, body: &Value) -> (u16, Value) {
        let (status, answer) = http(self.backend, "POST", &self.target(SEND), "", &body.to_string());
        (status, serde_json::from_str(&answer).unwrap())
    }

    /// What shards were asked to send.
    fn orders(&self) -> Vec<SendOrder> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        let orders = requests.into_iter().map(|request| {
            let ToShard::Send(_, order) = request else {
                panic!("{request:?}");
            };
            *order
        });
        orders.collect()
    }

    /// A page of outcomes: its status, what it says, and where the next one begins.
    fn outcomes(&self, query: &str) -> (u16, String, Option<String>) {
        let mut stream = TcpStream::connect(self.backend).unwrap();
        let target = self.target(OUTCOMES);
        let request =
            format!("GET {target}&{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let next = lines.find_map(|line| line.strip_prefix("holdfast-next: "));
        (status, body.to_owned(), next.map(str::to_owned))
    }
}

/// What became of a message at the device of a user.
fn late(order: &SendOrder, outcome: DeviceOutcome) -> LateOutcome {
    LateOutcome {
        message: order.content.id,
        name: Arc::clone(&order.name),
        user: order.targets[0].user,
        change: ChangeNumber(7),
        result: DeviceResult {
            after: Duration::from_millis(38),
            reply: b"42".to_vec(),
            ..device_result(outcome)
        },
    }
}

#[test]
fn a_message_is_sent_to_all_whom_it_is_for() {
    let world = World::new(settings(), shards);
    let body = json!({
        "id": "order-17", "from": "shop", "kind": "order", "text": "hello",
        "to": [{"user": "online1"}, {"user": "off1"}, {"user": "ghost"}, {"user": "online2", "platform": "iPhone"}],
    });
    let (status, answer) = world.send(&body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["id"], "order-17");
    let outcomes: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["held", "offline", "unknown_account", "held"]);
    let device =
        json!({"platform": "iPhone", "instance": u64::MAX.to_string(), "session": 4, "outcome": "held"});
    let known =
        json!({"user": "online1", "outcome": "held", "change": 1, "status": "Online", "devices": [device]});
    assert_eq!(answer["results"][0], known);
    let orders = world.orders();
    let targets: usize = orders.iter().map(|order| order.targets.len()).sum();
    assert_eq!(targets, 4);
    for order in orders {
        let content = &*order.content;
        assert_eq!(
            (&*content.kind, &*content.body, &*order.name),
            ("order", &b"hello"[..], "order-17")
        );
        // A terminal can tell that it has the message already, wherever it was sent from.
        assert_eq!(answer["message"], content.id.to_string());
    }
}

#[test]
fn an_answer_waits_for_what_becomes_of_a_message() {
    let (asked, was_asked) = mpsc::channel();
    let world = World::new(settings(), move |shard, request| {
        if let ToShard::Send(_, order) = &request {
            asked.send(order.clone()).unwrap();
        }
        shards(shard, request)
    });
    let body = json!({"to": [{"user": "online1"}], "wait_ms": 2_500});
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| world.send(&body));
        let order = was_asked.recv().unwrap();
        world
            .replies
            .tell(vec![late(&order, DeviceOutcome::Acked)])
            .unwrap();
        let (status, answer) = sent.join().unwrap();
        assert_eq!((status, &answer["results"][0]["outcome"]), (200, &json!("acked")));
        let device = &answer["results"][0]["devices"][0];
        assert_eq!((&device["ms"], &device["reply"]), (&json!(38), &json!("NDI=")));
    });
    let (_, lines, _) = world.outcomes("wait_s=0");
    assert_eq!(lines, "", "it was told");
}

#[test]
fn what_comes_later_is_read_page_by_page() {
    let world = World::new(settings(), shards);
    let (_, none, begin) = world.outcomes("wait_s=0");
    assert_eq!(none, "");
    for id in ["a", "b", "c"] {
        world.send(&json!({"id": id, "to": [{"user": "online1"}]}));
    }
    let orders = world.orders();
    let all = orders.iter().map(|order| late(order, DeviceOutcome::Lost));
    world.replies.tell(all.collect()).unwrap();
    let (status, lines, next) = world.outcomes(&format!("limit=2&after={}", begin.unwrap()));
    assert_eq!(status, 200);
    let ids = |lines: &str| -> Vec<String> {
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&lines), ["a", "b"]);
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let (user, outcome, change) = (&line["user"], &line["outcome"], &line["change"]);
    assert_eq!(
        (user, outcome, change),
        (&json!("online1"), &json!("lost"), &json!(7))
    );
    let next = next.unwrap();
    let (_, lines, end) = world.outcomes(&format!("after={next}"));
    assert_eq!(ids(&lines), ["c"]);
    let (_, lines, _) = world.outcomes(&format!("wait_s=0&after={}", end.unwrap()));
    assert_eq!(lines, "");
    let (status, gone, _) = world.outcomes("after=before-3");
    let gone: Value = serde_json::from_str(&gone).unwrap();
    assert_eq!(status, 410);
    assert!(
        gone["epoch"].is_string() && gone["oldest"].as_str().unwrap().ends_with("-0"),
        "{gone}"
    );
    assert_eq!(world.outcomes("after=nonsense").0, 400);
    assert_eq!(world.outcomes("limit=0").0, 400);
}

#[test]
fn a_request_that_comes_twice_is_carried_out_once() {
    let world = World::new(settings(), shards);
    let body = json!({"id": "a", "to": [{"user": "online1"}]});
    let first = world.send(&body);
    assert_eq!(world.send(&body), first);
    assert_eq!(world.orders().len(), 1);
    let other = json!({"to": [{"user": "online1"}]});
    assert_ne!(
        world.send(&other),
        world.send(&other),
        "without an id each is another"
    );
    // What is wrong is not kept.
    assert_eq!(world.send(&json!({"id": "b", "to": []})).0, 400);
    assert_eq!(world.send(&json!({"id": "b", "to": [{"user": "off1"}]})).0, 200);
}

#[test]
fn bad_requests_are_told_why() {
    let world = World::new(settings(), shards);
    let (status, answer) = world.send(&json!({"to": [{"user": ""}]}));
    assert_eq!(
        (status, &answer["error"]),
        (400, &json!("to[0].user is no UserID"))
    );
    let (status, _) = http(world.backend, "GET", &world.target(SEND), "", "");
    assert_eq!(status, 405);
    let (status, answer) = http(world.backend, "POST", SEND, "", "{}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["code"]), (401, &json!(60_012)));
    let large = json!({"to": [{"user": "online1"}], "text": "x".repeat(sizes::MESSAGE)});
    assert_eq!(world.send(&large).0, 413);
    assert!(world.orders().is_empty());
}

#[test]
fn no_more_requests_are_open_than_may_be() {
    let (asked, was_asked) = mpsc::channel();
    let mut settings = settings();
    settings.limits.in_flight_max = 1;
    settings.limits.answer_within = Duration::from_millis(200);
    let world = World::new(settings, move |shard, request| {
        if let ToShard::Send(..) = request {
            asked.send(()).unwrap();
            return None;
        }
        shards(shard, request)
    });
    let body = json!({"to": [{"user": "online1"}]});
    let (status, answer) = world.send(&body);
    was_asked.recv().unwrap();
    assert_eq!(status, 504, "{answer}");
    // The one before is open until it is answered.
    let (status, answer) = world.send(&body);
    assert_eq!(status, 429, "{answer}");
}

/// A message that the vendor's interface takes.
fn message(to: &Value) -> Value {
    json!({
        "To_Account": to, "MsgRandom": 7, "MsgSeq": 93_847_636, "MsgTimeStamp": 1_557_387_418, "MsgLifeTime": 60,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi, beauty"}}], "CloudCustomData": "mine",
    })
}

#[test]
fn one_account_is_sent_a_message() {
    let world = World::new(settings(), shards);
    let mut body = message(&json!("online1"));
    body["SyncOtherMachine"] = 1.into();
    body["From_Account"] = "online2".into();
    let answer = world.ask(ONE, &body.to_string());
    assert_eq!(
        (&answer["ActionStatus"], &answer["ErrorCode"]),
        (&json!("OK"), &json!(0))
    );
    let key = answer["MsgKey"].as_str().unwrap();
    assert_eq!(key, format!("93847636_7_{}", answer["MsgTime"]));
    assert_eq!(answer["Devices"][0]["devices"][0]["outcome"], "held");
    let orders = world.orders();
    let mut users: Vec<&str> = orders
        .iter()
        .flat_map(|order| &order.targets)
        .map(|target| target.user.as_str())
        .collect();
    users.sort_unstable();
    assert_eq!(
        users,
        ["online1", "online2"],
        "the sender's own devices get it, too"
    );
    let order = &orders[0];
    assert_eq!((order.ack, order.reach), (AckWish::Device, SendReach::All));
    assert_eq!(
        (order.ttl, &*order.content.kind),
        (Duration::from_secs(60), "tim")
    );
    let content: Value = serde_json::from_slice(&order.content.body).unwrap();
    assert_eq!(content["MsgBody"], body["MsgBody"]);
    assert_eq!(
        (&content["From_Account"], &content["CloudCustomData"]),
        (&json!("online2"), &json!("mine"))
    );
    // The same one again is not sent again.
    assert_eq!(world.ask(ONE, &body.to_string()), answer);
    assert!(world.orders().is_empty());
}

#[test]
fn a_message_that_is_not_stored_goes_to_who_is_online() {
    let world = World::new(settings(), shards);
    for (member, value) in [("MsgLifeTime", 0), ("OnlineOnlyFlag", 1)] {
        let mut body = message(&json!("off1"));
        body[member] = value.into();
        body["MsgRandom"] = fastrand::u32(..).into();
        let answer = world.ask(ONE, &body.to_string());
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        let orders = world.orders();
        assert_eq!((orders[0].ack, orders[0].reach), (AckWish::No, SendReach::Online));
    }
    let answer = world.ask(ONE, &message(&json!("off1")).to_string());
    assert_eq!(answer["ErrorCode"], 90_026, "nothing is stored: {answer}");
}

#[test]
fn many_accounts_are_sent_a_message() {
    let world = World::new(settings(), shards);
    let body = message(&json!(["online1", "ghost", "x".repeat(33), "off1"]));
    let answer = world.ask(MANY, &body.to_string());
    assert_eq!(
        (&answer["ActionStatus"], &answer["ErrorCode"]),
        (&json!("OK"), &json!(0))
    );
    let errors = json!([
        {"To_Account": "ghost", "ErrorCode": 70_107},
        {"To_Account": "x".repeat(33), "ErrorCode": 70_107},
        {"To_Account": "off1", "ErrorCode": 90_026},
    ]);
    assert_eq!(answer["ErrorList"], errors);
    let answer = world.ask(
        MANY,
        &message(&json!(["online1"]))
            .to_string()
            .replace("\"MsgRandom\":7", "\"MsgRandom\":8"),
    );
    assert!(answer.get("ErrorList").is_none(), "{answer}");
    let nobody = message(&json!(["x".repeat(33)]))
        .to_string()
        .replace("\"MsgRandom\":7", "\"MsgRandom\":9");
    assert_eq!(world.ask(MANY, &nobody)["ErrorList"][0]["ErrorCode"], 70_107);
}

#[test]
fn what_is_wrong_with_a_message_has_the_vendors_code() {
    let world = World::new(settings(), shards);
    let large = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x".repeat(12 * 1024)}}]);
    let many: Vec<String> = (0..501).map(|number| number.to_string()).collect();
    let all = [
        (ONE, "To_Account", json!(null), 90_003),
        (ONE, "To_Account", json!(["online1"]), 90_003),
        (ONE, "To_Account", json!("ghost"), 90_012),
        (ONE, "MsgBody", json!(null), 90_002),
        (ONE, "MsgBody", json!("hi"), 90_007),
        (ONE, "MsgBody", json!([]), 90_010),
        (ONE, "MsgBody", json!([{"MsgType": 1, "MsgContent": {}}]), 90_010),
        (ONE, "MsgBody", large, 93_000),
        (ONE, "MsgRandom", json!(null), 90_005),
        (ONE, "MsgRandom", json!("7"), 90_005),
        (ONE, "MsgTimeStamp", json!("now"), 90_006),
        (ONE, "MsgLifeTime", json!("7"), 90_044),
        (ONE, "MsgLifeTime", json!(604_801), 90_026),
        (ONE, "SyncOtherMachine", json!("1"), 90_031),
        (ONE, "From_Account", json!(7), 90_008),
        (ONE, "From_Account", json!("ghost"), 20_003),
        (ONE, "From_Account", json!("busy"), 20_004),
        (MANY, "To_Account", json!("online1"), 90_003),
        (MANY, "To_Account", json!([]), 90_003),
        (MANY, "To_Account", json!([7]), 90_003),
        (MANY, "To_Account", json!(many), 90_011),
    ];
    for (command, member, value, code) in all {
        let mut body = message(&json!(if command == ONE {
            json!("online1")
        } else {
            json!(["online1"])
        }));
        body[member] = value;
        let answer = world.ask(command, &body.to_string());
        assert_eq!(answer["ErrorCode"], code, "{member}: {answer}");
        assert_eq!(answer["ActionStatus"], "FAIL");
    }
    for body in ["", "[]", "{"] {
        assert_eq!(world.ask(ONE, body)["ErrorCode"], 90_001);
    }
}
