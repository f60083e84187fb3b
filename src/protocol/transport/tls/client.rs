//! What a terminal's end of each connection goes by, for programs that are terminals. Reads no files.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::protocol::transport::tls::negotiation::{
    ClientCertificates, NegotiationTerms, TicketWish, TlsKeeping,
};
use crate::protocol::transport::tls::secrets::HandshakeSecrets;

/// Which certificates of servers a terminal takes.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// Those that one of these has signed, for the name that is connected to.
    Roots(RootCertStore),
    /// Any. For tests and measurements: nobody knows who answers.
    Any,
}

/// What connections go by.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: ClientConfig,
    tickets: TicketWish,
}

impl TlsClient {
    /// TLS 1.3, with certificates of servers as `trust` has it.
    ///
    /// # Errors
    /// rustls does not take the configuration.
    pub fn new(trust: ServerTrust, tickets: TicketWish) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13])?;
        let mut config = match trust {
            ServerTrust::Roots(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
            ServerTrust::Any => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
                .with_no_client_auth(),
        };
        config.enable_secret_extraction = true;
        config.resumption = match tickets {
            TicketWish::None => Resumption::disabled(),
            TicketWish::One => Resumption::store(Arc::new(ClientSessionMemoryCache::new(SERVERS_MAX))),
        };
        Ok(Self { config, tickets })
    }

    /// What a new connection goes by, whose secrets are told to `secrets`.
    pub(super) fn config_with(&self, secrets: &Arc<HandshakeSecrets>) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.key_log = Arc::clone(secrets) as _;
        Arc::new(config)
    }

    pub(super) fn tickets(&self) -> TicketWish {
        self.tickets
    }

    pub(super) fn terms(&self) -> NegotiationTerms {
        NegotiationTerms {
            keeping: TlsKeeping::Keys,
            clients: ClientCertificates::NotAsked,
        }
    }
}

/// Names of servers whose tickets are kept. A program that is a terminal knows one or two.
const SERVERS_MAX: usize = 32;

/// Takes any certificate, from whoever has its key.
#[derive(Debug)]
pub struct AnyServer(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
