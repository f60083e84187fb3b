//! What becomes of a message at each device, and that it comes to one end.

use super::*;

#[test]
fn each_device_gets_one_and_each_acknowledges_for_itself() {
    let mut shard = shard();
    let (phone, mac) = (
        alice(&mut shard, Platform::IPhone),
        alice(&mut shard, Platform::Mac),
    );
    shard.told();
    assert_eq!(shard.send_alice(1), [DeviceOutcome::Held; 2]);
    let mut messages = shard.messages();
    messages.sort_unstable_by_key(|(key, ..)| key.slot);
    assert_eq!(messages, [(phone, 1, true), (mac, 1, true)]);
    shard.now.instant = shard.now.instant.after(Duration::from_millis(38));
    shard.ack(mac, &[1]);
    let ended = shard.ended();
    let [end] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((end.message, &*end.name, end.user), (1, "order 1", user("alice")));
    let result = (end.result.outcome, end.result.device.platform, end.result.after);
    assert_eq!(
        result,
        (DeviceOutcome::Acked, Platform::Mac, Duration::from_millis(38))
    );
    assert_eq!(end.change, ChangeNumber(2));
    shard.ack(mac, &[1]);
    assert_eq!(shard.ends(), [], "it came to its end");
    assert_eq!(shard.counters().acks_unknown, 1);
    shard.ack(phone, &[1]);
    assert_eq!(shard.ends(), [(1, DeviceOutcome::Acked)]);
    let counters = shard.counters();
    assert_eq!((counters.messages_acked, counters.messages_held_now), (2, 0));
    assert_eq!((counters.message_bytes_held_now, counters.message_frames), (0, 2));
}

#[test]
fn what_a_device_gets_is_what_its_terminal_knows() {
    let check = |features: u64, ack: AckWish, expected: DeviceOutcome, sent: &[bool]| {
        let mut shard = shard();
        shard.log_in_by("alice", Platform::Mac, knows(features, 0));
        shard.record();
        shard.told();
        shard.send(order(1, ack, &[to("alice")]));
        assert_eq!(shard.at_devices(), [expected], "{features} {ack:?}");
        let wants: Vec<bool> = shard
            .messages()
            .iter()
            .map(|(.., wants_ack)| *wants_ack)
            .collect();
        assert_eq!(wants, sent, "{features} {ack:?}");
    };
    for ack in [AckWish::No, AckWish::Device] {
        check(0, ack, DeviceOutcome::Unsupported, &[]);
        check(FEATURE_ACKS, ack, DeviceOutcome::Unsupported, &[]);
        check(FEATURE_MESSAGES, ack, DeviceOutcome::Sent, &[false]);
    }
    check(ACKS, AckWish::No, DeviceOutcome::Sent, &[false]);
    check(ACKS, AckWish::Device, DeviceOutcome::Held, &[true]);
}

#[test]
fn a_login_is_told_what_both_know_of_messages() {
    for (features, both) in [(0, 0), (1, 0), (3, 2), (7, 6), (255, 6), (4, 0)] {
        let mut shard = shard();
        shard.log_in_by("alice", Platform::Mac, knows(features, 0));
        shard.record_told();
        let told = shard.told();
        let [(_, response::Packet::LoginAnswer(answer))] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(answer.features, both, "{features}");
    }
}

#[test]
fn what_is_not_acknowledged_comes_again_on_a_new_connection_in_its_order() {
    let mut shard = shard();
    let phone = alice(&mut shard, Platform::IPhone);
    for id in 1..=3 {
        assert_eq!(shard.send_alice(id), [DeviceOutcome::Held]);
    }
    shard.ack(phone, &[2]);
    assert_eq!(shard.ends(), [(2, DeviceOutcome::Acked)]);
    // A new connection of the same session, while the old one is there.
    shard.told();
    let again = shard.log_in_by("alice", Platform::IPhone, knows(ACKS, 1));
    assert_eq!(shard.messages(), [(again, 1, true), (again, 3, true)]);
    // And one that comes back from PushOnline.
    shard.handle(Input::Closed(again, LinkLoss::Peer));
    shard.record();
    assert_eq!(shard.send_alice(4), [DeviceOutcome::Held]);
    assert_eq!(shard.ends(), []);
    let back = shard.log_in_by("alice", Platform::IPhone, knows(ACKS, 1));
    shard.record_told();
    assert_eq!(
        shard.messages(),
        [(back, 1, true), (back, 3, true), (back, 4, true)]
    );
    shard.ack(back, &[4, 3, 1]);
    assert_eq!(shard.ends().len(), 3);
}

#[test]
fn a_terminal_that_came_back_with_less_gets_what_it_knows() {
    for (features, expected, sent) in [
        (0, DeviceOutcome::Unsupported, 0),
        (FEATURE_MESSAGES, DeviceOutcome::Sent, 1),
    ] {
        let mut shard = shard();
        alice(&mut shard, Platform::IPhone);
        shard.send_alice(1);
        shard.told();
        shard.log_in_by("alice", Platform::IPhone, knows(features, 1));
        assert_eq!(shard.ends(), [(1, expected)]);
        assert_eq!(shard.messages().len(), sent);
    }
}

#[test]
fn the_end_of_a_session_ends_what_waits() {
    type End = fn(&mut TestShard, ConnKey);
    let ends: [(&str, End); 5] = [
        ("a logout", |shard, key| {
            shard.say(key, request::Packet::Logout(proto::Logout {}));
        }),
        ("a kick", |shard, _| {
            shard.deliver(ToShard::Kick(REQUEST, user("alice")))
        }),
        ("the account's end", |shard, _| {
            shard.deliver(ToShard::Delete(REQUEST, user("alice")));
        }),
        ("a fresh login", |shard, _| {
            shard.log_in_by("alice", Platform::Mac, knows(ACKS, 0));
        }),
        ("the end of a desktop's link", |shard, key| {
            shard.handle(Input::Closed(key, LinkLoss::Peer));
        }),
    ];
    for (what, end) in ends {
        let mut shard = shard();
        let key = alice(&mut shard, Platform::Mac);
        shard.send_alice(1);
        shard.out.clear();
        end(&mut shard, key);
        assert_eq!(shard.ends(), [], "{what} is not recorded yet");
        shard.record_told();
        let ended = shard.ended();
        let [end] = &ended[..] else {
            panic!("{what}: {ended:?}")
        };
        assert_eq!(end.result.outcome, DeviceOutcome::Lost, "{what}");
        assert_eq!(end.change, ChangeNumber(2), "{what}");
        assert!(shard.messages().is_empty(), "{what}");
        assert_eq!(shard.counters().messages_held_now, 0, "{what}");
    }
}

#[test]
fn what_is_not_taken_in_time_is_lost() {
    let mut shard = shard();
    alice(&mut shard, Platform::Mac);
    shard.send_alice(1);
    shard.expire_after(TTL - Duration::from_secs(1));
    assert_eq!(shard.ends(), []);
    let due = shard.state.next_deadline().expect("the message has an end");
    assert!(due <= shard.now.instant.after(Duration::from_secs(1)));
    shard.expire_after(Duration::from_secs(2));
    assert_eq!(shard.ends(), [(1, DeviceOutcome::Lost)]);
}

#[test]
fn nothing_is_sent_to_a_terminal_that_logs_out() {
    let mut shard = shard();
    let mac = alice(&mut shard, Platform::Mac);
    shard.told();
    shard.say(mac, request::Packet::Logout(proto::Logout {}));
    shard.send(order(1, AckWish::Device, &[to("alice")]));
    assert_eq!(shard.sent(), None);
    shard.record_told();
    assert_eq!(shard.at_devices(), []);
    assert!(shard.messages().is_empty());
}

#[test]
fn what_an_app_answers_reaches_whoever_asked() {
    let mut shard = shard();
    let mac = alice(&mut shard, Platform::Mac);
    shard.send_alice(1);
    shard.send_alice(2);
    for (id, refused, outcome) in [
        (1, false, DeviceOutcome::Acked),
        (2, true, DeviceOutcome::Refused),
    ] {
        let ack = proto::MessageAck {
            id: vec![id],
            reply: b"42".to_vec(),
            refused,
        };
        shard.say(mac, request::Packet::MessageAck(ack));
        let ended = shard.ended();
        let [end] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!((end.result.outcome, &*end.result.reply), (outcome, &b"42"[..]));
    }
}
