//! What happens on a terminal's link, step by step. What the server says on it is read in `packets`. It begins nothing by
//! itself.

use holdfast::base::ids::ConnKey;
use holdfast::engine::completion::{Completion, Incoming, Refusal, SendEnd};
use holdfast::engine::operations::{Cancel, Patience};
use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{self, request};

use super::dialect::TerminalDialect;
use super::mqtt;
use super::ring::Worker;
use super::terminal::{InFlight, NO_WORKLOAD, Terminal, TerminalPhase};
use super::workload::{ExpectedStatus, LinkEnds, Op, ShownStatus};

impl Worker {
    pub(super) fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Connected(key, result) => self.connected(key, result),
            Completion::Polled(key) => self.polled(key),
            Completion::Received(key, incoming) => self.received(key, incoming),
            Completion::Sent(key, end) => self.sent(key, &end),
            Completion::ConstantNotSent(key, refusal) => self.not_sent(key, refusal),
            Completion::Closed(key) => self.closed(key),
            Completion::Accepted { .. }
            | Completion::NotAccepted(_)
            | Completion::Left(..)
            | Completion::Arrived(..) => {
                unreachable!("terminals accept nobody, and stay in their ring")
            }
        }
    }

    /// The terminal that a completion is about, unless that link is gone.
    fn of(&mut self, key: ConnKey) -> Option<&mut Terminal> {
        let terminal = &mut self.terminals[key.slot as usize];
        (terminal.generation == key.generation).then_some(terminal)
    }

    /// Begins a new link. `false`: the kernel takes nothing more now.
    pub(super) fn connect(&mut self, slot: u32) -> bool {
        let (source, target) = (self.source(slot), self.config.target);
        let terminal = &mut self.terminals[slot as usize];
        let key = ConnKey {
            slot,
            generation: terminal.generation.wrapping_add(1),
        };
        if !self.ring.connect(key, source, target) {
            return false;
        }
        terminal.generation = key.generation;
        terminal.phase = TerminalPhase::Connecting;
        terminal.silent = false;
        true
    }

    fn connected(&mut self, key: ConnKey, result: Result<(), Refusal>) {
        if let Err(Refusal(errno)) = result {
            let error = std::io::Error::from_raw_os_error(errno);
            self.fault(&format!("cannot connect: {error}"));
            return self.end_link(key.slot);
        }
        let now = self.clock.now().wall;
        let number = self.config.first + key.slot;
        let Some(terminal) = self.of(key) else { return };
        terminal.phase = TerminalPhase::Greeting;
        terminal.in_flight.add(InFlight::SEND);
        let session = terminal.session;
        let config = &self.config;
        let login = config.dialect.login(&config.identities, now, number, session);
        self.poll(key);
        self.ring.send(key, login, 0);
    }

    /// Waits for more, unless something is under way that will tell of it.
    fn poll(&mut self, key: ConnKey) {
        let Some(terminal) = self.of(key) else { return };
        if !terminal.in_flight.has(InFlight::POLL) && !terminal.in_flight.has(InFlight::RECEIVE) {
            terminal.in_flight.add(InFlight::POLL);
            self.ring.poll(key);
        }
    }

    fn polled(&mut self, key: ConnKey) {
        let Some(terminal) = self.of(key) else { return };
        terminal.in_flight.remove(InFlight::POLL);
        if terminal.phase == TerminalPhase::Ending {
            return self.join(key.slot);
        }
        self.receive(key);
    }

    fn receive(&mut self, key: ConnKey) {
        let Some(terminal) = self.of(key) else { return };
        if !terminal.in_flight.has(InFlight::RECEIVE) {
            terminal.in_flight.add(InFlight::RECEIVE);
            self.ring.receive(key, Patience::AtOnce);
        }
    }

    pub(super) fn receive_again(&mut self) {
        for key in std::mem::take(&mut self.waiting_for_buffer) {
            match self.terminals[key.slot as usize].phase {
                TerminalPhase::Ending => self.join(key.slot),
                TerminalPhase::Greeting
                | TerminalPhase::Live
                | TerminalPhase::Leaving
                | TerminalPhase::Losing => self.receive(key),
                TerminalPhase::Away | TerminalPhase::Connecting | TerminalPhase::Closing => {}
            }
        }
    }

    fn received(&mut self, key: ConnKey, incoming: Incoming) {
        if let Some(terminal) = self.of(key) {
            terminal.in_flight.remove(InFlight::RECEIVE);
        }
        match incoming {
            Incoming::Bytes { buffer, more } => {
                let mut bytes = self.partial.remove(&key.slot).unwrap_or_default();
                bytes.extend_from_slice(self.ring.bytes(&buffer));
                self.ring.recycle(buffer);
                match self.config.dialect {
                    TerminalDialect::Gateway => self.read(key, &bytes),
                    TerminalDialect::Mqtt | TerminalDialect::Echo => self.read_other(key, &bytes),
                }
                let phase = self.terminals[key.slot as usize].phase;
                if phase == TerminalPhase::Ending {
                    self.join(key.slot);
                } else if phase.has_link() {
                    if more {
                        self.receive(key);
                    } else {
                        self.poll(key);
                    }
                }
            }
            Incoming::EndWith(buffer) => {
                self.ring.recycle(buffer);
                self.link_ended(key);
            }
            Incoming::End => self.link_ended(key),
            Incoming::NoBuffer => self.waiting_for_buffer.push(key),
            Incoming::Nothing | Incoming::Cancelled => {
                let phase = self.terminals[key.slot as usize].phase;
                if phase == TerminalPhase::Ending {
                    self.join(key.slot);
                } else if phase.has_link() {
                    self.poll(key);
                }
            }
        }
    }

    pub(super) fn beat(&mut self, slot: u32) {
        let heartbeat = self.config.dialect.heartbeat();
        self.ring
            .send_constant(self.terminals[slot as usize].key(slot), heartbeat);
    }

    pub(super) fn log_out(&mut self, slot: u32) {
        let terminal = &mut self.terminals[slot as usize];
        let bytes = match self.config.dialect {
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
        terminal.in_flight.add(InFlight::SEND);
        let key = terminal.key(slot);
        self.ring.send(key, bytes, 0);
    }

    fn sent(&mut self, key: ConnKey, end: &SendEnd) {
        let Some(terminal) = self.of(key) else { return };
        terminal.in_flight.remove(InFlight::SEND);
        match (terminal.phase, end.sent) {
            (TerminalPhase::Ending, _) => self.join(key.slot),
            (_, Ok(count)) if count == end.bytes.len() => {}
            // The receive tells of the link's end.
            (_, Ok(_) | Err(_)) => self.receive(key),
        }
    }

    fn not_sent(&mut self, key: ConnKey, refusal: Refusal) {
        if self.of(key).is_some() && refusal == Refusal::FULL {
            self.wrong(key.slot, "the server reads no heartbeats");
        }
    }

    /// The server closed, or reset, the link.
    fn link_ended(&mut self, key: ConnKey) {
        let link_ends = self.link_ends;
        let Some(terminal) = self.of(key) else { return };
        let is_due = match terminal.phase {
            TerminalPhase::Ending => return self.join(key.slot),
            TerminalPhase::Away | TerminalPhase::Connecting | TerminalPhase::Closing => return,
            TerminalPhase::Leaving => terminal.expected == ExpectedStatus::Now(ShownStatus::Offline),
            TerminalPhase::Losing => terminal.session == 0,
            TerminalPhase::Greeting => terminal.retry_after_ms.is_some(),
            TerminalPhase::Live => terminal.silent && matches!(terminal.expected, ExpectedStatus::Soon(_)),
        };
        if link_ends == LinkEnds::AreExpected {
            self.config.statistics.lost();
        } else if !is_due {
            let phase = terminal.phase;
            return self.wrong(key.slot, &format!("the server closed a link that was {phase:?}"));
        }
        self.end_link(key.slot);
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

    /// The link is over for the terminal: it joins what is in the kernel's hands, and closes.
    pub(super) fn end_link(&mut self, slot: u32) {
        let number = self.config.first + slot;
        let after = self.config.identities.after_link_end(number);
        let terminal = &mut self.terminals[slot as usize];
        if terminal.phase == TerminalPhase::Ending || terminal.phase == TerminalPhase::Closing {
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
        let (key, in_flight) = (terminal.key(slot), terminal.in_flight);
        self.partial.remove(&slot);
        if in_flight.has(InFlight::POLL) {
            self.ring.cancel(key, Cancel::Poll);
        }
        if in_flight.has(InFlight::SEND) {
            self.ring.cancel(key, Cancel::Send);
        }
        self.join(slot);
    }

    fn join(&mut self, slot: u32) {
        let terminal = &mut self.terminals[slot as usize];
        if terminal.in_flight.is_empty() {
            terminal.phase = TerminalPhase::Closing;
            let key = terminal.key(slot);
            self.ring.close(key);
        }
    }

    fn closed(&mut self, key: ConnKey) {
        let now_us = self.now_us;
        let Some(terminal) = self.of(key) else { return };
        terminal.phase = TerminalPhase::Away;
        if let Some(after_ms) = terminal.retry_after_ms.take() {
            self.retries
                .insert((now_us + u64::from(after_ms) * 1_000, key.slot));
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
        self.ended(key.slot, well && told);
    }
}
