//! In which order the desk's thread takes what reaches it.

use crossbeam_channel::unbounded;

use super::model::ModelStore;
use super::*;
use crate::base::histogram::Histogram;
use crate::base::time::Clock;
use crate::services::registry::health::BatchPace;
use crate::services::registry::shared::settings::DeskFiguresView;
use crate::services::registry::shared::thread::{DeskThread, Inbox};
use crate::services::registry::shared::workers::{StoreClient, StoreWorkers};

impl StoreClient for ModelStore {
    fn master_of(&self, _: PartitionId) -> Option<String> {
        None
    }
}

#[test]
fn a_request_behind_a_partition_s_order_finds_the_partition_owned() {
    let (orders, ordered) = unbounded();
    let (requests, inbox) = unbounded();
    let clients = Box::new(|| -> Box<dyn StoreClient> { Box::new(ModelStore::default()) });
    let health = RegistryHealth::default();
    let mut thread = DeskThread {
        desk: Desk::new(settings(), ConfirmedPlaces::new(PARTITIONS), health.clone()),
        workers: StoreWorkers::start(clients, PARTITIONS).unwrap(),
        orders: ordered,
        news: unbounded().0,
        router: Box::new(|answer| panic!("{answer:?}")),
        clock: Clock::start(),
        figures: DeskFiguresView::default(),
        health,
        commit_times: Histogram::default(),
        pace: BatchPace::default(),
        unsent: Vec::new(),
    };
    for partition in 0..PARTITIONS {
        let own = OwnershipOrder::Own(PartitionId(partition), fence(1), Places::default());
        orders.send(own).unwrap();
        requests
            .send(login(partition.into(), user_of(partition, 1), 1))
            .unwrap();
        assert_eq!(thread.take_requests(&inbox), Inbox::Open);
    }
    assert_eq!(thread.desk.take_answers(), [], "nobody's users are superseded");
    drop(requests);
    assert_eq!(thread.take_requests(&inbox), Inbox::Closed);
    thread.workers.end();
}
