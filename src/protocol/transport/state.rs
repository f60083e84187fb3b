//! What the transport of one connection keeps between two reads: at rest its keys at most. Does no I/O, and knows no packets.

use std::mem::replace;
use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::layers::{Beginning, Framing, TransportLayers, TransportScratch, Unsettled};
use crate::protocol::transport::proxy::{ProxyHeader, ProxyMode};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::connection::{Handshaken, TlsConnection};
use crate::protocol::transport::tls::session::SessionKeys;
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::protocol::transport::websocket::layer::WebSocket;

/// The transport of a connection that is more than plain TCP, or not yet plain.
#[derive(Debug)]
pub struct TransportState(Kept);

/// What is kept between two reads.
#[derive(Debug)]
enum Kept {
    /// At rest without TLS.
    Framing(Framing),
    /// At rest with TLS.
    Keys(SessionKeys, Framing),
    /// All of it, as something is under way.
    Layers(Box<TransportLayers>),
}

const _: () = assert!(
    size_of::<TransportState>() == 136,
    "at rest, TLS costs a byte beside its keys"
);

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
        Ok(Self(Kept::Layers(Box::new(TransportLayers {
            tls: settings.tls.as_ref().map(|_| TlsConnection::default()),
            framing: match websocket {
                None => Framing::None,
                Some(_) => Framing::WebSocket,
            },
            now: Unsettled {
                beginning: Some(beginning),
                websocket,
                end: None,
            },
        }))))
    }

    /// An open WebSocket, at rest.
    #[must_use]
    pub fn websocket() -> Self {
        Self(Kept::Framing(Framing::WebSocket))
    }

    /// Whether a proxy will say who the client is.
    #[must_use]
    pub fn awaits_client(&self) -> bool {
        let beginning = self.unsettled().and_then(|now| now.beginning.as_ref());
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
        let mut layers = self.take_up();
        let handshaken = layers.receive(bytes, scratch, into);
        self.put_down(layers, into.end);
        handshaken
    }

    /// Does the step that waits, and goes on with what came.
    #[must_use = "a handshake may be done"]
    pub fn step(&mut self, scratch: &mut TransportScratch, into: &mut Unwrapped) -> Option<Handshaken> {
        let mut layers = self.take_up();
        let handshaken = layers.step(scratch, into);
        self.put_down(layers, into.end);
        handshaken
    }

    /// A packet as the socket gets it, in `room` if it has to be copied; `None` if nothing can be sent now.
    #[must_use]
    pub fn send(&mut self, packet: Outgoing, room: impl FnOnce() -> Vec<u8>) -> Option<Outgoing> {
        let mut layers = self.take_up();
        let sent = layers.send(packet, room);
        self.put_down(layers, None);
        sent
    }

    /// What the socket gets last.
    pub fn close(&mut self, reason: CloseReason, out: &mut Vec<u8>) {
        self.take_up().close(reason, out);
    }

    /// What it has to remember now.
    #[must_use]
    pub fn memory(&self) -> TransportMemory {
        match self.0 {
            Kept::Framing(Framing::None) => TransportMemory::Nothing,
            Kept::Framing(Framing::WebSocket) => TransportMemory::WebSocket,
            Kept::Keys(..) | Kept::Layers(_) => TransportMemory::All,
        }
    }

    /// How its peer has ended it, if so.
    #[must_use]
    pub fn end(&self) -> Option<TransportEnd> {
        self.unsettled()?.end
    }

    fn unsettled(&self) -> Option<&Unsettled> {
        match &self.0 {
            Kept::Layers(layers) => Some(&layers.now),
            Kept::Framing(_) | Kept::Keys(..) => None,
        }
    }

    fn take_up(&mut self) -> TransportLayers {
        match replace(&mut self.0, Kept::Framing(Framing::None)) {
            Kept::Framing(framing) => TransportLayers::at_rest(None, framing),
            Kept::Keys(keys, framing) => TransportLayers::at_rest(Some(TlsConnection::Rest(keys)), framing),
            Kept::Layers(layers) => *layers,
        }
    }

    fn put_down(&mut self, mut layers: TransportLayers, end: Option<TransportEnd>) {
        layers.now.end = layers.now.end.or(end);
        self.0 = match (layers.settle(), layers) {
            (
                true,
                TransportLayers {
                    tls: None, framing, ..
                },
            ) => Kept::Framing(framing),
            (
                true,
                TransportLayers {
                    tls: Some(TlsConnection::Rest(keys)),
                    framing,
                    ..
                },
            ) => Kept::Keys(keys, framing),
            (_, layers) => Kept::Layers(Box::new(layers)),
        };
    }
}
