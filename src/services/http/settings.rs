//! What the HTTP server goes by.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use crate::base::ids::UserId;
use crate::base::secret::Secret;
use crate::protocol::transport::tls::certificates::CertificateFacts;
use crate::protocol::usersig::Key;
use crate::services::http::limits::Limits;

/// What the HTTP server goes by. All but the sizes and times may change while it runs.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The one app that is served.
    pub sdk_app_id: u64,
    /// The secrets that UserSigs may be made with.
    pub keys: Vec<Key>,
    /// How far ahead a UserSig may be dated.
    pub usersig_ahead_max: Duration,
    /// Who may call the REST interface.
    pub administrators: Vec<UserId>,
    /// What the admin listener asks for; `None` on loopback only.
    pub admin_token: Option<Secret>,
    /// Host names, besides those of loopback, that the admin listener answers to.
    pub admin_hosts: Vec<String>,
    /// TLS of new connections, and what is known of certificates.
    pub tls: HttpTls,
    /// Sizes and times.
    pub limits: Limits,
}

/// What the HTTP server has to know of TLS.
#[derive(Debug, Clone, Default)]
pub struct HttpTls {
    /// What connections of the app's backend go by; `None`: plain HTTP.
    pub backend: Option<Arc<ServerConfig>>,
    /// What those of the operator go by.
    pub admin: Option<Arc<ServerConfig>>,
    /// What those of browsers go by.
    pub web: Option<Arc<ServerConfig>>,
    /// The certificates of all listeners, those of terminals too.
    pub certificates: Arc<[ListenerCertificate]>,
}

/// A certificate that listeners show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerCertificate {
    /// Which listeners: `terminals`, `http`, `admin` or `web`.
    pub listener: &'static str,
    /// Its place in their list, from 1 on.
    pub entry: usize,
    /// What it says.
    pub facts: CertificateFacts,
}

impl ListenerCertificate {
    /// Where it stands in the configuration, such as `admin.tls.certificates[1]`.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("{}.tls.certificates[{}]", self.listener, self.entry)
    }
}

/// Bound sockets, not yet accepted from.
#[derive(Debug)]
pub struct HttpListeners {
    /// For the app's backend.
    pub backend: Vec<TcpListener>,
    /// For the operator.
    pub admin: Vec<TcpListener>,
    /// For browsers.
    pub web: Vec<TcpListener>,
}
