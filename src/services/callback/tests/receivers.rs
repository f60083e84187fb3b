//! Receivers of all kinds, over real HTTP: bad ones, those that are down, restarts and other settings.

use super::*;

#[test]
fn a_receiver_has_a_name() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    let url = format!("http://localhost:{}/callback", receiver.address.port());
    let service = start(&store, settings(url));
    record(&mut store, 3, 1..=3);
    let told = receiver.wait_for(|told| has_all(told, 3, 3));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_bad_receiver_gets_everything_in_order() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(15);
    let service = start(&store, settings(receiver.url()));
    record(&mut store, 20, 1..=12);
    let told = receiver.wait_for(|told| has_all(told, 20, 12));
    Order::default().check(&told);
    let query = &told[0].query;
    assert!(
        query.contains("SdkAppid=1400000001&CallbackCommand=State.StateChange"),
        "{query}"
    );
    assert!(query.contains("&Sign="), "{query}");
    service.stop(STOP_WITHIN).unwrap();
    assert_eq!(store.reader().late_count(), 0);
    assert_eq!(store.reader().cursor().unwrap(), Position(240));
}

#[test]
fn a_receiver_that_is_down_costs_disk_and_gets_everything_later() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    // Nobody listens there until later.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let service = start(&store, settings(format!("http://{address}/callback")));
    record(&mut store, 300, 1..=10);
    let numbers = service.handle().metrics();
    let value = |name: &str| numbers.all().iter().find(|(known, ..)| *known == name).unwrap().2;
    let waited = std::time::Duration::from_millis(20);
    while value("callback_receiver_down_now") == 0 {
        std::thread::sleep(waited);
    }
    assert!(
        value("callbacks_delivered") == 0
            && value("callbacks_failed") >= u64::from(receiver_state::FAILURES_MAX)
    );
    let receiver = Receiver::start_at(address, 0);
    let told = receiver.wait_for(|told| has_all(told, 300, 10));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_restart_goes_on_where_it_was_and_repeats_rather_than_forgets() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(10);
    for round in 0..4 {
        let service = start(&store, settings(receiver.url()));
        record(&mut store, 10, 5 * round + 1..=5 * (round + 1));
        receiver.wait_for(|told| told.len() as u64 >= 40 * (round + 1));
        // Nothing is waited for: what is under way is told again.
        service.stop(Duration::ZERO).unwrap();
    }
    let service = start(&store, settings(receiver.url()));
    let told = receiver.wait_for(|told| has_all(told, 10, 20));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn other_settings_count_from_the_next_attempt_on() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let (old, new) = (Receiver::start(0), Receiver::start(0));
    let service = start(&store, settings(old.url()));
    record(&mut store, 1, 1..=1);
    old.wait_for(|told| told.len() == 1);
    service.handle().update(settings(new.url()), Receipt::none());
    record(&mut store, 1, 2..=2);
    let told = new.wait_for(|told| !told.is_empty());
    assert_eq!((told[0].change, told[0].previous), (2, 1));
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn settings_without_a_receiver_count_when_nothing_is_under_way_any_more() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    receiver.hold();
    let service = start(
        &store,
        CallbackSettings {
            timeout: Duration::from_secs(600),
            ..settings(receiver.url())
        },
    );
    record(&mut store, 20, 1..=1);
    receiver.wait_for_held(8);
    let (receipt, receipts) = Receipt::new();
    let none = CallbackSettings {
        url: None,
        ..settings(receiver.url())
    };
    service.handle().update(none.clone(), receipt);
    // What was taken after it is behind it.
    let (receipt, later) = Receipt::new();
    service.handle().update(none, receipt);
    assert!(!receipts.are_in(), "eight are under way");
    receiver.go_on();
    assert!(later.wait(STOP_WITHIN) && receipts.are_in());
    assert_eq!(receiver.told().len(), 8, "no others leave");
    service.handle().update(settings(receiver.url()), Receipt::none());
    let told = receiver.wait_for(|told| has_all(told, 20, 1));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}
