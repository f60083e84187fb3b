//! One connection of a terminal: packets out and in, and when to beat. It decides nothing of what they mean.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::route::GatewayRoute;
use super::wire::Wire;
use crate::base::limits::FRAME_BYTES_MAX_AFTER_LOGIN;
use crate::cli::host_port::foreign_protocol;
use crate::protocol::native::proto::{request, response};
use crate::protocol::native::terminal::{self, NextResponse};

/// How long a connection and an answer may take.
pub(super) const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(10);

/// The shortest time between two heartbeats, whatever the gateway says.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// When to beat, and when to give up on the gateway.
pub(super) struct Pulse {
    interval: Duration,
    timeout: Duration,
    /// `None` before the login was answered.
    pub(super) beat_at: Option<Instant>,
    pub(super) silent_at: Instant,
}

impl Pulse {
    /// Before the login was answered.
    pub(super) fn before_login() -> Self {
        Self {
            interval: ANSWER_WITHIN_MAX,
            timeout: ANSWER_WITHIN_MAX,
            beat_at: None,
            silent_at: Instant::now() + ANSWER_WITHIN_MAX,
        }
    }

    /// As the login's answer says.
    pub(super) fn of(interval_ms: u32, timeout_ms: u32) -> Self {
        let interval = Duration::from_millis(u64::from(interval_ms)).max(INTERVAL_MIN);
        let timeout = Duration::from_millis(u64::from(timeout_ms)).max(interval + ANSWER_WITHIN_MAX);
        let now = Instant::now();
        Self {
            interval,
            timeout,
            beat_at: Some(now + interval),
            silent_at: now + timeout,
        }
    }

    /// Something was sent.
    pub(super) fn beat_later(&mut self) {
        self.beat_at = self.beat_at.map(|_| Instant::now() + self.interval);
    }

    /// A heartbeat was sent: the gateway answers each. The wait counts from the first one that nothing was heard after.
    pub(super) fn beat_sent(&mut self) {
        self.beat_later();
        self.expect_answer();
    }

    /// Something was heard.
    pub(super) fn heard(&mut self) {
        self.silent_at = Instant::now() + self.timeout;
    }

    /// An answer is waited for, and no longer than this.
    pub(super) fn expect_answer(&mut self) {
        self.silent_at = self.silent_at.min(Instant::now() + ANSWER_WITHIN_MAX);
    }
}

/// Waits until then; `None`: for ever.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What comes of a link.
pub(super) enum LinkEvent {
    /// A packet that is known.
    Packet(response::Packet),
    /// The other side has ended it.
    End,
    /// What speaks there is no gateway, but this.
    Foreign(&'static str),
}

/// Why there is no link.
pub(super) enum NoLink {
    /// Nobody could be connected to.
    Unreached(io::Error),
    /// Somebody is there, with whom the way ends, for a reason in words.
    NoWay(String),
}

/// A connection.
pub(super) struct GatewayLink {
    wire: Wire,
    received: Vec<u8>,
}

impl GatewayLink {
    /// Connects, and makes the way ready for packets.
    pub(super) async fn open(route: &GatewayRoute) -> Result<Self, NoLink> {
        let stream = route.place.connect(ANSWER_WITHIN_MAX).await;
        let begun = Wire::begin(stream.map_err(NoLink::Unreached)?, route);
        let wire = match tokio::time::timeout(ANSWER_WITHIN_MAX, begun).await {
            Ok(begun) => begun.map_err(NoLink::NoWay)?,
            Err(_) => return Err(NoLink::NoWay("it does not answer".to_owned())),
        };
        Ok(Self {
            wire,
            received: Vec::new(),
        })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes).await
    }

    pub(super) async fn request(&mut self, packet: request::Packet) -> io::Result<()> {
        self.send(&terminal::request(packet)).await
    }

    /// Ends it behind all that was sent.
    pub(super) async fn end(self) {
        self.wire.end().await;
    }

    /// The next packet that is known, or the end.
    pub(super) async fn next(&mut self) -> io::Result<LinkEvent> {
        const NO_PACKET: &str = "it does not speak the protocol of terminals";
        loop {
            if let Some(other) = foreign_protocol(&self.received) {
                return Ok(LinkEvent::Foreign(other));
            }
            match terminal::next(&self.received, FRAME_BYTES_MAX_AFTER_LOGIN) {
                NextResponse::Packet(packet, rest) => {
                    let used = self.received.len() - rest.len();
                    self.received.drain(..used);
                    if let Some(packet) = packet {
                        return Ok(LinkEvent::Packet(packet));
                    }
                }
                NextResponse::Incomplete => {
                    if !self.wire.read(&mut self.received).await? {
                        return Ok(LinkEvent::End);
                    }
                }
                NextResponse::Malformed(_) => return Ok(LinkEvent::Foreign(NO_PACKET)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_heartbeat_that_nothing_follows_ends_the_link_after_10_s() {
        let mut pulse = Pulse::of(1_000, 400_000);
        pulse.beat_sent();
        let lost_at = pulse.silent_at;
        assert!(lost_at <= Instant::now() + ANSWER_WITHIN_MAX);
        pulse.beat_sent();
        assert_eq!(pulse.silent_at, lost_at);
        pulse.heard();
        assert!(pulse.silent_at > lost_at);
    }
}
