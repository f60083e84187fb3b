//! The record layer of TLS 1.3 once the handshake is done: records to content and back, key updates, alerts. Keeps nothing
//! between two reads but [`SessionKeys`], and what is not complete in [`Unfinished`]. Knows no certificates, and no sockets.

use std::{fmt, mem};

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, ContentType, Error, HandshakeType};

use crate::protocol::transport::tls::keys::{Opener, Sealer, TrafficKey};

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsRole {
    /// The gateway's.
    Server,
    /// A terminal's.
    Client,
}

/// All that a connection at rest keeps.
#[derive(Debug)]
pub struct SessionKeys {
    /// For records of the peer.
    pub read: TrafficKey,
    /// For our own.
    pub write: TrafficKey,
    /// Which end this is, and records in a row that had no content for the layer above.
    pub end: TlsEnd,
}

const _: () = assert!(size_of::<SessionKeys>() == 135);

/// Which end of a connection this is, and how many records in a row had no content for the layer above: in one byte, as a
/// connection at rest keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TlsEnd(u8);

const _: () = assert!(
    FRUITLESS_RECORDS_MAX < TlsEnd::CLIENT,
    "the count stays below the role's bit"
);

impl TlsEnd {
    const CLIENT: u8 = 1 << 7;

    /// Of a connection of which no record was read yet.
    #[must_use]
    pub fn new(role: TlsRole) -> Self {
        Self(match role {
            TlsRole::Server => 0,
            TlsRole::Client => Self::CLIENT,
        })
    }

    fn role(self) -> TlsRole {
        if self.0 & Self::CLIENT == 0 {
            TlsRole::Server
        } else {
            TlsRole::Client
        }
    }

    fn fruitless(self) -> u8 {
        self.0 & !Self::CLIENT
    }
}

impl fmt::Debug for TlsEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} fruitless", self.role(), self.fruitless())
    }
}

/// What is not complete between two reads: in a box that is freed when all is.
#[derive(Default)]
pub struct Unfinished {
    /// The first part of a record.
    record: Vec<u8>,
    /// The first part of a handshake message.
    message: Vec<u8>,
    /// A client that wants a ticket keeps this until one has come.
    tickets: Option<Box<KernelConnection<ClientConnectionData>>>,
}

impl Unfinished {
    /// Of a client that has still to get a ticket.
    #[must_use]
    pub fn waiting_for(tickets: Option<Box<KernelConnection<ClientConnectionData>>>) -> Self {
        Self {
            tickets,
            ..Self::default()
        }
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record.is_empty() && self.message.is_empty() && self.tickets.is_none()
    }
}

/// Why nothing more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStop {
    /// The peer sends nothing more (close_notify). It may still read.
    PeerClosed,
    /// It has told of a mistake of ours, or of its own end, by an alert.
    PeerAlert,
    /// It made a mistake, and is told so.
    Mistake(AlertDescription),
}

/// Content bytes of a record (RFC 8446, 5.1).
pub const CONTENT_BYTES_MAX: usize = 1 << 14;
/// Bytes of a protected record behind its header (RFC 8446, 5.2).
const BODY_BYTES_MAX: usize = CONTENT_BYTES_MAX + 256;
/// Bytes of a record before its body (RFC 8446, 5.1).
pub const HEADER_BYTES: usize = 5;

/// How many records without content may follow each other: empty ones, key updates, tickets. A client has a reason for one
/// or two; each costs the gateway as much as a heartbeat, and is no sign of life.
pub const FRUITLESS_RECORDS_MAX: u8 = 32;

/// A ticket as long as this has room for a client's chain of certificates.
const TICKET_BYTES_MAX: usize = CONTENT_BYTES_MAX;

/// Whole messages: the header of a KeyUpdate, and whether the peer is to do the same (RFC 8446, 4.6.3).
const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];
const KEY_UPDATE_REQUESTED: &[u8] = &[24, 0, 0, 1, 1];

/// Takes bytes of the socket. Content is appended to `content`, what has to be sent for it to `answer`.
///
/// # Errors
/// Nothing more can be read. What was appended counts.
pub fn receive(
    keys: &mut SessionKeys,
    unfinished: &mut Unfinished,
    bytes: &mut [u8],
    content: &mut Vec<u8>,
    answer: &mut Vec<u8>,
) -> Result<(), ReadStop> {
    let mut kept = mem::take(&mut unfinished.record);
    let all = if kept.is_empty() {
        &mut *bytes
    } else {
        kept.extend_from_slice(bytes);
        &mut kept
    };
    let read = match record_end(all)? {
        None => 0,
        Some(_) => {
            let mut reader = RecordReader {
                opener: Opener::new(&mut keys.read),
                write: &mut keys.write,
                end: &mut keys.end,
                unfinished,
                content,
                answer,
                answered: false,
            };
            reader.records(all)?
        }
    };
    unfinished.record = if kept.is_empty() {
        bytes[read..].to_vec()
    } else {
        kept.drain(..read);
        kept
    };
    Ok(())
}

/// Appends records with `content`, after a key update where the key is spent.
pub fn send(key: &mut TrafficKey, content: &[u8], out: &mut Vec<u8>) {
    let mut sealer = Sealer::new(key);
    for part in content.chunks(CONTENT_BYTES_MAX) {
        if sealer.is_spent() {
            sealer.seal(ContentType::Handshake, KEY_UPDATE_REQUESTED, out);
            sealer.renew();
        }
        sealer.seal(ContentType::ApplicationData, part, out);
    }
}

/// Appends an alert, behind which nothing is sent.
pub fn send_alert(mut key: TrafficKey, alert: AlertDescription, out: &mut Vec<u8>) {
    const WARNING: u8 = 1;
    const FATAL: u8 = 2;
    let level = if alert == AlertDescription::CloseNotify {
        WARNING
    } else {
        FATAL
    };
    Sealer::new(&mut key).seal(ContentType::Alert, &[level, alert.into()], out);
}

/// The reading of some bytes.
struct RecordReader<'a> {
    opener: Opener<'a>,
    write: &'a mut TrafficKey,
    end: &'a mut TlsEnd,
    unfinished: &'a mut Unfinished,
    content: &'a mut Vec<u8>,
    answer: &'a mut Vec<u8>,
    /// Whether a key update was answered: one answer is enough for all that were read together.
    answered: bool,
}

impl RecordReader<'_> {
    /// Reads all whole records. Gives how many bytes they have.
    fn records(&mut self, bytes: &mut [u8]) -> Result<usize, ReadStop> {
        let mut read = 0;
        while let Some(end) = record_end(&bytes[read..])? {
            self.record(&mut bytes[read + HEADER_BYTES..read + end])?;
            read += end;
        }
        Ok(read)
    }

    fn record(&mut self, body: &mut [u8]) -> Result<(), ReadStop> {
        let record = self
            .opener
            .open(body)
            .map_err(|error| ReadStop::Mistake(alert_of(&error)))?;
        if record.typ != ContentType::Handshake && !self.unfinished.message.is_empty() {
            return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
        }
        if record.typ == ContentType::ApplicationData && !record.payload.is_empty() {
            *self.end = TlsEnd::new(self.end.role());
            self.content.extend_from_slice(record.payload);
            return Ok(());
        }
        if record.typ == ContentType::Alert {
            alert(record.payload)?;
        } else if record.typ == ContentType::Handshake && !record.payload.is_empty() {
            self.handshake(record.payload)?;
        } else if record.typ != ContentType::ApplicationData {
            return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
        }
        if self.end.fruitless() == FRUITLESS_RECORDS_MAX {
            return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
        }
        self.end.0 += 1;
        Ok(())
    }

    /// Messages of a handshake, also in parts: key updates, and tickets for a client.
    fn handshake(&mut self, payload: &[u8]) -> Result<(), ReadStop> {
        let mut messages = mem::take(&mut self.unfinished.message);
        messages.extend_from_slice(payload);
        let mut rest = &messages[..];
        while let [kind, high, middle, low, behind @ ..] = rest {
            let kind = HandshakeType::from(*kind);
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            self.expects(kind, length)?;
            let Some((body, next)) = behind.split_at_checked(length) else {
                break;
            };
            if kind == HandshakeType::KeyUpdate {
                self.key_update(body, next)?;
            } else {
                self.ticket(body)?;
            }
            rest = next;
        }
        self.unfinished.message = rest.to_vec();
        Ok(())
    }

    /// Whether a message has a place here, before all of it is there.
    fn expects(&self, kind: HandshakeType, length: usize) -> Result<(), ReadStop> {
        let longest = if kind == HandshakeType::KeyUpdate {
            1
        } else if kind == HandshakeType::NewSessionTicket && self.end.role() == TlsRole::Client {
            TICKET_BYTES_MAX
        } else {
            return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
        };
        if length <= longest {
            Ok(())
        } else {
            Err(ReadStop::Mistake(AlertDescription::DecodeError))
        }
    }

    fn key_update(&mut self, body: &[u8], behind: &[u8]) -> Result<(), ReadStop> {
        // What stands behind it in the same record was protected by the old key.
        if !behind.is_empty() {
            return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
        }
        let requested = match body {
            [0] => false,
            [1] => true,
            [_] => return Err(ReadStop::Mistake(AlertDescription::IllegalParameter)),
            _ => return Err(ReadStop::Mistake(AlertDescription::DecodeError)),
        };
        self.opener.renew();
        if requested && !self.answered {
            let mut sealer = Sealer::new(self.write);
            sealer.seal(ContentType::Handshake, KEY_UPDATE, self.answer);
            sealer.renew();
            self.answered = true;
        }
        Ok(())
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), ReadStop> {
        let Some(mut kernel) = self.unfinished.tickets.take() else {
            return Ok(());
        };
        kernel
            .handle_new_session_ticket(body)
            .map_err(|_| ReadStop::Mistake(AlertDescription::DecodeError))
    }
}

/// How many bytes the first record has; `None` if it is not complete.
fn record_end(bytes: &[u8]) -> Result<Option<usize>, ReadStop> {
    if bytes
        .first()
        .is_some_and(|kind| ContentType::from(*kind) != ContentType::ApplicationData)
    {
        return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage));
    }
    // The version means nothing (RFC 8446, 5.1).
    let [_, _, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > BODY_BYTES_MAX {
        return Err(ReadStop::Mistake(AlertDescription::RecordOverflow));
    }
    let end = HEADER_BYTES + length;
    Ok((bytes.len() >= end).then_some(end))
}

/// The peer's alert. Whatever its level, each but two means the end (RFC 8446, 6).
fn alert(payload: &[u8]) -> Result<(), ReadStop> {
    let description = match payload {
        // RFC 8446, 5.4.
        [] => return Err(ReadStop::Mistake(AlertDescription::UnexpectedMessage)),
        [_level, description] => AlertDescription::from(*description),
        _ => return Err(ReadStop::Mistake(AlertDescription::DecodeError)),
    };
    if description == AlertDescription::CloseNotify {
        Err(ReadStop::PeerClosed)
    } else if description == AlertDescription::UserCanceled {
        Ok(())
    } else {
        Err(ReadStop::PeerAlert)
    }
}

/// What tells a peer of a record that cannot be read.
fn alert_of(error: &Error) -> AlertDescription {
    if *error == Error::PeerSentOversizedRecord {
        AlertDescription::RecordOverflow
    } else if let Error::PeerMisbehaved(_) = error {
        // Nothing but padding, or a type that is never protected.
        AlertDescription::UnexpectedMessage
    } else {
        AlertDescription::BadRecordMac
    }
}
