//! Says before a certificate ends that it will, and when it has. Only tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::time::Timestamp;
use crate::services::http::{HttpSettings, ListenerCertificate};

const DAY: Duration = Duration::from_secs(86_400);

/// It is told when so much is left: in time to ask for a new one, when one that comes by itself should have come, on the last day,
/// and at the end.
const TOLD_AT: [Duration; 4] = [DAY.saturating_mul(30), DAY.saturating_mul(7), DAY, Duration::ZERO];

/// Looks at the certificates that are in use.
#[derive(Debug)]
pub(super) struct ExpiryWatch {
    settings: watch::Receiver<Arc<HttpSettings>>,
    told: ToldExpiries,
}

/// What was told of which certificates.
#[derive(Debug, Default)]
struct ToldExpiries {
    certificates: Arc<[ListenerCertificate]>,
    /// How many of the moments of each.
    moments: Vec<usize>,
}

impl ExpiryWatch {
    pub(super) fn new(settings: watch::Receiver<Arc<HttpSettings>>) -> Self {
        Self {
            settings,
            told: ToldExpiries::default(),
        }
    }

    /// Tells what has come since the last look.
    pub(super) fn look(&mut self, now: Timestamp) {
        let certificates = Arc::clone(&self.settings.borrow().tls.certificates);
        for (certificate, left) in self.told.due(&certificates, now) {
            let (setting, names) = (certificate.setting(), certificate.facts.names.join(", "));
            if left.is_zero() {
                tracing::warn!(setting, names, "a certificate has expired: renew it, then reload");
            } else {
                let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
                tracing::warn!(setting, names, %left, "a certificate expires soon: renew it, then reload");
            }
        }
    }
}

impl ToldExpiries {
    /// The certificates of which something is to be told, with the time that is left.
    fn due<'a>(
        &mut self,
        certificates: &'a Arc<[ListenerCertificate]>,
        now: Timestamp,
    ) -> Vec<(&'a ListenerCertificate, Duration)> {
        if *certificates != self.certificates {
            self.moments = vec![0; certificates.len()];
            self.certificates = Arc::clone(certificates);
        }
        let mut due = Vec::new();
        for (certificate, told) in certificates.iter().zip(&mut self.moments) {
            let left = Duration::from_millis(certificate.facts.not_after.0.saturating_sub(now.0));
            let reached = TOLD_AT.iter().filter(|at| left <= **at).count();
            if reached > std::mem::replace(told, reached) {
                due.push((certificate, left));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transport::tls::certificates::CertificateFacts;

    const END: Timestamp = Timestamp(100 * 86_400_000);

    #[test]
    fn each_moment_is_told_once_and_again_of_another_certificate() {
        let mut told = ToldExpiries::default();
        let mut check = |name: &str, days_left: u64, expected: Option<u64>| {
            let facts = CertificateFacts {
                names: vec![name.to_owned()],
                not_after: END,
            };
            let certificate = ListenerCertificate {
                listener: "terminals",
                entry: 1,
                facts,
            };
            let certificates: Arc<[_]> = Arc::new([certificate]);
            let due = told.due(&certificates, Timestamp(END.0 - days_left * 86_400_000));
            let seen = due
                .first()
                .map(|(one, left)| (one.setting(), left.as_secs() / 86_400));
            let expected = expected.map(|left| ("terminals.tls.certificates[1]".to_owned(), left));
            assert_eq!(seen, expected, "{days_left} days before");
        };
        check("a", 31, None);
        check("a", 30, Some(30));
        check("a", 29, None);
        check("a", 7, Some(7));
        check("a", 1, Some(1));
        check("a", 0, Some(0));
        check("a", 0, None);
        check("b", 6, Some(6));
        check("b", 5, None);
    }
}
