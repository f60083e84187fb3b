//! Connections of the HTTP front: accepting within limits, reading a request, writing its answer, and the graceful
//! end. Knows no command.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::openim;
use super::stream::Patient;
use super::{Desk, Listeners, admin};
use crate::logic::letter::ToFront;

/// How long accepting pauses when the system has no descriptor for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is written and read of one connection at a time: a whole reply for 500 users, and a whole request head.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Who is served on a listener.
#[derive(Debug, Clone, Copy)]
enum Side {
    Backend,
    Admin,
}

/// Serves until `stopped` says so.
pub(super) async fn run(
    desk: Rc<Desk>,
    listeners: Listeners,
    mut letters: mpsc::Receiver<ToFront>,
    stopped: watch::Receiver<Option<Duration>>,
) -> io::Result<()> {
    let graceful = Rc::new(GracefulShutdown::new());
    let mut porches = Vec::new();
    let limits = desk.limits;
    let sides = [
        (Side::Backend, listeners.backend, limits.connections_max),
        (Side::Admin, listeners.admin, limits.admin_connections_max),
    ];
    for (side, listeners, connections_max) in sides {
        let places = Arc::new(Semaphore::new(connections_max));
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let porch = Porch {
                desk: Rc::clone(&desk),
                side,
                places: Arc::clone(&places),
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
    places: Arc<Semaphore>,
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
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.expect("the places are never closed");
            match listener.accept().await {
                Ok((stream, _)) => self.welcome(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let (desk, side, limits) = (Rc::clone(&self.desk), self.side, self.desk.limits);
        // Without it a reply waits for the acknowledgement of the last one; worth nothing if it cannot be set.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let desk = Rc::clone(&desk);
            async move { Ok::<_, Infallible>(serve(&desk, side, request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_read_max)
            .max_header_size(limits.head_bytes_max)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(
                TokioIo::new(Patient::new(stream, limits.write_stall_max)),
                service,
            );
        let connection = self.graceful.watch(connection);
        spawn_local(async move {
            // The peer's faults and its silence end here, and are nobody else's business.
            let _ = connection.await;
            drop(place);
        });
    }
}

async fn serve(desk: &Desk, side: Side, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    match side {
        Side::Backend => openim::answer(desk, &head, body).await,
        Side::Admin => admin::answer(desk, &head, body).await,
    }
}
