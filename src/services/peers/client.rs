//! The way to other nodes: a thread with one connection to each, made again when it breaks. A request that cannot be brought
//! there, or whose answer is lost, is refused, as if the home had been busy: whoever asked may ask again.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::io::{AsyncWriteExt, ReadHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle as Task, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::client::TlsStream;

use crate::base::ids::NodeId;
use crate::logic::delivery::{Router, ToPeer};
use crate::services::peers::bodies::{PeerBody, PeerFrame};
use crate::services::peers::exchange::{EXCHANGE_EVERY, ExchangeHandle, PEER_STALL_MAX, heard_of, told};
use crate::services::peers::frame::{self, FRAME_BYTES_MAX};
use crate::services::peers::secure::PeerIdentity;
use crate::services::peers::wire;
use crate::services::runtime;

/// Requests to one peer that are not answered yet. More would wait there for what the peer does one after the other.
pub(crate) const PEER_OPEN_MAX: usize = 1_024;

/// How long a peer that could not be reached is left alone.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Where the others are, each as `host:port`.
pub type PeerAddresses = BTreeMap<NodeId, String>;

/// The thread that speaks to other nodes.
#[derive(Debug)]
pub struct PeersClient {
    requests: mpsc::Sender<(NodeId, ToPeer)>,
    thread: JoinHandle<io::Result<()>>,
}

/// What all connections share.
struct PeersContext {
    identity: PeerIdentity,
    addresses: watch::Receiver<Arc<PeerAddresses>>,
    exchange: ExchangeHandle,
    router: Router,
}

impl PeersClient {
    /// Starts the thread. Answers go out by `router`; `addresses` may change at any time, and name this node, too.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        identity: PeerIdentity,
        addresses: watch::Receiver<Arc<PeerAddresses>>,
        exchange: ExchangeHandle,
        router: Router,
    ) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel(PEER_OPEN_MAX);
        let thread = std::thread::Builder::new()
            .name("peers".to_owned())
            .spawn(move || {
                let shared = PeersContext {
                    identity,
                    addresses,
                    exchange,
                    router,
                };
                runtime::block_on(run(Rc::new(shared), inbox))
            })?;
        Ok(Self { requests, thread })
    }

    /// The way in. Its thread ends when the last one is gone.
    #[must_use]
    pub fn sender(&self) -> mpsc::Sender<(NodeId, ToPeer)> {
        self.requests.clone()
    }

    /// Whether the thread has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread's end, which comes when the last sender, besides this one, is gone.
    ///
    /// # Errors
    /// If it could not run.
    ///
    /// # Panics
    /// If it has panicked.
    pub fn finish(self) -> io::Result<()> {
        drop(self.requests);
        self.thread.join().expect("the peers' thread does not panic")
    }
}

/// Gives each peer its requests, and keeps a connection to each that has an address.
async fn run(shared: Rc<PeersContext>, mut inbox: mpsc::Receiver<(NodeId, ToPeer)>) {
    let (mut addresses, mut are_told) = (shared.addresses.clone(), true);
    let mut peers: HashMap<NodeId, mpsc::Sender<ToPeer>> = HashMap::new();
    loop {
        let known = Arc::clone(&addresses.borrow_and_update());
        // A peer's task ends with its way in.
        peers.retain(|node, _| known.contains_key(node));
        for node in known.keys().filter(|node| **node != shared.identity.node) {
            peers.entry(*node).or_insert_with(|| {
                let (requests, inbox) = mpsc::channel(PEER_OPEN_MAX);
                let peer = PeerTask {
                    node: *node,
                    shared: Rc::clone(&shared),
                    inbox,
                    told: false,
                };
                spawn_local(peer.run());
                requests
            });
        }
        tokio::select! {
            asked = inbox.recv() => {
                let Some((node, asked)) = asked else { return };
                let unsent = match peers.get(&node) {
                    Some(peer) => peer.try_send(asked).err().map(|full| full.into_inner()),
                    None => Some(asked),
                };
                unsent.into_iter().for_each(|unsent| shared.refuse(unsent));
            }
            // Without anyone left to say it, what is known stays.
            changed = addresses.changed(), if are_told => are_told = changed.is_ok(),
        }
    }
}

impl PeersContext {
    fn refuse(&self, unsent: ToPeer) {
        // The HTTP server keeps room for each reply; nobody waits for it if it has ended.
        let _ = (self.router)(unsent.refuse().into());
    }
}

/// One peer.
struct PeerTask {
    node: NodeId,
    shared: Rc<PeersContext>,
    inbox: mpsc::Receiver<ToPeer>,
    /// It was said that it cannot be reached.
    told: bool,
}

/// What came from a peer.
type FramesHeard = mpsc::Receiver<io::Result<PeerFrame>>;

impl PeerTask {
    async fn run(mut self) {
        while !self.inbox.is_closed() {
            let Some(address) = self.shared.addresses.borrow().get(&self.node).cloned() else {
                break;
            };
            let connected = timeout(PEER_STALL_MAX, self.connect(&address)).await;
            let ended = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    if std::mem::take(&mut self.told) {
                        tracing::info!(peer = self.node.0, address, "the peer is reached again");
                    }
                    self.talk(stream).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended
                && !std::mem::replace(&mut self.told, true)
            {
                tracing::warn!(peer = self.node.0, address, %error, "the peer cannot be reached: it is tried again");
            }
            self.refuse_for(AGAIN_AFTER).await;
        }
    }

    async fn connect(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (stream, node) = self.shared.identity.connect(stream).await?;
        match node == self.node {
            true => Ok(stream),
            false => Err(io::Error::other(format!("node {} is there instead", node.0))),
        }
    }

    /// Whoever asks meanwhile is refused at once.
    async fn refuse_for(&mut self, pause: Duration) {
        let refuse = async {
            while let Some(asked) = self.inbox.recv().await {
                self.shared.refuse(asked);
            }
        };
        let _ = timeout(pause, refuse).await;
    }

    /// Until the connection fails, the peer is silent, or nobody asks any more.
    async fn talk(&mut self, stream: TlsStream<TcpStream>) -> io::Result<()> {
        let (read, mut write) = tokio::io::split(stream);
        let (frames, heard) = mpsc::channel(PEER_OPEN_MAX);
        let reader = spawn_local(hear(read, frames));
        let mut open = HashMap::new();
        let ended = self.exchange(&mut write, heard, &mut open).await;
        reader.abort();
        open.into_values().for_each(|asked| self.shared.refuse(asked));
        ended
    }

    async fn exchange(
        &mut self,
        write: &mut (impl AsyncWriteExt + Unpin),
        mut heard: FramesHeard,
        open: &mut HashMap<u64, ToPeer>,
    ) -> io::Result<()> {
        let mut beat = interval(EXCHANGE_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_for = Duration::ZERO;
        loop {
            let mut out = Vec::new();
            tokio::select! {
                asked = self.inbox.recv() => {
                    let Some(asked) = asked else { return Ok(()) };
                    let more = std::iter::from_fn(|| self.inbox.try_recv().ok());
                    let all: VecDeque<_> = std::iter::once(asked).chain(more).collect();
                    all.into_iter().for_each(|asked| self.send(asked, open, &mut out));
                }
                frame = heard.recv() => {
                    let frame = frame.unwrap_or_else(|| Err(io::ErrorKind::ConnectionReset.into()))?;
                    silent_for = Duration::ZERO;
                    self.take(frame, open);
                }
                _ = beat.tick() => {
                    if silent_for > PEER_STALL_MAX {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    silent_for += EXCHANGE_EVERY;
                    frame::put(&mut out, &told(&(self.shared.exchange.own)()));
                }
            }
            if !out.is_empty() {
                let written = timeout(PEER_STALL_MAX, async {
                    write.write_all(&out).await?;
                    write.flush().await
                });
                written
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            }
        }
    }

    fn send(&self, asked: ToPeer, open: &mut HashMap<u64, ToPeer>, out: &mut Vec<u8>) {
        if open.len() >= PEER_OPEN_MAX {
            return self.shared.refuse(asked);
        }
        let request = wire::request(&asked);
        frame::put(out, &request);
        open.insert(request.id, asked);
    }

    fn take(&self, frame: PeerFrame, open: &mut HashMap<u64, ToPeer>) {
        if let Some(PeerBody::Exchange(body)) = frame.body {
            let _ = self.shared.exchange.heard.send((self.node, heard_of(body)));
        } else if let Some(asked) = open.remove(&frame.id) {
            let _ = (self.shared.router)(wire::read_answer(asked, frame.body).into());
        }
    }
}

async fn hear(mut from: ReadHalf<TlsStream<TcpStream>>, frames: mpsc::Sender<io::Result<PeerFrame>>) {
    loop {
        let bytes = frame::read(&mut from, FRAME_BYTES_MAX).await;
        let frame = bytes.and_then(|bytes| wire::read(&bytes.ok_or(io::ErrorKind::ConnectionReset)?));
        let failed = frame.is_err();
        if frames.send(frame).await.is_err() || failed {
            return;
        }
    }
}

/// Ends a task with whoever has it.
pub(crate) struct EndsWith(pub(crate) Task<()>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}
