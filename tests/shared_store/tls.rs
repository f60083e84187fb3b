//! Connections that are encrypted: whom the client trusts, and how it proves itself.

use std::path::{Path, PathBuf};

use super::base::ids::PartitionId;
use super::servers::{PARTITIONS, RedisServer, free_port};
use super::shared_store::calls::SharedStore;
use super::shared_store::client::RedisStore;
use super::shared_store::outcome::{Outcome, Refusal, SharedStoreError};
use super::shared_store::settings::{CopiesMissing, RedisSettings, TypedRedis};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate and its key.
fn issue(folder: &TempDir, name: &str, host: &str, issuer: &Issuer) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    let certificate = params.signed_by(&key, issuer).unwrap();
    let path = |kind: &str| folder.path().join(format!("{name}.{kind}"));
    std::fs::write(path("pem"), certificate.pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    (path("pem"), path("key"))
}

fn look(url: &str, ca: Option<&Path>, identity: Option<&(PathBuf, PathBuf)>) -> Outcome<()> {
    let urls = [url.to_owned()];
    let typed = TypedRedis {
        urls: &urls,
        user: None,
        password: None,
        ca,
        identity: identity.map(|(chain, key)| (chain.as_path(), key.as_path())),
        copies: 0,
        copies_missing: CopiesMissing::Wait,
    };
    let settings = RedisSettings::read(&typed).unwrap();
    RedisStore::new(settings, "test", PARTITIONS)
        .look(PartitionId(0))
        .map(|_| ())
}

#[test]
fn both_ends_prove_themselves() {
    let folder = TempDir::new().unwrap();
    let (ours, other) = (authority("ours"), authority("another"));
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).unwrap();
    let other_ca = folder.path().join("other.pem");
    std::fs::write(&other_ca, other.pem()).unwrap();
    let (chain, key) = issue(&folder, "server", "localhost", &ours);
    let client = issue(&folder, "client", "client", &ours);
    let port = free_port();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let server = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text(&chain),
        "--tls-key-file",
        &text(&key),
        "--tls-ca-cert-file",
        &text(&ca),
    ]);
    let url = format!("rediss://localhost:{port}");
    let refused = |outcome: Outcome<()>, what: &str| match outcome {
        Err(
            SharedStoreError::NotExecuted {
                why: Refusal::Unreachable,
                ..
            }
            | SharedStoreError::Unknown(_),
        ) => {}
        other => panic!("{what}: {other:?}"),
    };
    assert_eq!(look(&url, Some(&ca), Some(&client)), Ok(()));
    refused(look(&url, Some(&ca), None), "no certificate of its own");
    refused(look(&url, Some(&other_ca), Some(&client)), "another authority");
    refused(look(&url, None, Some(&client)), "the system's authorities");
    refused(
        look(&url.replace("localhost", "127.0.0.1"), Some(&ca), Some(&client)),
        "another name",
    );
    refused(look(&format!("redis://localhost:{port}"), None, None), "no TLS");
    drop(server);
}
