//! Where other nodes come in: takes their connections, has their requests answered, each on its own, and sends the answers back as
//! they come. Knows no shard.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use crate::base::ids::NodeId;
use crate::logic::delivery::{ToHttp, ToPeer};
use crate::services::peers::bodies::{PeerBody, PeerFrame};
use crate::services::peers::client::{EndsWith, PEER_OPEN_MAX};
use crate::services::peers::exchange::{ExchangeHandle, PEER_STALL_MAX, heard_of, told};
use crate::services::peers::frame::{self, FRAME_BYTES_MAX};
use crate::services::peers::secure::PeerIdentity;
use crate::services::peers::wire;

/// Connections that have not proven yet that they are of this cluster. Others wait until one of them has, or its time is over.
const UNPROVEN_MAX: usize = 64;

/// Connections of peers. Each node has one to each other; one that was cut off makes another before its first is missed.
const PEERS_MAX: usize = 1_024;

/// How long accepting pauses when the system has no descriptor for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whoever answers requests of other nodes.
pub(crate) trait AnswersPeers: 'static {
    /// The answer to one of them; `None` if there is none in time.
    fn answer(&self, asked: ToPeer) -> impl Future<Output = Option<ToHttp>>;
}

/// One listener for other nodes.
pub(crate) struct PeersDoor<A> {
    pub(crate) identity: PeerIdentity,
    pub(crate) exchange: ExchangeHandle,
    pub(crate) answers: Rc<A>,
}

impl<A: AnswersPeers> PeersDoor<A> {
    /// Takes connections for ever.
    pub(crate) async fn run(self: Rc<Self>, listener: TcpListener) {
        let unproven = Arc::new(Semaphore::new(UNPROVEN_MAX));
        let peers = Arc::new(Semaphore::new(PEERS_MAX));
        loop {
            let place = Arc::clone(&unproven)
                .acquire_owned()
                .await
                .expect("it is never closed");
            match listener.accept().await {
                Ok((stream, from)) => {
                    let (door, peers) = (Rc::clone(&self), Arc::clone(&peers));
                    spawn_local(async move {
                        if let Err(error) = door.serve(stream, place, &peers).await {
                            tracing::debug!(%from, %error, "a peer's connection has ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a peer's connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(
        self: Rc<Self>,
        stream: TcpStream,
        unproven: OwnedSemaphorePermit,
        peers: &Semaphore,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let proven = timeout(PEER_STALL_MAX, self.identity.accept(stream)).await;
        let (stream, peer) = proven.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        drop(unproven);
        let _place = peers.try_acquire().map_err(io::Error::other)?;
        let (read, write) = tokio::io::split(stream);
        let (answers, out) = mpsc::channel(PEER_OPEN_MAX);
        let _writer = EndsWith(spawn_local(write_out(write, out)));
        self.hear(read, peer, answers).await
    }

    /// Until the peer ends, is silent, or does not take its answers.
    async fn hear(
        self: Rc<Self>,
        mut from: ReadHalf<TlsStream<TcpStream>>,
        peer: NodeId,
        answers: mpsc::Sender<PeerFrame>,
    ) -> io::Result<()> {
        let open = Arc::new(Semaphore::new(PEER_OPEN_MAX));
        loop {
            // It tells how it stands far more often.
            let bytes = timeout(PEER_STALL_MAX, frame::read(&mut from, FRAME_BYTES_MAX)).await;
            let bytes = bytes.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            let Some(bytes) = bytes else { return Ok(()) };
            let frame = wire::read(&bytes)?;
            if let Some(PeerBody::Exchange(body)) = frame.body {
                let _ = self.exchange.heard.send((peer, heard_of(body)));
                let own = told(&(self.exchange.own)());
                answers.send(own).await.map_err(io::Error::other)?;
                continue;
            }
            let id = frame.id;
            let Some(asked) = wire::read_request(frame)? else {
                answers.send(wire::refused(id)).await.map_err(io::Error::other)?;
                continue;
            };
            let place = Arc::clone(&open)
                .acquire_owned()
                .await
                .expect("it is never closed");
            let (door, answers) = (Rc::clone(&self), answers.clone());
            spawn_local(async move {
                let answer = door.answers.answer(asked).await;
                let frame = answer.map_or(wire::refused(id), |answer| wire::answer(id, &answer));
                // A peer that is gone needs no answer.
                let _ = answers.send(frame).await;
                drop(place);
            });
        }
    }
}

/// Writes what comes, several frames at once if they are there, until nobody writes any more or the peer takes nothing.
async fn write_out(mut to: WriteHalf<TlsStream<TcpStream>>, mut frames: mpsc::Receiver<PeerFrame>) {
    while let Some(first) = frames.recv().await {
        let mut out = Vec::new();
        frame::put(&mut out, &first);
        while let Ok(more) = frames.try_recv() {
            frame::put(&mut out, &more);
        }
        let write = async {
            to.write_all(&out).await?;
            to.flush().await
        };
        if !matches!(timeout(PEER_STALL_MAX, write).await, Ok(Ok(()))) {
            // Nobody hears answers any more: whoever reads finds that out with the next one.
            return;
        }
    }
}
