//! A terminal's wire, and at its other end a server of a few lines that says what it is told, and closes.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::cli::connect::route::RouteArguments;
use crate::cli::host_port::HostPort;
use crate::node::config::{Config, Sources};
use crate::protocol::transport::ending::CloseReason;
use crate::protocol::transport::other_protocol::TLS_ANSWER;
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::protocol::transport::websocket::frame::put_frame;
use crate::protocol::transport::websocket::layer::WebSocket;
use crate::protocol::transport::websocket::upgrade::{UpgradeContext, UpgradeRules};

/// A certificate that has signed itself: what a server has, and a file for `--ca`.
struct Signed {
    config: Arc<ServerConfig>,
    file: NamedTempFile,
}

/// For these names, until the end of a year.
fn signed(names: &[&str], until_year: i32) -> Signed {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, names[0].as_str());
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until_year, 12, 31);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.pem()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_no_client_auth();
    let config = config
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Signed {
        config: Arc::new(config),
        file,
    }
}

/// How a server speaks.
#[derive(Clone, Default)]
struct Speech {
    tls: Option<Arc<ServerConfig>>,
    /// The path of its WebSocket.
    path: Option<&'static str>,
    /// What it says first, whatever it is asked.
    greeting: &'static [u8],
}

/// Takes one connection, sends its first packet back, and closes in the same breath.
async fn serve(listener: &TcpListener, speech: Speech) -> Option<()> {
    let (stream, _) = listener.accept().await.ok()?;
    let mut stream: Box<dyn ByteStream> = match speech.tls {
        None => Box::new(stream),
        Some(config) => Box::new(TlsAcceptor::from(config).accept(stream).await.ok()?),
    };
    stream.write_all(speech.greeting).await.ok()?;
    let rules = UpgradeRules {
        path: speech.path.unwrap_or_default().to_owned(),
        origins: Vec::new(),
    };
    let context = UpgradeContext {
        rules: &rules,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_trusted: &|_| false,
    };
    let mut websocket = speech.path.map(|_| WebSocket::default());
    loop {
        let (mut bytes, mut came) = (Vec::new(), Unwrapped::default());
        stream
            .read_buf(&mut bytes)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        match &mut websocket {
            None => came.bytes = bytes,
            Some(websocket) => websocket.receive(&mut bytes, Some(context), &mut came),
        }
        let mut out = came.answer;
        if !came.bytes.is_empty() {
            match &websocket {
                None => out = came.bytes.clone(),
                Some(websocket) => {
                    put_frame(Opcode::Binary, &came.bytes, &mut out);
                    websocket.close(CloseReason::Normal, &mut out);
                }
            }
        }
        stream.write_all(&out).await.ok()?;
        stream.flush().await.ok()?;
        if came.end.is_some() || !came.bytes.is_empty() {
            return stream.shutdown().await.ok();
        }
    }
}

/// What comes back for a packet, or why there is no way.
async fn echo(speech: Speech, mut typed: RouteArguments) -> Result<Vec<u8>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    typed.address = Some(HostPort::of(listener.local_addr().unwrap()));
    let config = Config::read(&Sources::default()).unwrap();
    let route = GatewayRoute::of(&typed, &config).unwrap();
    let terminal = async {
        let stream = route
            .place
            .connect(std::time::Duration::from_secs(10))
            .await
            .unwrap();
        let mut wire = Wire::begin(stream, &route).await?;
        wire.send(b"a packet").await.map_err(|error| error.to_string())?;
        let mut packets = Vec::new();
        while wire.read(&mut packets).await.map_err(|error| error.to_string())? {}
        Ok(packets)
    };
    let (echoed, _) = tokio::join!(terminal, serve(&listener, speech));
    echoed
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

#[test]
fn a_packet_goes_and_comes_by_each_way() {
    let own = signed(&["127.0.0.1"], 2100);
    for (tls, websocket) in [(false, false), (true, false), (false, true), (true, true)] {
        let speech = Speech {
            tls: tls.then(|| Arc::clone(&own.config)),
            path: websocket.then_some("/"),
            ..Speech::default()
        };
        let typed = RouteArguments {
            tls,
            websocket,
            ca: tls.then(|| own.file.path().to_owned()),
            ..RouteArguments::default()
        };
        let echoed = on_a_runtime(echo(speech, typed));
        assert_eq!(
            echoed.as_deref(),
            Ok(&b"a packet"[..]),
            "TLS {tls}, WebSocket {websocket}"
        );
    }
}

/// What is told where the server speaks like this and these certificates are trusted.
fn check(speech: Speech, typed: RouteArguments, expected: &str) {
    let told = on_a_runtime(echo(speech, typed)).unwrap_err();
    assert!(told.contains(expected), "{told:?} and not {expected:?}");
}

#[test]
fn why_there_is_no_tls_is_told_in_words() {
    let trusting = |signed: &Signed| RouteArguments {
        tls: true,
        ca: Some(signed.file.path().to_owned()),
        ..RouteArguments::default()
    };
    let with = |signed: &Signed| Speech {
        tls: Some(Arc::clone(&signed.config)),
        ..Speech::default()
    };
    let (own, other) = (signed(&["127.0.0.1"], 2100), signed(&["gateway.example"], 2100));
    let expired = signed(&["127.0.0.1"], 2001);
    let namesake = signed(&["127.0.0.1"], 2100);
    for stranger in [&other, &namesake] {
        check(with(&own), trusting(stranger), "name who did with --ca FILE");
    }
    check(with(&other), trusting(&other), "is not for 127.0.0.1 but for ");
    check(with(&expired), trusting(&expired), "has expired");
    let plain = Speech {
        greeting: &[2, 18, 0, 0, 0, 0],
        ..Speech::default()
    };
    check(plain, trusting(&own), "does not speak TLS: leave --tls out");
    let gateway = Speech {
        greeting: TLS_ANSWER,
        ..Speech::default()
    };
    check(gateway, trusting(&own), "does not speak TLS: leave --tls out");
}

#[test]
fn whoever_takes_any_certificate_is_let_in() {
    let speech = Speech {
        tls: Some(signed(&["gateway.example"], 2001).config),
        ..Speech::default()
    };
    let typed = RouteArguments {
        tls: true,
        insecure: true,
        ..RouteArguments::default()
    };
    assert!(on_a_runtime(echo(speech, typed)).is_ok());
}

#[test]
fn why_there_is_no_websocket_is_told_in_words() {
    let typed = || RouteArguments {
        websocket: true,
        ..RouteArguments::default()
    };
    let elsewhere = Speech {
        path: Some("/gate"),
        ..Speech::default()
    };
    check(
        elsewhere,
        typed(),
        "404 Not Found: There is no WebSocket at this path.",
    );
    let alert = Speech {
        greeting: &[21, 3, 3, 0, 2, 2, 10],
        ..Speech::default()
    };
    check(alert, typed(), "it speaks TLS, as listeners for --tls do");
    let packets = Speech {
        greeting: &[2, 18, 0],
        ..Speech::default()
    };
    check(packets, typed(), "the answer is no HTTP");
}
