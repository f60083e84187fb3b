//! Until when certificates are good, for Prometheus. Knows no file and no listener.

use crate::base::time::Timestamp;
use crate::services::http::metrics::exposition::{Exposition, MetricKind};
use crate::services::http::settings::ListenerCertificate;

/// Seconds that are left of each certificate.
#[expect(clippy::cast_precision_loss, reason = "the format has floating numbers only")]
pub(super) fn put(certificates: &[ListenerCertificate], now: Timestamp, out: &mut Exposition) {
    if certificates.is_empty() {
        return;
    }
    let name = "holdfast_tls_certificate_expires_seconds";
    let help = "In how many seconds a certificate expires; negative once it has. entry is its place among those of its listeners, name the first host that it is for.";
    out.family(name, MetricKind::Gauge, help);
    for certificate in certificates {
        let ListenerCertificate {
            listener,
            entry,
            facts,
        } = certificate;
        let left_ms = facts.not_after.0.cast_signed() - now.0.cast_signed();
        let labels = format!(
            "listener=\"{listener}\",entry=\"{entry}\",name=\"{}\"",
            host(&facts.names)
        );
        out.sample(name, &labels, left_ms as f64 / 1e3);
    }
}

/// What a label's value may be without marks: a certificate may have any text in the place of a host.
fn host(names: &[String]) -> String {
    let first = names.first().map_or("", |name| name);
    let plain = first
        .chars()
        .filter(|one| one.is_ascii_graphic() && !['"', '\\'].contains(one));
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transport::tls::certificates::CertificateFacts;

    #[test]
    fn each_certificate_has_the_seconds_that_are_left() {
        let one = |entry, name: &str, not_after| ListenerCertificate {
            listener: "terminals",
            entry,
            facts: CertificateFacts {
                names: vec![name.to_owned()],
                not_after: Timestamp(not_after),
            },
        };
        let mut out = Exposition::new();
        put(
            &[one(1, "*.a.example", 5_500), one(2, "b\"\n\\", 1_000)],
            Timestamp(2_000),
            &mut out,
        );
        let text = out.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let name = "holdfast_tls_certificate_expires_seconds";
        let expected = [
            format!("{name}{{listener=\"terminals\",entry=\"1\",name=\"*.a.example\"}} 3.5"),
            format!("{name}{{listener=\"terminals\",entry=\"2\",name=\"b\"}} -1"),
        ];
        assert_eq!(samples, expected);
        let mut out = Exposition::new();
        put(&[], Timestamp(2_000), &mut out);
        assert_eq!(out.finish(), "");
    }
}
