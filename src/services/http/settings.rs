//! What the HTTP server goes by.

use std::net::TcpListener;
use std::time::Duration;

use crate::base::ids::UserId;
use crate::base::secret::Secret;
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
    /// Sizes and times.
    pub limits: Limits,
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
