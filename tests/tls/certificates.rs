//! Which certificate a client gets, and what is said of one that cannot be used.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::world::*;
use crate::base::time::Timestamp;
use crate::protocol::transport::tls::certificates::{CertificatePem, CertificateProblem, Certificates};
use crate::protocol::transport::tls::client::AnyServer;
use crate::protocol::transport::tls::server::{TlsServer, TlsServerProblem, TlsServerSettings};

/// The certificate that a client gets that asks for a host.
fn given(server: &TlsServer, host: &str) -> CertificateDer<'static> {
    let mut config = client_config(&[]);
    let provider = Arc::clone(config.crypto_provider());
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(AnyServer(provider)));
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
    shake(&mut client, &mut Gateway::new(server.clone()));
    client.peer_certificates().unwrap()[0].clone()
}

#[test]
fn each_host_has_its_own() {
    let all = [
        signed(&["one.example", "also.example"]),
        signed(&["*.two.example", "two.example"]),
        signed(&["special.two.example", "one.example", "192.0.2.1"]),
    ];
    let all: Vec<&Signed> = all.iter().collect();
    let server = TlsServer::new(&TlsServerSettings {
        certificates: certificates(&all),
        ..settings()
    })
    .unwrap();
    let check = |host: &str, expected: usize| {
        let expected = CertificateDer::from_pem_slice(all[expected].chain.as_bytes()).unwrap();
        assert_eq!(given(&server, host), expected, "{host}");
    };
    check("one.example", 0);
    check("ALSO.Example", 0);
    check("two.example", 1);
    check("any.two.example", 1);
    check("special.two.example", 2);
    // A wildcard is for one label.
    check("a.b.two.example", 0);
    check("unknown.example", 0);
    // An address is no name.
    check("192.0.2.1", 0);
    let names = |place: usize| certificates(&all).facts()[place].names.clone();
    assert_eq!(names(1), ["*.two.example", "two.example"]);
    assert_eq!(names(2), ["special.two.example", "one.example"]);
}

/// A certificate that is good from one year to another.
fn dated(from: i32, to: i32) -> Signed {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().unwrap();
    Signed {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

const YEAR_2020: Timestamp = Timestamp(1_577_836_800_000);
const YEAR_2030: Timestamp = Timestamp(1_893_456_000_000);

fn problem(chain: &str, key: &str) -> CertificateProblem {
    let good = host_certificate();
    let pem = |chain: &'static str, key: &'static str| CertificatePem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let bad = CertificatePem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let (place, problem) = Certificates::new(&[pem(&good.chain, &good.key), bad], now()).unwrap_err();
    assert_eq!(place, 1);
    problem
}

#[test]
fn what_cannot_be_used_is_named() {
    let (good, other) = (host_certificate(), signed(&["other.example"]));
    assert_eq!(
        problem(&good.chain, &other.key),
        CertificateProblem::KeyDoesNotFit
    );
    assert_eq!(problem("", &good.key), CertificateProblem::Missing);
    assert_eq!(problem(&good.key, &good.key), CertificateProblem::Missing);
    assert_eq!(problem(&good.chain, ""), CertificateProblem::KeyMissing);
    assert_eq!(problem(&good.chain, &good.chain), CertificateProblem::KeyMissing);
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(problem(&good.chain, &encrypted), CertificateProblem::KeyMissing);
    let torn = |text: &str| text.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(matches!(
        problem(&torn(&good.chain), &good.key),
        CertificateProblem::Unreadable(_)
    ));
    assert!(matches!(
        problem(&good.chain, &torn(&good.key)),
        CertificateProblem::KeyUnreadable(_)
    ));
    let garbage = |kind: &str| format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n");
    assert!(matches!(
        problem(&garbage("CERTIFICATE"), &good.key),
        CertificateProblem::Unreadable(_)
    ));
    assert!(matches!(
        problem(&good.chain, &garbage("PRIVATE KEY")),
        CertificateProblem::KeyUnreadable(_)
    ));
    let old = dated(2019, 2020);
    let expired = problem(&old.chain, &old.key);
    assert_eq!(expired, CertificateProblem::Expired(YEAR_2020));
    let early = dated(2030, 2031);
    assert_eq!(
        problem(&early.chain, &early.key),
        CertificateProblem::NotYetValid(YEAR_2030)
    );
}

#[test]
fn their_expiry_is_told() {
    let dated = dated(2020, 2030);
    let pem = CertificatePem {
        chain: dated.chain.as_bytes(),
        key: dated.key.as_bytes(),
    };
    let at = |now: u64| Certificates::new(&[pem], Timestamp(now));
    assert_eq!(at(YEAR_2030.0).unwrap().facts()[0].not_after, YEAR_2030);
    assert_eq!(at(YEAR_2020.0).unwrap().facts()[0].not_after, YEAR_2030);
    assert!(at(YEAR_2030.0 + 1_000).is_err() && at(YEAR_2020.0 - 1_000).is_err());
}

#[test]
fn roots_for_clients_must_be_some() {
    let problem = |pem: &[u8]| {
        let settings = TlsServerSettings {
            client_ca: Some(pem),
            ..settings()
        };
        match TlsServer::new(&settings) {
            Err(TlsServerProblem::ClientCa(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(problem(b""), "there are none");
    problem(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    problem(b"-----BEGIN CERTIFICATE-----\n");
}
