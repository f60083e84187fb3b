//! TLS between a command and an HTTP listener of the gateway. Sends no request.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::protocol::transport::tls::client::AnyServer;

/// Makes a connection to a host one by TLS. Its certificate must be for that host, by those that the system trusts; on loopback, where
/// nobody listens in and no certificate has the name, any will do.
///
/// # Errors
/// If the other end does not speak TLS, or is not vouched for.
pub(super) async fn secured(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = if stream.peer_addr()?.ip().is_loopback() {
        let any = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
        any.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
