//! A receiver of callbacks that takes every one and counts them. It reads none.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// As the dialect says that a callback was taken.
const TAKEN: &[u8] = br#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;

/// A running receiver. It ends with the process.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    count: Arc<AtomicU64>,
}

impl Receiver {
    /// One on any free port of loopback, in a thread of its own.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for callbacks")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("callbacks".to_owned())
            .spawn(move || {
                // It serves until the process ends; a listener that fails shows as callbacks that are missing.
                runtime.block_on(async { drop(serve(listener, counted).await) });
            })?;
        Ok(Self { address, count })
    }

    /// How many were taken.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, count: Arc<AtomicU64>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let count = Arc::clone(&count);
                async move {
                    request.into_body().collect().await?;
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(TAKEN))))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            // A gateway that was killed closes as it can.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
