//! A certificate of this run's own, for the servers that it starts, and what terminals go by that trust it. One of ECDSA with the
//! curve P-256, as most have.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, anyhow};
use holdfast::protocol::transport::tls::client::{ServerTrust, TlsClient};
use holdfast::protocol::transport::tls::negotiation::TicketWish;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::generator::transport::HOST;

/// A client has room for 8 tickets of a server, and a ticket is good for one handshake.
const CLIENTS: usize = 64;

/// A certificate that has signed itself, and its key, in PEM.
pub(crate) struct OwnCertificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Its files.
pub(crate) struct PemFiles {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl OwnCertificate {
    /// That of this run.
    pub(crate) fn get() -> anyhow::Result<&'static Self> {
        static OWN: LazyLock<Result<OwnCertificate, rcgen::Error>> = LazyLock::new(|| {
            let signed = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
            Ok(OwnCertificate {
                chain: signed.cert.pem(),
                key: signed.signing_key.serialize_pem(),
            })
        });
        let own = OWN.as_ref();
        own.map_err(|error| anyhow!("no certificate can be made: {error}"))
    }

    /// Writes it into a folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PemFiles> {
        let files = PemFiles {
            chain: folder.join("chain.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.chain, &self.chain).context("the certificate cannot be written")?;
        std::fs::write(&files.key, &self.key).context("its key cannot be written")?;
        Ok(files)
    }

    fn trusted(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.chain.as_bytes())?)?;
        Ok(roots)
    }
}

/// Whose certificates terminals take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// That of this run.
    Own,
    /// Any: the gateway was there before.
    Any,
}

/// What terminals go by.
pub(crate) fn clients(trusted: Trusted, tickets: TicketWish) -> anyhow::Result<Vec<TlsClient>> {
    let trust = match trusted {
        Trusted::Own => ServerTrust::Roots(OwnCertificate::get()?.trusted()?),
        Trusted::Any => ServerTrust::Any,
    };
    let count = match tickets {
        TicketWish::None => 1,
        TicketWish::One => CLIENTS,
    };
    let client = || TlsClient::new(trust.clone(), tickets).context("rustls takes no such client");
    (0..count).map(|_| client()).collect()
}
