//! Members of a cluster by their own threads, on one real server. Shards and desks are stand-ins that take what they are told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::unbounded;

use super::base::ids::{NodeId, PartitionId, ShardId};
use super::base::time::Clock;
use super::servers::{PARTITIONS, RedisServer, wait_for};
use super::shared_store::calls::{NodeState, SharedStore};
use super::shared_store::client::RedisStore;
use holdfast::logic::cluster::home::{Home, HomeMap};
use holdfast::logic::cluster::lease::Lease;
use holdfast::logic::delivery::ToShard;
use holdfast::services::cluster::act::MemberEnding;
use holdfast::services::cluster::event::Order;
use holdfast::services::cluster::handle::{Cluster, ClusterParts};
use holdfast::services::cluster::says::NodeSays;
use holdfast::services::cluster::settings::ClusterSettings;
use holdfast::services::cluster::token::Site;
use holdfast::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};

const SHARDS: u16 = 2;
/// A thread that was told to end does so within this time, or not at all.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What a shard was told of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Adopted,
    Opened,
    Settled,
    Dropped,
}

#[derive(Default)]
struct Shards {
    /// Whether they take in users.
    is_full: AtomicBool,
    told: Mutex<Vec<(ShardId, PartitionId, Told)>>,
    homes: Mutex<Vec<Option<Arc<HomeMap>>>>,
}

impl Shards {
    #[allow(clippy::wildcard_enum_match_arm, reason = "of all else nothing is to be seen")]
    fn take(&self, shard: ShardId, notice: ToShard) -> Result<(), ToShard> {
        let (partition, told) = match notice {
            ToShard::Adopt(..) if self.is_full.load(Ordering::SeqCst) => return Err(notice),
            ToShard::Adopt(partition, _) => (partition, Told::Adopted),
            ToShard::Open(partition) => (partition, Told::Opened),
            ToShard::Settle(partition, _) => (partition, Told::Settled),
            ToShard::Drop(partition, _) => (partition, Told::Dropped),
            ToShard::Homes(homes) => {
                let mut known = self.homes.lock().unwrap();
                known.resize(usize::from(SHARDS), None);
                known[usize::from(shard.0)] = Some(homes);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.told.lock().unwrap().push((shard, partition, told));
        Ok(())
    }

    fn of(&self, shard: ShardId, partition: PartitionId) -> Vec<Told> {
        let told = self.told.lock().unwrap();
        let own = told.iter().filter(|(to, of, _)| (*to, *of) == (shard, partition));
        own.map(|(.., told)| *told).collect()
    }
}

struct Node {
    id: NodeId,
    cluster: Cluster,
    shards: Arc<Shards>,
    orders: Arc<Mutex<Vec<OwnershipOrder>>>,
}

fn store(server: &RedisServer) -> RedisStore {
    super::servers::store(&[server.url()], 0)
}

impl Node {
    fn start(server: &RedisServer, number: u16, shards: Arc<Shards>) -> Self {
        let settings = ClusterSettings {
            lease: Duration::from_secs(3),
            dead: Duration::from_millis(4_500),
            ..ClusterSettings::new(NodeId(number), Site(u64::from(number)), PARTITIONS)
        };
        settings.check().unwrap();
        let (desk, desk_orders) = unbounded();
        let (desk_says, desk_news) = unbounded();
        let orders = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&orders);
        // It has never anything left.
        std::thread::spawn(move || {
            for order in desk_orders {
                if let OwnershipOrder::Settle(partition) = order {
                    let _ = desk_says.send(OwnershipNews::Settled(partition));
                }
                kept.lock().unwrap().push(order);
            }
        });
        let urls = [server.url()];
        let inboxes = Arc::clone(&shards);
        let mut says = NodeSays::default();
        says.public.tcp = Some(format!("node-{number}.example:9001"));
        let cluster = Cluster::start(ClusterParts {
            settings,
            says,
            format: super::samples::FORMAT.to_owned(),
            copies: 0,
            clients: Arc::new(move || Box::new(super::servers::store(&urls, 0))),
            inboxes: Arc::new(move |shard, notice| inboxes.take(shard, notice)),
            shards: SHARDS,
            orders: vec![desk],
            desk_news,
            confirmed: ConfirmedPlaces::new(PARTITIONS),
            clock: Clock::start(),
        });
        let cluster = cluster.unwrap();
        let id = NodeId(number);
        Self {
            id,
            cluster,
            shards,
            orders,
        }
    }

    fn home(&self, partition: PartitionId) -> Home {
        self.cluster.views().homes.borrow().of(partition)
    }

    fn owned(&self) -> Vec<PartitionId> {
        let all = (0..PARTITIONS).map(PartitionId);
        all.filter(|partition| matches!(self.home(*partition), Home::Here(_)))
            .collect()
    }

    fn lease(&self) -> Lease {
        *self.cluster.views().lease.borrow()
    }
}

/// Each partition is open at one of both, and the other knows it.
fn is_shared(one: &Node, other: &Node) -> bool {
    let agree = |partition| match (one.home(partition), other.home(partition)) {
        (Home::Here(_), Home::There(node)) => node == one.id,
        (Home::There(node), Home::Here(_)) => node == other.id,
        _ => false,
    };
    (0..PARTITIONS).map(PartitionId).all(agree)
}

fn state(server: &RedisServer, number: u16) -> Option<NodeState> {
    let nodes = store(server).nodes().unwrap();
    let row = nodes.into_iter().find(|(name, _)| *name == number.to_string());
    row.map(|(_, row)| row.state)
}

#[test]
fn two_members_share_all_partitions_and_one_takes_over_what_the_other_had() {
    let server = RedisServer::start(&[]);
    let one = Node::start(&server, 1, Arc::default());
    wait_for("a node with all partitions", || one.owned().len() == 16);
    let other = Node::start(&server, 2, Arc::default());
    // Each may have 9 of 16. The first one hands over what it has above that.
    wait_for("two nodes with their shares", || {
        is_shared(&one, &other) && one.owned().len() <= 9
    });
    let given = other.owned()[0];
    for shard in (0..SHARDS).map(ShardId) {
        let before = one.shards.of(shard, given);
        let expected = [
            Told::Dropped,
            Told::Adopted,
            Told::Opened,
            Told::Settled,
            Told::Dropped,
        ];
        assert_eq!(before, expected);
        let after = other.shards.of(shard, given);
        assert_eq!(after, [Told::Dropped, Told::Adopted, Told::Opened]);
        wait_for("homes at the shards", || {
            let homes = one.shards.homes.lock().unwrap()[usize::from(shard.0)].clone();
            homes == Some(Arc::clone(&one.cluster.views().homes.borrow()))
        });
    }
    let of_given = |order: &OwnershipOrder| match order {
        OwnershipOrder::Own(partition, ..) | OwnershipOrder::Resume(partition, _) => *partition == given,
        OwnershipOrder::Settle(partition)
        | OwnershipOrder::Lose(partition)
        | OwnershipOrder::Forget(partition, _) => *partition == given,
    };
    let orders = one.orders.lock().unwrap();
    let orders: Vec<_> = orders.iter().filter(|order| of_given(order)).collect();
    assert!(
        matches!(
            orders[..],
            [
                OwnershipOrder::Own(..),
                OwnershipOrder::Settle(_),
                OwnershipOrder::Lose(_)
            ]
        ),
        "{orders:?}"
    );
    // It ends without a word.
    drop(other.cluster);
    wait_for("a node that has all again", || one.owned().len() == 16);
    assert_eq!(state(&server, 2), Some(NodeState::Dead));
}

#[test]
fn a_member_that_was_stopped_finds_its_partitions_and_one_that_drains_leaves_them() {
    let server = RedisServer::start(&[]);
    let node = Node::start(&server, 1, Arc::default());
    assert!(node.cluster.wait_joined(ENDS_WITHIN) && !node.cluster.has_ended());
    wait_for("all partitions", || node.owned().len() == 16);
    assert_eq!(node.cluster.stop(ENDS_WITHIN), Some(MemberEnding::Stopped));
    assert_eq!(state(&server, 1), Some(NodeState::Restarting));
    let owner = store(&server).look(PartitionId(3)).unwrap().answer.fence.owner;
    assert!(owner.starts_with("1."), "{owner}");

    let node = Node::start(&server, 1, Arc::default());
    wait_for("all partitions", || node.owned().len() == 16);
    node.cluster.order(Order::Drain);
    wait_for("the end", || node.cluster.has_ended());
    assert_eq!(state(&server, 1), Some(NodeState::Left));
    let owner = store(&server).look(PartitionId(3)).unwrap().answer.fence.owner;
    assert_eq!(&*owner, "");
}

#[test]
fn loads_that_find_no_room_hold_up_no_beat() {
    let server = RedisServer::start(&[]);
    let shards = Arc::new(Shards::default());
    shards.is_full.store(true, Ordering::SeqCst);
    let node = Node::start(&server, 1, Arc::clone(&shards));
    wait_for("a claim", || {
        let seen = store(&server).look(PartitionId(0)).unwrap();
        seen.answer.fence.epoch > 0
    });
    for _ in 0..3 {
        let before = node.lease();
        wait_for("a beat that counts", || node.lease() != before);
    }
    assert_eq!(node.owned(), []);
    shards.is_full.store(false, Ordering::SeqCst);
    wait_for("all partitions", || node.owned().len() == 16);
}
