//! The terminal's end of what its bytes travel in: a proxy's header, TLS by rustls, WebSocket. By its own bytes alone it knows how
//! far the gateway's end must be.

mod beginning;
mod farewell;
mod gestures;
mod hearing;

use std::collections::VecDeque;
use std::io::Write;

use rustls::{ClientConnection, HandshakeKind};

use crate::protocol::transport::websocket::decoder::FrameDecoder;
use crate::protocol::transport::websocket::frame::{FrameHeader, FrameSender, Opcode, mask};
use crate::sim::shown::Link;
use crate::sim::ways::Way;
pub(crate) use farewell::{Farewell, OwnEnd};
pub(crate) use gestures::{Gesture, PING_BYTES_MAX};

/// How packets are framed.
#[derive(Debug)]
enum Frames {
    /// They are not, or not yet.
    Without,
    /// The request is sent: its key, and what came of the answer.
    Asked(String, Vec<u8>),
    Open(FrameDecoder),
    /// The answer grants nothing.
    Refused,
    /// The gateway has sent its last frame.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Client {
    way: Way,
    link: Link,
    random: fastrand::Rng,
    tls: Option<Box<ClientConnection>>,
    frames: Frames,
    /// Packets that wait until they can be sent.
    unsaid: Vec<u8>,
    /// Bytes for the socket in all.
    written: usize,
    /// Behind which of them the gateway's handshake of TLS is done.
    shaken_at: Option<usize>,
    /// Behind which of them the gateway can send packets.
    opens_at: Option<usize>,
    pub(crate) end: Option<OwnEnd>,
    pub(crate) heard: Farewell,
    /// What the gateway has to say at its end, once that is known.
    pub(crate) farewell: Option<Farewell>,
    /// Where pings end that the gateway's logic has not heard of.
    pub(crate) pings: VecDeque<usize>,
    /// Pings less pongs.
    pub(crate) pongs_due: usize,
    key_updates: u8,
    /// All that it said in packets, and how much of that logic was given.
    said: Vec<u8>,
    understood: usize,
}

impl Client {
    /// Whether packets can be sent.
    pub(crate) fn is_open(&self) -> bool {
        let has_frames = matches!(self.frames, Frames::Open(_)) || !self.way.has_frames();
        let has_tls = self.shaken_at.is_some() || !self.way.has_tls();
        has_tls && has_frames && self.end.is_none()
    }

    /// Whether the gateway, which has read so many bytes, can send packets.
    pub(crate) fn can_hear(&self, read: usize) -> bool {
        let is_skipped = self.way.has_tls() && self.opens_at == Some(0);
        self.opens_at.is_some_and(|at| read >= at) && (is_skipped || !self.has_ended(read))
    }

    /// Whether the gateway, which has read so many bytes, knows that the terminal has ended.
    pub(crate) fn has_ended(&self, read: usize) -> bool {
        self.end.is_some_and(|end| read >= end.must_at)
    }

    /// What kind of handshake of TLS the gateway has done when it has read on, if it was then.
    pub(crate) fn handshake_done(&self, before: usize, read: usize) -> Option<HandshakeKind> {
        let is_done = self.shaken_at.is_some_and(|at| before < at && at <= read);
        self.tls.as_ref().filter(|_| is_done)?.handshake_kind()
    }

    /// Logic was given bytes of packets. Whether they are those that were said.
    pub(crate) fn is_understood(&mut self, packets: &[u8]) -> bool {
        let is_it = self.said[self.understood..].starts_with(packets);
        self.understood += packets.len();
        is_it
    }

    /// Whether logic was given all packets, and heard of all pings, and the terminal of it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_open() && self.understood == self.said.len() && self.pings.is_empty() && self.pongs_due == 0
    }

    fn one_in(&mut self, count: u8) -> bool {
        self.random.u8(..count) == 0
    }

    /// Packets are said. Gives what that is for the socket.
    pub(crate) fn say(&mut self, packets: &[u8]) -> Vec<u8> {
        self.said.extend_from_slice(packets);
        self.unsaid.extend_from_slice(packets);
        let mut out = Vec::new();
        if self.is_open() {
            self.say_unsaid(&mut out);
        }
        out
    }

    /// Says them as they are, or in two messages, frames or records.
    fn say_unsaid(&mut self, out: &mut Vec<u8>) {
        let packets = std::mem::take(&mut self.unsaid);
        if packets.is_empty() {
            return;
        }
        let (first, second) = match self.random.u8(..8) {
            0 => packets.split_at(self.random.usize(..=packets.len())),
            _ => (&packets[..], &[][..]),
        };
        if !self.way.has_frames() {
            self.put_content(first, out);
            return self.put_content(second, out);
        }
        let is_one_message = !second.is_empty() && self.random.bool();
        let (is_last, next) = match is_one_message {
            true => (false, Opcode::Continuation),
            false => (true, Opcode::Binary),
        };
        let mut framed = Vec::new();
        self.frame((Opcode::Binary, is_last), first, &mut framed);
        if !second.is_empty() {
            self.frame((next, true), second, &mut framed);
        }
        self.put_content(&framed, out);
    }

    fn frame(&mut self, (opcode, is_last): (Opcode, bool), payload: &[u8], out: &mut Vec<u8>) {
        let header = FrameHeader {
            opcode,
            is_last,
            mask: self.random.u32(..).to_ne_bytes(),
            length: payload.len() as u64,
        };
        header.put(FrameSender::Client, out);
        let begin = out.len();
        out.extend_from_slice(payload);
        mask(&mut out[begin..], header.mask);
    }

    /// Bytes for the socket.
    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.written += bytes.len();
        out.extend_from_slice(bytes);
    }

    /// Content for the layer below frames.
    fn put_content(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match &mut self.tls {
            None => self.put(content, out),
            Some(tls) => {
                tls.writer().write_all(content).expect("it has room");
                self.put_records(out);
            }
        }
    }

    /// What rustls has for the socket.
    fn put_records(&mut self, out: &mut Vec<u8>) {
        let Some(tls) = &mut self.tls else { return };
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("it has room");
        }
        self.put(&records, out);
    }
}
