//! What the tests share: certificates, configurations, and a pipe between two ends.

use std::sync::{Arc, OnceLock};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite};

use crate::base::time::Timestamp;
use crate::protocol::transport::ending::TransportEnd;
use crate::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use crate::protocol::transport::tls::connection::{Handshaken, TlsConnection};
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};
use crate::protocol::transport::unwrapped::Unwrapped;

pub(super) const HOST: &str = "gateway.example";

/// A certificate and its key, in PEM.
pub(super) struct Signed {
    pub(super) chain: String,
    pub(super) key: String,
}

/// A certificate for some names, signed by itself.
pub(super) fn signed(names: &[&str]) -> Signed {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    Signed {
        chain: own.cert.pem(),
        key: own.signing_key.serialize_pem(),
    }
}

/// The one that most tests use.
pub(super) fn host_certificate() -> &'static Signed {
    static SIGNED: OnceLock<Signed> = OnceLock::new();
    SIGNED.get_or_init(|| signed(&[HOST, "localhost"]))
}

pub(super) fn now() -> Timestamp {
    let now = DefaultTimeProvider.current_time().unwrap();
    Timestamp(now.as_secs() * 1_000)
}

pub(super) fn certificates(all: &[&Signed]) -> Arc<Certificates> {
    let pems: Vec<CertificatePem<'_>> = all
        .iter()
        .map(|signed| CertificatePem {
            chain: signed.chain.as_bytes(),
            key: signed.key.as_bytes(),
        })
        .collect();
    Arc::new(Certificates::new(&pems, now()).unwrap())
}

pub(super) fn settings() -> TlsServerSettings<'static> {
    TlsServerSettings {
        certificates: certificates(&[host_certificate()]),
        version_min: TlsVersion::Tls13,
        tickets: TicketPolicy::Own,
        client_ca: None,
        keeping: TlsKeeping::Keys,
        time: Arc::new(DefaultTimeProvider),
    }
}

pub(super) fn server() -> TlsServer {
    TlsServer::new(&settings()).unwrap()
}

/// What trusts a certificate that has signed itself.
pub(super) fn roots(signed: &Signed) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(signed.chain.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    roots
}

/// A client of rustls that knows the certificate, with some cipher suites alone; all if none are named.
pub(super) fn client_config(suites: &[SupportedCipherSuite]) -> ClientConfig {
    let mut provider = default_provider();
    if !suites.is_empty() {
        provider.cipher_suites = suites.to_vec();
    }
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(host_certificate()))
        .with_no_client_auth()
}

pub(super) fn host() -> ServerName<'static> {
    ServerName::try_from(HOST).unwrap()
}

/// A gateway's end, and all that came of it.
pub(super) struct Gateway {
    pub(super) server: TlsServer,
    pub(super) connection: TlsConnection,
    pub(super) received: Vec<u8>,
    pub(super) end: Option<TransportEnd>,
    pub(super) shaken: Option<Handshaken>,
    pub(super) steps: usize,
    scratch: Unwrapped,
}

impl Gateway {
    pub(super) fn new(server: TlsServer) -> Self {
        Self {
            server,
            connection: TlsConnection::default(),
            received: Vec::new(),
            end: None,
            shaken: None,
            steps: 0,
            scratch: Unwrapped::default(),
        }
    }

    /// Takes bytes of the socket, and gives those for it.
    pub(super) fn takes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        let shaken = self.connection.receive(&mut bytes.to_vec(), &mut self.scratch);
        self.came(shaken, &mut answer);
        answer
    }

    fn came(&mut self, shaken: Option<Handshaken>, answer: &mut Vec<u8>) {
        self.shaken = self.shaken.or(shaken);
        self.received.append(&mut self.scratch.bytes);
        answer.append(&mut self.scratch.answer);
        self.end = self.end.or(self.scratch.end);
        let waits = self.scratch.step_waits;
        self.scratch.clear();
        if waits {
            self.steps += 1;
            let shaken = self.connection.step(&self.server, &mut self.scratch);
            self.came(shaken, answer);
        }
    }

    pub(super) fn sends(&mut self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.connection.send(content, &mut out);
        out
    }

    pub(super) fn closes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.connection.close(&mut out);
        out
    }
}

/// All that a connection of rustls has for its socket.
pub(super) fn output(client: &mut ClientConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut out).unwrap();
    }
    out
}

/// Gives a connection of rustls bytes of its socket.
pub(super) fn input(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    use std::io::Read;
    let mut content = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        let state = client.process_new_packets()?;
        let length = content.len();
        content.resize(length + state.plaintext_bytes_to_read(), 0);
        client.reader().read_exact(&mut content[length..]).unwrap();
    }
    Ok(content)
}

/// A handshake, up to its end.
pub(super) fn shake(client: &mut ClientConnection, gateway: &mut Gateway) {
    for _ in 0..4 {
        let hello = output(client);
        let answer = gateway.takes(&hello);
        assert!(input(client, &answer).unwrap().is_empty());
    }
    assert!(gateway.shaken.is_some() && !client.is_handshaking());
}

/// Both ends of a connection whose handshake is done.
pub(super) fn connected(server: TlsServer, config: &Arc<ClientConfig>) -> (ClientConnection, Gateway) {
    let mut client = ClientConnection::new(Arc::clone(config), host()).unwrap();
    let mut gateway = Gateway::new(server);
    shake(&mut client, &mut gateway);
    (client, gateway)
}
