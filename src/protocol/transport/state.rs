//! What the transport of one connection has to remember: all layers as one. Each is there as long as it has something to
//! remember. Does no I/O, and knows no packets.

use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::proxy::{ProxyHeader, ProxyMode};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::unwrapped::Unwrapped;

/// The transport of a connection that is more than plain TCP, or not yet plain.
#[derive(Debug)]
pub struct TransportState {
    beginning: Option<Box<Beginning>>,
    /// Its peer has ended it: nothing more is read or sent.
    end: Option<TransportEnd>,
}

/// What is needed until bytes of the dialect can come.
#[derive(Debug)]
struct Beginning {
    /// The socket's.
    peer: IpAddr,
    header: ProxyHeader,
}

impl TransportState {
    /// A connection of a listener begins. `None`: it has nothing to remember.
    ///
    /// # Errors
    /// If it may not connect there.
    pub fn begin(settings: &Arc<TransportSettings>, peer: IpAddr) -> Result<Option<Self>, TransportMistake> {
        let header = match settings.proxy {
            ProxyMode::Off => return Ok(None),
            ProxyMode::V1 | ProxyMode::V2 | ProxyMode::Any => ProxyHeader::new(settings.proxy),
        };
        if !settings.trusts(peer) {
            return Err(TransportMistake::ProxyUntrusted);
        }
        Ok(Some(Self {
            beginning: Some(Box::new(Beginning { peer, header })),
            end: None,
        }))
    }

    /// Whether a proxy will say who the client is.
    #[must_use]
    pub fn awaits_client(&self) -> bool {
        self.beginning.is_some()
    }

    /// A socket gave bytes.
    pub fn receive(&mut self, bytes: &[u8], into: &mut Unwrapped) {
        if self.end.is_some() {
            return;
        }
        match &mut self.beginning {
            Some(beginning) => {
                if beginning.header.receive(bytes, beginning.peer, into) {
                    self.beginning = None;
                }
            }
            None => into.bytes.extend_from_slice(bytes),
        }
        self.end = into.end;
    }

    /// Does the step that waits, and goes on with what came.
    pub fn step(&mut self, into: &mut Unwrapped) {
        self.receive(&[], into);
    }

    /// A packet as the socket gets it; `None` if nothing can be sent now.
    #[must_use]
    pub fn send(&mut self, packet: Outgoing) -> Option<Outgoing> {
        self.end.is_none().then_some(packet)
    }

    /// What the socket gets last.
    pub fn close(&mut self, _reason: CloseReason, _out: &mut Vec<u8>) {}

    /// Whether there is nothing more to remember.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.beginning.is_none() && self.end.is_none()
    }

    /// How its peer has ended it, if so.
    #[must_use]
    pub fn end(&self) -> Option<TransportEnd> {
        self.end
    }
}
