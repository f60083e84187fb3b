//! Certificates of a running gateway: shown, renewed, refused, and told of; and its commands over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;

use holdfast::protocol::native::HEARTBEAT;
use holdfast::protocol::native::proto::{Platform, request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::gateway;
use crate::support::certificate::TestCertificate;
use crate::support::exposition;
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{frame, login};

/// A terminal that takes this certificate alone.
struct SecuredTerminal(StreamOwned<ClientConnection, TcpStream>);

impl SecuredTerminal {
    fn connect(address: SocketAddr, host: &str, trusted: &CertificateDer<'static>) -> Self {
        Self::connect_as(address, host, trusted, None)
    }

    /// The same with a certificate of its own.
    fn connect_as(
        address: SocketAddr,
        host: &str,
        trusted: &CertificateDer<'static>,
        own: Option<&TestCertificate>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_file(own.chain()).unwrap()];
                let key = PrivateKeyDer::from_pem_file(own.key()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        Self(StreamOwned::new(client, TcpStream::connect(address).unwrap()))
    }

    /// Whether the gateway answers these bytes.
    fn is_answered(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok() && self.0.read(&mut [0; 1_024]).is_ok_and(|count| count > 0)
    }

    fn logs_in(&mut self, user: &str) -> bool {
        self.is_answered(&frame(request::Packet::Login(login(user, Platform::Web, 1))))
    }
}

/// A gateway with a listener by TLS, and where that is. The listener has `more`.
fn with_tls(certificate: &TestCertificate, more: &str, settings: &[(&str, &str)]) -> (Gateway, SocketAddr) {
    let [secured, ..] = free_addresses();
    let listener = format!("[{{address=\"{secured}\", tls=true{more}}}]");
    let certificates = certificate.setting();
    let own = [
        ("terminals.listener", &*listener),
        ("terminals.tls.certificates", &*certificates),
    ];
    (gateway(&[&own, settings].concat()), secured)
}

#[test]
fn a_web_page_logs_in_by_tls() {
    let certificate = TestCertificate::new(&["a.example"]);
    let shown = certificate.der();
    let (gateway, secured) = with_tls(
        &certificate,
        ", transport=\"websocket\"",
        &[("shards.count", "4")],
    );
    let mut pages = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        let secured = SecuredTerminal::connect(secured, "a.example", &shown).0;
        let (mut page, _) = tungstenite::client("wss://a.example/", secured).unwrap();
        let login = frame(request::Packet::Login(login(user, Platform::Web, 1)));
        for packet in [&*login, HEARTBEAT] {
            page.send(tungstenite::Message::binary(packet.to_vec())).unwrap();
            assert!(page.read().unwrap().is_binary());
        }
        let protocol = page.get_ref().conn.alpn_protocol();
        assert_eq!(protocol, Some(&b"http/1.1"[..]), "what a WebSocket begins with");
        pages.push(page);
    }
    let (_, text) = Http::default().get(gateway.admin, "/metrics");
    let live = "holdfast_connections_live_now{class=\"web\",transport=\"websocket-tls\"} 4";
    assert!(text.lines().any(|line| line == live), "{text}");
    assert!(gateway.stop());
}

#[test]
fn a_terminal_needs_a_certificate_where_the_configuration_says_so() {
    let (certificate, known) = (
        TestCertificate::new(&["a.example"]),
        TestCertificate::new(&["phone"]),
    );
    let shown = certificate.der();
    let ca_file = format!("{:?}", known.chain());
    let (gateway, secured) = with_tls(&certificate, "", &[("terminals.tls.client_ca_file", &ca_file)]);
    let stranger = TestCertificate::new(&["phone"]);
    for (own, expected) in [(None, false), (Some(&stranger), false), (Some(&known), true)] {
        let mut terminal = SecuredTerminal::connect_as(secured, "a.example", &shown, own);
        assert_eq!(terminal.logs_in("alice"), expected);
    }
    assert!(gateway.stop());
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_a_bad_one_changes_nothing() {
    let certificate = TestCertificate::new(&["a.example"]);
    let first = certificate.der();
    let (gateway, secured) = with_tls(&certificate, "", &[]);
    let http = Http::default();
    let mut open = SecuredTerminal::connect(secured, "a.example", &first);
    assert!(open.logs_in("alice"));

    certificate.renew(&["b.example"], 2100);
    let second = certificate.der();
    let (status, answer) = http.post(gateway.admin, "/v1/reload", &json!({}));
    assert_eq!(
        (status, &answer["changes"][0]["setting"]),
        (200, &json!("terminals.tls.certificates")),
        "{answer}"
    );
    assert!(open.is_answered(HEARTBEAT), "open connections go on");
    assert!(SecuredTerminal::connect(secured, "b.example", &second).logs_in("bob"));
    assert!(!SecuredTerminal::connect(secured, "a.example", &first).logs_in("carol"));

    certificate.renew(&["c.example"], 2020);
    let (status, answer) = http.post(gateway.admin, "/v1/reload", &json!({}));
    let problem = answer["problems"][0].as_str().unwrap();
    assert!(
        status == 422 && problem.starts_with("terminals.tls.certificates[1].chain: found "),
        "{answer}"
    );
    assert!(problem.contains("it expired at 2020-01-01"), "{problem}");
    assert!(SecuredTerminal::connect(secured, "b.example", &second).logs_in("dave"));
    assert!(open.is_answered(HEARTBEAT));

    let (_, text) = http.get(gateway.admin, "/metrics");
    let families = exposition::read(&text).unwrap();
    let samples = &families["holdfast_tls_certificate_expires_seconds"].samples;
    let labels = samples.iter().map(|(_, labels, _)| labels["name"].clone());
    assert_eq!(labels.collect::<Vec<_>>(), ["b.example"]);
    assert!(gateway.stop());
}

fn holdfast(settings: &[&str], command: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for setting in settings {
        program.args(["--set", setting]);
    }
    program.args(command).output().unwrap()
}

#[test]
fn a_gateway_with_a_bad_certificate_does_not_start_and_check_says_why() {
    let certificate = TestCertificate::new(&["a.example", "*.b.example"]);
    let setting = format!("terminals.tls.certificates={}", certificate.setting());
    let said = String::from_utf8(holdfast(&[&setting], &["check"]).stdout).unwrap();
    let good =
        "ok       certificates: terminals.tls.certificates[1]: for a.example, *.b.example, until 2100-01-01T";
    assert!(said.contains(good), "{said}");

    certificate.renew(&["a.example"], 2020);
    let said = holdfast(&[&setting], &["check"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text.contains("PROBLEM  certificates: terminals.tls.certificates[1].chain: found "),
        "{text}"
    );
    let started = holdfast(&[&setting], &[]);
    let text = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(2), "{text}");
    assert!(
        text.contains("terminals.tls.certificates[1].chain: found ") && text.contains("expired"),
        "{text}"
    );
}

#[test]
fn commands_speak_https_where_the_gateway_does() {
    let certificate = TestCertificate::new(&["gateway.example"]);
    let tls = ["http.tls.certificates", "admin.tls.certificates"].map(|key| (key, certificate.setting()));
    let settings: Vec<_> = tls.iter().map(|(key, value)| (*key, &**value)).collect();
    let gateway = gateway(&settings);
    let mut own: Vec<_> = tls.iter().map(|(key, value)| format!("{key}={value}")).collect();
    own.push(format!("http.listen=[\"{}\"]", gateway.http));
    own.push(format!("admin.listen=[\"{}\"]", gateway.admin));
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    for command in [
        &["status", "alice", "--json"][..],
        &["top", "--once"],
        &["reload"],
    ] {
        let said = holdfast(&own, command);
        // Nobody has logged in, so that alice has no account.
        let expected = if command[0] == "status" { 1 } else { 0 };
        assert_eq!(said.status.code(), Some(expected), "{command:?}: {said:?}");
    }
    let plain: Vec<_> = own
        .iter()
        .copied()
        .filter(|setting| !setting.contains(".tls."))
        .collect();
    let said = holdfast(&plain, &["top", "--once"]);
    assert!(
        !said.status.success() && String::from_utf8_lossy(&said.stderr).contains("HTTP"),
        "{said:?}"
    );
    assert!(gateway.stop());
}
