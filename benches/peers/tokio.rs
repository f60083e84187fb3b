//! What Holdfast is measured beside: a plain server on tokio's multi-thread runtime that speaks the same protocol, as lean
//! as one writes it with care. A task a connection that owns no buffer while it is idle, one `read` and one `write` a
//! packet, a DashMap of who is present. It checks the same UserSig; it has no policy, no registry and no timers. With a
//! certificate it speaks TLS by tokio-rustls, as one does who gives it no thought.

mod protocol;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dashmap::DashMap;
use holdfast::base::ids::UserId;
use holdfast::protocol::packet::TerminalPacket;
use protocol::{App, Checker, Effect, FRAME_BYTES_MAX, Partial, Welcome, decide};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Server {
    present: DashMap<UserId, u64>,
    app: App,
}

/// What a connection keeps: nothing on the heap while it is idle.
#[derive(Default)]
struct Connection {
    number: u64,
    user: Option<Box<UserId>>,
    partial: Partial,
}

thread_local! {
    static CHECKER: RefCell<Checker> = RefCell::new(Checker::new());
}

/// Arguments: where to listen, how many threads, the SDKAppID, the secret, and, for TLS, files with a certificate and its key.
/// It ends with its parent.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plain, files) = arguments.split_at(arguments.len().min(4));
    let ([address, threads, sdk_app_id, secret], [] | [_, _]) = (plain, files) else {
        return Err("usage: holdfast-peer-tokio ADDRESS THREADS SDKAPPID SECRET [CHAIN KEY]".into());
    };
    let acceptor = match files {
        [chain, key] => Some(acceptor(chain, key)?),
        _ => None,
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let server = Arc::new(Server {
        present: DashMap::new(),
        app: App::new(sdk_app_id.parse()?, secret),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.parse()?)
        .enable_all()
        .build()?;
    runtime.block_on(serve(address.parse()?, acceptor, server))?;
    Ok(())
}

fn acceptor(chain: &str, key: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    // The cipher that the gateway prefers.
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..default_provider()
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    // Tickets that the server need not remember.
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    server: Arc<Server>,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(4_096)?;
    println!("the server on tokio is ready");
    let mut number = 0;
    loop {
        // One that is gone before it was accepted is no reason to end.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        number += 1;
        let connection = Connection {
            number,
            ..Connection::default()
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let server = Arc::clone(&server);
        match acceptor.clone() {
            None => tokio::spawn(converse(stream, connection, server)),
            Some(acceptor) => tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream, connection, server).await;
                }
            }),
        };
    }
}

async fn converse(mut stream: impl AnswerStream, mut connection: Connection, server: Arc<Server>) {
    while poll_fn(|context| connection.poll_take(context, &mut stream, &server))
        .await
        .is_continue()
    {}
    if let Some(user) = connection.user {
        server
            .present
            .remove_if(&user, |_, number| *number == connection.number);
    }
}

impl Connection {
    /// Waits for bytes and takes them. The buffer lives only within one poll. A read that does not fill it tells tokio
    /// that there is no more, so none is made in vain.
    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut impl AnswerStream,
        server: &Server,
    ) -> Poll<ControlFlow<()>> {
        let mut buffer = [const { MaybeUninit::uninit() }; FRAME_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
        Poll::Ready(match (read, buffer.filled()) {
            (Err(_), _) | (Ok(()), []) => ControlFlow::Break(()),
            (Ok(()), bytes) => self.take(stream, server, bytes),
        })
    }

    fn take(&mut self, stream: &mut impl AnswerStream, server: &Server, received: &[u8]) -> ControlFlow<()> {
        let mut partial = std::mem::take(&mut self.partial);
        let flow = partial.packets(received, |packet| self.answer(stream, server, packet));
        self.partial = partial;
        flow
    }

    fn answer(
        &mut self,
        stream: &mut impl AnswerStream,
        server: &Server,
        packet: TerminalPacket,
    ) -> ControlFlow<()> {
        match decide(self.user.as_deref(), packet) {
            Effect::Send(answer) => stream.send(answer),
            Effect::LogIn(login) => {
                let welcome = CHECKER.with_borrow_mut(|checker| checker.check(&server.app, &login));
                let Some(Welcome { user, answer }) = welcome else {
                    return ControlFlow::Break(());
                };
                server.present.insert(user, self.number);
                self.user = Some(Box::new(user));
                stream.send(&answer)
            }
            Effect::SendLast(answer) => {
                stream.send(answer)?;
                ControlFlow::Break(())
            }
            Effect::Close => ControlFlow::Break(()),
        }
    }
}

/// An answer fits into any socket whose terminal reads; who does not is closed.
trait AnswerStream: AsyncRead + Unpin {
    fn send(&mut self, bytes: &[u8]) -> ControlFlow<()>;
}

impl AnswerStream for TcpStream {
    fn send(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        match self.try_write(bytes) {
            Ok(count) if count == bytes.len() => ControlFlow::Continue(()),
            Ok(_) | Err(_) => ControlFlow::Break(()),
        }
    }
}

impl AnswerStream for TlsStream<TcpStream> {
    fn send(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let (stream, session) = self.get_mut();
        if session.writer().write_all(bytes).is_err() {
            return ControlFlow::Break(());
        }
        while session.wants_write() {
            if session.write_tls(&mut Attempt(stream)).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Writes what fits into a socket.
struct Attempt<'a>(&'a TcpStream);

impl Write for Attempt<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
