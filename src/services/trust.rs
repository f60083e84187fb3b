//! Whose certificates vouch for the other end. Connects nowhere.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Whose certificates vouch for the other end: read once, so that what was checked is what counts.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the certificates of a file, or else those that the system trusts.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn read(ca_file: Option<&Path>) -> io::Result<Self> {
        tls(ca_file).map(Arc::new).map(Self)
    }

    /// As a TLS client takes it.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.0
    }
}

fn tls(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let explain =
                |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| explain(&error))? {
                let certificate = certificate.map_err(|error| explain(&error))?;
                roots.add(certificate).map_err(|error| explain(&error))?;
            }
            if roots.is_empty() {
                return Err(explain(&"there is no certificate in it"));
            }
        }
        None => {
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
