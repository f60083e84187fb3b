//! Connections of the HTTP front: accepting within limits, reading a request, writing its answer, ending what is silent,
//! and the graceful end. Knows no command.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::peer::{Peer, Side};
use super::places::{Place, Places};
use super::stream::Patient;
use super::{Desk, Listeners, admin, openim};
use crate::logic::letter::ToFront;

/// How long accepting pauses when the system has no descriptor for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is written and read of one connection at a time: a whole reply for 500 users, and a whole request head.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Serves until `stopped` says so.
pub(super) async fn run(
    desk: Rc<Desk>,
    listeners: Listeners,
    mut letters: mpsc::Receiver<ToFront>,
    stopped: watch::Receiver<Option<Duration>>,
) -> io::Result<()> {
    let graceful = Rc::new(GracefulShutdown::new());
    let mut porches = Vec::new();
    let sides = [(Side::Backend, listeners.backend), (Side::Admin, listeners.admin)];
    for (side, listeners) in sides {
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let porch = Porch {
                desk: Rc::clone(&desk),
                side,
                graceful: Rc::clone(&graceful),
                stopped: stopped.clone(),
            };
            porches.push(spawn_local(porch.accept(TcpListener::from_std(listener)?)));
        }
    }
    tokio::select! {
        () = pump(&desk, &mut letters) => {}
        () = until(stopped.clone()) => {}
    }
    let stop_within = stopped.borrow().unwrap_or_default();
    // The open requests still need their letters.
    tokio::select! {
        () = pump(&desk, &mut letters) => {}
        () = say_goodbye(porches, graceful) => {}
        () = tokio::time::sleep(stop_within) => {}
    }
    Ok(())
}

/// Ends when nobody accepts any more and every connection has got the answer that it waited for.
async fn say_goodbye(porches: Vec<JoinHandle<()>>, graceful: Rc<GracefulShutdown>) {
    for porch in porches {
        porch.await.expect("accepting does not panic");
    }
    let graceful = Rc::into_inner(graceful).expect("only the porches shared it");
    graceful.shutdown().await;
}

/// Takes in the shards' answers, until there can be no more.
async fn pump(desk: &Desk, letters: &mut mpsc::Receiver<ToFront>) {
    while let Some(letter) = letters.recv().await {
        desk.gate.take(letter);
    }
}

pub(super) async fn until(mut stopped: watch::Receiver<Option<Duration>>) {
    // An error means that nobody is left to say it.
    let _ = stopped.wait_for(Option::is_some).await;
}

/// Where connections of one listener come in.
struct Porch {
    desk: Rc<Desk>,
    side: Side,
    graceful: Rc<GracefulShutdown>,
    stopped: watch::Receiver<Option<Duration>>,
}

impl Porch {
    async fn accept(self, listener: TcpListener) {
        tokio::select! {
            () = self.accept_for_ever(listener) => {}
            () = until(self.stopped.clone()) => {}
        }
    }

    async fn accept_for_ever(&self, listener: TcpListener) {
        let mut was_refused = false;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    was_refused = false;
                    let place = self.places().enter(from.ip()).await;
                    self.welcome(stream, from, place);
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    self.desk.accept_failures.set(self.desk.accept_failures.get() + 1);
                    // Told once: it may go on for long.
                    if !std::mem::replace(&mut was_refused, true) {
                        let listener = self.side.name();
                        tracing::warn!(%error, listener, "cannot accept an HTTP connection");
                    }
                    self.places().make_one_give_way();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn places(&self) -> &Rc<Places> {
        self.desk.places(self.side)
    }

    fn welcome(&self, stream: TcpStream, from: SocketAddr, place: Place) {
        let limits = self.desk.limits;
        // Without it a reply waits for the acknowledgement of the last one; worth nothing if it cannot be set.
        let _ = stream.set_nodelay(true);
        let peer = Rc::new(Peer {
            side: self.side,
            address: from.ip().to_canonical(),
            reached: stream
                .local_addr()
                .ok()
                .map(|address| address.ip().to_canonical()),
            place: Rc::new(place),
            stream: Rc::new(stream),
        });
        let (place, stream) = (Rc::clone(&peer.place), Rc::clone(&peer.stream));
        let desk = Rc::clone(&self.desk);
        let service = service_fn(move |request| {
            let (desk, peer) = (Rc::clone(&desk), Rc::clone(&peer));
            async move { Ok::<_, Infallible>(serve(&desk, &peer, request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            // The place keeps the time, which depends on what is known of the peer.
            .header_read_timeout(None)
            // A client that has said all may close its half, and still waits for its answer.
            .half_close(true)
            .max_header_size(limits.head_bytes_max)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(
                TokioIo::new(Patient::new(stream, Rc::clone(&place), limits.write_stall_max)),
                service,
            );
        spawn_local(live(self.graceful.watch(connection), place));
    }
}

/// Whether accepting failed for one connection alone, which is gone.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// A connection until its end, which comes from the peer, from its silence, or because it gives way to another.
async fn live<E>(connection: impl Future<Output = Result<(), E>>, place: Rc<Place>) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(tokio::time::sleep(place.patience().unwrap_or_default()));
    let mut step = place.step();
    poll_fn(|context| {
        // The peer's faults end here, and are nobody else's business.
        if connection.as_mut().poll(context).is_ready() || place.poll_leaving(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(patience) = place.patience() else {
            return Poll::Pending;
        };
        if std::mem::replace(&mut step, place.step()) != place.step() {
            alarm.set(tokio::time::sleep(patience));
        }
        alarm.as_mut().poll(context)
    })
    .await;
}

async fn serve(desk: &Desk, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    peer.place.asked();
    let (head, body) = request.into_parts();
    let answer = match peer.side {
        Side::Backend => openim::answer(desk, peer, &head, body).await,
        Side::Admin => admin::answer(desk, peer, &head, body).await,
    };
    let answer = desk.gzip.encode(&head.headers, answer).await;
    peer.place.answered();
    answer
}
