//! What an idle connection keeps: the traffic secret, the number of the next record and what else fits of the key, for both
//! directions. Protects and opens single records with it. Secrets are overwritten when they go, and are never printed.

use std::fmt;

use ring::aead::{Aad, LessSafeKey, Nonce as AeadNonce, UnboundKey};
use ring::hkdf;
use rustls::crypto::cipher::{InboundOpaqueMessage, InboundPlainMessage, Iv, Nonce, make_tls13_aad};
use rustls::{ContentType, Error, ProtocolVersion};
use zeroize::{Zeroize, Zeroizing};

use crate::protocol::transport::tls::suite::TlsSuite;

/// The longest traffic secret: SHA-384's. A secret of SHA-256 leaves room for a key of AES-128 behind it.
const SECRET_BYTES_MAX: usize = 48;
const IV_BYTES: usize = 12;
/// The longest key: of AES-256 and ChaCha20.
const KEY_BYTES_MAX: usize = 32;

/// The key of one direction. It can neither be copied nor be set back: a number that was used is not used again, since only
/// [`TrafficKey::renew`] counts from 0, with another secret.
pub struct TrafficKey {
    /// The secret; behind it the key, if there is room; at the end the IV.
    material: [u8; SECRET_BYTES_MAX + IV_BYTES],
    /// The number of the next record, little-endian. Two to the 48 records are more than a connection ever has.
    sequence: [u8; 6],
    suite: TlsSuite,
}

impl TrafficKey {
    /// Of a traffic secret, for all records from number `sequence` on.
    #[must_use]
    pub fn new(suite: TlsSuite, secret: &[u8], sequence: u64) -> Self {
        let mut key = Self {
            material: [0; SECRET_BYTES_MAX + IV_BYTES],
            sequence: [0; 6],
            suite,
        };
        key.set_sequence(sequence);
        let length = suite.secret_bytes();
        key.material[..length].copy_from_slice(secret);
        let (rest, iv) = key.material[length..].split_at_mut(SECRET_BYTES_MAX - length);
        expand(suite, secret, b"iv", iv);
        if keeps_key(suite) {
            expand(suite, secret, b"key", rest);
        }
        key
    }

    /// Its cipher suite.
    #[must_use]
    pub fn suite(&self) -> TlsSuite {
        self.suite
    }

    /// The initialisation vector.
    #[must_use]
    pub fn iv(&self) -> [u8; IV_BYTES] {
        let mut iv = [0; IV_BYTES];
        iv.copy_from_slice(&self.material[SECRET_BYTES_MAX..]);
        iv
    }

    /// The number of the next record.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        let mut number = [0; 8];
        number[..6].copy_from_slice(&self.sequence);
        u64::from_le_bytes(number)
    }

    /// Whether the next record should be a key update: the last one that the AEAD allows.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.sequence() + 1 >= self.suite.records_max()
    }

    /// The next key of this direction (RFC 8446, 7.2), whose numbers begin at 0.
    pub fn renew(&mut self) {
        let mut next = Zeroizing::new([0; SECRET_BYTES_MAX]);
        let next = &mut next[..self.suite.secret_bytes()];
        expand(self.suite, self.secret(), b"traffic upd", next);
        *self = Self::new(self.suite, next, 0);
    }

    fn set_sequence(&mut self, number: u64) {
        self.sequence.copy_from_slice(&number.to_le_bytes()[..6]);
    }

    fn secret(&self) -> &[u8] {
        &self.material[..self.suite.secret_bytes()]
    }

    fn aead(&self) -> LessSafeKey {
        let mut derived = Zeroizing::new([0; KEY_BYTES_MAX]);
        let key = if keeps_key(self.suite) {
            &self.material[self.suite.secret_bytes()..SECRET_BYTES_MAX]
        } else {
            expand(self.suite, self.secret(), b"key", &mut *derived);
            &*derived
        };
        LessSafeKey::new(UnboundKey::new(self.suite.aead(), key).expect("the key has its cipher's length"))
    }

    fn nonce(&self) -> AeadNonce {
        let nonce = Nonce::new(&Iv::from(self.iv()), self.sequence());
        AeadNonce::assume_unique_for_key(nonce.0)
    }

    /// The number of the next record is used up.
    fn advance(&mut self) {
        let next = self.sequence() + 1;
        assert!(next < 1 << 48, "a key is renewed long before");
        self.set_sequence(next);
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.material.zeroize();
    }
}

impl fmt::Debug for TrafficKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrafficKey({:?}, {})", self.suite, self.sequence())
    }
}

/// Whether the key has room behind the secret.
fn keeps_key(suite: TlsSuite) -> bool {
    suite.secret_bytes() + suite.aead().key_len() <= SECRET_BYTES_MAX
}

struct OutputBytes(usize);

impl hkdf::KeyType for OutputBytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of RFC 8446, 7.1, with an empty context.
fn expand(suite: TlsSuite, secret: &[u8], label: &[u8], output: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let (length, label_length) = (output.len() as u16, (PREFIX.len() + label.len()) as u8);
    let info = [&length.to_be_bytes()[..], &[label_length], PREFIX, label, &[0]];
    let secret = hkdf::Prk::new_less_safe(suite.hkdf(), secret);
    let expanded = secret.expand(&info, OutputBytes(output.len()));
    expanded
        .and_then(|expanded| expanded.fill(output))
        .expect("keys are shorter than HKDF allows");
}

/// Opens records that arrived. The AEAD is made once for all records of a read.
pub struct Opener<'a> {
    key: &'a mut TrafficKey,
    aead: LessSafeKey,
}

impl<'a> Opener<'a> {
    /// For the next records.
    #[must_use]
    pub fn new(key: &'a mut TrafficKey) -> Self {
        let aead = key.aead();
        Self { key, aead }
    }

    /// Opens the body of the next record, in place.
    ///
    /// # Errors
    /// [`Error::DecryptError`] if it is not the next record that the peer has protected; others if what is in it is no TLS.
    pub fn open<'b>(&mut self, body: &'b mut [u8]) -> Result<InboundPlainMessage<'b>, Error> {
        let aad = Aad::from(make_tls13_aad(body.len()));
        let opened = self.aead.open_in_place(self.key.nonce(), aad, body);
        let inner = opened.map_err(|_| Error::DecryptError)?;
        self.key.advance();
        InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, inner)
            .into_tls13_unpadded_message()
    }

    /// See [`TrafficKey::renew`].
    pub fn renew(&mut self) {
        self.key.renew();
        self.aead = self.key.aead();
    }
}

/// Protects records that leave. The AEAD is made once for all records of a send.
pub struct Sealer<'a> {
    key: &'a mut TrafficKey,
    aead: LessSafeKey,
}

impl<'a> Sealer<'a> {
    /// For the next records.
    #[must_use]
    pub fn new(key: &'a mut TrafficKey) -> Self {
        let aead = key.aead();
        Self { key, aead }
    }

    /// See [`TrafficKey::is_spent`].
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.key.is_spent()
    }

    /// Appends a whole record with `content`, 2^14 bytes at most.
    pub fn seal(&mut self, kind: ContentType, content: &[u8], out: &mut Vec<u8>) {
        let length = content.len() + 1 + self.aead.algorithm().tag_len();
        // What is authenticated beside the content is the record's own header.
        let header = make_tls13_aad(length);
        out.reserve(header.len() + length);
        out.extend_from_slice(&header);
        let begin = out.len();
        out.extend_from_slice(content);
        out.push(kind.into());
        let nonce = self.key.nonce();
        // Before it is used: nothing that goes wrong can use it twice.
        self.key.advance();
        let tag = self
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[begin..])
            .expect("a record is shorter than the cipher allows");
        out.extend_from_slice(tag.as_ref());
    }

    /// See [`TrafficKey::renew`].
    pub fn renew(&mut self) {
        self.key.renew();
        self.aead = self.key.aead();
    }
}
