//! The words that settings may have, each with what it means. The table of settings, its explanations and the reader all go by
//! these lists. Reads nothing.

use std::fmt::Debug;

use tracing_subscriber::filter::LevelFilter;

use super::parts::{LogFormat, StoreKind};
use crate::logic::settings::{Conflict, Policy, WebClose};
use crate::protocol::dialect::Dialect;
use crate::protocol::transport::Transport;
use crate::protocol::transport::proxy::ProxyMode;
use crate::protocol::transport::tls::server::TlsVersion;
use crate::services::registry::embedded::Durability;
use crate::services::shared_store::settings::CopiesMissing;

/// Words, each with its meaning.
#[derive(Debug)]
pub(super) struct Choice<T: 'static>(&'static [(&'static str, T)]);

/// The words of a choice, whatever they mean.
pub(super) trait Words: Debug + Sync {
    /// In the order in which people are told them.
    fn words(&self) -> Vec<&'static str>;
}

pub(super) const POLICY: Choice<Policy> = Choice(&[
    ("single", Policy::Single),
    ("dual", Policy::Dual),
    ("triple", Policy::Triple),
    ("multi", Policy::Multi),
]);

pub(super) const CONFLICT: Choice<Conflict> = Choice(&[
    ("newest-wins", Conflict::NewestWins),
    ("oldest-wins", Conflict::OldestWins),
]);

pub(super) const TRANSPORT: Choice<Transport> =
    Choice(&[("tcp", Transport::Tcp), ("websocket", Transport::WebSocket)]);

pub(super) const TLS_VERSION: Choice<TlsVersion> =
    Choice(&[("1.3", TlsVersion::Tls13), ("1.2", TlsVersion::Tls12)]);

pub(super) const DIALECT: Choice<Dialect> = Choice(&[("native", Dialect::Native)]);

pub(super) const PROXY: Choice<ProxyMode> = Choice(&[
    ("off", ProxyMode::Off),
    ("v1", ProxyMode::V1),
    ("v2", ProxyMode::V2),
    ("any", ProxyMode::Any),
]);

pub(super) const WEB_CLOSE: Choice<WebClose> =
    Choice(&[("time-out", WebClose::TimeOut), ("at-once", WebClose::AtOnce)]);

pub(super) const STORE: Choice<StoreKind> = Choice(&[
    ("embedded", StoreKind::Embedded),
    ("memory", StoreKind::Memory),
    ("redis", StoreKind::Shared),
]);

pub(super) const COPIES_MISSING: Choice<CopiesMissing> =
    Choice(&[("wait", CopiesMissing::Wait), ("go-on", CopiesMissing::GoOn)]);

pub(super) const DURABILITY: Choice<Durability> =
    Choice(&[("commit", Durability::Commit), ("relaxed", Durability::Relaxed)]);

pub(super) const LOG_LEVEL: Choice<LevelFilter> = Choice(&[
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
]);

pub(super) const LOG_FORMAT: Choice<LogFormat> =
    Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

impl<T: Copy> Choice<T> {
    /// What a word means.
    ///
    /// # Panics
    /// If it is none of these: then a setting is read by another list than the table has for it.
    pub(super) fn meaning(&self, word: &str) -> T {
        let found = self.0.iter().find(|(known, _)| *known == word);
        found.expect("the table lets these words through, and no other").1
    }
}

impl<T: Debug + Sync> Words for Choice<T> {
    fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|(word, _)| *word).collect()
    }
}
