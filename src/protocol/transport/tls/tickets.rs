//! Session tickets of keys that all nodes have that know one secret. The key changes every six hours, by the clock; nothing
//! is stored anywhere. A ticket proves who comes back; what is said afterwards is protected by a new key exchange, so that
//! whoever learns the secret later reads none of it.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use zeroize::Zeroizing;

/// What the keys of tickets are derived from.
#[derive(Clone)]
pub struct TicketSecret(Arc<Zeroizing<Vec<u8>>>);

/// A secret of fewer bytes is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret for tickets has fewer than {SECRET_BYTES_MIN} bytes")]
pub struct ShortTicketSecret;

/// As many as the keys have that are derived from it.
pub const SECRET_BYTES_MIN: usize = 32;

impl TicketSecret {
    /// Of what a file has.
    ///
    /// # Errors
    /// It is too short.
    pub fn new(bytes: &[u8]) -> Result<Self, ShortTicketSecret> {
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(ShortTicketSecret);
        }
        Ok(Self(Arc::new(Zeroizing::new(bytes.to_vec()))))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret")
    }
}

/// How long one key makes tickets. It opens them for as long again, so that a ticket is good for 6 to 12 hours.
const PERIOD_S: u64 = 6 * 3_600;

/// The number of the period, in the clear before each ticket.
const PERIOD_BYTES: usize = 4;

/// Makes and opens tickets.
pub struct SharedTickets {
    source: hkdf::Prk,
    time: Arc<dyn TimeProvider>,
}

impl SharedTickets {
    /// Of keys that are derived from a secret.
    #[must_use]
    pub fn new(secret: &TicketSecret, time: Arc<dyn TimeProvider>) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"");
        let source = salt.extract(&secret.0);
        Self { source, time }
    }

    fn period(&self) -> Option<u32> {
        let now = self.time.current_time()?;
        u32::try_from(now.as_secs() / PERIOD_S).ok()
    }

    fn key(&self, period: u32) -> Option<LessSafeKey> {
        let info = [b"holdfast ticket".as_slice(), &period.to_be_bytes()];
        let key = self.source.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * PERIOD_S as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period()?;
        let mut nonce = [0; NONCE_LEN];
        // At random, since others use the key as well: it is renewed long before two are likely to be the same.
        SystemRandom::new().fill(&mut nonce).ok()?;
        let period_bytes = period.to_be_bytes();
        let mut ticket = [&period_bytes[..], &nonce, plain].concat();
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(period_bytes));
        let sealed = &mut ticket[PERIOD_BYTES + NONCE_LEN..];
        let tag = self
            .key(period)?
            .seal_in_place_separate_tag(nonce, aad, sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (period_bytes, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (period, now) = (u32::from_be_bytes(*period_bytes), self.period()?);
        // Of the last period, or of a node whose clock is ahead.
        if period.abs_diff(now) > 1 {
            return None;
        }
        let (nonce, aad) = (Nonce::assume_unique_for_key(*nonce), Aad::from(*period_bytes));
        let mut plain = sealed.to_vec();
        let length = self
            .key(period)?
            .open_in_place(nonce, aad, &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTickets")
    }
}
