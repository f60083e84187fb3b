//! What Holdfast is measured beside: a plain server on tokio's multi-thread runtime that speaks the same protocol, as lean
//! as one writes it with care. A task a connection that owns no buffer while it is idle, one `read` and one `write` a
//! packet, a DashMap of who is present. It checks the same UserSig; it has no policy, no registry and no timers.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dashmap::DashMap;
use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::logic::usersig::{Key, Verifier};
use holdfast::logic::wire::frame::{self, Next};
use holdfast::logic::wire::packet::{HEARTBEAT_ANSWER, Incoming, LOGOUT_ANSWER, encode, read};
use holdfast::logic::wire::proto::{self, response};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAME_BYTES_MAX: usize = 4_096;

struct Server {
    present: DashMap<UserId, u64>,
    app: (u64, Vec<Key>),
}

/// What a connection keeps: nothing on the heap while it is idle.
#[derive(Default)]
struct Connection {
    number: u64,
    user: Option<Box<UserId>>,
    partial: Vec<u8>,
}

thread_local! {
    static CHECKS: RefCell<(Verifier, Clock)> = RefCell::new((Verifier::default(), Clock::start()));
}

/// Arguments: where to listen, how many threads, the SDKAppID, and the secret.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, threads, sdk_app_id, secret] = arguments.as_slice() else {
        return Err("usage: holdfast-peer-tokio ADDRESS THREADS SDKAPPID SECRET".into());
    };
    let key = Key {
        secret: secret.clone(),
        not_after_s: None,
    };
    let server = Arc::new(Server {
        present: DashMap::new(),
        app: (sdk_app_id.parse()?, vec![key]),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.parse()?)
        .enable_all()
        .build()?;
    runtime.block_on(serve(address.parse()?, server))?;
    Ok(())
}

async fn serve(address: SocketAddr, server: Arc<Server>) -> std::io::Result<()> {
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
        tokio::spawn(converse(stream, connection, Arc::clone(&server)));
    }
}

async fn converse(mut stream: TcpStream, mut connection: Connection, server: Arc<Server>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
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
        stream: &mut TcpStream,
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

    fn take(&mut self, stream: &TcpStream, server: &Server, received: &[u8]) -> ControlFlow<()> {
        let mut whole = std::mem::take(&mut self.partial);
        let bytes = if whole.is_empty() {
            received
        } else {
            whole.extend_from_slice(received);
            &whole
        };
        let mut rest = bytes;
        loop {
            match frame::next(rest, FRAME_BYTES_MAX) {
                Next::Packet(packet, behind) => {
                    let Ok((incoming, _)) = read(packet) else {
                        return ControlFlow::Break(());
                    };
                    self.answer(stream, server, incoming)?;
                    rest = behind;
                }
                Next::Incomplete => break,
                Next::TooLarge | Next::Malformed => return ControlFlow::Break(()),
            }
        }
        if !rest.is_empty() {
            self.partial = rest.to_vec();
        }
        ControlFlow::Continue(())
    }

    fn answer(&mut self, stream: &TcpStream, server: &Server, incoming: Incoming) -> ControlFlow<()> {
        match incoming {
            Incoming::Heartbeat if self.user.is_some() => send(stream, HEARTBEAT_ANSWER),
            Incoming::Login(login) => self.log_in(stream, server, &login),
            Incoming::Logout => {
                send(stream, LOGOUT_ANSWER)?;
                ControlFlow::Break(())
            }
            Incoming::Heartbeat | Incoming::Background(_) | Incoming::Unknown => ControlFlow::Break(()),
        }
    }

    fn log_in(&mut self, stream: &TcpStream, server: &Server, login: &proto::Login) -> ControlFlow<()> {
        let Ok(user) = UserId::new(login.user_id.as_bytes()) else {
            return ControlFlow::Break(());
        };
        let now = CHECKS.with_borrow_mut(|(verifier, clock)| {
            let now = clock.now();
            let app = (server.app.0, &*server.app.1);
            let claims = verifier.verify(now.signing, app, &user, &login.user_sig);
            claims.ok().map(|_| now)
        });
        let Some(now) = now else {
            return ControlFlow::Break(());
        };
        server.present.insert(user, self.number);
        self.user = Some(Box::new(user));
        let answer = proto::LoginAnswer {
            verdict: Some(proto::Verdict::of(proto::Code::Ok)),
            protocol: 1,
            session: 1,
            heartbeat_interval_ms: 120_000,
            heartbeat_timeout_ms: 400_000,
            server_time_ms: now.wall.0,
            ..Default::default()
        };
        let packet = Some(response::Packet::LoginAnswer(answer));
        send(stream, &encode(&proto::Response { packet }))
    }
}

/// An answer fits into any socket whose terminal reads; who does not is closed.
fn send(stream: &TcpStream, bytes: &[u8]) -> ControlFlow<()> {
    match stream.try_write(bytes) {
        Ok(count) if count == bytes.len() => ControlFlow::Continue(()),
        Ok(_) | Err(_) => ControlFlow::Break(()),
    }
}
