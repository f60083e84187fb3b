//! The layers of one connection's transport while they are worked with: bytes go through the header of a proxy, TLS and the
//! frames of a WebSocket, and back. Does no I/O, and knows no packets.

use std::mem::swap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::proxy::{HeaderRead, ProxyHeader};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::connection::{Handshaken, TlsConnection};
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::protocol::transport::websocket::frame::{Opcode, put_frame};
use crate::protocol::transport::websocket::layer::WebSocket;
use crate::protocol::transport::websocket::upgrade::UpgradeContext;

/// Reused, so that bytes of connections at rest allocate nothing.
#[derive(Debug, Default)]
pub struct TransportScratch {
    content: Vec<u8>,
    answer: Vec<u8>,
}

/// Whether the dialect's bytes are in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    WebSocket,
}

/// All layers.
#[derive(Debug)]
pub(super) struct TransportLayers {
    pub(super) tls: Option<TlsConnection>,
    pub(super) framing: Framing,
    pub(super) now: Unsettled,
}

/// What is kept of a connection that begins, that is in the middle of something, or that is at its end.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    pub(super) beginning: Option<Beginning>,
    pub(super) websocket: Option<WebSocket>,
    /// Its peer has ended it: nothing more is read or sent.
    pub(super) end: Option<TransportEnd>,
}

/// What is needed until bytes of the dialect can come.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) settings: Arc<TransportSettings>,
    /// The socket's other end, or whom the header names.
    pub(super) client: IpAddr,
    /// Until it is whole.
    pub(super) header: Option<ProxyHeader>,
    /// Whether a proxy is still to say who the client is.
    pub(super) awaits_client: bool,
}

impl TransportLayers {
    /// Of a connection at rest.
    pub(super) fn at_rest(tls: Option<TlsConnection>, framing: Framing) -> Self {
        let websocket = (framing == Framing::WebSocket).then(WebSocket::open);
        Self {
            tls,
            framing,
            now: Unsettled {
                websocket,
                ..Unsettled::default()
            },
        }
    }

    /// Forgets what has come to its end. Whether nothing is under way.
    pub(super) fn settle(&mut self) -> bool {
        let now = &mut self.now;
        let is_tls_done = self.tls.as_ref().is_none_or(TlsConnection::is_open);
        let is_upgrading = now.is_upgrading();
        now.beginning
            .take_if(|beginning| beginning.header.is_none() && is_tls_done && !is_upgrading);
        let is_at_rest = now.websocket.as_ref().is_none_or(WebSocket::is_at_rest);
        now.beginning.is_none() && is_at_rest && now.end.is_none()
    }

    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        scratch: &mut TransportScratch,
        into: &mut Unwrapped,
    ) -> Option<Handshaken> {
        let mut behind = Vec::new();
        let bytes = self.now.behind_header(bytes, &mut behind, into)?;
        self.now.decrypt(self.tls.as_mut(), bytes, scratch, into)
    }

    pub(super) fn step(
        &mut self,
        scratch: &mut TransportScratch,
        into: &mut Unwrapped,
    ) -> Option<Handshaken> {
        match (&mut self.tls, self.now.end) {
            (Some(tls), None) => self.now.step(tls, scratch, into),
            (None, _) | (_, Some(_)) => None,
        }
    }

    pub(super) fn send(&mut self, packet: Outgoing, room: impl FnOnce() -> Vec<u8>) -> Option<Outgoing> {
        if self.now.end.is_some() || self.now.is_upgrading() {
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

    pub(super) fn close(self, reason: CloseReason, out: &mut Vec<u8>) {
        if self.now.end.is_some() {
            return;
        }
        let mut last = Vec::new();
        if let Some(websocket) = self.now.websocket {
            websocket.close(reason, &mut last);
        }
        match self.tls {
            None => out.append(&mut last),
            Some(mut tls) => {
                if !last.is_empty() {
                    tls.send(&last, out);
                }
                tls.close(out);
            }
        }
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
