//! Serves all listeners until the server is to stop, and ends gracefully. Decides only which room answers a request.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use crate::logic::delivery::ToHttp;
use crate::logic::message::LateOutcome;
use crate::services::http::admin::{self, AdminState};
use crate::services::http::backend::{self, BackendState};
use crate::services::http::cluster_handles::ClusterHandles;
use crate::services::http::peers;
use crate::services::http::server::encoding::Gzip;
use crate::services::http::server::listener::{AcceptLoop, Answers, stop_asked};
use crate::services::http::server::peer::{HttpPeer, ListenerKind};
use crate::services::http::settings::HttpListeners;
use crate::services::http::state::HttpState;
use crate::services::http::web::WebFiles;

/// All that answers requests.
pub(super) struct AnsweringRooms {
    pub(super) http: Rc<HttpState>,
    pub(super) backend: BackendState,
    pub(super) admin: AdminState,
    pub(super) web: WebFiles,
    pub(super) gzip: Gzip,
}

impl Answers for AnsweringRooms {
    async fn answer(&self, peer: &HttpPeer, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let answer = match peer.listener {
            ListenerKind::Backend => match backend::pages::page_of(head.uri.path()) {
                Some(page) => backend::pages::answer(&self.backend, peer, (page, &head), body).await,
                None => backend::answer(&self.backend, peer, &head, body).await,
            },
            ListenerKind::Admin => admin::answer(&self.admin, peer, &head, body).await,
            ListenerKind::Web => self.web.answer(&head),
        };
        self.gzip.encode(&head.headers, answer).await
    }
}

/// What shards, the registry and other nodes say to the server.
#[derive(Debug)]
pub(super) struct HttpInbox {
    pub(super) replies: mpsc::Receiver<ToHttp>,
    pub(super) outcomes: mpsc::Receiver<Vec<LateOutcome>>,
}

/// Serves until `stopped` says so.
pub(super) async fn run(
    rooms: Rc<AnsweringRooms>,
    (listeners, cluster): (HttpListeners, Option<ClusterHandles>),
    mut inbox: HttpInbox,
    stopped: watch::Receiver<Option<Duration>>,
) -> io::Result<()> {
    let graceful = Rc::new(GracefulShutdown::new());
    let mut accepting = Vec::new();
    let kinds = [
        (ListenerKind::Backend, listeners.backend),
        (ListenerKind::Admin, listeners.admin),
        (ListenerKind::Web, listeners.web),
    ];
    for (kind, listeners) in kinds {
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let accept = AcceptLoop {
                answers: Rc::clone(&rooms),
                settings: rooms.http.settings.clone(),
                listener: kind,
                slots: Rc::clone(rooms.http.slots(kind)),
                limits: rooms.http.limits,
                graceful: Rc::clone(&graceful),
                stopped: stopped.clone(),
            };
            accepting.push(spawn_local(accept.run(TcpListener::from_std(listener)?)));
        }
    }
    // Other nodes are heard to the end: what they asked is answered like anything else.
    let _doors = cluster
        .map(|cluster| peers::open(&rooms.http, cluster))
        .transpose()?;
    tokio::select! {
        () = take_replies(&rooms.http, &mut inbox) => {}
        () = stop_asked(stopped.clone()) => {}
    }
    let stop_within = stopped.borrow().unwrap_or_default();
    // The open requests still need their replies.
    tokio::select! {
        () = take_replies(&rooms.http, &mut inbox) => {}
        () = finish(accepting, graceful) => {}
        () = tokio::time::sleep(stop_within) => {}
    }
    Ok(())
}

/// Ends when nobody accepts any more and every connection has got the answer that it waited for.
async fn finish(accepting: Vec<JoinHandle<()>>, graceful: Rc<GracefulShutdown>) {
    for accept in accepting {
        accept.await.expect("accepting does not panic");
    }
    let graceful = Rc::into_inner(graceful).expect("only the accept loops shared it");
    graceful.shutdown().await;
}

/// Takes in the replies of shards and registry, and what shards tell of messages, until there can be no more.
async fn take_replies(http: &HttpState, inbox: &mut HttpInbox) {
    loop {
        tokio::select! {
            reply = inbox.replies.recv() => match reply {
                Some(reply) => http.pending.take(reply),
                None => return,
            },
            Some(outcomes) = inbox.outcomes.recv() => http.messages.take_outcomes(outcomes),
        }
    }
}
