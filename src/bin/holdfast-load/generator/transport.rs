//! What terminals' packets travel in: the terminals' ends of TLS and WebSocket, by their slots. A plain link has none, and is not
//! looked for here. Sends nothing itself.

use holdfast::protocol::transport::ending::TransportEnd;
use holdfast::protocol::transport::tls::client::TlsClient;
use holdfast::protocol::transport::tls::connection::{Resumed, TlsConnection};
use holdfast::protocol::transport::unwrapped::Unwrapped;
use holdfast::protocol::transport::websocket::client::{answer, key, put_masked, receive, request};
use holdfast::protocol::transport::websocket::decoder::{FrameDecoder, FramesEnd};
use holdfast::protocol::transport::websocket::frame::Opcode;
use rustls::pki_types::ServerName;

/// The name that terminals know the gateway by.
pub(crate) const HOST: &str = "localhost";

/// What packets travel in.
#[derive(Debug, Clone, Default)]
pub(crate) struct TerminalTransport {
    /// One has a few tickets. Terminals share them, each those of its own slot.
    pub(crate) tls: Vec<TlsClient>,
    pub(crate) framing: TerminalFraming,
}

/// Whether packets have frames around them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TerminalFraming {
    #[default]
    None,
    WebSocket,
}

impl TerminalTransport {
    /// Whether it is TCP alone.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_empty() && self.framing == TerminalFraming::None
    }
}

/// The terminal's end of one link.
#[derive(Debug, Default)]
struct WrappedLink {
    tls: Option<TlsConnection>,
    frames: FrameStage,
}

/// How far a link is with its frames.
#[derive(Debug, Default)]
enum FrameStage {
    /// There are none, or they are not asked for yet.
    #[default]
    Without,
    /// The request is sent: its key, and what came of the answer.
    Asked(Box<(String, Vec<u8>)>),
    Open(FrameDecoder),
}

/// What came by a link.
#[derive(Debug, Default)]
pub(super) struct CameByLink {
    /// For the terminal, in order.
    pub(super) packets: Vec<u8>,
    /// To be sent at once.
    pub(super) answer: Vec<u8>,
    /// The terminal may send packets from here on.
    pub(super) opened: bool,
    /// TLS made use of an earlier handshake.
    pub(super) resumed: bool,
    /// The link is of no use, and why.
    pub(super) wrong: Option<String>,
}

/// The terminals' ends of one worker's links.
pub(super) struct WrappedLinks {
    transport: TerminalTransport,
    /// By slot; empty if links are plain.
    links: Vec<WrappedLink>,
    scratch: Unwrapped,
    random: fastrand::Rng,
}

impl WrappedLinks {
    pub(super) fn new(transport: TerminalTransport, count: u32) -> Self {
        let count = match transport.is_plain() {
            true => 0,
            false => count as usize,
        };
        let mut links = Vec::new();
        links.resize_with(count, WrappedLink::default);
        Self {
            transport,
            links,
            scratch: Unwrapped::default(),
            random: fastrand::Rng::new(),
        }
    }

    /// Whether bytes are packets.
    pub(super) fn are_plain(&self) -> bool {
        self.links.is_empty()
    }

    /// A link begins.
    pub(super) fn begin(&mut self, slot: u32) -> CameByLink {
        let mut came = CameByLink::default();
        let link = &mut self.links[slot as usize];
        *link = WrappedLink::default();
        let clients = self.transport.tls.len();
        if clients == 0 {
            link.ask(&mut self.random, &mut came);
            return came;
        }
        let client = &self.transport.tls[slot as usize % clients];
        let host = ServerName::try_from(HOST).expect("it is a name");
        self.scratch.clear();
        match TlsConnection::connect(client, host, &mut self.scratch) {
            Ok(tls) => link.tls = Some(tls),
            Err(error) => came.wrong = Some(format!("no TLS can begin: {error}")),
        }
        came.answer.append(&mut self.scratch.answer);
        came
    }

    /// Bytes came.
    pub(super) fn receive(&mut self, slot: u32, bytes: &mut [u8]) -> CameByLink {
        let mut came = CameByLink::default();
        let link = &mut self.links[slot as usize];
        let Some(tls) = &mut link.tls else {
            link.unframe(bytes, &mut came);
            return came;
        };
        self.scratch.clear();
        let shaken = tls.receive(bytes, &mut self.scratch);
        came.answer.append(&mut self.scratch.answer);
        if let Some(shaken) = shaken {
            came.resumed = shaken.resumed == Resumed::Yes;
            match self.transport.framing {
                TerminalFraming::None => came.opened = true,
                TerminalFraming::WebSocket => link.ask(&mut self.random, &mut came),
            }
        }
        link.unframe(&mut self.scratch.bytes, &mut came);
        if let Some(TransportEnd::Mistake(mistake)) = self.scratch.end {
            came.wrong = Some(format!("TLS failed: {mistake:?}"));
        }
        came
    }

    /// What a link has to send for a packet.
    pub(super) fn wrap(&mut self, slot: u32, packet: &[u8]) -> Vec<u8> {
        let link = &mut self.links[slot as usize];
        let mut framed = Vec::new();
        let content = match link.frames {
            FrameStage::Open(_) => {
                put_masked(
                    Opcode::Binary,
                    packet,
                    self.random.u32(..).to_ne_bytes(),
                    &mut framed,
                );
                &framed
            }
            FrameStage::Without | FrameStage::Asked(_) => packet,
        };
        link.seal(content)
    }

    /// A link is over.
    pub(super) fn end(&mut self, slot: u32) {
        if let Some(link) = self.links.get_mut(slot as usize) {
            *link = WrappedLink::default();
        }
    }

    /// Whether packets could be sent by a link.
    pub(super) fn is_open(&self, slot: u32) -> bool {
        let Some(link) = self.links.get(slot as usize) else {
            return true;
        };
        let has_tls = link.tls.as_ref().is_none_or(TlsConnection::is_open);
        let has_frames =
            self.transport.framing == TerminalFraming::None || matches!(link.frames, FrameStage::Open(_));
        has_tls && has_frames
    }
}

impl WrappedLink {
    fn seal(&mut self, content: &[u8]) -> Vec<u8> {
        let Some(tls) = &mut self.tls else {
            return content.to_vec();
        };
        let mut records = Vec::new();
        tls.send(content, &mut records);
        records
    }

    /// Asks for a WebSocket.
    fn ask(&mut self, random: &mut fastrand::Rng, came: &mut CameByLink) {
        let key = key(random.u128(..).to_ne_bytes());
        let asks = self.seal(request(HOST, "/", &key).as_bytes());
        came.answer.extend_from_slice(&asks);
        self.frames = FrameStage::Asked(Box::new((key, Vec::new())));
    }

    /// Content came: packets, frames with packets, or the answer before them.
    fn unframe(&mut self, content: &mut [u8], came: &mut CameByLink) {
        match &mut self.frames {
            FrameStage::Without => came.packets.extend_from_slice(content),
            FrameStage::Open(decoder) => read_frames(decoder, content, came),
            FrameStage::Asked(asked) => {
                let (key, bytes) = &mut **asked;
                bytes.extend_from_slice(content);
                match answer(bytes, key) {
                    Ok(None) => {}
                    Ok(Some(length)) => {
                        let mut decoder = FrameDecoder::default();
                        read_frames(&mut decoder, &mut bytes[length..], came);
                        self.frames = FrameStage::Open(decoder);
                        came.opened = true;
                    }
                    Err(why) => came.wrong = Some(why),
                }
            }
        }
    }
}

fn read_frames(decoder: &mut FrameDecoder, content: &mut [u8], came: &mut CameByLink) {
    match receive(decoder, content, &mut came.packets) {
        // The gateway says that it is about to end the link, which counts when it does.
        Ok(()) | Err(FramesEnd::Closed(_)) => {}
        Err(FramesEnd::Fault(fault)) => came.wrong = Some(format!("a wrong frame: {}", fault.reason)),
    }
}

#[cfg(test)]
mod tests;
