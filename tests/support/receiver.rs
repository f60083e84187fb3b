//! A receiver of callbacks, as bad as a test wants it: it answers, refuses, hangs, closes or talks rubbish at random.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// One callback that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// When it was taken.
    pub at: Instant,
    pub user: String,
    pub change: u64,
    pub previous: u64,
    pub session: u64,
    pub replayed: bool,
    pub query: String,
    pub body: Value,
}

/// What the receiver has seen, and how bad it is.
#[derive(Debug, Default)]
struct State {
    /// Of a hundred callbacks, so many are not taken.
    trouble_percent: AtomicU32,
    /// Of these users nothing is taken: each is answered by an ErrorCode.
    refused: Mutex<HashSet<String>>,
    /// How often that happened.
    refusals: AtomicU32,
    /// Whether answers wait.
    holds: AtomicBool,
    /// How many callbacks came, answered or not.
    came: AtomicU32,
    going_on: Notify,
    told: Mutex<Vec<Told>>,
    news: Notify,
}

/// A running receiver. It ends with the test's process.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
    waiting: tokio::runtime::Runtime,
}

impl Receiver {
    /// One on any free port.
    pub fn start(trouble_percent: u32) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), trouble_percent)
    }

    /// One at this address.
    pub fn start_at(address: SocketAddr, trouble_percent: u32) -> Self {
        Self::start_with(address, trouble_percent, None)
    }

    /// A good one on any free port, over TLS.
    pub fn start_tls(config: Arc<ServerConfig>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_with(any, 0, Some(TlsAcceptor::from(config)))
    }

    fn start_with(address: SocketAddr, trouble_percent: u32, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let state = Arc::new(State::default());
        state.trouble_percent.store(trouble_percent, Ordering::Relaxed);
        let served = Arc::clone(&state);
        std::thread::spawn(move || runtime().block_on(serve(listener, tls, served)));
        Self {
            address,
            state,
            waiting: runtime(),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    pub fn set_trouble(&self, percent: u32) {
        self.state.trouble_percent.store(percent, Ordering::Relaxed);
    }

    /// From now on takes nothing of these users, and everything of others again.
    pub fn refuse(&self, users: &[String]) {
        *self.state.refused.lock().expect("nobody panics with it") = users.iter().cloned().collect();
    }

    /// Waits until it has refused so many.
    ///
    /// # Panics
    /// If it has not within two minutes.
    pub fn wait_for_refusals(&self, count: u32) {
        let refusals = Arc::clone(&self.state);
        self.wait_for(|_| refusals.refusals.load(Ordering::Relaxed) >= count);
    }

    /// From now on takes callbacks and answers none until it goes on.
    pub fn hold(&self) {
        self.state.holds.store(true, Ordering::Release);
    }

    /// Answers what it holds, and all that comes.
    pub fn go_on(&self) {
        self.state.holds.store(false, Ordering::Release);
        self.state.going_on.notify_waiters();
    }

    /// Waits until so many have come.
    ///
    /// # Panics
    /// If they have not within two minutes.
    pub fn wait_for_held(&self, count: u32) {
        let state = Arc::clone(&self.state);
        self.wait_for(|_| state.came.load(Ordering::Acquire) >= count);
    }

    /// Everything that was taken, in its order.
    pub fn told(&self) -> Vec<Told> {
        self.state.told.lock().expect("nobody panics with it").clone()
    }

    /// Waits until what was taken is enough. It is asked after each callback, while none can be taken: on a long run it
    /// should look only at what is new.
    ///
    /// # Panics
    /// If it is not within two minutes.
    pub fn wait_for(&self, mut enough: impl FnMut(&[Told]) -> bool) -> Vec<Told> {
        self.waiting.block_on(async {
            let waited = tokio::time::timeout(Duration::from_secs(120), async {
                loop {
                    let news = self.state.news.notified();
                    if enough(&self.state.told.lock().expect("nobody panics with it")) {
                        return;
                    }
                    news.await;
                }
            });
            waited.await.expect("callbacks in time");
        });
        self.told()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (state, tls) = (Arc::clone(&state), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, state).await,
                // Who does not trust the receiver goes.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(|request| answer(Arc::clone(&state), request));
    let connection = hyper::server::conn::http1::Builder::new();
    // A closed connection is one of its ways to fail.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// The receiver closes the connection.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

/// An error closes the connection without an answer.
#[allow(clippy::disallowed_methods, reason = "a test has no other clock")]
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let (change, previous) = (header("holdfast-change"), header("holdfast-previous"));
    let session = header("holdfast-session");
    let replayed = header("holdfast-replayed") == Some(1);
    let query = request.uri().query().unwrap_or("").to_owned();
    let Ok(body) = request.into_body().collect().await else {
        // The gateway was killed in the middle of it.
        return Ok(plain(400, ""));
    };
    let going_on = state.going_on.notified();
    state.came.fetch_add(1, Ordering::AcqRel);
    state.news.notify_waiters();
    if state.holds.load(Ordering::Acquire) {
        going_on.await;
    }
    if fastrand::u32(..100) < state.trouble_percent.load(Ordering::Relaxed) {
        return trouble().await;
    }
    let body: Value = serde_json::from_slice(&body.to_bytes()).expect("callbacks are JSON");
    let user = body["Info"]["To_Account"].as_str().expect("a user").to_owned();
    if state
        .refused
        .lock()
        .expect("nobody panics with it")
        .contains(&user)
    {
        state.refusals.fetch_add(1, Ordering::Relaxed);
        state.news.notify_waiters();
        return Ok(plain(
            200,
            r#"{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"not this one"}"#,
        ));
    }
    state.told.lock().expect("nobody panics with it").push(Told {
        at: Instant::now(),
        user,
        change: change.expect("the header"),
        previous: previous.expect("the header"),
        session: session.expect("the header"),
        replayed,
        query,
        body,
    });
    state.news.notify_waiters();
    Ok(plain(
        200,
        r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#,
    ))
}

async fn trouble() -> Result<Response<Full<Bytes>>, Closed> {
    let answer = match fastrand::u32(..6) {
        0 => plain(500, "out of order"),
        1 => plain(200, "<html>rubbish</html>"),
        2 => plain(200, r#"{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"no"}"#),
        3 => plain(302, ""),
        4 => {
            // Longer than anybody waits.
            tokio::time::sleep(Duration::from_secs(600)).await;
            plain(200, "")
        }
        _ => return Err(Closed),
    };
    Ok(answer)
}

fn plain(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response
}

/// What every receiver may count on: a user's changes never fall, and each names the one told before it. Repeats of what
/// was told before are allowed.
#[derive(Debug, Default)]
pub struct Order {
    /// Of each user the changes that were told, the last one apart.
    seen: HashMap<String, (HashSet<u64>, u64)>,
    looked_at: usize,
}

impl Order {
    /// Looks at what was told since the last time.
    ///
    /// # Panics
    /// If it is not as it should be.
    pub fn check(&mut self, told: &[Told]) {
        for callback in told[self.looked_at..]
            .iter()
            .filter(|callback| !callback.replayed)
        {
            let (seen, last) = self.seen.entry(callback.user.clone()).or_default();
            if !seen.insert(callback.change) {
                continue;
            }
            assert!(*last < callback.change, "{callback:?} after {last}");
            assert_eq!(callback.previous, *last, "{callback:?}");
            *last = callback.change;
        }
        self.looked_at = told.len();
    }
}
