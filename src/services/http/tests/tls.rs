//! Listeners that speak HTTPS.

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::history::library_of;
use super::*;

/// What a listener goes by, and the certificate that it shows.
fn certificate() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_no_client_auth();
    let config = builder.with_single_cert(vec![own.cert.der().clone()], key.into());
    (Arc::new(config.unwrap()), own.cert.der().clone())
}

fn with_admin_tls(tls: Arc<ServerConfig>) -> HttpSettings {
    let mut settings = settings();
    settings.tls.admin = Some(tls);
    settings
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A connection that takes this certificate alone.
fn connect(address: SocketAddr, trusted: &CertificateDer<'static>) -> Secured {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, TcpStream::connect(address).unwrap())
}

/// Asks on a connection that stays open. `None`: there was no answer.
fn healthy(stream: &mut Secured) -> Option<bool> {
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        answer.push(byte[0]);
    }
    Some(answer.starts_with(b"HTTP/1.1 200"))
}

#[test]
fn a_listener_with_a_certificate_speaks_https_alone() {
    let (tls, trusted) = certificate();
    let world = World::new(with_admin_tls(tls), shards);
    assert_eq!(healthy(&mut connect(world.admin, &trusted)), Some(true));
    let mut plain = TcpStream::connect(world.admin).unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // It may be reset behind the alert.
    let _ = plain.read_to_end(&mut answer);
    const ALERT: u8 = 21;
    assert!(answer.first().is_none_or(|first| *first == ALERT), "{answer:?}");
    assert_eq!(
        world.ask(QUERY, "{\"To_Account\":[\"off\"]}")["ErrorCode"],
        0,
        "the other is as it was"
    );
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let ((before, old), (after, new)) = (certificate(), certificate());
    let world = World::new(with_admin_tls(before), shards);
    let mut open = connect(world.admin, &old);
    assert_eq!(healthy(&mut open), Some(true));
    world.settings.send_replace(Arc::new(with_admin_tls(after)));
    assert_eq!(healthy(&mut connect(world.admin, &new)), Some(true));
    assert_eq!(healthy(&mut connect(world.admin, &old)), None);
    assert_eq!(healthy(&mut open), Some(true), "it goes on");
}

#[test]
fn a_handshake_that_does_not_come_takes_no_place_for_long() {
    let (tls, _) = certificate();
    let mut settings = with_admin_tls(tls);
    settings.limits.head_read_max = Duration::from_millis(50);
    let world = World::new(settings, shards);
    let mut silent = TcpStream::connect(world.admin).unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_stop_waits_for_no_handshake() {
    let long = Duration::from_secs(600);
    let (tls, trusted) = certificate();
    let mut settings = with_admin_tls(tls);
    settings.limits.head_read_max = long;
    let mut world = World::new(settings, shards);
    let _silent = TcpStream::connect(world.admin).unwrap();
    assert_eq!(
        healthy(&mut connect(world.admin, &trusted)),
        Some(true),
        "it was accepted behind the other"
    );
    world.server.take().unwrap().stop(long).unwrap();
}

#[test]
fn a_follower_that_says_goodbye_leaves_its_place() {
    let (tls, trusted) = certificate();
    let library = library_of(with_admin_tls(tls), None);
    let mut follower = connect(library.world.admin, &trusted);
    follower
        .write_all(b"GET /v1/changes?wait_s=55 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    // Without a word it would wait for as long as it had asked to.
    let patience = Some(Duration::from_secs(30));
    follower.sock.set_read_timeout(patience).unwrap();
    while library.reads() == 0 {
        std::thread::yield_now();
    }
    follower.conn.send_close_notify();
    follower.flush().unwrap();
    follower.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    follower.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}
