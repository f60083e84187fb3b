//! Proves who a terminal, or an administrator of the REST interface, is: Tencent's UserSig (TLSSigAPIv2,
//! HMAC-SHA256). Never keeps or shows a signature or a secret.
//!
//! The order of the checks is that of the official Go library (`tencentyun/tls-sig-api-v2-golang`); the MAC is compared
//! in constant time, and nothing of the claims is used outside before it was found good. What that library does not look
//! at comes last: how long a UserSig lives, and how far ahead it is dated.

mod document;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::ids::UserId;
use crate::base::limits::{USERSIG_INFLATED_BYTES_MAX, USERSIG_LIFETIME_S_MAX};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use document::{Document, decode_base64};

/// Known to everyone who reads this: good for nothing but a gateway on loopback.
pub const DEVELOPMENT_SECRET: &str = "holdfast-development-secret-for-loopback-only-never-in-production";

/// A secret key: its text as the console shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The HMAC key is the text itself, not what its hex digits mean.
    pub secret: Secret,
    /// Signatures made with it are refused from this Unix second on.
    pub not_after_s: Option<u64>,
}

impl Key {
    /// Whether signatures made with it are taken at `now`.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.not_after_s.is_none_or(|end| now.seconds() < end)
    }
}

/// The app that UserSigs are checked for.
#[derive(Debug, Clone, Copy)]
pub struct App<'a> {
    /// Its SDKAppID.
    pub sdk_app_id: u64,
    /// The secrets that its UserSigs may be made with.
    pub keys: &'a [Key],
    /// So many seconds may a UserSig be dated ahead of the clock. A kick ends what is dated up to its own second: what is
    /// dated behind it goes on.
    pub ahead_max_s: u64,
}

/// What a good UserSig says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Unix seconds at which it was made.
    pub signed_at_s: u64,
}

/// Why a UserSig is not good. The numbers in the texts are Tencent's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// 70002
    #[error("the UserSig is empty")]
    Empty,
    /// 70003
    #[error("the UserSig cannot be decoded")]
    Unreadable,
    /// 70014
    #[error("the UserSig is for another SDKAppID")]
    WrongApp,
    /// 70013
    #[error("the UserSig is for another UserID")]
    WrongUser,
    /// 70003
    #[error("the UserSig would live for more than 50 years; is TLS.expire a number of seconds, and no date?")]
    LivesTooLong,
    /// 70001
    #[error("the UserSig has expired")]
    Expired,
    /// 70001: it is not good at this time either, and another one may be.
    #[error("the UserSig is dated further ahead than usersig.ahead_max_s; is the signer's clock right?")]
    Ahead,
    /// 70016
    #[error("there is no key to check the UserSig with")]
    NoKey,
    /// 70009
    #[error("the UserSig's signature is wrong; was it made with another app's secret key?")]
    WrongSignature,
}

/// Tencent's alphabet has `*` for `+` and `-` for `/`; its `_` for `=` is taken off before.
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-";

/// Checks UserSigs; keeps the working memory that each check needs.
pub struct Verifier {
    base64: GeneralPurpose,
    inflater: Decompress,
    packed: Vec<u8>,
    document: Vec<u8>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Default for Verifier {
    fn default() -> Self {
        let alphabet = base64::alphabet::Alphabet::new(ALPHABET).expect("64 different letters");
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true);
        Self {
            base64: GeneralPurpose::new(&alphabet, config),
            inflater: Decompress::new(true),
            packed: Vec::new(),
            document: Vec::with_capacity(USERSIG_INFLATED_BYTES_MAX),
        }
    }
}

impl Verifier {
    /// Checks that `sig` was made for `user` of `app` with one of its keys, and is good at `now`.
    ///
    /// # Errors
    /// The first fault, in the order of the official library: form, app, user, expiry, signature; then those that it does
    /// not know.
    pub fn verify(
        &mut self,
        now: Timestamp,
        app: App<'_>,
        user: &UserId,
        sig: &str,
    ) -> Result<Claims, Fault> {
        if sig.is_empty() {
            return Err(Fault::Empty);
        }
        let document = self.open(sig)?;
        if document.sdk_app_id != app.sdk_app_id {
            return Err(Fault::WrongApp);
        }
        if document.identifier != user.as_str() {
            return Err(Fault::WrongUser);
        }
        if now.seconds() > document.time_s.saturating_add(document.expire_s) {
            return Err(Fault::Expired);
        }
        check_signature(&document, now, app.keys)?;
        if document.expire_s > USERSIG_LIFETIME_S_MAX {
            return Err(Fault::LivesTooLong);
        }
        if document.time_s > now.seconds().saturating_add(app.ahead_max_s) {
            return Err(Fault::Ahead);
        }
        Ok(Claims {
            signed_at_s: document.time_s,
        })
    }

    fn open(&mut self, sig: &str) -> Result<Document, Fault> {
        self.packed.clear();
        self.base64
            .decode_vec(sig.trim_end_matches('_'), &mut self.packed)
            .map_err(|_| Fault::Unreadable)?;
        self.inflater.reset(true);
        self.document.clear();
        let status = self
            .inflater
            .decompress_vec(&self.packed, &mut self.document, FlushDecompress::Finish);
        // What stands behind the stream is not looked at, as in the vendor's verifier: nothing depends on it.
        if !matches!(status, Ok(Status::StreamEnd)) {
            return Err(Fault::Unreadable);
        }
        Document::read(&self.document).ok_or(Fault::Unreadable)
    }
}

fn check_signature(document: &Document, now: Timestamp, keys: &[Key]) -> Result<(), Fault> {
    let mut keys = keys.iter().filter(|key| key.counts(now)).peekable();
    keys.peek().ok_or(Fault::NoKey)?;
    let signature = decode_base64(&document.signature).ok_or(Fault::WrongSignature)?;
    let content = document.content();
    let good = keys.any(|key| {
        mac(key.secret.expose(), &content)
            .verify_slice(&signature)
            .is_ok()
    });
    if good { Ok(()) } else { Err(Fault::WrongSignature) }
}

fn mac(secret: &str, content: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(content)
}

/// Makes a UserSig that is good from `now` on for `lifetime_s` seconds.
///
/// # Panics
/// If it would live for more than [`USERSIG_LIFETIME_S_MAX`]: nobody would take it.
#[must_use]
pub fn sign(now: Timestamp, sdk_app_id: u64, secret: &str, user: &UserId, lifetime_s: u64) -> String {
    assert!(lifetime_s <= USERSIG_LIFETIME_S_MAX, "what is made is taken");
    let mut document = Document::new(user.as_str(), sdk_app_id, now.seconds(), lifetime_s);
    seal(&mut document, secret);
    pack(&serde_json::to_vec(&document).expect("a document of strings and numbers"))
}

fn seal(document: &mut Document, secret: &str) {
    document.signature = STANDARD.encode(mac(secret, &document.content()).finalize().into_bytes());
}

/// Compressed, and in Tencent's alphabet.
fn pack(json: &[u8]) -> String {
    let mut packed = Vec::with_capacity(json.len() + 64);
    let status =
        Compress::new(Compression::default(), true).compress_vec(json, &mut packed, FlushCompress::Finish);
    assert!(
        matches!(status, Ok(Status::StreamEnd)),
        "64 bytes are room enough for zlib's frame"
    );
    STANDARD
        .encode(packed)
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_")
}
