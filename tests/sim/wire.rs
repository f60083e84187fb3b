//! What terminals and the gateway say to each other's transports, beside packets: how connections begin and end, signs of life, and
//! what a gateway counts of it.

use rustls::HandshakeKind;

use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::OUTBOUND_BYTES_MAX;
use crate::engine::connection::ConnectionStage;
use crate::kernel::socket::Peer as FarEnd;
use crate::logic::LinkLoss;
use crate::protocol::transport::ending::{CloseReason, TransportMistake};
use crate::sim::checks::{Failure, ensure};
use crate::sim::client::{Client, Gesture, PING_BYTES_MAX};
use crate::sim::shown::Link;
use crate::sim::terminal::Place;
use crate::sim::ways::Between;
use crate::sim::world::World;

/// What shards count of transports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TransportCounts {
    /// By their numbers.
    pub(crate) mistakes: [u64; TransportMistake::ALL.len()],
    pub(crate) full: u64,
    pub(crate) resumed: u64,
}

/// More than frames and records put around a packet.
const WRAPPING_BYTES_MAX: usize = 32;

/// More than the gateway's end of a handshake has.
const BEGINNING_BYTES_MAX: usize = 2_048;

impl World {
    /// A terminal that has just connected begins to speak, if its way is not plain.
    pub(crate) fn begin(&mut self, link: Link) {
        let way = self.terminals[&link].way;
        if way.is_plain() {
            return;
        }
        let random = self.random.fork();
        let (client, beginning) = Client::begin((way, link), &self.terminals_tls, random);
        self.socket(link, |socket| socket.is_wrapped = true);
        let terminal = self.terminals.get_mut(&link).expect("it has just connected");
        terminal.under_way = beginning;
        terminal.client = Some(client);
    }

    /// What a terminal's transport has to say goes out at once, mostly.
    pub(crate) fn answer_goes_out(&mut self, link: Link) {
        let terminal = self.terminals.get_mut(&link).expect("a terminal of the world");
        if terminal.client.is_some() && !terminal.under_way.is_empty() && self.random.u8(..8) > 0 {
            let bytes = std::mem::take(&mut terminal.under_way);
            self.socket(link, |socket| socket.peer_writes(bytes));
        }
    }

    /// A terminal does something that is no packet.
    pub(crate) fn gesture(&mut self) -> Result<(), Failure> {
        let is_open = |client: &Client| client.is_open();
        let Some(link) = self.connected(|terminal| terminal.client.as_ref().is_some_and(is_open)) else {
            return Ok(());
        };
        let gesture = match self.random.u8(..16) {
            0..8 => Gesture::Ping,
            8..12 => Gesture::KeyUpdate,
            12..14 => Gesture::Goodbye,
            _ => Gesture::Mistake,
        };
        self.note(|| format!("{link:?}: {gesture:?}"));
        let terminal = self.terminals.get_mut(&link).expect("it was just seen");
        let client = terminal.client.as_mut().expect("it was just seen");
        terminal.under_way.extend(client.gesture(gesture));
        if self.random.u8(..100) < 80 {
            self.deliver(link, usize::MAX)?;
        }
        Ok(())
    }

    /// A shard is about to be given bytes of a socket. Whether they are for a transport, which takes them if the connection lives.
    pub(crate) fn transport_is_given(&mut self, shard: ShardId, key: ConnKey, bytes: &[u8]) -> bool {
        let is_live = matches!(
            self.stage(shard, key),
            ConnectionStage::Open | ConnectionStage::Settled
        );
        let socket = self.kernel.borrow_mut().rings[usize::from(shard.0)].socket(key);
        let link = Link::of_socket(socket);
        let client = self
            .terminals
            .get(&link)
            .and_then(|terminal| terminal.client.as_ref());
        let Some(client) = client.filter(|_| is_live) else {
            return false;
        };
        let (before, read) = self.socket(link, |socket| {
            let before = socket.told();
            socket.tell(bytes);
            (before, socket.told())
        });
        match client.handshake_done(before, read) {
            None => {}
            Some(HandshakeKind::Resumed) => self.counted.resumed += 1,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => self.counted.full += 1,
        }
        true
    }

    /// Logic was given bytes of packets.
    pub(crate) fn packets_are_read(&mut self, link: Link, bytes: &[u8]) -> Result<(), Failure> {
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        let Some(client) = &mut terminal.client else {
            self.socket(link, |socket| socket.tell(bytes));
            return Ok(());
        };
        let is_it = client.is_understood(bytes);
        ensure("transport", is_it, || {
            format!("{link:?} said other bytes than {bytes:?}")
        })
    }

    /// Logic hears of a sign of life that has no bytes.
    pub(crate) fn life_is_heard(&mut self, link: Link) -> Result<(), Failure> {
        let read = self.socket(link, |socket| socket.told());
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        let pings = terminal.client.as_mut().map(|client| &mut client.pings);
        let mut heard = 0;
        if let Some(pings) = pings {
            while pings.pop_front_if(|end| *end <= read).is_some() {
                heard += 1;
            }
        }
        ensure("life", heard > 0, || format!("{link:?} gave no sign of life"))
    }

    /// Logic hears that a terminal does without TLS: what it is sent now goes as it is.
    pub(crate) fn is_skipped(&mut self, link: Link) -> Result<(), Failure> {
        let read = self.socket(link, |socket| socket.told());
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        let skips = terminal
            .client
            .as_mut()
            .is_some_and(|client| client.skips_tls(read));
        self.counted.mistakes[TransportMistake::NotTls as usize] += 1;
        ensure("skipped", skips, || format!("{link:?} speaks TLS"))
    }

    /// A shard lets go of who may not connect, without a word to its logic.
    pub(crate) fn is_turned_away(&mut self, link: Link) {
        let terminal = self.terminals.get_mut(&link).expect("it was accepted");
        if terminal.way.between == Between::Stranger {
            terminal.place = Place::Over;
            self.counted.mistakes[TransportMistake::ProxyUntrusted as usize] += 1;
        }
    }

    /// Logic asked for a close.
    pub(crate) fn closes(&mut self, link: Link, reason: CloseReason) {
        let read = self.socket(link, |socket| socket.told());
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        if let Some(client) = &mut terminal.client {
            client.is_closed(read, reason);
        }
    }

    /// Whether a link may be lost like this: by its terminal, which then was heard to its end, or because it does not read. One that
    /// does not read what goes before its move is reset, and moves.
    pub(crate) fn check_loss(&mut self, link: Link, loss: LinkLoss) -> Result<(), Failure> {
        let (is_slow, has_left, read) = self.socket(link, |socket| {
            let has_left = socket.has_ended() && socket.is_told() || socket.is_reset_by_move;
            (socket.reads_slowly(), has_left, socket.told())
        });
        let terminal = self.terminals.get_mut(&link).expect("logic knows it");
        let told = terminal.told.iter();
        let told: usize = told.map(|(packet, _)| packet.len() + WRAPPING_BYTES_MAX).sum();
        let mut mistake = None;
        let (mut is_slow, mut has_left) = (is_slow, has_left);
        if let Some(client) = &mut terminal.client {
            let pongs = client.pongs_due * (WRAPPING_BYTES_MAX + PING_BYTES_MAX);
            is_slow |= told + pongs + BEGINNING_BYTES_MAX > OUTBOUND_BYTES_MAX;
            let end = client.end.filter(|end| read >= end.may_at);
            mistake = end.and_then(|end| end.mistake);
            has_left |= client.has_ended(read) && mistake.is_none();
            if client.has_ended(read) || mistake.is_some() {
                client.its_end_is_heard();
            }
        }
        let holds = match loss {
            LinkLoss::SlowReader => is_slow,
            LinkLoss::Peer => has_left,
            LinkLoss::Mistake => mistake.is_some(),
        };
        if let Some(mistake) = mistake.filter(|_| loss == LinkLoss::Mistake) {
            self.counted.mistakes[mistake as usize] += 1;
        }
        ensure("loss", holds, || {
            let client = &self.terminals[&link].client;
            format!("{link:?} is lost by {loss:?}: slow {is_slow}, left {has_left}, read {read}, {client:?}")
        })
    }

    /// Who was not reset, and has not left, has got all that it was sent and the end of its transport, before the link ends.
    pub(crate) fn check_farewell(&mut self, link: Link) -> Result<(), Failure> {
        let is_in_order = self.socket(link, |socket| {
            !socket.is_aborted && !socket.is_cut && socket.peer == FarEnd::Lives
        });
        if !is_in_order || self.terminals[&link].place != Place::Over {
            return Ok(());
        }
        self.terminal_reads(link, usize::MAX / 2)?;
        let terminal = &self.terminals[&link];
        let client = terminal.client.as_ref();
        let must = client.and_then(|client| client.farewell);
        let fits = must.is_none_or(|must| client.is_some_and(|client| client.heard == must));
        ensure("farewell", fits && terminal.has_read_all(), || {
            format!(
                "{link:?} is closed, and heard {client:?} of {must:?}, {:?}",
                terminal.told
            )
        })
    }

    /// What is to hold while nothing happens: all that the terminal said has come to logic, and back.
    pub(crate) fn check_transport_at_rest(&self, link: Link) -> Result<(), Failure> {
        let terminal = &self.terminals[&link];
        let Some(client) = &terminal.client else {
            return Ok(());
        };
        let read = self.socket(link, |socket| socket.told());
        let reads = terminal.reads_at_once();
        let is_quiet = client.is_quiet() || !reads || !terminal.under_way.is_empty() || client.end.is_some();
        ensure("transport", is_quiet && !client.has_ended(read), || {
            format!("{link:?} is not heard: {client:?}")
        })
    }

    /// What shards count is what terminals did.
    pub(crate) fn check_transport_counts(&self) -> Result<(), Failure> {
        let mut sum = TransportCounts::default();
        for shard in &self.shards {
            let counts = shard.transport_counts();
            sum.mistakes = std::array::from_fn(|place| sum.mistakes[place] + counts.mistakes[place]);
            sum.full += counts.full;
            sum.resumed += counts.resumed;
            shard.check_transports();
        }
        ensure("transport counts", sum == self.counted, || {
            format!("{sum:?}, and terminals did {:?}", self.counted)
        })
    }
}
