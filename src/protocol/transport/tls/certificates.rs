//! The gateway's certificates, and which of them a client gets: by the name that it asks for. Reads no files, and asks for no
//! time.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::base::time::Timestamp;

/// A certificate with those that lead to a root behind it, and its key, as their files have them.
#[derive(Clone, Copy)]
pub struct CertificatePem<'a> {
    /// One or more certificates in PEM, the gateway's own first.
    pub chain: &'a [u8],
    /// Its private key in PEM: PKCS #8, PKCS #1 or SEC 1, without a passphrase.
    pub key: &'a [u8],
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// The chain is no PEM.
    #[error("the chain cannot be read: {0}")]
    Unreadable(String),
    /// There is no certificate in the chain.
    #[error("there is no certificate in the chain")]
    Missing,
    /// The key is no PEM, or of a kind that is not supported.
    #[error("the key cannot be read: {0}")]
    KeyUnreadable(String),
    /// There is no private key, or it has a passphrase.
    #[error("there is no private key without a passphrase")]
    KeyMissing,
    /// The key is another certificate's.
    #[error("the key does not fit the certificate")]
    KeyDoesNotFit,
    /// It was good until some time ago.
    #[error("it expired at {}", .0.rfc3339())]
    Expired(Timestamp),
    /// It will be good.
    #[error("it is not valid before {}", .0.rfc3339())]
    NotYetValid(Timestamp),
}

/// What an operator is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names of hosts that it is for, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// Until when it is good.
    pub not_after: Timestamp,
}

/// Certificates, of which each client gets one.
#[derive(Debug)]
pub struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    facts: Vec<CertificateFacts>,
    by_name: HashMap<String, usize>,
}

impl Certificates {
    /// Of files that are good at `now`. The first one is for clients that name no host, or one that none is for.
    ///
    /// # Errors
    /// The place of one that cannot be used, and why.
    pub fn new(pems: &[CertificatePem<'_>], now: Timestamp) -> Result<Self, (usize, CertificateProblem)> {
        let mut all = Self {
            keys: Vec::new(),
            facts: Vec::new(),
            by_name: HashMap::new(),
        };
        for (place, pem) in pems.iter().enumerate() {
            let (key, facts) = read(pem, now).map_err(|problem| (place, problem))?;
            for name in &facts.names {
                all.by_name.entry(name.clone()).or_insert(place);
            }
            all.keys.push(Arc::new(key));
            all.facts.push(facts);
        }
        Ok(all)
    }

    /// What is known of each, in their order.
    #[must_use]
    pub fn facts(&self) -> &[CertificateFacts] {
        &self.facts
    }

    /// The one for a host.
    fn named(&self, host: &str) -> Option<usize> {
        let host = host.to_ascii_lowercase();
        let wildcard = || {
            let (_, domain) = host.split_once('.')?;
            self.by_name.get(&format!("*.{domain}"))
        };
        self.by_name.get(&host).or_else(wildcard).copied()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let place = hello.server_name().and_then(|host| self.named(host));
        self.keys.get(place.unwrap_or_default()).cloned()
    }
}

fn read(
    pem: &CertificatePem<'_>,
    now: Timestamp,
) -> Result<(CertifiedKey, CertificateFacts), CertificateProblem> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.chain)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateProblem::Unreadable(error.to_string()))?;
    let own = chain.first().ok_or(CertificateProblem::Missing)?;
    let facts = facts(own, now)?;
    let key = PrivateKeyDer::from_pem_slice(pem.key).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            CertificateProblem::KeyMissing
        } else {
            CertificateProblem::KeyUnreadable(error.to_string())
        }
    })?;
    let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            CertificateProblem::KeyDoesNotFit
        } else {
            CertificateProblem::KeyUnreadable(error.to_string())
        }
    })?;
    Ok((key, facts))
}

fn facts(der: &CertificateDer<'_>, now: Timestamp) -> Result<CertificateFacts, CertificateProblem> {
    let unreadable = |error: &dyn std::fmt::Display| CertificateProblem::Unreadable(error.to_string());
    let (_, certificate) = parse_x509_certificate(der).map_err(|error| unreadable(&error))?;
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp(
            u64::try_from(time.timestamp())
                .unwrap_or_default()
                .saturating_mul(1_000),
        )
    };
    let validity = certificate.validity();
    let (not_before, not_after) = (at(validity.not_before), at(validity.not_after));
    if not_after < now {
        return Err(CertificateProblem::Expired(not_after));
    }
    if not_before > now {
        return Err(CertificateProblem::NotYetValid(not_before));
    }
    let alternatives = certificate
        .subject_alternative_name()
        .map_err(|error| unreadable(&error))?;
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else {
            return None;
        };
        Some(name.to_ascii_lowercase())
    });
    Ok(CertificateFacts {
        names: names.collect(),
        not_after,
    })
}
