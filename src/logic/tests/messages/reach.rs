//! Whom a message reaches, in its turn and within the limits.

use super::*;

#[test]
fn a_message_waits_for_what_is_not_recorded_yet() {
    let mut shard = shard();
    alice(&mut shard, Platform::Mac);
    shard.told();
    shard.log_in_by("alice", Platform::IPhone, knows(ACKS, 0));
    shard.send(order(1, AckWish::Device, &[to("alice")]));
    assert_eq!(shard.sent(), None);
    shard.record_told();
    assert_eq!(shard.at_devices(), [DeviceOutcome::Held; 2]);
    let told = shard.told();
    let kinds: Vec<bool> = told
        .iter()
        .map(|(_, packet)| matches!(packet, response::Packet::Message(_)))
        .collect();
    assert_eq!(kinds, [false, true, true], "the login's answer comes first");
}

#[test]
fn a_message_to_nobody_says_why() {
    let mut shard = shard();
    alice(&mut shard, Platform::Mac);
    let all = [to("ghost"), to("alice"), to("gone")];
    shard.send(order(1, AckWish::No, &all));
    assert_eq!(shard.sent(), None, "the registry is asked");
    for ask in shard.asked_of() {
        let (key, name) = ask;
        let record = (name == user("gone")).then(|| {
            Box::new(crate::logic::record::UserRecord {
                registered: true,
                change: ChangeNumber(9),
                ..Default::default()
            })
        });
        shard.deliver(ToShard::Loaded(key, Ok(record)));
    }
    let sent = shard.sent().expect("all is known");
    assert_eq!(sent[0], TargetOutcome::Refused(SendRefusal::UnknownAccount));
    let TargetOutcome::Reached(reached) = &sent[1] else {
        panic!("{sent:?}")
    };
    assert_eq!(reached.devices.len(), 1);
    assert_eq!(
        sent[2],
        TargetOutcome::Reached(ReachedUser {
            change: ChangeNumber(9),
            status: Status::Offline,
            devices: Vec::new(),
        })
    );
    assert_eq!(shard.counters().sends_refused, 1);
}

#[test]
fn a_target_may_be_a_part_of_a_user_or_have_a_condition() {
    let mut shard = shard();
    alice(&mut shard, Platform::Mac);
    let phone = alice(&mut shard, Platform::IPhone);
    shard.handle(Input::Closed(phone, LinkLoss::Peer));
    shard.record();
    let mut check = |target: SendTarget, reach: SendReach, expected: usize| {
        let order = SendOrder {
            reach,
            ..order(1, AckWish::No, std::slice::from_ref(&target))
        };
        shard.send(order);
        assert_eq!(shard.at_devices().len(), expected, "{target:?}");
        shard.out.clear();
    };
    let target = || to("alice");
    check(target(), SendReach::All, 2);
    check(target(), SendReach::Online, 1);
    let platform = |platform| SendTarget {
        platform: Some(platform),
        ..to("alice")
    };
    check(platform(Platform::IPhone), SendReach::All, 1);
    check(platform(Platform::IPhone), SendReach::Online, 0);
    check(platform(Platform::Web), SendReach::All, 0);
    let skip = SendTarget {
        skip: vec![ChangeNumber(1)],
        ..to("alice")
    };
    check(skip, SendReach::All, 1);
    let condition = |condition| SendTarget {
        condition: Some(condition),
        ..to("alice")
    };
    check(
        condition(SendCondition::Change(ChangeNumber(3))),
        SendReach::All,
        2,
    );
    check(
        condition(SendCondition::Session(ChangeNumber(2))),
        SendReach::All,
        2,
    );
    for unmet in [
        SendCondition::Change(ChangeNumber(2)),
        SendCondition::Session(ChangeNumber(3)),
    ] {
        shard.send(order(1, AckWish::No, &[condition(unmet)]));
        let refused = TargetOutcome::Refused(SendRefusal::Precondition);
        assert_eq!(shard.sent(), Some(vec![refused]), "{unmet:?}");
    }
}

#[test]
fn a_device_that_takes_none_is_full_and_others_are_not() {
    let mut shard = shard();
    let (mac, phone) = (
        alice(&mut shard, Platform::Mac),
        alice(&mut shard, Platform::IPhone),
    );
    for id in 0..DEVICE_MESSAGES_MAX as u64 {
        assert_eq!(shard.send_alice(id), [DeviceOutcome::Held; 2]);
        shard.ack(phone, &[id]);
    }
    let mut outcomes = shard.send_alice(99);
    outcomes.sort_unstable();
    assert_eq!(outcomes, [DeviceOutcome::Held, DeviceOutcome::Full]);
    assert_eq!(shard.counters().messages_full, 1);
    shard.ack(mac, &[0]);
    assert_eq!(shard.send_alice(100), [DeviceOutcome::Held; 2]);
}

#[test]
fn no_more_bytes_are_held_than_the_setting_says() {
    let mut shard = TestShard::new(Settings {
        message_bytes_max: 600,
        ..Settings::default()
    });
    alice(&mut shard, Platform::Mac);
    assert_eq!(shard.send_alice(1), [DeviceOutcome::Held]);
    assert_eq!(shard.send_alice(2), [DeviceOutcome::Held]);
    assert_eq!(shard.send_alice(3), [DeviceOutcome::Full]);
    assert!(shard.counters().message_bytes_held_now <= 600);
}

#[test]
fn a_newer_message_takes_the_place_of_one_that_waits() {
    let mut shard = shard();
    let phone = alice(&mut shard, Platform::IPhone);
    let poke = |id| SendOrder {
        collapse: Some("poke".into()),
        ..order(id, AckWish::Device, &[to("alice")])
    };
    shard.send(poke(1));
    shard.send(poke(2));
    assert_eq!(shard.ends(), [], "what was sent is not replaced");
    shard.handle(Input::Closed(phone, LinkLoss::Peer));
    shard.record();
    for id in 3..200 {
        shard.send(poke(id));
        let end = shard.ends();
        let expected: &[_] = if id == 3 {
            &[]
        } else {
            &[(id - 1, DeviceOutcome::Replaced)]
        };
        assert_eq!(end, expected);
    }
    shard.log_in_by("alice", Platform::IPhone, knows(ACKS, 1));
    shard.record_told();
    let ids: Vec<u64> = shard.messages().iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 199]);
}

#[test]
fn no_more_sends_wait_for_a_user_than_may() {
    let mut shard = shard();
    shard.log_in_by("alice", Platform::Mac, knows(ACKS, 0));
    for id in 0..SENDS_WAITING_MAX as u64 + 1 {
        shard.send(order(id, AckWish::No, &[to("alice")]));
    }
    assert_eq!(
        shard.sent(),
        Some(vec![TargetOutcome::Refused(SendRefusal::Busy)])
    );
    assert_eq!(shard.sent(), None);
    shard.record_told();
    assert_eq!(std::iter::from_fn(|| shard.sent()).count(), SENDS_WAITING_MAX);
    assert_eq!(shard.messages().len(), SENDS_WAITING_MAX);
}
