//! What happens to a terminal by its link. How a link lives is in [`holdfast::engine::connection`]; what the server says on it is
//! read in `packets`. It begins nothing by itself.

use std::ops::Range;

use holdfast::base::ids::ConnKey;
use holdfast::base::time::Instant;
use holdfast::engine::buffers::Buffer;
use holdfast::engine::completion::{Completion, KernelRefusal, LossCause};
use holdfast::engine::connection::ConnectionNews;
use holdfast::engine::kernel::Kernel;
use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{self, request};

use super::dialect::TerminalDialect;
use super::mqtt;
use super::ring::Worker;
use super::terminal::{NO_WORKLOAD, TerminalPhase};
use super::transport::CameByLink;
use super::workload::{ExpectedStatus, LinkEnds, Op, ShownStatus};

/// After which a terminal comes back that was turned away without a word, or found nobody where it was sent.
const TURNED_AWAY_MS: Range<u32> = 500..2_000;

impl Worker {
    pub(super) fn complete(&mut self, completion: Completion) {
        let Completion::Of(key, event) = completion else {
            unreachable!("terminals accept nobody");
        };
        match self.connections.complete(key, event, &mut self.ring) {
            Some(ConnectionNews::Connected(result)) => self.connected(key, result),
            Some(ConnectionNews::Bytes { buffer, unread }) => {
                self.received(key, buffer);
                self.connections.read_on(key, unread, &mut self.ring);
            }
            Some(ConnectionNews::Lost(cause)) => self.lost(key.slot, cause),
            Some(ConnectionNews::Gone) => self.closed(key.slot),
            Some(ConnectionNews::NoBuffer) | None => {}
            Some(ConnectionNews::Left | ConnectionNews::NotLeft) => {
                unreachable!("terminals stay in their ring")
            }
        }
    }

    /// Begins a new link. `false`: the kernel takes nothing more now.
    pub(super) fn connect(&mut self, slot: u32) -> bool {
        if !self.ring.may_connect() {
            return false;
        }
        let terminal = &self.terminals[slot as usize];
        let ends = (self.source(slot), self.nodes.of(terminal.home));
        self.connections.connect(slot, ends, &mut self.ring);
        let terminal = &mut self.terminals[slot as usize];
        terminal.phase = TerminalPhase::Connecting;
        terminal.silent = false;
        true
    }

    fn connected(&mut self, key: ConnKey, result: Result<(), KernelRefusal>) {
        if let Err(KernelRefusal(errno)) = result {
            let terminal = &mut self.terminals[key.slot as usize];
            if terminal.home.unreached() {
                terminal.retry_after_ms = Some(fastrand::u32(TURNED_AWAY_MS));
                return self.end_link(key.slot);
            }
            let error = std::io::Error::from_raw_os_error(errno);
            self.fault(&format!("cannot connect: {error}"));
            return self.end_link(key.slot);
        }
        self.terminals[key.slot as usize].phase = TerminalPhase::Greeting;
        if self.links.are_plain() {
            return self.greet(key.slot);
        }
        let came = self.links.begin(key.slot);
        self.came(key, came);
    }

    /// Packets can be sent: the login is the first.
    fn greet(&mut self, slot: u32) {
        let (now, number) = (self.clock.now().wall, self.config.first + slot);
        let session = self.terminals[slot as usize].session;
        let config = &self.config;
        let login = config
            .target
            .dialect
            .login(&config.identities, now, number, session);
        self.send(slot, login);
    }

    /// Something came of a link that is not plain.
    fn came(&mut self, key: ConnKey, came: CameByLink) {
        if !came.answer.is_empty() {
            self.put(key.slot, came.answer);
        }
        if came.resumed {
            self.config.statistics.resumed();
        }
        if came.opened {
            self.greet(key.slot);
        }
        if !came.packets.is_empty() {
            let mut bytes = self.partial.remove(&key.slot).unwrap_or_default();
            bytes.extend_from_slice(&came.packets);
            self.read(key, &bytes);
        }
        if let Some(why) = came
            .wrong
            .filter(|_| self.terminals[key.slot as usize].phase.has_link())
        {
            self.wrong(key.slot, &why);
        }
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, slot: u32, packet: Vec<u8>) {
        let bytes = match self.links.are_plain() {
            true => packet,
            false => self.links.wrap(slot, &packet),
        };
        self.put(slot, bytes);
    }

    fn put(&mut self, slot: u32, bytes: Vec<u8>) {
        let key = self.connections.key(slot);
        if let Some(cause) = self.connections.send(key, bytes, &mut self.ring) {
            self.lost(slot, cause);
        }
    }

    fn received(&mut self, key: ConnKey, buffer: Buffer) {
        if !self.links.are_plain() {
            let mut bytes = self.ring.bytes(&buffer).to_vec();
            self.ring.recycle(buffer);
            if self.terminals[key.slot as usize].phase.has_link() {
                let came = self.links.receive(key.slot, &mut bytes);
                self.came(key, came);
            }
            return;
        }
        let mut bytes = self.partial.remove(&key.slot).unwrap_or_default();
        bytes.extend_from_slice(self.ring.bytes(&buffer));
        self.ring.recycle(buffer);
        match self.config.target.dialect {
            TerminalDialect::Gateway => self.read(key, &bytes),
            TerminalDialect::Mqtt | TerminalDialect::Echo => self.read_other(key, &bytes),
        }
    }

    pub(super) fn beat(&mut self, slot: u32) {
        let heartbeat = self.config.target.dialect.heartbeat();
        if !self.links.are_plain() {
            return self.send(slot, heartbeat.to_vec());
        }
        let key = self.connections.key(slot);
        let lost = self.connections.send_constant(key, heartbeat, &mut self.ring);
        if let Some(cause) = lost {
            self.lost(slot, cause);
        }
    }

    pub(super) fn log_out(&mut self, slot: u32) {
        let terminal = &mut self.terminals[slot as usize];
        let bytes = match self.config.target.dialect {
            TerminalDialect::Gateway => {
                let logout = request::Packet::Logout(proto::Logout {});
                encode(&proto::Request { packet: Some(logout) })
            }
            TerminalDialect::Mqtt => {
                // There is no answer: the server closes.
                terminal.expected = ExpectedStatus::Now(ShownStatus::Offline);
                mqtt::DISCONNECT.to_vec()
            }
            TerminalDialect::Echo => {
                terminal.expected = ExpectedStatus::Now(ShownStatus::Offline);
                return self.end_link(slot);
            }
        };
        terminal.phase = TerminalPhase::Leaving;
        self.send(slot, bytes);
    }

    /// The server closed, or reset, the link; or it does not read.
    fn lost(&mut self, slot: u32, cause: LossCause) {
        if cause == LossCause::SlowReader {
            return self.wrong(slot, "the server reads no heartbeats");
        }
        if self.link_ends == LinkEnds::AreFaults {
            self.turned_away(slot);
        }
        let terminal = &self.terminals[slot as usize];
        let comes_back = terminal.retry_after_ms.is_some();
        let is_due = match terminal.phase {
            TerminalPhase::Away
            | TerminalPhase::Waiting
            | TerminalPhase::Connecting
            | TerminalPhase::Ending => return,
            TerminalPhase::Leaving => terminal.expected == ExpectedStatus::Now(ShownStatus::Offline),
            TerminalPhase::Losing => terminal.session == 0,
            TerminalPhase::Greeting => false,
            TerminalPhase::Live => terminal.silent && matches!(terminal.expected, ExpectedStatus::Soon(_)),
        } || comes_back;
        if self.link_ends == LinkEnds::AreExpected && !comes_back {
            self.config.statistics.lost();
        } else if !is_due {
            let phase = terminal.phase;
            return self.wrong(slot, &format!("the server closed a link that was {phase:?}"));
        }
        self.end_link(slot);
    }

    /// The gateway has ended the link before a packet could be sent: so many handshakes wait that it took no more. Or the terminal
    /// came where it was sent, and that node has ended.
    fn turned_away(&mut self, slot: u32) {
        let terminal = &mut self.terminals[slot as usize];
        let is_told = terminal.phase != TerminalPhase::Greeting || terminal.retry_after_ms.is_some();
        if !is_told && (!self.links.is_open(slot) || terminal.home.unreached()) {
            terminal.retry_after_ms = Some(fastrand::u32(TURNED_AWAY_MS));
            self.config.statistics.retried();
        }
    }

    /// Something is not as it should be: the link ends, and what was asked of the terminal has failed.
    pub(super) fn wrong(&mut self, slot: u32, what: &str) {
        self.fault(what);
        let failed = self.terminals[slot as usize].workload != NO_WORKLOAD;
        if failed {
            self.ended(slot, false);
        }
        self.terminals[slot as usize].expected = ExpectedStatus::Unclear;
        self.end_link(slot);
    }

    pub(super) fn fault(&self, what: &str) {
        self.config.statistics.fault(what);
    }

    /// The link is over for the terminal.
    pub(super) fn end_link(&mut self, slot: u32) {
        let number = self.config.first + slot;
        let after = self.config.identities.after_link_end(number);
        let terminal = &mut self.terminals[slot as usize];
        if terminal.phase == TerminalPhase::Ending {
            return;
        }
        if matches!(
            terminal.phase,
            TerminalPhase::Live | TerminalPhase::Leaving | TerminalPhase::Losing
        ) {
            self.config.statistics.session_ended();
        }
        if matches!(terminal.op, Op::CutFin | Op::CutRst) && terminal.workload != NO_WORKLOAD {
            terminal.expected = ExpectedStatus::Soon(after);
        }
        terminal.phase = TerminalPhase::Ending;
        self.partial.remove(&slot);
        self.links.end(slot);
        let (key, now) = (self.connections.key(slot), self.now());
        self.connections.close(now, key, &mut self.ring);
    }

    /// What the deadlines of links are told in.
    pub(super) fn now(&self) -> Instant {
        Instant(self.now_us / 1_000)
    }

    fn closed(&mut self, slot: u32) {
        let now_us = self.now_us;
        let terminal = &mut self.terminals[slot as usize];
        terminal.phase = TerminalPhase::Away;
        if let Some(after_ms) = terminal.retry_after_ms.take() {
            terminal.phase = TerminalPhase::Waiting;
            self.retries.insert((now_us + u64::from(after_ms) * 1_000, slot));
            return;
        }
        terminal.silent = false;
        terminal.steps += 1;
        if terminal.workload == NO_WORKLOAD {
            return;
        }
        let well = match terminal.op {
            Op::LogOut | Op::CutFin | Op::CutRst | Op::FallSilent | Op::Visit => true,
            Op::LogIn | Op::Resume | Op::ForceOff | Op::Beat => false,
        };
        // What was cut short by an end that may be, failed all the same.
        let told = terminal.expected != ExpectedStatus::Unclear
            && terminal.expected != ExpectedStatus::Now(ShownStatus::Online);
        self.ended(slot, well && told);
    }
}
