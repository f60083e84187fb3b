//! A connection of rustls: the handshake, and where rustls keeps the connection, all that follows. Feeds it record by record,
//! so that it takes none behind the handshake, and gives out the keys at the end. Decides nothing about TLS.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, ConnectionTrafficSecrets, Error, ExtractedSecrets, ProtocolVersion};

use crate::protocol::transport::tls::hello::{RecordWeight, next_record};
use crate::protocol::transport::tls::keys::TrafficKey;
use crate::protocol::transport::tls::secrets::HandshakeSecrets;
use crate::protocol::transport::tls::session::{SessionKeys, TlsEnd, TlsRole};
use crate::protocol::transport::tls::suite::TlsSuite;
use crate::protocol::transport::unwrapped::Unwrapped;

/// rustls' end of a connection.
pub enum Negotiator {
    /// The gateway's.
    Server(UnbufferedServerConnection),
    /// A terminal's.
    Client(UnbufferedClientConnection, TicketWish),
}

/// Whether a client wants a ticket, with which its next handshake is shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketWish {
    /// It does not: it keeps its keys and nothing else.
    None,
    /// It waits for one, and keeps some hundred bytes until then.
    One,
}

/// Who keeps a connection once its handshake is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsKeeping {
    /// The gateway: only its keys. With TLS 1.2 still rustls.
    Keys,
    /// rustls: some kilobytes.
    Connection,
}

/// Whether a server asks clients for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It does not.
    NotAsked,
    /// It does, and checks them.
    Checked,
}

/// What a connection of rustls goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiationTerms {
    /// Who keeps it.
    pub keeping: TlsKeeping,
    /// Whether certificates of clients have to be checked.
    pub clients: ClientCertificates,
}

/// Which records a call may pass to rustls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordsAllowed {
    /// Those that cost little.
    Light,
    /// All.
    All,
}

/// How far a connection has come.
#[derive(Debug)]
pub enum NegotiationStage {
    /// More bytes have to come.
    Blocked,
    /// A record waits that costs much.
    HeavyWaits,
    /// The handshake is done, and all that is rustls' was read.
    Open,
    /// The peer sends nothing more.
    PeerClosed,
    /// It cannot go on.
    Failed(Error),
}

/// A connection that rustls has, with what of it came and was not taken.
pub struct Negotiation {
    negotiator: Negotiator,
    secrets: Arc<HandshakeSecrets>,
    terms: NegotiationTerms,
    input: Vec<u8>,
    /// How much of `input` rustls may see.
    seen: usize,
}

/// What is left of a handshake.
pub struct HandedOver {
    /// The keys of both directions.
    pub keys: SessionKeys,
    /// What came behind the handshake.
    pub behind: Vec<u8>,
    /// A client's way to keep tickets.
    pub tickets: Option<Box<KernelConnection<ClientConnectionData>>>,
}

impl Negotiation {
    /// Of a new connection of rustls whose key log is `secrets`, and what came of it.
    #[must_use]
    pub fn new(
        negotiator: Negotiator,
        secrets: Arc<HandshakeSecrets>,
        terms: NegotiationTerms,
        input: Vec<u8>,
    ) -> Self {
        Self {
            negotiator,
            secrets,
            terms,
            input,
            seen: 0,
        }
    }

    /// What rustls knows of the connection.
    #[must_use]
    pub fn common(&self) -> &CommonState {
        match &self.negotiator {
            Negotiator::Server(server) => server,
            Negotiator::Client(client, _) => client,
        }
    }

    /// Bytes that came and were not taken.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.input.len()
    }

    /// Whether the keys can be taken once the handshake is done.
    #[must_use]
    pub fn hands_over(&self) -> bool {
        self.terms.keeping == TlsKeeping::Keys
            && self.common().protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Keeps bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Goes on with what is there.
    pub fn advance(&mut self, allowed: RecordsAllowed, into: &mut Unwrapped) -> NegotiationStage {
        loop {
            let stage = match self.step(&mut Turn::Read(into)) {
                Step::Again => continue,
                Step::PeerClosed => return NegotiationStage::PeerClosed,
                Step::Failed(error) => {
                    while self.common().wants_write() {
                        self.step(&mut Turn::Read(into));
                    }
                    return NegotiationStage::Failed(error);
                }
                Step::Open if self.hands_over() => return NegotiationStage::Open,
                Step::Open => NegotiationStage::Open,
                Step::Blocked => NegotiationStage::Blocked,
            };
            match next_record(&self.input[self.seen..]) {
                None => return stage,
                Some((_, weight)) if allowed == RecordsAllowed::Light && self.is_heavy(weight) => {
                    return NegotiationStage::HeavyWaits;
                }
                Some((length, _)) => self.seen += length,
            }
        }
    }

    /// Appends records with `content`.
    pub fn send(&mut self, content: &[u8], out: &mut Vec<u8>) {
        while let Step::Again = self.step(&mut Turn::Send(content, out)) {}
    }

    /// Appends a close_notify if the handshake is done. Before, there are no keys that its receiver could trust.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        while let Step::Again = self.step(&mut Turn::Close(out)) {}
    }

    /// Takes the keys.
    ///
    /// # Errors
    /// rustls does not give them.
    pub fn hand_over(self) -> Result<HandedOver, Error> {
        let suite = self.common().negotiated_cipher_suite().and_then(TlsSuite::of);
        let (suite, client, server) = match (suite, self.secrets.client(), self.secrets.server()) {
            (Some(suite), Some(client), Some(server)) => (suite, client, server),
            _ => return Err(Error::HandshakeNotComplete),
        };
        let (extracted, role, tickets) = match self.negotiator {
            Negotiator::Server(connection) => {
                let (extracted, _) = connection.dangerous_into_kernel_connection()?;
                (extracted, TlsRole::Server, None)
            }
            Negotiator::Client(connection, wish) => {
                let (extracted, kernel) = connection.dangerous_into_kernel_connection()?;
                let tickets = (wish == TicketWish::One).then(|| Box::new(kernel));
                (extracted, TlsRole::Client, tickets)
            }
        };
        let (read, write) = match role {
            TlsRole::Server => (client, server),
            TlsRole::Client => (server, client),
        };
        let ExtractedSecrets { rx, tx } = extracted;
        let keys = SessionKeys {
            read: traffic_key(suite, read, rx)?,
            write: traffic_key(suite, write, tx)?,
            end: TlsEnd::new(role),
        };
        Ok(HandedOver {
            keys,
            behind: self.input,
            tickets,
        })
    }

    /// Only a server has others to serve meanwhile.
    fn is_heavy(&self, weight: RecordWeight) -> bool {
        matches!(self.negotiator, Negotiator::Server(_))
            && self.common().is_handshaking()
            && (weight == RecordWeight::Heavy || self.terms.clients == ClientCertificates::Checked)
    }

    fn step(&mut self, turn: &mut Turn<'_>) -> Step {
        let seen = &mut self.input[..self.seen];
        let (step, discard) = match &mut self.negotiator {
            Negotiator::Server(server) => taken(server.process_tls_records(seen), turn),
            Negotiator::Client(client, _) => taken(client.process_tls_records(seen), turn),
        };
        self.input.drain(..discard);
        self.seen -= discard;
        step
    }
}

/// The key that rustls has used with `secret` so far.
fn traffic_key(
    suite: TlsSuite,
    secret: &[u8],
    (sequence, extracted): (u64, ConnectionTrafficSecrets),
) -> Result<TrafficKey, Error> {
    let key = TrafficKey::new(suite, secret, sequence);
    let iv = match &extracted {
        ConnectionTrafficSecrets::Aes128Gcm { iv, .. }
        | ConnectionTrafficSecrets::Aes256Gcm { iv, .. }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { iv, .. } => iv,
        _ => return Err(Error::HandshakeNotComplete),
    };
    if key.iv() != iv.as_ref() {
        return Err(Error::General("the key log told another secret".to_owned()));
    }
    Ok(key)
}

/// What is wanted of rustls.
enum Turn<'a> {
    /// Reading what is there.
    Read(&'a mut Unwrapped),
    /// Protecting content.
    Send(&'a [u8], &'a mut Vec<u8>),
    /// Protecting a close_notify.
    Close(&'a mut Vec<u8>),
}

/// What one step of rustls came to.
enum Step {
    Again,
    Blocked,
    Open,
    PeerClosed,
    Failed(Error),
}

impl Turn<'_> {
    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Read(into) => &mut into.answer,
            Self::Send(_, out) | Self::Close(out) => out,
        }
    }
}

/// Takes what rustls gives, and tells how many of the bytes that it saw can go.
fn taken<Data>(status: UnbufferedStatus<'_, '_, Data>, turn: &mut Turn<'_>) -> (Step, usize) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            put(turn.out(), |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(size) => Some(size.required_size),
                    EncodeError::AlreadyEncoded => None,
                })
            });
            Step::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Again
        }
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                discard += record.discard;
                if let Turn::Read(into) = turn {
                    into.bytes.extend_from_slice(record.payload);
                }
            }
            Step::Again
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => {
            write(traffic, turn);
            Step::Open
        }
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::PeerClosed,
        Ok(ConnectionState::BlockedHandshake) => Step::Blocked,
        // Data before the end of a handshake is not offered.
        Ok(ConnectionState::ReadEarlyData(_) | _) => Step::Failed(Error::HandshakeNotComplete),
        Err(error) => Step::Failed(error),
    };
    (step, discard)
}

fn write<Data>(mut traffic: WriteTraffic<'_, Data>, turn: &mut Turn<'_>) {
    let needs = |error| match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    };
    match turn {
        Turn::Read(_) => {}
        Turn::Send(content, out) => put(out, |room| traffic.encrypt(content, room).map_err(needs)),
        Turn::Close(out) => put(out, |room| traffic.queue_close_notify(room).map_err(needs)),
    }
}

/// Appends what `write` puts into the room that it is given; if that is too small, it says how much it needs.
fn put(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) {
    let begin = out.len();
    loop {
        match write(&mut out[begin..]) {
            Ok(written) => {
                out.truncate(begin + written);
                return;
            }
            Err(Some(needed)) => out.resize(begin + needed, 0),
            Err(None) => {
                out.truncate(begin);
                return;
            }
        }
    }
}
