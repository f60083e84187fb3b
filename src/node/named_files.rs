//! What is in files that a configuration names, made ready before it is taken. Takes nothing.

use super::certificates::TlsTerms;
use super::config::{Config, Problem};
use crate::base::time::Timestamp;
use crate::services::trust::Trust;

/// What is in files that a configuration names. It must be usable before the configuration is taken.
pub(super) struct NamedFiles {
    /// Who vouches for the receiver of callbacks.
    pub(super) trust: Trust,
    /// What listeners with TLS go by; `None`: it is as it was. Certificates that did not change are not checked again, so one that
    /// has expired since does not stop a reload.
    pub(super) tls: Option<TlsTerms>,
}

impl NamedFiles {
    /// Reads those of `next`, which follows `before`.
    ///
    /// # Errors
    /// Everything that is wrong with them at `now`.
    pub(super) fn read(before: &Config, next: &Config, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let trust = Trust::read(next.callback.ca_file.as_deref()).map_err(|error| Problem {
            key: "callback.ca_file".to_owned(),
            found: error.to_string(),
            remedy: "name a file of PEM certificates, or leave it empty for the system's".to_owned(),
        });
        let tls = (!TlsTerms::are_the_same(before, next)).then(|| TlsTerms::new(next, now));
        match (trust, tls.transpose()) {
            (Ok(trust), Ok(tls)) => Ok(Self { trust, tls }),
            (trust, tls) => Err(trust
                .err()
                .into_iter()
                .chain(tls.err().unwrap_or_default())
                .collect()),
        }
    }
}
