//! What the gateway's end of each connection goes by: certificates, versions, tickets, certificates of clients. A new one is
//! made when the configuration changes; connections that are there keep theirs. Reads no files.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, cipher_suite, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::protocol::transport::tls::certificates::Certificates;
use crate::protocol::transport::tls::negotiation::{ClientCertificates, NegotiationTerms, TlsKeeping};
use crate::protocol::transport::tls::secrets::HandshakeSecrets;
use crate::protocol::transport::tls::tickets::{SharedTickets, TicketSecret};

/// The lowest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, which costs kilobytes a connection.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Which tickets clients get.
#[derive(Debug, Clone)]
pub enum TicketPolicy {
    /// None: each handshake is a full one.
    Off,
    /// Of keys that this process alone has, and that are new with each configuration.
    Own,
    /// Of keys that all have that know the secret.
    Shared(TicketSecret),
}

/// What is configured.
pub struct TlsServerSettings<'a> {
    /// The gateway's certificates.
    pub certificates: Arc<Certificates>,
    /// The lowest version.
    pub version_min: TlsVersion,
    /// Which tickets clients get that are not asked for certificates. Others get none.
    pub tickets: TicketPolicy,
    /// Certificates in PEM, of which one must have signed a client's; `None` if clients are not asked for one.
    pub client_ca: Option<&'a [u8]>,
    /// Who keeps connections.
    pub keeping: TlsKeeping,
    /// For the lifetime of tickets and of certificates.
    pub time: Arc<dyn TimeProvider>,
}

/// Why no server can be made of settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsServerProblem {
    /// `client_ca` is no PEM, has no certificate in it, or one that cannot be used.
    #[error("the certificates that sign those of clients cannot be used: {0}")]
    ClientCa(String),
    /// rustls does not take the settings.
    #[error("rustls does not take the settings: {0}")]
    Settings(rustls::Error),
}

/// What connections go by.
#[derive(Debug, Clone)]
pub struct TlsServer {
    config: ServerConfig,
    terms: NegotiationTerms,
}

/// Tickets of a login. A terminal has one connection at a time and gets a new ticket with each, so one is enough; one more
/// would cost each login 250 bytes and 2 µs.
const TICKETS_A_LOGIN: usize = 1;

/// ALPN's name of HTTP/1.1, which WebSocket begins with.
const HTTP: &[u8] = b"http/1.1";

impl TlsServer {
    /// Of settings.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn new(settings: &TlsServerSettings<'_>) -> Result<Self, TlsServerProblem> {
        let versions: &[&SupportedProtocolVersion] = match settings.version_min {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let (provider, wrong) = (Arc::new(provider()), TlsServerProblem::Settings);
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&settings.time))
            .with_protocol_versions(versions)
            .map_err(wrong)?;
        let builder = match settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider);
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| TlsServerProblem::ClientCa(error.to_string()))?,
                )
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&settings.certificates) as _);
        // AES-128 comes first, whatever a client prefers.
        config.ignore_client_order = true;
        config.enable_secret_extraction = settings.keeping == TlsKeeping::Keys;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(tickets) = tickets(settings).map_err(wrong)? {
            config.ticketer = tickets;
            config.send_tls13_tickets = TICKETS_A_LOGIN;
        }
        let clients = match settings.client_ca {
            None => ClientCertificates::NotAsked,
            Some(_) => ClientCertificates::Checked,
        };
        let terms = NegotiationTerms {
            keeping: settings.keeping,
            clients,
        };
        Ok(Self { config, terms })
    }

    /// The same for connections over which HTTP is spoken first: those of WebSocket.
    #[must_use]
    pub fn with_http(mut self) -> Self {
        self.config.alpn_protocols = vec![HTTP.to_vec()];
        self
    }

    /// What a new connection goes by, whose secrets are told to `secrets`.
    pub(super) fn config_with(&self, secrets: &Arc<HandshakeSecrets>) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        if self.terms.keeping == TlsKeeping::Keys {
            config.key_log = Arc::clone(secrets) as _;
        }
        Arc::new(config)
    }

    pub(super) fn terms(&self) -> NegotiationTerms {
        self.terms
    }
}

/// *ring*'s ciphers, AES-128 first: its key has room beside its secret.
fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| *suite != cipher_suite::TLS13_AES_128_GCM_SHA256);
    provider
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsServerProblem> {
    let wrong = |why: String| TlsServerProblem::ClientCa(why);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there are none".to_owned()));
    }
    Ok(roots)
}

/// There are none where clients are asked for certificates: a ticket brings the certificate along, and with each resumption a new
/// ticket, so that it would be checked once and never again.
fn tickets(settings: &TlsServerSettings<'_>) -> Result<Option<Arc<dyn ProducesTickets>>, rustls::Error> {
    match (settings.client_ca, &settings.tickets) {
        (Some(_), _) | (None, TicketPolicy::Off) => Ok(None),
        (None, TicketPolicy::Own) => Ticketer::new().map(Some),
        (None, TicketPolicy::Shared(secret)) => {
            let tickets = SharedTickets::new(secret, Arc::clone(&settings.time));
            Ok(Some(Arc::new(tickets)))
        }
    }
}
