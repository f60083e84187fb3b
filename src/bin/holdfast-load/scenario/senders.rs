//! The backend's clients that send messages: threads that send over connections of their own, all at once or at a rate, and count
//! what became of each message at each device.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use holdfast::base::time::Stopwatch;

use crate::generator::terminal::Identities;
use crate::http::Http;

use super::loaded_server::LoadedServer;

/// Bytes of a message's body: what an app says in a sentence.
pub(super) const BODY_BYTES: usize = 100;

/// Whether terminals acknowledge messages, which the answer then waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    No,
    Awaited,
}

/// What is sent to whom.
#[derive(Clone)]
pub(super) struct Posting {
    pub(super) http: SocketAddr,
    /// The parameters that make a request the administrator's.
    pub(super) caller: String,
    pub(super) identities: Identities,
    /// The users are those of the first terminals, so many.
    pub(super) connections: u32,
    /// Users of one message.
    pub(super) targets: usize,
    /// Messages of one request.
    pub(super) lines: usize,
    pub(super) acks: Acks,
    /// Requests a second of one client; `None`: the next one follows an answer.
    pub(super) per_second: Option<f64>,
}

/// What came of requests.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) requests: u64,
    /// Devices by outcome.
    pub(super) outcomes: HashMap<String, u64>,
}

impl Posted {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
    }

    pub(super) fn of(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    pub(super) fn devices(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

impl LoadedServer {
    /// So many clients send for a while.
    pub(super) fn post(
        &mut self,
        posting: &Posting,
        clients: u32,
        duration: Duration,
    ) -> anyhow::Result<Posted> {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = self.generator.watch;
        let sending: Vec<JoinHandle<anyhow::Result<Posted>>> = (0..clients)
            .map(|_| {
                let (posting, stop) = (posting.clone(), Arc::clone(&stop));
                std::thread::spawn(move || posting.send(watch, &stop))
            })
            .collect();
        self.pass(duration)?;
        stop.store(true, Ordering::Relaxed);
        let mut all = Posted::default();
        for client in sending {
            let posted = client.join();
            all.add(&posted.map_err(|_| anyhow!("a client that sends messages has panicked"))??);
        }
        Ok(all)
    }
}

impl Posting {
    /// One client: sends until it is to stop.
    fn send(&self, clock: Stopwatch, stop: &AtomicBool) -> anyhow::Result<Posted> {
        let client = Http::new()?;
        let mut random = fastrand::Rng::new();
        let mut drawn: Vec<u32> = (0..self.connections).collect();
        let mut posted = Posted::default();
        let began = Stopwatch::start();
        while !stop.load(Ordering::Relaxed) {
            wait_for_turn(self.per_second, &began, posted.requests);
            let lines = (0..self.lines).map(|_| {
                // Drawn by chance, and none twice.
                for place in 0..self.targets {
                    let other = random.usize(place..drawn.len());
                    drawn.swap(place, other);
                }
                self.message(&drawn[..self.targets], &clock)
            });
            let lines: Vec<String> = lines.collect();
            let outcomes = client.send((self.http, &self.caller), &lines)?;
            posted.add(&Posted {
                requests: 1,
                outcomes,
            });
        }
        Ok(posted)
    }

    /// A message to some users.
    fn message(&self, numbers: &[u32], clock: &Stopwatch) -> String {
        let mut body = String::with_capacity(200 + numbers.len() * 32);
        body.push_str(r#"{"to":["#);
        for (place, number) in numbers.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let user = self.identities.user(*number);
            write!(body, r#"{comma}{{"user":"{user}"}}"#).expect("a text takes all");
        }
        let (ack, wait_ms) = match self.acks {
            Acks::No => ("none", 0),
            Acks::Awaited => ("device", 2_500),
        };
        let text = body_text(clock);
        write!(body, r#"],"ack":"{ack}","wait_ms":{wait_ms},"text":"{text}"}}"#).expect("a text takes all");
        body
    }
}

/// A message's body. It begins with the moment at which it is sent, by the clock of the terminals.
pub(super) fn body_text(clock: &Stopwatch) -> String {
    let (now_us, pad) = (clock.elapsed().as_micros(), BODY_BYTES);
    format!("{:.<pad$}", format!("{now_us:016x}"))
}

/// Until it is time for the next one of a client that has sent so many, at a rate if there is one.
pub(super) fn wait_for_turn(per_second: Option<f64>, began: &Stopwatch, sent: u64) {
    let Some(per_second) = per_second else { return };
    let due = Duration::from_secs_f64((sent + 1) as f64 / per_second);
    if let Some(wait) = due.checked_sub(began.elapsed()) {
        std::thread::sleep(wait);
    }
}
