//! Proves who a terminal, or an administrator of the REST interface, is: Tencent's UserSig (TLSSigAPIv2,
//! HMAC-SHA256). Never keeps or shows a signature or a secret.
//!
//! The order of the checks is that of the official Go library (`tencentyun/tls-sig-api-v2-golang`); the MAC is compared
//! in constant time, and nothing of the claims is used outside before it was found good.

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::ids::UserId;
use crate::base::limits::USERSIG_INFLATED_BYTES_MAX;
use crate::base::time::Timestamp;

/// Known to everyone who reads this: good for nothing but a gateway on loopback.
pub const DEVELOPMENT_SECRET: &str = "holdfast-development-secret-for-loopback-only-never-in-production";

/// A secret key: its text as the console shows it. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The HMAC key is the text itself, not what its hex digits mean.
    pub secret: String,
    /// Signatures made with it are refused from this Unix second on.
    pub not_after_s: Option<u64>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("not_after_s", &self.not_after_s)
            .finish_non_exhaustive()
    }
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
    /// 70001
    #[error("the UserSig has expired")]
    Expired,
    /// 70016
    #[error("there is no key to check the UserSig with")]
    NoKey,
    /// 70009
    #[error("the UserSig's signature is wrong; was it made with another app's secret key?")]
    WrongSignature,
}

#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(rename = "TLS.ver")]
    version: String,
    #[serde(rename = "TLS.identifier")]
    identifier: String,
    #[serde(rename = "TLS.sdkappid")]
    sdk_app_id: u64,
    #[serde(rename = "TLS.expire")]
    expire_s: u64,
    #[serde(rename = "TLS.time")]
    time_s: u64,
    #[serde(rename = "TLS.userbuf", default, skip_serializing_if = "Option::is_none")]
    user_buffer: Option<String>,
    #[serde(rename = "TLS.sig")]
    signature: String,
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
    /// Checks that `sig` was made for `user` of app `sdk_app_id` with one of `keys`, and has not expired.
    ///
    /// # Errors
    /// The first fault, in the order of the official library: form, app, user, expiry, signature.
    pub fn verify(
        &mut self,
        now: Timestamp,
        (sdk_app_id, keys): (u64, &[Key]),
        user: &UserId,
        sig: &str,
    ) -> Result<Claims, Fault> {
        if sig.is_empty() {
            return Err(Fault::Empty);
        }
        let document = self.open(sig)?;
        if document.sdk_app_id != sdk_app_id {
            return Err(Fault::WrongApp);
        }
        if document.identifier != user.as_str() {
            return Err(Fault::WrongUser);
        }
        if now.seconds() > document.time_s.saturating_add(document.expire_s) {
            return Err(Fault::Expired);
        }
        check_signature(&document, now, keys)?;
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
        if !matches!(status, Ok(Status::StreamEnd)) {
            return Err(Fault::Unreadable);
        }
        serde_json::from_slice(&self.document).map_err(|_| Fault::Unreadable)
    }
}

fn check_signature(document: &Document, now: Timestamp, keys: &[Key]) -> Result<(), Fault> {
    let mut keys = keys
        .iter()
        .filter(|key| key.not_after_s.is_none_or(|end| now.seconds() < end))
        .peekable();
    keys.peek().ok_or(Fault::NoKey)?;
    let signature = STANDARD
        .decode(&document.signature)
        .map_err(|_| Fault::WrongSignature)?;
    let content = content(document);
    let good = keys.any(|key| mac(&key.secret, &content).verify_slice(&signature).is_ok());
    if good { Ok(()) } else { Err(Fault::WrongSignature) }
}

fn mac(secret: &str, content: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(content)
}

fn content(document: &Document) -> String {
    let Document {
        identifier,
        sdk_app_id,
        time_s,
        expire_s,
        ..
    } = document;
    let mut content = format!(
        "TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time_s}\nTLS.expire:{expire_s}\n"
    );
    if let Some(buffer) = &document.user_buffer {
        content.push_str("TLS.userbuf:");
        content.push_str(buffer);
        content.push('\n');
    }
    content
}

/// Makes a UserSig that is good from `now` on for `lifetime_s` seconds.
#[must_use]
pub fn sign(now: Timestamp, sdk_app_id: u64, secret: &str, user: &UserId, lifetime_s: u64) -> String {
    let mut document = Document {
        version: "2.0".to_owned(),
        identifier: user.as_str().to_owned(),
        sdk_app_id,
        expire_s: lifetime_s,
        time_s: now.seconds(),
        user_buffer: None,
        signature: String::new(),
    };
    document.signature = STANDARD.encode(mac(secret, &content(&document)).finalize().into_bytes());
    let json = serde_json::to_vec(&document).expect("a document of strings and numbers");
    let mut packed = Vec::with_capacity(json.len() + 64);
    let status =
        Compress::new(Compression::default(), true).compress_vec(&json, &mut packed, FlushCompress::Finish);
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

#[cfg(test)]
mod tests {
    use super::*;

    // The vectors were made with the vendor's Python and Node packages at Unix second 1700000000.
    const SECRET: &str = "4855ad03102720c4a71c4da4efe64e56bc587d2285082ccc176e8e428bc5ad41";
    const APP: u64 = 1_400_000_001;
    const MADE: u64 = 1_700_000_000;
    const A_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkElNyM-Myi0uKEkvyi2BKilOyEwsKMlOACgxNDCDAECqXWlGQWZQKlLEwA0pBBUsyc0FChuZQxTDx4sx0kCUhqb7ZpsWeEeZZlZZVzrmRJVnhqR4VvrnariXuxubpQeX5jnmRBfpV4ZnFtkq1AFVqNkQ_";
    const A_NODE: &str = "eJw1ykELgkAQBeD-MtfC3LKshQ4RUUFeSjCPwk4yyuqyO5QZ-ffAtXd733sfSC*34IkWJMyDEKZDJ4UN04MGLpSmhhzbgls7HpyqC2NIgRRR6CP8wqQRpIhHDb1iZ8giyPUq*pOjEiSkmNRLd77H1XvT73XOVYanLtGTAx8XcXl9tbsmN7M*I7eF7w-EZzTk";
    const B_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkEnMyk1NhUsUp2YkFBZkpQAlDEwMIMITKpVYUZBalAmXMDEwsDAygoiWZuSAxQ3Ooaph4cWY6yHTjIo8yQ20-V6NwzxTz5Mg030zXqhzHnArTkPwUbW3P-DxjL-NE87wM-UALW6VaABAMMV4_";
    const B_NODE: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDCDCEyJRk5qYqWRmaQ0UNIKKpFQWZRalKVmYGJhYwseLMdCUrJeMijzJDbT9Xo3DPFPPkyDTfTNeqHMecCtOQ-BRtbc-8PGMv80TzvAz9QAtbpVoAncMv-g__";
    const B_STORED: &str = "eAEBpwBY-3siVExTLnZlciI6IjIuMCIsIlRMUy5pZGVudGlmaWVyIjoiYWxpY2UiLCJUTFMuc2RrYXBwaWQiOjE0MDAwMDAwMDEsIlRMUy5leHBpcmUiOjYwNDgwMCwiVExTLnRpbWUiOjE3MDAwMDAwMDAsIlRMUy5zaWciOiIzckh2MStORTJXSWQ3Y1lmTWlFemxBbHg1VG9kKytJb24zSjdhN25oL1E4PSJ9q-cv-g__";
    const B_FORGED: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkEnMyk1NhUsUp2YkFBZkpQAlDEwMIMITKpVYUZBalAmXMDEwsgOJQ4ZLMXJCgoTlUOUy8ODMdZLxxkUeZobafq1G4Z4p5cmSab6ZrVY5jToVpSH6KtrZnfp6xl3mieV6GfqCFrVItADnTMY4_";
    const C_PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkSotTi*INdR2TYNLFKdmJBQWZKUBJQxMDCDCEyqVWFGQWpQJljM0MDKBiJZm5IBFDc6hamDjI4KTSNJAdkeFeWXDjM9NBQtqpjmapIcaJYamhZQbZTvqBLs5uhcWWVe5R7vpBQcmm6V6B5b4FviU*Psm2SrUASA45DA__";

    fn key(secret: &str) -> Key {
        Key {
            secret: secret.to_owned(),
            not_after_s: None,
        }
    }

    fn verify(at_s: u64, app: u64, keys: &[Key], user: &str, sig: &str) -> Result<Claims, Fault> {
        let user = UserId::new(user.as_bytes()).unwrap();
        Verifier::default().verify(Timestamp(at_s * 1_000), (app, keys), &user, sig)
    }

    fn check(user: &str, at_s: u64, sig: &str, expected: Result<(), Fault>) {
        let claims = verify(at_s, APP, &[key(SECRET)], user, sig);
        assert_eq!(
            claims,
            expected.map(|()| Claims { signed_at_s: MADE }),
            "{user} at {at_s}"
        );
    }

    #[test]
    fn takes_what_the_vendors_packages_make() {
        for sig in [A_PYTHON, A_NODE] {
            check("administrator", MADE, sig, Ok(()));
            check("administrator", MADE + 86_400, sig, Ok(()));
            check("administrator", MADE + 86_401, sig, Err(Fault::Expired));
        }
        for sig in [B_PYTHON, B_NODE, B_STORED] {
            check("alice", 1_700_604_800, sig, Ok(()));
            check("alice", 1_700_604_801, sig, Err(Fault::Expired));
        }
        check("user_1-Ab", MADE, C_PYTHON, Ok(()));
    }

    #[test]
    fn names_the_first_fault() {
        check("alice", MADE, B_FORGED, Err(Fault::WrongSignature));
        check("alice", MADE, "", Err(Fault::Empty));
        check("alice", MADE, "not a signature", Err(Fault::Unreadable));
        check("alice", MADE, "____", Err(Fault::Unreadable));
        check(
            "alice",
            MADE,
            &B_PYTHON[..B_PYTHON.len() - 20],
            Err(Fault::Unreadable),
        );
        check("bob", MADE, B_PYTHON, Err(Fault::WrongUser));
        let keys = [key(SECRET)];
        assert_eq!(
            verify(MADE, APP + 1, &keys, "bob", B_PYTHON),
            Err(Fault::WrongApp)
        );
        assert_eq!(verify(MADE, APP, &[], "alice", B_PYTHON), Err(Fault::NoKey));
        assert_eq!(
            verify(MADE, APP, &[key("another")], "alice", B_PYTHON),
            Err(Fault::WrongSignature)
        );
    }

    #[test]
    fn keys_rotate() {
        let ending = Key {
            not_after_s: Some(MADE + 10),
            ..key(SECRET)
        };
        let keys = [key("the next one"), ending];
        assert!(verify(MADE + 9, APP, &keys, "alice", B_PYTHON).is_ok());
        assert_eq!(
            verify(MADE + 10, APP, &keys, "alice", B_PYTHON),
            Err(Fault::WrongSignature)
        );
        assert_eq!(
            verify(MADE + 10, APP, &keys[1..], "alice", B_PYTHON),
            Err(Fault::NoKey)
        );
    }

    #[test]
    fn takes_what_it_makes() {
        let user = UserId::new(b"a b+c/~").unwrap();
        let now = Timestamp(MADE * 1_000 + 999);
        let sig = sign(now, APP, SECRET, &user, 60);
        assert!(
            sig.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte))
        );
        check(user.as_str(), MADE + 60, &sig, Ok(()));
        check(user.as_str(), MADE + 61, &sig, Err(Fault::Expired));
    }

    #[test]
    fn a_small_signature_cannot_inflate_without_end() {
        let mut packed = Vec::with_capacity(100_000);
        let zeros = vec![b' '; 10_000_000];
        Compress::new(Compression::best(), true)
            .compress_vec(&zeros, &mut packed, FlushCompress::Finish)
            .unwrap();
        let sig = STANDARD
            .encode(packed)
            .replace('+', "*")
            .replace('/', "-")
            .replace('=', "_");
        check("alice", MADE, &sig, Err(Fault::Unreadable));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", key(SECRET)).contains(SECRET));
    }

    proptest::proptest! {
        #[test]
        fn any_text_never_panics(text in "[ -~]{0,200}") {
            proptest::prop_assert!(verify(MADE, APP, &[key(SECRET)], "alice", &text).is_err());
        }
    }
}
