//! What each scenario takes, as it was typed. It starts nothing.

use std::time::Duration;

use clap::Subcommand;

use crate::cluster_size::ClusterSizes;
use crate::peer_kind::PeerKind;
use crate::steps::Steps;

/// The scenarios.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// Makes the index of the results' folder anew, and the page of each folder in it, from their data. Measures nothing.
    Index,
    /// Connections that only beat: what each costs, and whether any is lost.
    Idle(IdleArguments),
    /// Logins and logouts as fast as answers come: the gateway's CPU for each.
    Login(LoginArguments),
    /// Heartbeats, as fast as answers come and at a rate: the gateway's CPU for each.
    Beat(BeatArguments),
    /// People come and go in every way: logins, resumes, logouts, lost links, silence, and devices forced off.
    Churn(ChurnArguments),
    /// Status queries of 500 users each while terminals stay and beat: CPU for each user, and how long an answer takes.
    Query(QueryArguments),
    /// Memory of a connection, and CPU of a heartbeat, with more and more terminals: a gateway for each step, with the
    /// shards that it needs.
    Grow(GrowArguments),
    /// What a login, a heartbeat, a status and a connection cost clusters of one node and more, with one master of their shared
    /// store and more: each size is a cluster of its own, whose nodes have as much to do as those of the others.
    GrowCluster(GrowClusterArguments),
    /// The gateway and another server in turn, with as many terminals: what each needs of CPU and memory.
    ///
    /// Build the servers on tokio and on io_uring first: `cargo build --profile dist --features load,peers`.
    /// Mosquitto has to be installed. The gateway's registry is in memory, unless --set says otherwise, as in `--set 'registry.store="embedded"'
    /// --set 'registry.durability="relaxed"'`.
    Versus(VersusArguments),
    /// What TLS adds to a login, full and resumed, and to a heartbeat, beside rustls' handshake in memory. The gateway's
    /// registry is in memory.
    TlsCost(TlsCostArguments),
    /// Many terminals begin a TLS handshake at once, while others are there and beat: nobody who is there may be lost.
    Handshakes(HandshakesArguments),
    /// Messages to terminals, one by one and 500 at a time, with acknowledgements and without: the gateway's CPU for each, and how
    /// long one is on its way.
    Relay(RelayArguments),
    /// The gateway is killed and started again, or a node of a cluster is killed, and everyone comes back: nobody may be told
    /// anything of it.
    Return(ReturnArguments),
}

impl Scenario {
    /// The word that names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Idle(_) => "idle",
            Self::Login(_) => "login",
            Self::Beat(_) => "beat",
            Self::Churn(_) => "churn",
            Self::Query(QueryArguments { asking, .. }) => match (asking.detail, asking.storm) {
                (false, None) => "query",
                (true, None) => "query-detail",
                (false, Some(_)) => "query-storm",
                (true, Some(_)) => "query-detail-storm",
            },
            Self::Grow(_) => "grow",
            Self::GrowCluster(_) => "grow-cluster",
            Self::Versus(_) => "versus",
            Self::TlsCost(_) => "tls-cost",
            Self::Handshakes(_) => "handshakes",
            Self::Relay(RelayArguments {
                beside_mosquitto: true,
                ..
            }) => "relay-mosquitto",
            Self::Relay(_) => "relay",
            Self::Return(ReturnArguments { links: true, .. }) => "return-links",
            Self::Return(back) => match (back.kill_node, back.restart_in_place) {
                (false, _) => "return",
                (true, false) => "return-kill-node",
                (true, true) => "return-kill-node-in-place",
            },
        }
    }
}

/// What `idle` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct IdleArguments {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    pub(crate) connections: u32,
    /// How long they are held after all have logged in.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) hold: Duration,
    /// How often each beats.
    #[arg(long, default_value = "120s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Logins under way at once.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
}

/// What `login` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct LoginArguments {
    /// Terminals that take turns.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Visits under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `relay` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RelayArguments {
    /// Instead, one message to one user beside mosquitto, where each user has a topic, round by round in turn: without
    /// acknowledgement beside its quality of service 0, and with one beside 1. Mosquitto has to be installed.
    #[arg(long)]
    pub(crate) beside_mosquitto: bool,
    /// With it, lets the servers and the load generator have a half of the cores each, and the kernel do the terminals' half of TCP
    /// on the load generator's, as if they were on another host. Needs root, util-linux and iproute2.
    #[arg(long, requires = "beside_mosquitto")]
    pub(crate) apart: bool,
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
    pub(crate) connections: u32,
    /// Requests under way at once while it is as fast as it can be.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) clients: u32,
    /// Messages a second in the paced part.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Heartbeats a second meanwhile; 0: none.
    #[arg(long, default_value_t = 0)]
    pub(crate) beats: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `beat` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct BeatArguments {
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Heartbeats under way at once while it is as fast as it can be.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// Heartbeats a second in the paced part.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `churn` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ChurnArguments {
    /// Terminals, two of each user.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) connections: u32,
    /// How long.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) hold: Duration,
    /// Logins a second; everything else has its share of it.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
}

/// What `query` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct QueryArguments {
    /// Terminals that stay, whose users are asked for.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
    pub(crate) connections: u32,
    /// Heartbeats a second meanwhile; 0: none.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `grow` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GrowArguments {
    /// Numbers of connections, ascending.
    #[arg(long, value_name = "N,N,...", default_value = "10000,100000,1000000")]
    pub(crate) steps: Steps,
    /// How often terminals are told to beat. The paced part has as many heartbeats as full shards hear then.
    #[arg(long, default_value = "120s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Heartbeats under way at once for each shard, while it is as fast as it can be.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `grow-cluster` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GrowClusterArguments {
    /// Sizes of clusters, as nodes x masters of the shared store. Each master has a replica.
    #[arg(long, value_name = "NxM,NxM,...", default_value = "1x1,2x1,3x1,3x2,3x3")]
    pub(crate) sizes: ClusterSizes,
    /// Connections of each node.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
    pub(crate) connections: u32,
    /// Logins, logouts and heartbeats under way at once for each node, while it is as fast as it can be.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) window: u32,
    /// Heartbeats a second for each node in the paced part.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `versus` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct VersusArguments {
    /// The other server.
    #[arg(long, value_enum, default_value_t = PeerKind::Tokio)]
    pub(crate) peer: PeerKind,
    /// Lets the servers and the load generator have a half of the cores each, and the kernel do the terminals' half of TCP on the
    /// load generator's, as if they were on another host. Needs root, util-linux and iproute2.
    #[arg(long)]
    pub(crate) apart: bool,
    /// At most as many as one process may have descriptors.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) connections: u32,
    /// Heartbeats, and logins, under way at once while it is as fast as it can be.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// Heartbeats a second in the paced part.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `tls-cost` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct TlsCostArguments {
    /// Terminals by each way.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) connections: u32,
    /// Logins, and heartbeats, under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// What `handshakes` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct HandshakesArguments {
    /// Terminals that are there.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) connections: u32,
    /// Terminals that begin at once.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) storm: u32,
    /// Heartbeats a second of those that are there.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// How long they beat before the storm.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) before: Duration,
}

/// What `return` takes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ReturnArguments {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    pub(crate) connections: u32,
    /// Cuts all links instead: each device has one link end and one login, in this order.
    #[arg(long)]
    pub(crate) links: bool,
    /// Kills one of the three nodes of a cluster instead, whose shared store is a redis-server with a replica: its users come
    /// back at the other nodes.
    #[arg(long, conflicts_with = "links")]
    pub(crate) kill_node: bool,
    /// Starts that node again at once, where it was.
    #[arg(long, requires = "kill_node", conflicts_with = "links")]
    pub(crate) restart_in_place: bool,
    /// Logins and resumes under way at once. After the loss of a node all come back at once, whatever this is.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
}

/// How statuses are asked for, and what goes on meanwhile.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Asking {
    /// Queries under way at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// Asks for each user's platforms too (`IsNeedDetail`: 1), and checks them.
    #[arg(long)]
    pub(crate) detail: bool,
    /// Then as many rounds again in a storm of visits (a login and a logout): so many a second, by as many more terminals
    /// (at least 100), whose users are not asked for.
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) storm: Option<u32>,
}

/// How often and how long something is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Rounds {
    /// Rounds; a figure is their median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long a round is.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval.is_zero() {
        return Err("an interval is longer than nothing".to_owned());
    }
    Ok(interval)
}
