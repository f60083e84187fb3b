//! The gateway's certificates by the configuration: whether they can be used, and what listeners with TLS go by. Reads no
//! files: the configuration did.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::time_provider::DefaultTimeProvider;

use super::config::{CertificateFiles, Config, Problem, TerminalTls};
use super::privacy::open_to_everyone;
use crate::base::time::Timestamp;
use crate::protocol::transport::tls::certificates::{
    CertificateFacts, CertificatePem, CertificateProblem, Certificates,
};
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerProblem, TlsServerSettings};
use crate::protocol::transport::tls::tickets::TicketSecret;
use crate::services::http::{HttpTls, ListenerCertificate};

/// What listeners with TLS go by.
#[derive(Debug, Clone)]
pub struct TlsTerms {
    /// Those of terminals; `None` without certificates.
    pub server: Option<TlsServer>,
    /// Those of HTTP, and what is known of all certificates.
    pub http: HttpTls,
}

impl TlsTerms {
    /// Of certificates that are all good at `now`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(config: &Config, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let (mut problems, mut known) = (Vec::new(), Vec::new());
        let mut read = |listener, files| match certificates(listener, files, now) {
            Ok(certificates) => {
                known.extend(known_of(listener, &certificates));
                (!files.is_empty()).then(|| Arc::new(certificates))
            }
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        let terminals = read("terminals", &config.terminals_tls.certificates);
        let backend = read("http", &config.http_certificates).map(https);
        let admin = read("admin", &config.admin_certificates).map(https);
        let web = read("web", &config.web_certificates).map(https);
        let http = HttpTls {
            backend,
            admin,
            web,
            certificates: known.into(),
        };
        let server = terminals.map(|certificates| server(&config.terminals_tls, certificates));
        match server.transpose() {
            Ok(server) if problems.is_empty() => Ok(Self { server, http }),
            server => {
                problems.extend(server.err());
                Err(problems)
            }
        }
    }

    /// Whether `before` and `next` have the same.
    #[must_use]
    pub fn are_the_same(before: &Config, next: &Config) -> bool {
        before.terminals_tls == next.terminals_tls && of_http(before) == of_http(next)
    }
}

/// The certificates of the HTTP listeners.
fn of_http(config: &Config) -> [&Vec<CertificateFiles>; 3] {
    [
        &config.http_certificates,
        &config.admin_certificates,
        &config.web_certificates,
    ]
}

fn certificates(
    listener: &str,
    files: &[CertificateFiles],
    now: Timestamp,
) -> Result<Certificates, Vec<Problem>> {
    let pems: Vec<_> = files.iter().map(pem).collect();
    Certificates::new(&pems, now).map_err(|_| {
        let alone = |(index, pem)| {
            let found = Certificates::new(&[pem], now).err()?.1;
            Some(problem(listener, index, &files[index], &found))
        };
        pems.into_iter().enumerate().filter_map(alone).collect()
    })
}

fn known_of(listener: &'static str, certificates: &Certificates) -> Vec<ListenerCertificate> {
    let of = |(index, facts): (usize, &CertificateFacts)| ListenerCertificate {
        listener,
        entry: index + 1,
        facts: facts.clone(),
    };
    certificates.facts().iter().enumerate().map(of).collect()
}

/// HTTP/1.1 over TLS 1.2 or 1.3, as backends, browsers and scrapers speak it.
fn https(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has ciphers for both versions");
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn pem(files: &CertificateFiles) -> CertificatePem<'_> {
    CertificatePem {
        chain: files.chain_pem.expose().as_bytes(),
        key: files.key_pem.expose().as_bytes(),
    }
}

fn problem(listener: &str, index: usize, files: &CertificateFiles, found: &CertificateProblem) -> Problem {
    let (field, path) = match found {
        CertificateProblem::KeyUnreadable(_)
        | CertificateProblem::KeyMissing
        | CertificateProblem::KeyDoesNotFit => ("key", &files.key),
        CertificateProblem::Unreadable(_)
        | CertificateProblem::Missing
        | CertificateProblem::Expired(_)
        | CertificateProblem::NotYetValid(_) => ("chain", &files.chain),
    };
    Problem {
        key: format!("{listener}.tls.certificates[{}].{field}", index + 1),
        found: format!("{}: {found}", path.display()),
        remedy: "name a certificate that is good now, and its own key".to_owned(),
    }
}

fn server(config: &TerminalTls, certificates: Arc<Certificates>) -> Result<TlsServer, Problem> {
    let secret = config
        .ticket_secret
        .as_ref()
        .map(|secret| TicketSecret::new(secret.expose().as_bytes()).expect("its setting has the same bound"));
    let settings = TlsServerSettings {
        certificates,
        version_min: config.version_min,
        tickets: match (config.tickets, secret) {
            (false, _) => TicketPolicy::Off,
            (true, None) => TicketPolicy::Own,
            (true, Some(secret)) => TicketPolicy::Shared(secret),
        },
        client_ca: config.client_ca.as_ref().map(|pem| pem.expose().as_bytes()),
        keeping: config.keeping,
        time: Arc::new(DefaultTimeProvider),
    };
    TlsServer::new(&settings).map_err(|found| {
        let (key, remedy) = match found {
            TlsServerProblem::ClientCa(_) => (
                "client_ca_file",
                "name a PEM file with the certificates of who signs terminals'",
            ),
            TlsServerProblem::Settings(_) => ("certificates", "look at the other settings of terminals.tls"),
        };
        Problem {
            key: format!("terminals.tls.{key}"),
            found: found.to_string(),
            remedy: remedy.to_owned(),
        }
    })
}

/// Says which private keys everyone on this host can read or change.
pub(super) fn warn_of_open_keys(config: &Config) {
    let terminals = config.terminals_tls.certificates.iter();
    for CertificateFiles { key, .. } in terminals.chain(of_http(config).into_iter().flatten()) {
        if let Some(mode) = open_to_everyone(key) {
            let (key, mode) = (key.display(), format!("{mode:o}"));
            tracing::warn!(%key, mode, "every user of this host can read or change the private key of a certificate");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Clock;
    use crate::node::config::Sources;
    use crate::node::tests::certificate::TestCertificate;

    fn terms(settings: &[String]) -> Result<TlsTerms, Vec<String>> {
        let sources = Sources {
            overrides: settings.to_vec(),
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap();
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        TlsTerms::new(&config, Clock::start().now().wall).map_err(told)
    }

    fn certificates_are(entries: &[(&TestCertificate, &TestCertificate)]) -> String {
        let entry = |(chain, key): &(&TestCertificate, &TestCertificate)| {
            format!("{{ chain = {:?}, key = {:?} }}", chain.chain(), key.key())
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        format!("terminals.tls.certificates=[{}]", entries.join(", "))
    }

    #[test]
    fn listeners_go_by_good_certificates() {
        let (one, two) = (
            TestCertificate::new(&["a.example"]),
            TestCertificate::new(&["*.b.example"]),
        );
        let good = certificates_are(&[(&one, &one), (&two, &two)]);
        let terms_of = |more: &str| terms(&[good.clone(), more.to_owned()]).unwrap();
        for more in [
            "terminals.tls.min_version=1.2",
            "terminals.tls.compact=false",
            "terminals.tls.ticket_secret=0123456789abcdef0123456789abcdef",
            &format!("terminals.tls.client_ca_file={}", one.chain().display()),
        ] {
            assert!(terms_of(more).server.is_some(), "{more}");
        }
        let known = terms_of("terminals.tls.tickets=false").http.certificates;
        let names: Vec<_> = known.iter().flat_map(|one| &one.facts.names).collect();
        assert_eq!(names, ["a.example", "*.b.example"]);
        let none = terms(&[]).unwrap();
        assert!(none.server.is_none() && none.http.certificates.is_empty());
    }

    #[test]
    fn every_bad_certificate_is_named_by_its_place() {
        let [good, expired, empty] = [(); 3].map(|()| TestCertificate::new(&["a.example"]));
        expired.renew(&["a.example"], 2020);
        std::fs::write(empty.chain(), "-----BEGIN NOTHING\n").unwrap();
        let bad = certificates_are(&[
            (&good, &good),
            (&good, &expired),
            (&expired, &expired),
            (&empty, &empty),
        ]);
        let problems = terms(&[bad]).unwrap_err();
        for (problem, (place, file, found)) in problems.iter().zip([
            ("[2].key", expired.key(), "the key does not fit the certificate"),
            ("[3].chain", expired.chain(), "it expired at 2020-01-01"),
            ("[4].chain", empty.chain(), ""),
        ]) {
            let expected = format!(
                "terminals.tls.certificates{place}: found {}: {found}",
                file.display()
            );
            assert!(problem.starts_with(&expected), "{problem}");
        }
        assert_eq!(problems.len(), 3, "{problems:#?}");
    }

    #[test]
    fn who_signs_the_certificates_of_terminals_must_have_some() {
        let (good, empty) = (
            TestCertificate::new(&["a.example"]),
            tempfile::NamedTempFile::new().unwrap(),
        );
        let ca_file = format!("terminals.tls.client_ca_file={}", empty.path().display());
        let problems = terms(&[certificates_are(&[(&good, &good)]), ca_file]).unwrap_err();
        assert!(
            problems[0].starts_with("terminals.tls.client_ca_file: found the certificates that"),
            "{problems:?}"
        );
    }
}
