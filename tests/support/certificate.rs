//! Certificates of a test's own, as files that a gateway reads.

use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

/// A certificate that signs itself, with its key, in two files. They are gone with it.
pub struct TestCertificate {
    folder: TempDir,
}

impl TestCertificate {
    /// One for these hosts, good for as long as anyone looks.
    pub fn new(hosts: &[&str]) -> Self {
        let new = Self {
            folder: TempDir::new().expect("a folder"),
        };
        new.renew(hosts, 2100);
        new
    }

    /// Puts another one into the files, which ends with the beginning of this year.
    pub fn renew(&self, hosts: &[&str], end_year: i32) {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(end_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("it signs itself");
        std::fs::write(self.chain(), own.pem()).expect("a file");
        std::fs::write(self.key(), key.serialize_pem()).expect("a file");
    }

    /// As a client sees it.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.chain()).expect("a certificate")
    }

    /// The file of the certificate.
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// The file of its key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// What `terminals.tls.certificates` says of it.
    pub fn setting(&self) -> String {
        format!("[{{ chain = {:?}, key = {:?} }}]", self.chain(), self.key())
    }
}
