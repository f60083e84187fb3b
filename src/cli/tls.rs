//! TLS between a command and the gateway: whose certificates are taken, and why there is none, in words. Sends no request.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::protocol::transport::tls::client::AnyServer;
use crate::services::trust::Trust;

/// Takes what the certificates of a file vouch for, or else those that the system trusts.
///
/// # Errors
/// Says what is wrong with the file.
pub(super) fn config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
    Ok(Trust::read(ca_file)?.config().clone())
}

/// Takes any certificate from now on.
pub(super) fn take_any(config: &mut ClientConfig) {
    let any = AnyServer(Arc::new(default_provider()));
    config.dangerous().set_certificate_verifier(Arc::new(any));
}

/// Makes a connection to a host one by TLS. Its certificate must be for that host, by those that the system trusts; within this host,
/// where nobody listens in and no certificate has the name, any will do.
///
/// # Errors
/// If the other end does not speak TLS, or is not vouched for.
pub(super) async fn secured(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut config = config(None)?;
    if is_within_a_host(stream.peer_addr()?.ip(), stream.local_addr()?.ip()) {
        take_any(&mut config);
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether both ends are one host: by loopback, or by an address of its own.
fn is_within_a_host(peer: IpAddr, own: IpAddr) -> bool {
    peer.is_loopback() || peer == own
}

/// What would do, by what is wrong.
pub(super) struct TlsAdvice {
    /// It does not speak TLS.
    pub(super) plain: &'static str,
    /// Nobody who is trusted has signed its certificate.
    pub(super) untrusted: &'static str,
}

/// Why there is no TLS, and what would do.
pub(super) fn fault_of_tls(error: &io::Error, advice: &TlsAdvice) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(fault)) => fault_of_certificate(fault, advice),
        // A gateway's plain listener answers a hello by this alert, and no server has another reason for it at that point.
        Some(Error::InvalidMessage(_) | Error::AlertReceived(AlertDescription::UnexpectedMessage)) => {
            format!("it does not speak TLS: {}", advice.plain)
        }
        Some(Error::AlertReceived(alert)) => format!("it takes no TLS of ours: it says {alert:?}"),
        Some(other) => format!("there is no TLS with it: {other}"),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            "it ended the connection where it was to speak TLS".to_owned()
        }
        None => error.to_string(),
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "rustls may add kinds, and has a text for each"
)]
fn fault_of_certificate(fault: &CertificateError, advice: &TlsAdvice) -> String {
    use CertificateError as Fault;
    match fault {
        // The latter: somebody of the same name as one who is trusted.
        Fault::UnknownIssuer | Fault::BadSignature => {
            let untrusted = advice.untrusted;
            format!("nobody who is trusted here has signed its certificate: {untrusted}")
        }
        Fault::NotValidForName => {
            "its certificate is for another name: connect by a name that it has".to_owned()
        }
        Fault::NotValidForNameContext { expected, presented } => {
            let presented = presented.join(", ");
            let expected = expected.to_str();
            format!(
                "its certificate is not for {expected} but for {presented}: connect by a name that it has"
            )
        }
        Fault::Expired | Fault::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => {
            "its certificate is not valid yet: is this host's clock right?".to_owned()
        }
        other => format!("its certificate cannot be taken: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_an_address_of_the_own_host_stays_there() {
        let check = |peer: &str, own: &str, expected: bool| {
            let [peer, own] = [peer, own].map(|address| address.parse().unwrap());
            assert_eq!(is_within_a_host(peer, own), expected, "{peer} from {own}");
        };
        check("127.0.0.1", "127.0.0.1", true);
        check("::1", "::1", true);
        check("192.0.2.7", "192.0.2.7", true);
        check("2001:db8::7", "2001:db8::7", true);
        check("192.0.2.7", "192.0.2.8", false);
    }
}
