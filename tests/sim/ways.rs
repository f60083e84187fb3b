//! The ways by which terminals come: what their bytes travel in, and who stands between. And a gateway's listeners for all of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};

use crate::base::time::Timestamp;
use crate::logic::Peer;
use crate::protocol::dialect::Dialect;
use crate::protocol::stack::ProtocolStack;
use crate::protocol::transport::Transport;
use crate::protocol::transport::proxy::ProxyMode;
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};
use crate::protocol::transport::tls::tickets::TicketSecret;
use crate::shard::ShardListener;
use crate::sim::shown::{Group, Link};

/// The name that terminals know the gateway by.
pub(crate) const HOST: &str = "gateway.example";

const TRANSPORTS: [Transport; 4] = [
    Transport::Tcp,
    Transport::WebSocket,
    Transport::Tls,
    Transport::SecureWebSocket,
];

/// Who stands between a terminal and the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    Nobody,
    /// A proxy that says in the text of version 1 for whom it connects.
    ProxyText,
    /// One that says it in the bytes of version 2.
    ProxyBytes,
    /// One that says it in the request for a WebSocket.
    Forwarded,
    /// One that is not trusted.
    Stranger,
}

/// How one terminal comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) between: Between,
}

/// Which ways one world's terminals take. TLS costs most, so that few worlds have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ways {
    Plain,
    WithoutTls,
    All,
}

impl Ways {
    pub(crate) fn some(random: &mut fastrand::Rng) -> Self {
        match random.u8(..16) {
            0..8 => Self::Plain,
            8..14 => Self::WithoutTls,
            _ => Self::All,
        }
    }

    /// The way of one terminal.
    pub(crate) fn choose(self, random: &mut fastrand::Rng) -> Way {
        let transports = match self {
            Self::Plain => return Way::PLAIN,
            Self::WithoutTls => &TRANSPORTS[..2],
            Self::All => &TRANSPORTS[..],
        };
        let transport = transports[random.usize(..transports.len())];
        let is_web = [Transport::WebSocket, Transport::SecureWebSocket].contains(&transport);
        let between = match random.u8(..16) {
            0..2 => Between::ProxyText,
            2..4 => Between::ProxyBytes,
            4 if is_web => Between::Forwarded,
            5 if random.u8(..8) == 0 => Between::Stranger,
            _ => Between::Nobody,
        };
        Way { transport, between }
    }
}

/// Whom the gateway trusts, and whom it does not.
const PROXY: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const STRANGER: Ipv6Addr = Ipv6Addr::new(0xfe00, 0, 0, 0, 0, 0, 0, 1);
const PROXIES: &str = "fd00::/8";

impl Way {
    const PLAIN: Self = Self {
        transport: Transport::Tcp,
        between: Between::Nobody,
    };

    /// Whether the socket's bytes are packets from the first to the last.
    pub(crate) fn is_plain(self) -> bool {
        self == Self::PLAIN
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self.transport, Transport::Tls | Transport::SecureWebSocket)
    }

    pub(crate) fn has_frames(self) -> bool {
        matches!(self.transport, Transport::WebSocket | Transport::SecureWebSocket)
    }

    /// Whether somebody that the gateway trusts will say who the client is.
    pub(crate) fn names_client(self) -> bool {
        matches!(
            self.between,
            Between::ProxyText | Between::ProxyBytes | Between::Forwarded
        )
    }

    /// Bytes around a packet of the gateway: the header of a short frame; a record's, its type, and its tag.
    pub(crate) fn overhead(self) -> usize {
        let (frame, record) = (usize::from(self.has_frames()), usize::from(self.has_tls()));
        2 * frame + (5 + 1 + 16) * record
    }

    /// Its place in [`listeners`].
    pub(crate) fn listener(self) -> usize {
        let transport = TRANSPORTS.iter().position(|one| *one == self.transport);
        let wants_header = match self.between {
            Between::Nobody | Between::Forwarded => 0,
            Between::ProxyText | Between::ProxyBytes | Between::Stranger => 1,
        };
        2 * transport.expect("all are there") + wants_header
    }

    /// The socket's other end.
    pub(crate) fn socket_peer(self, link: Link) -> SocketAddr {
        let address = match self.between {
            Between::Nobody => Group::of(link).address(link),
            Between::ProxyText | Between::ProxyBytes | Between::Forwarded => PROXY,
            Between::Stranger => STRANGER,
        };
        SocketAddr::new(IpAddr::V6(address), 1)
    }

    /// Whom logic takes for the terminal.
    pub(crate) fn peer(self, link: Link) -> Peer {
        Peer {
            address: Group::of(link).address(link),
            stack: ProtocolStack {
                transport: self.transport,
                dialect: Dialect::Native,
            },
        }
    }

    /// What the socket begins with.
    pub(crate) fn header(self, link: Link) -> Vec<u8> {
        let client = Group::of(link).address(link);
        match self.between {
            Between::Nobody | Between::Forwarded => Vec::new(),
            Between::ProxyText | Between::Stranger => {
                format!("PROXY TCP6 {client} {PROXY} 258 772\r\n").into_bytes()
            }
            Between::ProxyBytes => [
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..],
                &client.octets(),
                &PROXY.octets(),
                &[1, 2, 3, 4],
            ]
            .concat(),
        }
    }
}

/// A listener for each transport, and one for each behind proxies.
pub(crate) fn listeners() -> &'static [ShardListener] {
    static LISTENERS: OnceLock<Vec<ShardListener>> = OnceLock::new();
    LISTENERS.get_or_init(|| {
        let modes = [ProxyMode::Off, ProxyMode::Any];
        let all = TRANSPORTS
            .iter()
            .flat_map(|transport| modes.map(|mode| settings(*transport, mode)));
        all.map(|settings| ShardListener {
            transport: Arc::new(settings),
            ..ShardListener::native(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))
        })
        .collect()
    })
}

fn settings(transport: Transport, proxy: ProxyMode) -> TransportSettings {
    let (websocket, tls) = match transport {
        Transport::Tcp => (None, None),
        Transport::WebSocket => (Some(Default::default()), None),
        Transport::Tls => (None, Some(own().server.clone())),
        Transport::SecureWebSocket => (Some(Default::default()), Some(own().server.clone().with_http())),
    };
    TransportSettings {
        proxy,
        trusted: [PROXIES.parse().expect("a network")].into(),
        websocket,
        tls,
    }
}

/// What the gateway's TLS goes by, and the certificate that terminals know.
struct Own {
    server: TlsServer,
    roots: RootCertStore,
}

/// No content of TLS decides anything in a world, but lengths do: so those of certificates, signatures and tickets are always
/// the same.
fn own() -> &'static Own {
    static OWN: OnceLock<Own> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).expect("a name");
        params.serial_number = Some(vec![1; 16].into());
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("there is randomness");
        let certificate = params.self_signed(&key).expect("the key fits");
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        let pem = CertificatePem {
            chain: chain.as_bytes(),
            key: key.as_bytes(),
        };
        let certificates = Certificates::new(&[pem], Timestamp(NOW_S * 1_000));
        let settings = TlsServerSettings {
            certificates: Arc::new(certificates.expect("it is good")),
            version_min: TlsVersion::Tls13,
            tickets: TicketPolicy::Shared(TicketSecret::new(&[7; 32]).expect("long enough")),
            client_ca: None,
            keeping: TlsKeeping::Keys,
            time: Arc::new(Always),
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("it is one");
        Own {
            server: TlsServer::new(&settings).expect("rustls takes them"),
            roots,
        }
    })
}

/// What the TLS of one world's terminals goes by: rustls' own, with one cipher suite. They share tickets.
pub(crate) fn terminals_tls(random: &mut fastrand::Rng) -> Arc<ClientConfig> {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    let suite = random.choice(provider.cipher_suites).expect("there are three");
    provider.cipher_suites = vec![suite];
    let builder = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Always));
    let builder = builder
        .with_protocol_versions(&[&TLS13])
        .expect("the suite is one of TLS 1.3");
    Arc::new(
        builder
            .with_root_certificates(own().roots.clone())
            .with_no_client_auth(),
    )
}

/// A clock that stands still, so that no ticket ends while the host is slow.
#[derive(Debug)]
struct Always;

const NOW_S: u64 = 1_700_000_000;

impl TimeProvider for Always {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW_S)))
    }
}
