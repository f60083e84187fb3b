//! Clients that publish messages to a broker of MQTT: threads with a connection each. What they send looks like what `senders` send to the
//! gateway: the same users, the same bodies.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::{Clock, Stopwatch};

use crate::generator::mqtt::{self, MqttPacket, ParsedPacket, Quality};
use crate::generator::statistics::Statistics;
use crate::generator::terminal::Identities;

use super::loaded_server::LoadedServer;
use super::senders::{body_text, wait_for_turn};

/// How long a client waits for the broker, and for messages to arrive.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often a client looks whether messages have arrived.
const ARRIVAL_AGAIN: Duration = Duration::from_micros(100);

/// What is published to whom.
#[derive(Clone)]
pub(super) struct Publishing {
    pub(super) broker: SocketAddrV4,
    pub(super) identities: Identities,
    /// The topics are the users of the first terminals, so many.
    pub(super) connections: u32,
    pub(super) quality: Quality,
    /// Messages that a client writes at once.
    pub(super) at_once: u32,
    /// Messages a second of one client; `None`: the next one follows when the broker has the last one, or, without
    /// acknowledgement, when it has arrived: not more of all clients' are under way than they write at once.
    pub(super) per_second: Option<f64>,
}

/// What all clients of a part have in common.
struct PublisherCount {
    sent: std::sync::atomic::AtomicU64,
    /// Messages that had arrived before.
    came_before: u64,
    under_way_max: u64,
}

impl LoadedServer {
    /// So many clients publish for a while. Gives how many messages.
    pub(super) fn publish(
        &mut self,
        publishing: &Publishing,
        clients: u32,
        duration: Duration,
    ) -> anyhow::Result<u64> {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(PublisherCount {
            sent: 0.into(),
            came_before: self.generator.statistics.messages(),
            under_way_max: u64::from(clients) * u64::from(publishing.at_once),
        });
        let watch = self.generator.watch;
        let publishers = (0..clients).map(|number| {
            let (publishing, stop) = (publishing.clone(), Arc::clone(&stop));
            let (count, statistics) = (Arc::clone(&count), Arc::clone(&self.generator.statistics));
            std::thread::spawn(move || publishing.publish(number, watch, &stop, (&count, &statistics)))
        });
        let publishers: Vec<_> = publishers.collect();
        self.pass(duration)?;
        stop.store(true, Ordering::Relaxed);
        for publisher in publishers {
            match publisher.join() {
                Ok(published) => published?,
                Err(_) => bail!("a client that publishes messages has panicked"),
            }
        }
        Ok(count.sent.load(Ordering::Relaxed))
    }
}

impl Publishing {
    /// One client: publishes until it is to stop.
    fn publish(
        &self,
        number: u32,
        clock: Stopwatch,
        stop: &AtomicBool,
        (count, statistics): (&PublisherCount, &Statistics),
    ) -> anyhow::Result<()> {
        let mut connection = self.connect(number)?;
        let mut random = fastrand::Rng::new();
        let began = Stopwatch::start();
        let mut published = 0;
        while !stop.load(Ordering::Relaxed) {
            wait_for_turn(self.per_second, &began, published);
            if self.quality == Quality::AtMostOnce && self.per_second.is_none() {
                wait_for_arrivals(count, statistics)?;
            }
            let mut packets = Vec::new();
            for place in 0..self.at_once {
                let topic = self.identities.user(random.u32(0..self.connections));
                let text = body_text(&clock);
                packets.extend(mqtt::publish(
                    &topic,
                    (self.quality, 1 + place as u16),
                    text.as_bytes(),
                ));
            }
            connection.write_all(&packets)?;
            published += 1;
            count.sent.fetch_add(self.at_once.into(), Ordering::Relaxed);
            if self.quality == Quality::AtLeastOnce {
                self.read_acks(&mut connection)?;
            }
        }
        connection.write_all(mqtt::DISCONNECT)?;
        Ok(())
    }

    /// The broker says that it has what was written at once.
    fn read_acks(&self, connection: &mut TcpStream) -> anyhow::Result<()> {
        for place in 0..self.at_once {
            let mut answer = [0; 4];
            let came = connection.read_exact(&mut answer);
            came.context("the broker does not acknowledge a message")?;
            let number = 1 + place as u16;
            if mqtt::next(&answer) != ParsedPacket::Packet(MqttPacket::Acked(number), &[]) {
                bail!("the broker says {answer:02X?} to message {number}");
            }
        }
        Ok(())
    }

    fn connect(&self, number: u32) -> anyhow::Result<TcpStream> {
        let mut connection = TcpStream::connect(self.broker)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(ANSWER_WAIT))?;
        let name = format!("publisher-{number}");
        let password = self.identities.sign(Clock::start().now().wall, &name);
        connection.write_all(&mqtt::connect(&name, &name, &password))?;
        let mut answer = [0; 4];
        connection.read_exact(&mut answer)?;
        if mqtt::next(&answer) != ParsedPacket::Packet(MqttPacket::Accepted, &[]) {
            bail!("the broker says {answer:02X?} to a client that publishes");
        }
        Ok(connection)
    }
}

/// Until fewer messages are under way than may be.
fn wait_for_arrivals(count: &PublisherCount, statistics: &Statistics) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    loop {
        let came = statistics.messages() - count.came_before;
        let under_way = count.sent.load(Ordering::Relaxed).saturating_sub(came);
        if under_way < count.under_way_max {
            return Ok(());
        }
        if watch.elapsed() > ANSWER_WAIT {
            bail!("{under_way} messages have not arrived");
        }
        std::thread::sleep(ARRIVAL_AGAIN);
    }
}
