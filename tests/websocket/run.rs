//! Drives the cases against an endpoint, and judges what came.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holdfast::protocol::transport::websocket::client;

use crate::case::{Case, End, NORMAL, Step};
use crate::echo::Echo;
use crate::wire::{Arrivals, frame};

/// What a case is driven against. It is open for frames.
pub(crate) trait Endpoint {
    /// Sends bytes. What cannot be sent any more, since the other end has closed, is lost.
    fn send(&mut self, bytes: &[u8]);
    /// Waits for bytes; none if the connection has ended. Fails if nothing comes.
    fn receive(&mut self) -> Result<Vec<u8>, String>;
}

/// How the bytes of a case are cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// All frames at once, as far as nothing is awaited between them.
    Whole,
    /// One frame at a time.
    Frames,
    /// So many bytes at a time.
    Bytes(usize),
    /// By a random seed.
    Random(u64),
}

/// What is not as it must be in each of some cuts.
pub(crate) fn faults(
    case: &Case,
    cuts: &[Cut],
    mut endpoint: impl FnMut() -> Box<dyn Endpoint>,
) -> impl Iterator<Item = String> {
    cuts.iter().filter_map(move |cut| {
        let fault = run(case, *cut, &mut *endpoint()).err()?;
        Some(format!("failed, cut by {cut:?}: {fault:.200}"))
    })
}

/// Fails with what is not as it must be.
fn run(case: &Case, cut: Cut, to: &mut dyn Endpoint) -> Result<(), String> {
    let mut arrivals = Arrivals::default();
    let mut frames = Vec::new();
    let mut steps = case.steps.iter().peekable();
    while let Some(step) = steps.next() {
        match step {
            Step::Send(bytes) => {
                frames.extend_from_slice(bytes);
                let is_sent = !matches!(cut, Cut::Whole) || !matches!(steps.peek(), Some(Step::Send(_)));
                if is_sent {
                    send(&std::mem::take(&mut frames), cut, to);
                }
            }
            Step::Await(count) => arrive(&mut arrivals, to, |arrivals| arrivals.seen.len() >= *count)?,
        }
    }
    if case.end == End::ByClient {
        arrive(&mut arrivals, to, |arrivals| {
            arrivals.seen.len() >= case.seen.len()
        })?;
        send(&frame(8, &NORMAL.to_be_bytes()), cut, to);
    }
    arrive(&mut arrivals, to, |_| false)?;
    judge(case, &arrivals)
}

fn send(bytes: &[u8], cut: Cut, to: &mut dyn Endpoint) {
    let mut rest = bytes;
    let mut random = fastrand::Rng::with_seed(match cut {
        Cut::Random(seed) => seed,
        Cut::Whole | Cut::Frames | Cut::Bytes(_) => 0,
    });
    while !rest.is_empty() {
        let length = match cut {
            Cut::Whole | Cut::Frames => rest.len(),
            Cut::Bytes(length) => length.min(rest.len()),
            Cut::Random(_) => random.usize(1..=rest.len().min(2_000)),
        };
        let (piece, behind) = rest.split_at(length);
        to.send(piece);
        rest = behind;
    }
}

/// Takes what comes until `is_enough`, or the connection ends.
fn arrive(
    arrivals: &mut Arrivals,
    from: &mut dyn Endpoint,
    is_enough: impl Fn(&Arrivals) -> bool,
) -> Result<(), String> {
    while !is_enough(arrivals) {
        let bytes = from.receive()?;
        if bytes.is_empty() {
            return Ok(());
        }
        arrivals.take(&bytes)?;
    }
    Ok(())
}

fn judge(case: &Case, arrivals: &Arrivals) -> Result<(), String> {
    if arrivals.seen != case.seen {
        return Err(format!("seen: {:?}", arrivals.seen));
    }
    let is_right = match (&case.end, arrivals.close) {
        (_, None) => return Err("the connection ended without a close".to_owned()),
        (End::ByClient, Some(code)) => code == Some(NORMAL),
        (End::Answered(codes), Some(code)) => codes.contains(&code),
        (End::Failed(codes), Some(code)) => code.is_some_and(|code| codes.contains(&code)),
    };
    if is_right {
        Ok(())
    } else {
        Err(format!("closed with {:?}", arrivals.close))
    }
}

/// The echo without a socket.
pub(crate) struct InMemory {
    echo: Echo,
    answers: Vec<u8>,
    has_ended: bool,
}

impl InMemory {
    pub(crate) fn open() -> Self {
        Self {
            echo: Echo::open(),
            answers: Vec::new(),
            has_ended: false,
        }
    }
}

impl Endpoint for InMemory {
    fn send(&mut self, bytes: &[u8]) {
        if !self.has_ended {
            let (answer, is_last) = self.echo.take(bytes);
            self.answers.extend_from_slice(&answer);
            self.has_ended = is_last;
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, String> {
        let answers = std::mem::take(&mut self.answers);
        match answers.is_empty() && !self.has_ended {
            true => Err("nothing comes".to_owned()),
            false => Ok(answers),
        }
    }
}

/// A server behind a socket.
pub(crate) struct OverTcp {
    stream: TcpStream,
    /// Frames that came with the answer to the request.
    behind: Vec<u8>,
}

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl OverTcp {
    /// Connects and asks for a WebSocket at the root.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let key = client::key([3; 16]);
        stream
            .write_all(client::request("localhost", "/", &key).as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 512];
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "the server answers");
            answer.extend_from_slice(&piece[..length]);
            if let Some(length) = client::answer(&answer, &key).unwrap() {
                let behind = answer.split_off(length);
                return Self { stream, behind };
            }
        }
    }
}

impl Endpoint for OverTcp {
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(
                matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "{error}"
            );
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, String> {
        if !self.behind.is_empty() {
            return Ok(std::mem::take(&mut self.behind));
        }
        let mut piece = vec![0; 16 * 1024];
        let length = match self.stream.read(&mut piece) {
            Ok(length) => length,
            // Bytes that were on their way when the server closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error.to_string()),
        };
        piece.truncate(length);
        Ok(piece)
    }
}

/// Serves the echo over TCP, one connection at a time, until the test ends.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve_one(stream.unwrap())));
    address
}

fn serve_one(mut stream: TcpStream) {
    let (mut echo, mut piece) = (Echo::new(), [0; 4_096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        let (answer, is_last) = echo.take(&piece[..length]);
        if stream.write_all(&answer).is_err() {
            return;
        }
        if is_last {
            // What is still unread would turn the close into a reset, which takes the answer with it.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut piece).is_ok_and(|length| length > 0) {}
            return;
        }
    }
}
