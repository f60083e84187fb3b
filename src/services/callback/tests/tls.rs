//! Receivers over TLS.

use super::*;

/// A server's settings with a certificate of its own, and the certificate as a file.
fn certificate(folder: &Path) -> (Arc<rustls::ServerConfig>, PathBuf) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = folder.join("receiver.pem");
    std::fs::write(&path, own.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), path)
}

#[test]
fn callbacks_go_over_tls_to_a_receiver_that_is_vouched_for() {
    let folder = TempDir::new().unwrap();
    let (config, ca_file) = certificate(folder.path());
    let receiver = Receiver::start_tls(config);
    let url = receiver.url().replace("http:", "https:");
    let mut store = store(&folder.path().join("store"));
    let service = start(&store, settings(url.clone()));
    record(&mut store, 1, 1..=2);
    let handle = service.handle();
    let failed = || handle.metrics().failed.load(Ordering::Relaxed);
    while failed() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(receiver.told().is_empty(), "nobody vouches for it");
    let trusting = CallbackSettings {
        trust: Trust::read(Some(&ca_file)).unwrap(),
        ..settings(url)
    };
    handle.update(trusting, Receipt::none());
    let told = receiver.wait_for(|told| has_all(told, 1, 2));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_file_without_a_certificate_vouches_for_nobody() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "not a certificate\n"] {
        std::fs::write(file.path(), text).unwrap();
        let refused = Trust::read(Some(file.path())).unwrap_err().to_string();
        assert!(refused.ends_with("there is no certificate in it"), "{refused}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let missing = Trust::read(Some(&folder.path().join("nobody.pem"))).unwrap_err();
    assert!(missing.to_string().contains("nobody.pem"), "{missing}");
}
