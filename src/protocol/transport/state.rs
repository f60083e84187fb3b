//! What the transport of one connection has to remember: all layers as one. Each is there as long as it has something to
//! remember. Does no I/O, and knows no packets.

use std::mem::swap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::proxy::{HeaderRead, ProxyHeader, ProxyMode};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::connection::{Handshaken, TlsConnection};
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::protocol::transport::websocket::frame::{Opcode, put_frame};
use crate::protocol::transport::websocket::layer::WebSocket;
use crate::protocol::transport::websocket::upgrade::UpgradeContext;

/// The transport of a connection that is more than plain TCP, or not yet plain.
#[derive(Debug)]
pub struct TransportState {
    tls: Option<TlsConnection>,
    framing: Framing,
    /// What is under way; at rest there is none.
    unsettled: Option<Box<Unsettled>>,
}

const _: () = assert!(
    size_of::<TransportState>() == 152,
    "at rest, TLS costs 16 B beside its keys"
);

/// Reused, so that bytes of connections at rest allocate nothing.
#[derive(Debug, Default)]
pub struct TransportScratch {
    content: Vec<u8>,
    answer: Vec<u8>,
}

/// Whether the dialect's bytes are in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    WebSocket,
}

/// What is kept of a connection that begins, that is in the middle of something, or that is at its end.
#[derive(Debug, Default)]
struct Unsettled {
    beginning: Option<Beginning>,
    websocket: Option<WebSocket>,
    /// Its peer has ended it: nothing more is read or sent.
    end: Option<TransportEnd>,
}

/// What is needed until bytes of the dialect can come.
#[derive(Debug)]
struct Beginning {
    settings: Arc<TransportSettings>,
    /// The socket's other end, or whom the header names.
    client: IpAddr,
    /// Until it is whole.
    header: Option<ProxyHeader>,
    /// Whether a proxy is still to say who the client is.
    awaits_client: bool,
}

/// What has to be remembered of a connection between two reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportMemory {
    /// Nothing: the socket's bytes are the dialect's.
    Nothing,
    /// That it is a WebSocket, which is open.
    WebSocket,
    /// All of it.
    All,
}

impl TransportState {
    /// A connection of a listener begins.
    ///
    /// # Errors
    /// If it may not connect there.
    pub fn begin(settings: &Arc<TransportSettings>, peer: IpAddr) -> Result<Self, TransportMistake> {
        let is_trusted = settings.trusts(peer);
        let header = match settings.proxy {
            ProxyMode::Off => None,
            ProxyMode::V1 | ProxyMode::V2 | ProxyMode::Any if is_trusted => {
                Some(ProxyHeader::new(settings.proxy))
            }
            ProxyMode::V1 | ProxyMode::V2 | ProxyMode::Any => return Err(TransportMistake::ProxyUntrusted),
        };
        let websocket = settings.websocket.as_ref().map(|_| WebSocket::default());
        let beginning = Beginning {
            settings: Arc::clone(settings),
            client: peer,
            awaits_client: header.is_some() || (websocket.is_some() && is_trusted),
            header,
        };
        Ok(Self {
            tls: settings.tls.as_ref().map(|_| TlsConnection::default()),
            framing: match websocket {
                None => Framing::None,
                Some(_) => Framing::WebSocket,
            },
            unsettled: Some(Box::new(Unsettled {
                beginning: Some(beginning),
                websocket,
                end: None,
            })),
        })
    }

    /// An open WebSocket, at rest.
    #[must_use]
    pub fn websocket() -> Self {
        Self {
            tls: None,
            framing: Framing::WebSocket,
            unsettled: None,
        }
    }

    /// Whether a proxy will say who the client is.
    #[must_use]
    pub fn awaits_client(&self) -> bool {
        let beginning = self.unsettled.as_ref().and_then(|now| now.beginning.as_ref());
        beginning.is_some_and(|beginning| beginning.awaits_client)
    }

    /// A socket gave bytes, which may be overwritten. Tells if a handshake of TLS is done by that.
    #[must_use = "a handshake may be done"]
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        scratch: &mut TransportScratch,
        into: &mut Unwrapped,
    ) -> Option<Handshaken> {
        let mut now = self.take_up();
        let mut behind = Vec::new();
        let bytes = now.behind_header(bytes, &mut behind, into);
        let handshaken = bytes.and_then(|bytes| now.decrypt(self.tls.as_mut(), bytes, scratch, into));
        self.put_down(now, into.end);
        handshaken
    }

    /// Does the step that waits, and goes on with what came.
    #[must_use = "a handshake may be done"]
    pub fn step(&mut self, scratch: &mut TransportScratch, into: &mut Unwrapped) -> Option<Handshaken> {
        let mut now = self.take_up();
        let handshaken = match (&mut self.tls, now.end) {
            (Some(tls), None) => now.step(tls, scratch, into),
            (None, _) | (_, Some(_)) => None,
        };
        self.put_down(now, into.end);
        handshaken
    }

    /// A packet as the socket gets it, in `room` if it has to be copied; `None` if nothing can be sent now.
    #[must_use]
    pub fn send(&mut self, packet: Outgoing, room: impl FnOnce() -> Vec<u8>) -> Option<Outgoing> {
        let is_upgrading = self.unsettled.as_ref().is_some_and(|now| now.is_upgrading());
        if self.end().is_some() || is_upgrading {
            return None;
        }
        let framed = match self.framing {
            Framing::None => packet,
            Framing::WebSocket => as_message(packet),
        };
        let Some(tls) = &mut self.tls else {
            return Some(framed);
        };
        let mut records = room();
        tls.send(framed.as_slice(), &mut records);
        (!records.is_empty()).then_some(Outgoing::Bytes(records))
    }

    /// What the socket gets last.
    pub fn close(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        let now = self.take_up();
        if now.end.is_some() {
            return;
        }
        let mut last = Vec::new();
        if let Some(websocket) = now.websocket {
            websocket.close(reason, &mut last);
        }
        match &mut self.tls {
            None => out.append(&mut last),
            Some(tls) => {
                if !last.is_empty() {
                    tls.send(&last, out);
                }
                tls.close(out);
            }
        }
    }

    /// What it has to remember now.
    #[must_use]
    pub fn memory(&self) -> TransportMemory {
        match (&self.tls, &self.unsettled, self.framing) {
            (Some(_), _, _) | (_, Some(_), _) => TransportMemory::All,
            (None, None, Framing::None) => TransportMemory::Nothing,
            (None, None, Framing::WebSocket) => TransportMemory::WebSocket,
        }
    }

    /// How its peer has ended it, if so.
    #[must_use]
    pub fn end(&self) -> Option<TransportEnd> {
        self.unsettled.as_ref()?.end
    }

    fn take_up(&mut self) -> Unsettled {
        let mut now = self.unsettled.take().map_or_else(Unsettled::default, |now| *now);
        if self.framing == Framing::WebSocket {
            now.websocket.get_or_insert_with(WebSocket::open);
        }
        now
    }

    fn put_down(&mut self, mut now: Unsettled, end: Option<TransportEnd>) {
        now.end = now.end.or(end);
        let is_tls_done = self.tls.as_ref().is_none_or(TlsConnection::is_open);
        let is_upgrading = now.is_upgrading();
        now.beginning
            .take_if(|beginning| beginning.header.is_none() && is_tls_done && !is_upgrading);
        now.websocket.take_if(|websocket| websocket.is_at_rest());
        let is_settled = now.beginning.is_none() && now.websocket.is_none() && now.end.is_none();
        self.unsettled = (!is_settled).then(|| Box::new(now));
    }
}

impl Unsettled {
    fn is_upgrading(&self) -> bool {
        matches!(self.websocket, Some(WebSocket::Upgrading(_)))
    }

    /// The bytes that are for the layers above a proxy's header: those that came, or `behind` it. `None`: none are.
    fn behind_header<'a>(
        &mut self,
        bytes: &'a mut [u8],
        behind: &'a mut Vec<u8>,
        into: &mut Unwrapped,
    ) -> Option<&'a mut [u8]> {
        if self.end.is_some() {
            return None;
        }
        let header = self
            .beginning
            .as_mut()
            .and_then(|beginning| beginning.header.as_mut());
        match header.map(|header| header.receive(bytes)) {
            None => Some(bytes),
            Some(HeaderRead::Whole { client, behind: rest }) => {
                self.begin_for(client, into);
                *behind = rest;
                Some(behind)
            }
            Some(HeaderRead::Incomplete) => None,
            Some(HeaderRead::Wrong) => {
                into.end = Some(TransportEnd::Mistake(TransportMistake::ProxyHeader));
                None
            }
        }
    }

    /// A proxy has said for whom it connected.
    fn begin_for(&mut self, client: Option<IpAddr>, into: &mut Unwrapped) {
        if let Some(beginning) = &mut self.beginning {
            beginning.header = None;
            beginning.client = client.unwrap_or(beginning.client);
            let may_name_another = self.websocket.is_some() && beginning.settings.trusts(beginning.client);
            if !may_name_another {
                beginning.awaits_client = false;
                into.client = Some(beginning.client);
            }
        }
    }

    /// Records of TLS, or what is above them.
    fn decrypt(
        &mut self,
        tls: Option<&mut TlsConnection>,
        bytes: &mut [u8],
        scratch: &mut TransportScratch,
        into: &mut Unwrapped,
    ) -> Option<Handshaken> {
        let Some(tls) = tls else {
            self.unframe(bytes, into);
            return None;
        };
        let handshaken = tls.receive(bytes, into);
        self.decrypted(tls, scratch, into);
        handshaken
    }

    fn step(
        &mut self,
        tls: &mut TlsConnection,
        scratch: &mut TransportScratch,
        into: &mut Unwrapped,
    ) -> Option<Handshaken> {
        let server = self.beginning.as_ref()?.settings.tls.as_ref()?;
        let handshaken = tls.step(server, into);
        self.decrypted(tls, scratch, into);
        handshaken
    }

    /// What TLS gave is for the layer above, whose answers go back through it.
    fn decrypted(&mut self, tls: &mut TlsConnection, scratch: &mut TransportScratch, into: &mut Unwrapped) {
        let end_below = into.end.take();
        if self.websocket.is_some() && !into.bytes.is_empty() {
            swap(&mut into.bytes, &mut scratch.content);
            swap(&mut into.answer, &mut scratch.answer);
            self.unframe(&mut scratch.content, into);
            swap(&mut into.answer, &mut scratch.answer);
            if !scratch.answer.is_empty() {
                tls.send(&scratch.answer, &mut into.answer);
            }
            scratch.content.clear();
            scratch.answer.clear();
        }
        into.end = into.end.or(end_below);
        if into.end.is_some() {
            tls.close(&mut into.answer);
        }
    }

    /// Bytes of messages, or of the dialect.
    fn unframe(&mut self, bytes: &mut [u8], into: &mut Unwrapped) {
        let Some(websocket) = &mut self.websocket else {
            return into.bytes.extend_from_slice(bytes);
        };
        let Some(beginning) = &mut self.beginning else {
            return websocket.receive(bytes, None, into);
        };
        let known = into.client;
        let settings = &*beginning.settings;
        let is_trusted = |address| settings.trusts(address);
        let context = settings.websocket.as_ref().map(|rules| UpgradeContext {
            rules,
            peer: beginning.client,
            is_trusted: &is_trusted,
        });
        websocket.receive(bytes, context, into);
        if !beginning.awaits_client {
            into.client = known;
        }
    }
}

fn as_message(packet: Outgoing) -> Outgoing {
    match packet {
        Outgoing::Constant(constant) => Outgoing::Constant(constant.in_message()),
        Outgoing::Bytes(bytes) => {
            let mut message = Vec::new();
            put_frame(Opcode::Binary, &bytes, &mut message);
            Outgoing::Bytes(message)
        }
    }
}
