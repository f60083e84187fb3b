//! A node of a cluster: users who are at home elsewhere, and other nodes that ask for those who are at home here.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::*;
use crate::base::ids::{Epoch, NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::home::{Home, HomeMap};
use crate::logic::cluster::lease::Lease;
use crate::logic::delivery::{AccountsRequest, ToPeer};
use crate::services::cluster::event::Order;
use crate::services::cluster::published::{ClusterStatus, NodeStatus};
use crate::services::cluster::says::NodeSays;
use crate::services::cluster::table::NodeRow;
use crate::services::cluster::token::{Incarnation, Site};
use crate::services::http::ClusterView;
use crate::services::peers::{Exchange, ExchangeHandle, PeerIdentity, PeersClient};
use crate::services::registry::shared::settings::DeskFiguresView;
use crate::services::shared_store::calls::NodeState;

const PATIENCE: Duration = Duration::from_secs(20);

/// Of four partitions: here, at another node, nowhere, and at a third node that nobody reaches.
const HOMES: [Home; 4] = [
    Home::Here(Epoch(1)),
    Home::There(NodeId(2)),
    Home::Nobody,
    Home::There(NodeId(3)),
];

/// A name of this beginning in this partition.
pub(super) fn named(beginning: &str, partition: u16) -> String {
    let mut names = (0..).map(|number| format!("{beginning}{number}"));
    let found = names.find(|name| user(name).partition(4) == PartitionId(partition));
    found.unwrap()
}

/// What node 2 answers. Node 3 cannot be reached.
pub(super) fn answer(node: NodeId, asked: ToPeer) -> ToHttp {
    if node != NodeId(2) {
        return asked.refuse();
    }
    let request = |request: RequestId, asked| {
        played::shards(ShardId(0), asked).unwrap_or_else(|| panic!("{request:?}"))
    };
    match asked {
        ToPeer::Query(request, depth, users) => {
            assert!(users.iter().all(|user| user.partition(4) == PartitionId(1)));
            let statuses = users.iter().map(played::status_of);
            let statuses = match depth {
                QueryDepth::Status => StatusList::Status(statuses.map(|status| status.brief()).collect()),
                QueryDepth::Devices => StatusList::Devices(statuses.collect()),
            };
            ToHttp::Statuses(request, UserStatuses { users, statuses })
        }
        ToPeer::Kick(id, user) => request(id, ToShard::Kick(id, user)),
        ToPeer::KickDevice(id, user, device) => request(id, ToShard::KickDevice(id, user, device)),
        ToPeer::Delete(id, user) => request(id, ToShard::Kick(id, user)),
        ToPeer::Inspect(id, user) => request(id, ToShard::Inspect(id, user)),
        ToPeer::Send(id, order) => request(id, ToShard::Send(id, order)),
        ToPeer::Accounts(id, ask, users) => played::registry(ToRegistry::Accounts(id, ask, users)),
    }
}

pub(super) struct ClusterWorld {
    pub(super) world: World,
    door: String,
    lease: watch::Sender<Lease>,
    orders: Receiver<Order>,
    pub(super) homes: watch::Sender<Arc<HomeMap>>,
}

fn identity(node: u16) -> PeerIdentity {
    PeerIdentity::new(NodeId(node), "test", "a secret of this test".into()).unwrap()
}

fn exchange() -> ExchangeHandle {
    ExchangeHandle {
        own: Arc::new(Exchange::default),
        heard: unbounded().0,
    }
}

fn status() -> ClusterStatus {
    let says = NodeSays {
        admin: Some("two.example:9003".to_owned()),
        ..NodeSays::default()
    };
    let row = NodeRow {
        incarnation: Incarnation(1),
        beat: 1,
        state: NodeState::Up,
        site: Site(0),
        weight: 1,
        unreachable: Vec::new(),
    };
    let two = NodeStatus {
        row,
        says,
        partitions: 1,
    };
    ClusterStatus {
        nodes: [(NodeId(2), two)].into(),
        behind: vec![PartitionId(2)],
        opening: 3,
        settling: 4,
        ..ClusterStatus::default()
    }
}

impl ClusterWorld {
    fn new() -> Self {
        Self::with(Others::default())
    }

    /// Node 1, whose node 2 has an admin listener that readers reach.
    pub(super) fn with(others: Others) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = door.local_addr().unwrap().to_string();
        let map = HomeMap::new(HOMES.to_vec(), BTreeMap::new());
        let (homes_sender, homes) = watch::channel(Arc::new(map));
        let (lease_sender, lease) = watch::channel(Lease::Forever);
        let (orders, ordered) = bounded(2);
        let cluster = ClusterHandles {
            view: ClusterView {
                node: NodeId(1),
                homes,
                lease,
                status: watch::channel(Arc::new(status())).1,
            },
            identity: identity(1),
            exchange: exchange(),
            figures: DeskFiguresView::default(),
            orders,
            listeners: vec![door],
        };
        let others = Others {
            cluster: Some(cluster),
            ..others
        };
        Self {
            world: World::with(settings(), shards, others),
            door: address,
            lease: lease_sender,
            orders: ordered,
            homes: homes_sender,
        }
    }

    fn statuses(&self, names: &[&str]) -> Vec<(String, String)> {
        let body = json!({ "To_Account": names }).to_string();
        let answer = self.world.ask(QUERY, &body);
        let found = |key: &str, status: &str| -> Vec<_> {
            let list = answer[key].as_array().cloned().unwrap_or_default();
            let pair = |entry: &Value| {
                let status = entry[status]
                    .as_str()
                    .map_or_else(|| entry[status].to_string(), str::to_owned);
                (entry["To_Account"].as_str().unwrap().to_owned(), status)
            };
            list.iter().map(pair).collect()
        };
        [found("QueryResult", "Status"), found("ErrorList", "ErrorCode")].concat()
    }
}

#[test]
fn a_query_finds_users_wherever_they_are_at_home() {
    let cluster = ClusterWorld::new();
    let [here, there] = [0, 1].map(|partition| named("online", partition));
    let off = named("off", 1);
    let [nowhere, unreached] = [2, 3].map(|partition| named("online", partition));
    let all = [&there, &here, &off].map(|name| name.as_str());
    let known = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    let expected = [
        known(&there, "Online"),
        known(&here, "Online"),
        known(&off, "Offline"),
    ];
    assert_eq!(cluster.statuses(&all), expected);
    let unknown: Vec<_> = cluster.statuses(&[&nowhere, &unreached]);
    let names: Vec<_> = unknown.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&nowhere, &unreached]);
    assert!(
        unknown.iter().all(|(_, code)| code.parse::<u32>().is_ok()),
        "{unknown:?}"
    );
}

#[test]
fn what_is_in_memory_is_not_told_when_the_lease_is_over_by_then() {
    let cluster = ClusterWorld::new();
    let here = named("online", 0);
    cluster.lease.send_replace(Lease::Until {
        until: Instant(0),
        since: Instant(0),
        stretch: 0,
    });
    let lapsed = cluster.statuses(&[&here]);
    assert!(lapsed[0].1.parse::<u32>().is_ok(), "{lapsed:?}");
    let later = |since| Lease::Until {
        until: Instant(u64::MAX),
        since: Instant(since),
        stretch: 1,
    };
    cluster.lease.send_replace(later(u64::MAX - 1));
    let back = cluster.statuses(&[&here]);
    assert!(
        back[0].1.parse::<u32>().is_ok(),
        "it has lapsed since it was asked: {back:?}"
    );
    cluster.lease.send_replace(later(0));
    assert_eq!(cluster.statuses(&[&here]), [(here, "Online".to_owned())]);
}

#[test]
fn kicks_and_accounts_go_to_their_homes() {
    let cluster = ClusterWorld::new();
    let kick =
        |name: &str| cluster.world.ask(KICK, &json!({ "UserID": name }).to_string())["ErrorCode"].clone();
    let [here, there, nowhere] = [0, 1, 2].map(|partition| named("online", partition));
    assert_eq!([kick(&here), kick(&there)], [0, 0]);
    assert_ne!(kick(&nowhere), 0);
    let check = |names: &[&str]| {
        let items: Vec<_> = names.iter().map(|name| json!({ "UserID": name })).collect();
        let body = json!({ "CheckItem": items }).to_string();
        cluster.world.ask("/v4/im_open_login_svc/account_check", &body)
    };
    let ghost = named("ghost", 0);
    let checked = check(&[&there, &ghost, &here]);
    let statuses: Vec<_> = checked["ResultItem"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["AccountStatus"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["Imported", "NotImported", "Imported"]);
    assert_ne!(check(&[&here, &nowhere])["ErrorCode"], 0);
}

/// Node 2, which asks this one.
fn asking(door: &str) -> (PeersClient, Receiver<ToHttp>) {
    let (replies, replied) = unbounded();
    let router: Router = Box::new(move |delivery| {
        let Delivery::Http(reply) = delivery else {
            panic!("{delivery:?}")
        };
        replies.send(reply).unwrap();
        Ok(())
    });
    let addresses = BTreeMap::from([(NodeId(1), door.to_owned())]);
    let (_, addresses) = watch::channel(Arc::new(addresses));
    (
        PeersClient::start(identity(2), addresses, exchange(), router).unwrap(),
        replied,
    )
}

#[test]
fn another_node_is_answered_for_those_who_are_at_home_here_and_for_nobody_else() {
    let cluster = ClusterWorld::new();
    let (client, replied) = asking(&cluster.door);
    let ask = |asked: ToPeer| {
        // The connection may not be there yet: then it is refused, and asked again.
        loop {
            client.sender().try_send((NodeId(1), asked.clone())).unwrap();
            let reply = replied.recv_timeout(PATIENCE).unwrap();
            if reply != asked.clone().refuse() {
                return reply;
            }
            std::thread::yield_now();
        }
    };
    let request = RequestId(7);
    let [here, there] = [0, 1].map(|partition| user(&named("online", partition)));
    let off = user(&named("off", 0));
    let users = vec![there, off, here];
    let brief = |user: &UserId| match *user == there {
        true => UserStatus::Unavailable.brief(),
        false => played::status_of(user).brief(),
    };
    let statuses = StatusList::Status(users.iter().map(brief).collect());
    let asked = ToPeer::Query(request, QueryDepth::Status, users.clone());
    assert_eq!(
        ask(asked),
        ToHttp::Statuses(request, UserStatuses { users, statuses })
    );
    assert_eq!(ask(ToPeer::Kick(request, here)), ToHttp::Kicked(request, Ok(())));
    let known = Some(Box::new(inspection(here)));
    assert_eq!(
        ask(ToPeer::Inspect(request, here)),
        ToHttp::Inspected(request, Ok(known))
    );
    let accounts = ToPeer::Accounts(request, AccountsRequest::Check, vec![here, off]);
    assert_eq!(ask(accounts), ToHttp::Accounts(request, Ok(vec![true, true])));
    // It is not passed on.
    for elsewhere in [
        ToPeer::Kick(request, there),
        ToPeer::Accounts(request, AccountsRequest::Import, vec![here, there]),
    ] {
        client.sender().try_send((NodeId(1), elsewhere.clone())).unwrap();
        assert_eq!(replied.recv_timeout(PATIENCE).unwrap(), elsewhere.refuse());
    }
    client.finish().unwrap();
}

#[test]
fn the_operator_sees_the_cluster_and_can_have_the_node_leave_it() {
    let cluster = ClusterWorld::new();
    let (status, body) = cluster.world.get("/v1/cluster", "");
    assert_eq!(status, 200, "{body}");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let expected = json!([
        { "node": 1, "epoch": 1 },
        { "node": 2, "epoch": null },
        { "node": null, "epoch": null },
        { "node": 3, "epoch": null },
    ]);
    assert_eq!((&shown["partitions"], &shown["lease"]), (&expected, &json!(true)));
    assert_eq!((&shown["opening"], &shown["settling"]), (&json!(3), &json!(4)));
    let (_, text) = cluster.world.get("/metrics", "");
    for metric in ["owned_now 1", "opening_now 3", "settling_now 4"] {
        let expected = format!("holdfast_cluster_partitions_{metric}\n");
        assert!(text.contains(&expected), "{text}");
    }
    assert!(text.contains("holdfast_shared_batches_total 0\n"), "{text}");
    assert!(cluster.orders.is_empty());
    let (status, body) = commands::post(&cluster.world, "/v1/cluster/drain", "{}");
    assert_eq!((status, body), (200, json!({ "draining": true })));
    assert_eq!(cluster.orders.try_recv(), Ok(Order::Drain));
}

#[test]
fn a_loss_is_accepted_of_a_partition_that_is_behind_here() {
    let cluster = ClusterWorld::new();
    let accept = |body: &str| commands::post(&cluster.world, "/v1/cluster/accept-loss", body);
    for wrong in [
        "{}",
        r#"{"partition":"2"}"#,
        r#"{"partition":-1}"#,
        r#"{"partition":4}"#,
        r#"{"partition":70000}"#,
    ] {
        assert_eq!(accept(wrong).0, 400, "{wrong}");
    }
    let (status, body) = accept(r#"{"partition":1}"#);
    assert_eq!(status, 409, "{body}");
    for _ in 0..2 {
        let accepted = (200, json!({ "accepted": 2 }));
        assert_eq!(accept(r#"{"partition":2}"#), accepted);
    }
    assert_eq!(
        accept(r#"{"partition":2}"#).0,
        503,
        "two wait, and nobody takes them"
    );
    let taken: Vec<_> = cluster.orders.try_iter().collect();
    assert_eq!(taken, [Order::AcceptLoss(PartitionId(2)); 2]);
}

#[test]
fn a_gateway_without_a_cluster_says_so() {
    let world = World::new(settings(), shards);
    assert_eq!(world.get("/v1/cluster", "").0, 501);
    assert_eq!(commands::post(&world, "/v1/cluster/drain", "{}").0, 501);
    let accept = commands::post(&world, "/v1/cluster/accept-loss", r#"{"partition":1}"#);
    assert_eq!(accept.0, 501);
}
