//! A connection over TLS, from its first byte to its last, at the gateway's end or a terminal's: the layer between a socket
//! and what stands above. Keeps 136 bytes at rest, and what is not complete in a box. No I/O.

use std::sync::Arc;
use std::{fmt, mem};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, Error, HandshakeKind};

use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::client::TlsClient;
use crate::protocol::transport::tls::hello::{FirstBytes, HANDSHAKE_BYTES_MAX, look};
use crate::protocol::transport::tls::keys::TrafficKey;
use crate::protocol::transport::tls::negotiation::{
    Negotiation, NegotiationStage, Negotiator, RecordsAllowed,
};
use crate::protocol::transport::tls::secrets::HandshakeSecrets;
use crate::protocol::transport::tls::server::TlsServer;
use crate::protocol::transport::tls::session::{
    ReadStop, SessionKeys, Unfinished, receive, send, send_alert,
};
use crate::protocol::transport::unwrapped::Unwrapped;

/// A connection over TLS. Its owner takes all of an [`Unwrapped`] before the next call; and if `step_waits` is set there, it
/// calls [`TlsConnection::step`] before it reads on.
#[derive(Default)]
pub enum TlsConnection {
    /// Nothing has come.
    #[default]
    New,
    /// A client's hello, as far as it came.
    Hello(Vec<u8>),
    /// The handshake is under way, or it waits for a step.
    Handshake(Box<Negotiation>),
    /// All that is kept at rest.
    Rest(SessionKeys),
    /// A record or a message is not complete.
    Busy(Box<(SessionKeys, Unfinished)>),
    /// rustls keeps the connection.
    Rustls(Box<Negotiation>),
    /// The peer sends nothing more. It may still read.
    PeerClosed(TrafficKey),
    /// Nothing more is read or sent.
    Over,
}

const _: () = assert!(size_of::<TlsConnection>() == 136);

/// A handshake that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshaken {
    /// Whether it made use of an earlier one, by a ticket.
    pub resumed: Resumed,
    /// What is kept now.
    pub kept: TlsKept,
}

/// Whether a handshake made use of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It did not: a signature was made.
    No,
    /// By a ticket.
    Yes,
}

/// What is kept of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsKept {
    /// Keys: 135 bytes.
    Keys,
    /// A connection of rustls: some kilobytes.
    Rustls,
}

/// What a client of HTTP gets at a listener for TLS.
pub const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 47\r\n\
    Connection: close\r\n\r\nThis port speaks TLS. Try https:// or wss://.\r\n";

impl fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "TlsConnection::New",
            Self::Hello(_) => "TlsConnection::Hello",
            Self::Handshake(_) => "TlsConnection::Handshake",
            Self::Rest(_) => "TlsConnection::Rest",
            Self::Busy(_) => "TlsConnection::Busy",
            Self::Rustls(_) => "TlsConnection::Rustls",
            Self::PeerClosed(_) => "TlsConnection::PeerClosed",
            Self::Over => "TlsConnection::Over",
        })
    }
}

impl TlsConnection {
    /// A terminal's end of a new connection. Appends its hello to `out`.
    ///
    /// # Errors
    /// rustls does not take the configuration.
    pub fn connect(
        client: &TlsClient,
        server: ServerName<'static>,
        out: &mut Unwrapped,
    ) -> Result<Self, Error> {
        let secrets = Arc::new(HandshakeSecrets::default());
        let connection = UnbufferedClientConnection::new(client.config_with(&secrets), server)?;
        let negotiator = Negotiator::Client(connection, client.tickets());
        let negotiation = Negotiation::new(negotiator, secrets, client.terms(), Vec::new());
        let mut connection = Self::Handshake(Box::new(negotiation));
        connection.negotiate(RecordsAllowed::All, out);
        Ok(connection)
    }

    /// Takes bytes of the socket, and may overwrite them. Tells if the handshake is done by that.
    #[must_use = "the handshake may be done"]
    pub fn receive(&mut self, bytes: &mut [u8], into: &mut Unwrapped) -> Option<Handshaken> {
        match self {
            Self::New => *self = Self::Hello(Vec::new()),
            Self::Hello(_) | Self::Handshake(_) | Self::Rest(_) | Self::Busy(_) | Self::Rustls(_) => {}
            // What comes behind a close_notify is ignored (RFC 8446, 6.1).
            Self::PeerClosed(_) | Self::Over => return None,
        }
        match self {
            Self::Hello(hello) => {
                hello.extend_from_slice(bytes);
                self.judge_hello(into);
                None
            }
            Self::Handshake(negotiation) => {
                negotiation.push(bytes);
                self.negotiate(RecordsAllowed::Light, into)
            }
            Self::Rustls(negotiation) => {
                negotiation.push(bytes);
                self.negotiate(RecordsAllowed::All, into);
                None
            }
            Self::Rest(_) | Self::Busy(_) => {
                self.read(bytes, into);
                None
            }
            Self::New | Self::PeerClosed(_) | Self::Over => None,
        }
    }

    /// Does the step of a server's handshake that waits.
    #[must_use = "the handshake may be done"]
    pub fn step(&mut self, server: &TlsServer, into: &mut Unwrapped) -> Option<Handshaken> {
        if let Self::Hello(hello) = self {
            let secrets = Arc::new(HandshakeSecrets::default());
            let Ok(connection) = UnbufferedServerConnection::new(server.config_with(&secrets)) else {
                self.fail(TransportMistake::TlsHandshake, into);
                return None;
            };
            let (negotiator, hello) = (Negotiator::Server(connection), mem::take(hello));
            let negotiation = Negotiation::new(negotiator, secrets, server.terms(), hello);
            *self = Self::Handshake(Box::new(negotiation));
        }
        self.negotiate(RecordsAllowed::All, into)
    }

    /// Appends what the socket gets for `content`. Nothing, if the peer cannot read it: before the handshake is done, and after
    /// the end.
    pub fn send(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Rest(keys) => send(&mut keys.write, content, out),
            Self::Busy(busy) => send(&mut busy.0.write, content, out),
            Self::PeerClosed(key) => send(key, content, out),
            Self::Rustls(negotiation) => negotiation.send(content, out),
            Self::New | Self::Hello(_) | Self::Handshake(_) | Self::Over => {}
        }
    }

    /// Appends a close_notify, behind which nothing is sent or read.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        match mem::replace(self, Self::Over) {
            Self::Rest(keys) => send_alert(keys.write, AlertDescription::CloseNotify, out),
            Self::Busy(busy) => send_alert(busy.0.write, AlertDescription::CloseNotify, out),
            Self::PeerClosed(key) => send_alert(key, AlertDescription::CloseNotify, out),
            Self::Handshake(mut negotiation) | Self::Rustls(mut negotiation) => negotiation.close(out),
            Self::New | Self::Hello(_) | Self::Over => {}
        }
    }

    /// Whether the handshake is done, and the end has not come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Rest(_) | Self::Busy(_) | Self::Rustls(_) | Self::PeerClosed(_) => true,
            Self::New | Self::Hello(_) | Self::Handshake(_) | Self::Over => false,
        }
    }

    fn judge_hello(&mut self, into: &mut Unwrapped) {
        let Self::Hello(hello) = self else { return };
        match look(hello) {
            FirstBytes::Incomplete if hello.len() <= HANDSHAKE_BYTES_MAX => {}
            FirstBytes::Hello => into.step_waits = true,
            FirstBytes::Incomplete => self.fail(TransportMistake::TlsHandshake, into),
            FirstBytes::Http => {
                into.answer.extend_from_slice(HTTP_ANSWER);
                self.fail(TransportMistake::NotTls, into);
            }
            FirstBytes::Other => {
                *self = Self::Over;
                into.end = Some(TransportEnd::Skipped(TransportMistake::NotTls));
            }
        }
    }

    fn negotiate(&mut self, allowed: RecordsAllowed, into: &mut Unwrapped) -> Option<Handshaken> {
        let (Self::Handshake(negotiation) | Self::Rustls(negotiation)) = self else {
            return None;
        };
        match negotiation.advance(allowed, into) {
            NegotiationStage::Blocked if negotiation.waiting_bytes() > HANDSHAKE_BYTES_MAX => {
                self.fail(TransportMistake::TlsHandshake, into);
                None
            }
            NegotiationStage::Blocked => None,
            NegotiationStage::HeavyWaits => {
                into.step_waits = true;
                None
            }
            NegotiationStage::Open if matches!(self, Self::Rustls(_)) => None,
            NegotiationStage::Open => self.opened(into),
            NegotiationStage::PeerClosed => {
                into.end = Some(TransportEnd::InOrder);
                None
            }
            NegotiationStage::Failed(Error::AlertReceived(_)) => {
                self.fail(TransportMistake::TlsAlert, into);
                None
            }
            NegotiationStage::Failed(_) => {
                let mistake = if matches!(self, Self::Rustls(_)) {
                    TransportMistake::TlsRecord
                } else {
                    TransportMistake::TlsHandshake
                };
                self.fail(mistake, into);
                None
            }
        }
    }

    /// rustls says that the handshake is done.
    fn opened(&mut self, into: &mut Unwrapped) -> Option<Handshaken> {
        let Self::Handshake(negotiation) = mem::take(self) else {
            return None;
        };
        let resumed = match negotiation.common().handshake_kind() {
            Some(HandshakeKind::Resumed) => Resumed::Yes,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => Resumed::No,
        };
        if !negotiation.hands_over() {
            *self = Self::Rustls(negotiation);
            return Some(Handshaken {
                resumed,
                kept: TlsKept::Rustls,
            });
        }
        let Ok(mut handed) = negotiation.hand_over() else {
            self.fail(TransportMistake::TlsHandshake, into);
            return None;
        };
        *self = match handed.tickets {
            None => Self::Rest(handed.keys),
            tickets => Self::Busy(Box::new((handed.keys, Unfinished::waiting_for(tickets)))),
        };
        self.read(&mut handed.behind, into);
        Some(Handshaken {
            resumed,
            kept: TlsKept::Keys,
        })
    }

    /// Reads records by the keys.
    fn read(&mut self, bytes: &mut [u8], into: &mut Unwrapped) {
        let (content, answer) = (&mut into.bytes, &mut into.answer);
        let mut unfinished = Unfinished::default();
        let read = match self {
            Self::Rest(keys) => receive(keys, &mut unfinished, bytes, content, answer),
            Self::Busy(busy) => receive(&mut busy.0, &mut busy.1, bytes, content, answer),
            Self::New
            | Self::Hello(_)
            | Self::Handshake(_)
            | Self::Rustls(_)
            | Self::PeerClosed(_)
            | Self::Over => return,
        };
        let stays = if let Self::Busy(busy) = self {
            !busy.1.is_empty()
        } else {
            unfinished.is_empty()
        };
        if read.is_ok() && stays {
            return;
        }
        *self = match (mem::take(self), read) {
            (Self::Rest(keys), Ok(())) => Self::Busy(Box::new((keys, unfinished))),
            (Self::Busy(busy), Ok(())) => Self::Rest(busy.0),
            (Self::Rest(keys), Err(stop)) => stopped(keys, stop, into),
            (Self::Busy(busy), Err(stop)) => stopped(busy.0, stop, into),
            (other, _) => other,
        };
    }

    fn fail(&mut self, mistake: TransportMistake, into: &mut Unwrapped) {
        *self = Self::Over;
        into.end = Some(TransportEnd::Mistake(mistake));
    }
}

/// What a connection becomes of which nothing more is read.
fn stopped(keys: SessionKeys, stop: ReadStop, into: &mut Unwrapped) -> TlsConnection {
    let (end, next) = match stop {
        ReadStop::PeerClosed => (TransportEnd::InOrder, TlsConnection::PeerClosed(keys.write)),
        ReadStop::PeerAlert => (
            TransportEnd::Mistake(TransportMistake::TlsAlert),
            TlsConnection::Over,
        ),
        ReadStop::Mistake(alert) => {
            send_alert(keys.write, alert, &mut into.answer);
            (
                TransportEnd::Mistake(TransportMistake::TlsRecord),
                TlsConnection::Over,
            )
        }
    };
    into.end = Some(end);
    next
}
