//! The three cipher suites of TLS 1.3, as *ring* has them. No cryptography of its own.

use ring::{aead, hkdf};
use rustls::{CipherSuite, SupportedCipherSuite};

/// A cipher suite of TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsSuite {
    /// TLS_AES_128_GCM_SHA256
    Aes128,
    /// TLS_AES_256_GCM_SHA384
    Aes256,
    /// TLS_CHACHA20_POLY1305_SHA256
    ChaCha20,
}

/// How many records one key of AES-GCM may protect (RFC 8446, 5.5, says 2^24.5 full ones).
const AES_GCM_RECORDS_MAX: u64 = 1 << 24;

/// The same for ChaCha20-Poly1305, which RFC 8446 does not limit: what six bytes hold, but for alerts behind the last one.
const CHACHA20_RECORDS_MAX: u64 = (1 << 48) - 16;

impl TlsSuite {
    /// What rustls has agreed on; `None` for suites of TLS 1.2.
    #[must_use]
    pub fn of(suite: SupportedCipherSuite) -> Option<Self> {
        let suite = suite.suite();
        if suite == CipherSuite::TLS13_AES_128_GCM_SHA256 {
            Some(Self::Aes128)
        } else if suite == CipherSuite::TLS13_AES_256_GCM_SHA384 {
            Some(Self::Aes256)
        } else if suite == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 {
            Some(Self::ChaCha20)
        } else {
            None
        }
    }

    /// How many records one key may protect.
    #[must_use]
    pub fn records_max(self) -> u64 {
        match self {
            Self::Aes128 | Self::Aes256 => AES_GCM_RECORDS_MAX,
            Self::ChaCha20 => CHACHA20_RECORDS_MAX,
        }
    }

    pub(super) fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128 => &aead::AES_128_GCM,
            Self::Aes256 => &aead::AES_256_GCM,
            Self::ChaCha20 => &aead::CHACHA20_POLY1305,
        }
    }

    pub(super) fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128 | Self::ChaCha20 => hkdf::HKDF_SHA256,
            Self::Aes256 => hkdf::HKDF_SHA384,
        }
    }

    /// Bytes of a traffic secret: as many as the hash has.
    pub(super) fn secret_bytes(self) -> usize {
        match self {
            Self::Aes128 | Self::ChaCha20 => 32,
            Self::Aes256 => 48,
        }
    }
}
