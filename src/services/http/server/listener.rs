//! The connections of one listener: accepting within limits, reading a request, writing its answer, ending what is silent, and the
//! graceful end. Knows no command.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use crate::services::http::limits::Limits;
use crate::services::http::server::peer::{HttpPeer, ListenerKind};
use crate::services::http::server::slots::{ConnectionSlot, ConnectionSlots};
use crate::services::http::server::stream::TimedStream;
use crate::services::http::settings::HttpSettings;

/// How long accepting pauses when the system has no descriptor for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is written and read of one connection at a time: a whole reply for 500 users, and a whole request head.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Ends when the server is to stop.
pub(crate) async fn stop_asked(mut stopped: watch::Receiver<Option<Duration>>) {
    // An error means that nobody is left to say it.
    let _ = stopped.wait_for(Option::is_some).await;
}

/// Whoever answers requests.
pub(crate) trait Answers: 'static {
    /// The answer to one of them.
    fn answer(
        &self,
        peer: &HttpPeer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Full<Bytes>>>;
}

/// Accepts the connections of one listener.
pub(crate) struct AcceptLoop<A> {
    pub(crate) answers: Rc<A>,
    pub(crate) settings: watch::Receiver<Arc<HttpSettings>>,
    pub(crate) listener: ListenerKind,
    pub(crate) slots: Rc<ConnectionSlots>,
    pub(crate) limits: Limits,
    pub(crate) graceful: Rc<GracefulShutdown>,
    pub(crate) stopped: watch::Receiver<Option<Duration>>,
}

impl<A: Answers> AcceptLoop<A> {
    /// Accepts until `stopped` says so.
    pub(crate) async fn run(self, listener: TcpListener) {
        tokio::select! {
            () = self.accept_for_ever(listener) => {}
            () = stop_asked(self.stopped.clone()) => {}
        }
    }

    async fn accept_for_ever(&self, listener: TcpListener) {
        let mut was_refused = false;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    was_refused = false;
                    let slot = self.slots.enter(from.ip()).await;
                    self.begin(stream, from, slot);
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    // Told once: it may go on for long.
                    if !std::mem::replace(&mut was_refused, true) {
                        let listener = self.listener.name();
                        tracing::warn!(%error, listener, "cannot accept an HTTP connection");
                    }
                    self.slots.accept_failed();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, from: SocketAddr, slot: ConnectionSlot) {
        let limits = self.limits;
        // Without it a reply waits for the acknowledgement of the last one; worth nothing if it cannot be set.
        let _ = stream.set_nodelay(true);
        let peer = Rc::new(HttpPeer {
            listener: self.listener,
            address: from.ip().to_canonical(),
            reached: stream
                .local_addr()
                .ok()
                .map(|address| address.ip().to_canonical()),
            slot: Rc::new(slot),
            stream: Rc::new(stream),
        });
        let (slot, stream) = (Rc::clone(&peer.slot), Rc::clone(&peer.stream));
        let answers = Rc::clone(&self.answers);
        let service = service_fn(move |request| {
            let (answers, peer) = (Rc::clone(&answers), Rc::clone(&peer));
            async move {
                peer.slot.asked();
                let answer = answers.answer(&peer, request).await;
                peer.slot.answered();
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TimedStream::new(stream, Rc::clone(&slot), limits.write_stall_max);
        let http = http(limits);
        match self.tls() {
            None => {
                let connection = http.serve_connection(TokioIo::new(stream), service);
                spawn_local(live(self.graceful.watch(connection), slot));
            }
            Some(tls) => {
                let (graceful, stopped) = (self.graceful.watcher(), self.stopped.clone());
                let connection = async move {
                    let stream = tokio::select! {
                        accepted = TlsAcceptor::from(tls).accept(stream) => accepted.ok()?,
                        // Nothing was asked yet.
                        () = stop_asked(stopped) => return None,
                    };
                    let connection = http.serve_connection(TokioIo::new(stream), service);
                    graceful.watch(connection).await.ok()
                };
                spawn_local(live(connection, slot));
            }
        }
    }

    /// What TLS of a new connection goes by.
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        let settings = self.settings.borrow();
        match self.listener {
            ListenerKind::Backend => settings.tls.backend.clone(),
            ListenerKind::Admin => settings.tls.admin.clone(),
            ListenerKind::Web => settings.tls.web.clone(),
        }
    }
}

fn http(limits: Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The slot keeps the time, which depends on what is known of the peer.
    http.header_read_timeout(None)
        // A client that has said all may close its half, and still waits for its answer.
        .half_close(true)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(BUFFER_BYTES_MAX);
    http
}

/// Whether accepting failed for one connection alone, which is gone.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// A connection until its end, which comes from the peer, from its silence, or because it gives way to another.
async fn live(connection: impl Future, slot: Rc<ConnectionSlot>) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(tokio::time::sleep(slot.phase_max().unwrap_or_default()));
    let mut step = slot.step();
    poll_fn(|context| {
        // The peer's faults end here, and are nobody else's business.
        if connection.as_mut().poll(context).is_ready() || slot.poll_leaving(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(phase_max) = slot.phase_max() else {
            return Poll::Pending;
        };
        if std::mem::replace(&mut step, slot.step()) != slot.step() {
            alarm.set(tokio::time::sleep(phase_max));
        }
        alarm.as_mut().poll(context)
    })
    .await;
}
