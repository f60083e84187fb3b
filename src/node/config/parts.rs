//! Parts of the configuration that are types of their own. Plain values that read and check nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::ids::NodeId;
use crate::base::secret::Secret;
use crate::logic::cluster::home::PublicAddresses;
use crate::logic::record::Callbacks;
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::transport::tls::server::TlsVersion;
use crate::services::callback::ReceiverUrl;
use crate::services::registry::embedded::Durability;
use crate::services::shared_store::settings::CopiesMissing;

/// Where records are kept, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// On disk or not.
    pub store: StoreKind,
    /// The folder of a store on disk.
    pub path: PathBuf,
    /// When a change counts as recorded.
    pub durability: Durability,
    /// Memory that a store on disk may take.
    pub memory_bytes_max: u64,
    /// How long changes can be read.
    pub changes_kept: Duration,
    /// How long records of deleted accounts are kept.
    pub deleted_kept: Duration,
}

/// The servers of Redis or Valkey that the nodes of a cluster share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStoreConfig {
    /// Where they are: some of a cluster, or a master and its replicas.
    pub urls: Vec<String>,
    /// Who logs in there.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<Secret>,
    /// Who vouches for them; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate and key there.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// How many replicas must have a change before it counts.
    pub copies: u16,
    /// What happens while fewer have it.
    pub copies_missing: CopiesMissing,
}

/// This node among those of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster.
    pub name: String,
    /// This node.
    pub node: NodeId,
    /// What nodes prove to each other that they belong to it.
    pub secret: Option<Secret>,
    /// Where other nodes come in.
    pub listen: Vec<SocketAddr>,
    /// Where they reach this node, as host and port; `None`: nowhere.
    pub peer_address: Option<String>,
    /// Where readers of the stream reach this node, as host and port; `None`: nowhere.
    pub admin_address: Option<String>,
    /// Where terminals of other nodes are sent to reach this one.
    pub public: PublicAddresses,
    /// How many partitions it is to have, against others.
    pub weight: u32,
    /// How long a sign of life is good for.
    pub lease: Duration,
    /// For so long after that a node which cannot reach the store keeps its terminals.
    pub hold: Duration,
}

/// Where records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// On disk.
    Embedded,
    /// Gone with the process.
    Memory,
    /// On servers of Redis or Valkey, which the nodes of a cluster share.
    Shared,
}

/// How the app's backend is told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackConfig {
    /// Where; `None`: it is not told.
    pub url: Option<ReceiverUrl>,
    /// What callbacks are signed with.
    pub token: Option<Secret>,
    /// Users whose callbacks are under way at the same time.
    pub parallel: usize,
    /// Open connections at the same time.
    pub connections_max: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long after its change a callback is tried again.
    pub give_up: Duration,
    /// How long dead letters are kept.
    pub dead_kept: Duration,
    /// Which changes it is called for.
    pub sent: Callbacks,
    /// Who vouches for it; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
}

/// TLS of terminals' listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalTls {
    /// The gateway's certificates.
    pub certificates: Vec<CertificateFiles>,
    /// The lowest version.
    pub version_min: TlsVersion,
    /// Whether terminals get tickets.
    pub tickets: bool,
    /// What the keys of tickets are made from; `None`: they are drawn.
    pub ticket_secret: Option<Secret>,
    /// Who signs terminals' certificates, in PEM; `None`: terminals need none.
    pub client_ca: Option<Secret>,
    /// Who keeps a connection once it is open.
    pub keeping: TlsKeeping,
}

/// A certificate and its key, by their files and as these were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The file of the chain.
    pub chain: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    /// The chain in PEM.
    pub chain_pem: Secret,
    /// The key in PEM.
    pub key_pem: Secret,
}

/// Whether threads stay on their cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Each on one.
    Yes,
    /// The system moves them.
    No,
}

/// Whether the process's memory, which holds secrets, may be written to a file, or looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreDumps {
    /// By nobody but root.
    None,
    /// As for any process.
    Allowed,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
