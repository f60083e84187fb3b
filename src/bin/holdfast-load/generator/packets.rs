//! What the gateway, or another server, says to a terminal. Every packet that should not be there is a fault.

use std::ops::RangeInclusive;

use holdfast::base::ids::ConnKey;
use holdfast::protocol::native::proto::{self, Code, WhatNext, request, response};
use holdfast::protocol::native::terminal::{self, NextResponse};
use holdfast::protocol::native::{HEARTBEAT_ANSWER, encode};

use super::dialect::{ParsedAnswer, PeerAnswer};
use super::home::GoesOn;
use super::mqtt;
use super::ring::Worker;
use super::terminal::{NO_WORKLOAD, TerminalPhase};
use super::workload::{ExpectedStatus, LinkEnds, Op, ShownStatus};

/// No packet of the gateway is larger.
const PACKET_BYTES_MAX: usize = 4_096;

impl Worker {
    pub(super) fn read(&mut self, key: ConnKey, bytes: &[u8]) {
        let mut rest = bytes;
        while self.terminals[key.slot as usize].phase.has_link() {
            if let Some(behind) = rest.strip_prefix(HEARTBEAT_ANSWER) {
                self.beat_answered(key.slot);
                rest = behind;
                continue;
            }
            match terminal::next(rest, PACKET_BYTES_MAX) {
                NextResponse::Packet(packet, behind) => {
                    self.packet_received(key.slot, packet);
                    rest = behind;
                }
                NextResponse::Incomplete if rest.is_empty() => return,
                NextResponse::Incomplete => {
                    self.partial.insert(key.slot, rest.to_vec());
                    return;
                }
                NextResponse::Malformed(why) => return self.wrong(key.slot, &why),
            }
        }
    }

    /// As [`Self::read`], for a server that speaks another dialect.
    pub(super) fn read_other(&mut self, key: ConnKey, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.terminals[key.slot as usize].phase.has_link() {
            match self.config.target.dialect.next(rest) {
                ParsedAnswer::Answer(answer, behind) => {
                    self.answered(key.slot, answer);
                    rest = behind;
                }
                ParsedAnswer::Incomplete => {
                    self.partial.insert(key.slot, rest.to_vec());
                    return;
                }
                ParsedAnswer::Malformed => {
                    let beginning = &rest[..rest.len().min(16)];
                    return self.wrong(key.slot, &format!("the bytes are no answer: {beginning:02X?}"));
                }
            }
        }
    }

    fn answered(&mut self, slot: u32, answer: PeerAnswer<'_>) {
        let subscribes = self.config.identities.take_messages();
        match (self.terminals[slot as usize].phase, answer) {
            (TerminalPhase::Greeting, PeerAnswer::LoggedIn) if subscribes => {}
            (TerminalPhase::Greeting, PeerAnswer::LoggedIn | PeerAnswer::Subscribed | PeerAnswer::Echo) => {
                let terminal = &mut self.terminals[slot as usize];
                (terminal.phase, terminal.expected) =
                    (TerminalPhase::Live, ExpectedStatus::Now(ShownStatus::Online));
                self.config.statistics.logged_in();
                self.logged_in(slot);
            }
            (_, PeerAnswer::Heartbeat | PeerAnswer::Echo) => self.beat_answered(slot),
            (TerminalPhase::Live, PeerAnswer::Message(number, body)) => {
                self.body_came(slot, body);
                if let Some(number) = number {
                    self.send(slot, mqtt::puback(number));
                }
            }
            (phase, answer) => self.wrong(slot, &format!("{answer:?} while {phase:?}")),
        }
    }

    fn packet_received(&mut self, slot: u32, packet: Option<response::Packet>) {
        use response::Packet;
        let phase = self.terminals[slot as usize].phase;
        match (phase, packet) {
            (TerminalPhase::Greeting, Some(Packet::LoginAnswer(answer))) => {
                self.login_answered(slot, &answer)
            }
            (TerminalPhase::Greeting, Some(Packet::Error(error))) => {
                self.refused(slot, &error.verdict.unwrap_or_default());
            }
            (TerminalPhase::Leaving, Some(Packet::LogoutAnswer(_))) => {
                let terminal = &mut self.terminals[slot as usize];
                (terminal.session, terminal.expected) = (0, ExpectedStatus::Now(ShownStatus::Offline));
            }
            (TerminalPhase::Losing, Some(Packet::ForceOffline(_))) => {
                let terminal = &mut self.terminals[slot as usize];
                (terminal.session, terminal.expected) = (0, ExpectedStatus::Now(ShownStatus::Offline));
                self.config.statistics.forced_off();
            }
            (TerminalPhase::Live, Some(Packet::Error(error))) if self.terminals[slot as usize].silent => {
                let code = error.verdict.unwrap_or_default().code();
                if code != Code::Silent {
                    return self.wrong(slot, &format!("a silent terminal was told {code:?}"));
                }
                let after = self.config.identities.after_link_end(self.config.first + slot);
                self.terminals[slot as usize].expected = ExpectedStatus::Soon(after);
            }
            (
                TerminalPhase::Greeting | TerminalPhase::Live | TerminalPhase::Leaving,
                Some(Packet::GoAway(away)),
            ) if code_of(&away) == Code::Elsewhere || self.is_at_stopping_node(slot, &away) => {
                self.sent_away(slot, &away);
            }
            (TerminalPhase::Live, Some(Packet::Message(message))) => self.message_came(slot, &message),
            (_, Some(Packet::GoAway(_))) if self.link_ends == LinkEnds::AreExpected => {}
            (phase, packet) => self.wrong(slot, &format!("{packet:?} while {phase:?}")),
        }
    }

    /// The body of a message begins with the moment at which it was sent.
    fn body_came(&mut self, slot: u32, body: &[u8]) {
        let sent_us = body.get(..SENT_AT_DIGITS).and_then(sent_at_us);
        let Some(sent_us) = sent_us else {
            return self.wrong(slot, "a message that nobody has sent");
        };
        let now_us = u64::try_from(self.config.watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.config.statistics.message(now_us.saturating_sub(sent_us));
    }

    fn message_came(&mut self, slot: u32, message: &proto::Message) {
        self.body_came(slot, &message.body);
        if message.wants_ack {
            let ack = proto::MessageAck {
                id: vec![message.id],
                ..proto::MessageAck::default()
            };
            let packet = Some(request::Packet::MessageAck(ack));
            self.send(slot, encode(&proto::Request { packet }));
        }
    }

    fn login_answered(&mut self, slot: u32, answer: &proto::LoginAnswer) {
        let verdict = answer.verdict.clone().unwrap_or_default();
        if verdict.code() == Code::Elsewhere {
            return self.sent_on(slot, &verdict, &answer.address);
        }
        if verdict.code() != Code::Ok {
            return self.refused(slot, &verdict);
        }
        let expected_names = self.online_beside(slot);
        let terminal = &mut self.terminals[slot as usize];
        let follows = terminal.follows_user();
        let kept = (follows || terminal.op == Op::Resume) && terminal.session == answer.session;
        let op = terminal.op;
        terminal.session = answer.session;
        terminal.home.logged_in();
        terminal.phase = TerminalPhase::Live;
        terminal.expected = ExpectedStatus::Now(ShownStatus::Online);
        self.config.statistics.logged_in();
        if follows {
            return self.followed(slot, kept);
        }
        if kept {
            self.session_kept(slot);
        } else if let Some(other) = self.other(slot) {
            // The policy lets one device of a platform be there, so whatever the other was is over.
            let other = &mut self.terminals[other as usize];
            other.session = 0;
            if other.expected != ExpectedStatus::Never {
                other.expected = ExpectedStatus::Now(ShownStatus::Offline);
            }
            other.steps += 1;
        }
        if !expected_names.contains(&answer.forced_off.len()) {
            self.fault(&format!(
                "a login ({op:?}) forced off {:?}, where {expected_names:?} were online",
                answer.forced_off
            ));
        }
        self.logged_in(slot);
    }

    /// A terminal whose user went to another node is logged in there, and goes on with what it was about.
    fn followed(&mut self, slot: u32, kept: bool) {
        if !kept {
            return self.wrong(
                slot,
                "a terminal that followed its user to another node lost its session",
            );
        }
        self.config.statistics.followed();
        let terminal = &mut self.terminals[slot as usize];
        match terminal.op {
            _ if terminal.workload == NO_WORKLOAD => {}
            Op::Beat => self.beat(slot),
            Op::LogOut => self.log_out(slot),
            Op::FallSilent => terminal.silent = true,
            Op::LogIn | Op::Resume | Op::ForceOff | Op::CutFin | Op::CutRst | Op::Visit => {
                unreachable!("such a terminal follows nobody")
            }
        }
    }

    /// A login has ended well.
    fn logged_in(&mut self, slot: u32) {
        match self.terminals[slot as usize].op {
            Op::Visit => self.log_out(slot),
            Op::LogIn
            | Op::Resume
            | Op::ForceOff
            | Op::Beat
            | Op::LogOut
            | Op::CutFin
            | Op::CutRst
            | Op::FallSilent => self.ended(slot, true),
        }
    }

    /// How many other devices of the user the gateway may take for Online: it has perhaps not seen yet that a link ended.
    fn online_beside(&self, slot: u32) -> RangeInclusive<usize> {
        let other = self.other(slot).map(|other| &self.terminals[other as usize]);
        match other.map(|other| (other.phase, other.expected)) {
            Some((TerminalPhase::Losing, _)) => 1..=1,
            Some((_, ExpectedStatus::Soon(_))) => 0..=1,
            Some(_) | None if self.terminals[slot as usize].op == Op::ForceOff => 1..=1,
            Some(_) | None => 0..=0,
        }
    }

    /// Another node has the user. The gateway closes, and the terminal goes there.
    fn sent_on(&mut self, slot: u32, verdict: &proto::Verdict, address: &str) {
        self.config.statistics.sent_on();
        let terminal = &mut self.terminals[slot as usize];
        match terminal.home.sent_on(&mut self.nodes, address) {
            GoesOn::AtOnce => terminal.retry_after_ms = Some(verdict.retry_after_ms),
            GoesOn::Later => self.refused(slot, verdict),
        }
    }

    /// Whether a terminal came where it was sent, and too late: that node stops.
    fn is_at_stopping_node(&self, slot: u32, away: &proto::GoAway) -> bool {
        let terminal = &self.terminals[slot as usize];
        let came_elsewhere = terminal.phase == TerminalPhase::Greeting && terminal.home.was_sent();
        came_elsewhere && code_of(away) == Code::Stopping
    }

    /// Another node has the user from now on. The gateway closes, and the terminal goes there; or where it began, if it is told no
    /// address.
    fn sent_away(&mut self, slot: u32, away: &proto::GoAway) {
        let terminal = &mut self.terminals[slot as usize];
        terminal.home.sent_away(&mut self.nodes, &away.address);
        // All nodes are about to stop, or one is about to be killed: a workload brings back whoever is to come.
        if self.link_ends == LinkEnds::AreFaults {
            let verdict = away.verdict.as_ref();
            terminal.retry_after_ms = Some(verdict.map_or(0, |verdict| verdict.retry_after_ms));
        }
    }

    /// A login was not taken. The gateway closes; if it said so, the terminal comes back later.
    fn refused(&mut self, slot: u32, verdict: &proto::Verdict) {
        if verdict.what_next() == WhatNext::Retry {
            self.terminals[slot as usize].retry_after_ms = Some(verdict.retry_after_ms);
            self.config.statistics.retried();
            return;
        }
        self.wrong(
            slot,
            &format!("a login was refused: {:?}, {}", verdict.code(), verdict.text),
        );
    }

    fn beat_answered(&mut self, slot: u32) {
        let terminal = &self.terminals[slot as usize];
        if terminal.workload != NO_WORKLOAD && terminal.op == Op::Beat {
            self.ended(slot, true);
        } else {
            self.wrong(slot, "an answer to no heartbeat");
        }
    }
}

/// Digits of the moment at which a message was sent.
pub(crate) const SENT_AT_DIGITS: usize = 16;

fn sent_at_us(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn code_of(away: &proto::GoAway) -> Code {
    away.verdict.as_ref().map_or(Code::Ok, proto::Verdict::code)
}
