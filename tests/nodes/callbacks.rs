//! The app's backend is told of every change, in the order of each user, whoever owns the user.

use holdfast::protocol::native::proto::Platform;

use crate::node::{Cluster, arrive, following};
use crate::support::receiver::{Order, Receiver, Told};

const USERS: usize = 24;

#[test]
fn every_change_is_told_in_order_when_its_users_move_to_another_node() {
    let receiver = Receiver::start(10);
    let url = receiver.url();
    let cluster = Cluster::found(&[("callback.url", &url)]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let names: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let all_come = |instance: u64| {
        for name in &names {
            arrive(&one, &following(name, Platform::Windows, instance))
                .0
                .log_out();
        }
    };
    all_come(1);
    two.gateway.kill();
    cluster.wait_whole(&[&one]);
    all_come(2);
    // A login and a logout, twice.
    let is_whole = |told: &[Told]| {
        names.iter().all(|name| {
            let of_user = |change: u64| {
                told.iter()
                    .any(|told| told.user == *name && told.change == change)
            };
            (1..=4).all(of_user)
        })
    };
    let told = receiver.wait_for(is_whole);
    Order::default().check(&told);
}
