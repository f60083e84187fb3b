//! The two traffic secrets of one handshake, which rustls tells nobody but a key log. Each handshake has its own, which goes
//! with it. Writes nothing anywhere.

use std::fmt;
use std::sync::OnceLock;

use rustls::KeyLog;
use zeroize::Zeroizing;

/// The secrets that protect what comes behind a handshake, once they are agreed on.
#[derive(Default)]
pub struct HandshakeSecrets {
    client: OnceLock<Zeroizing<Vec<u8>>>,
    server: OnceLock<Zeroizing<Vec<u8>>>,
}

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

impl HandshakeSecrets {
    /// What protects the client's records; `None` before the handshake is far enough, and for ever below TLS 1.3.
    #[must_use]
    pub fn client(&self) -> Option<&[u8]> {
        self.client.get().map(|secret| secret.as_slice())
    }

    /// What protects the server's records; `None` as for the client's.
    #[must_use]
    pub fn server(&self) -> Option<&[u8]> {
        self.server.get().map(|secret| secret.as_slice())
    }
}

impl KeyLog for HandshakeSecrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let place = match label {
            CLIENT => &self.client,
            SERVER => &self.server,
            _ => return,
        };
        place.get_or_init(|| Zeroizing::new(secret.to_vec()));
    }

    fn will_log(&self, label: &str) -> bool {
        [CLIENT, SERVER].contains(&label)
    }
}

impl fmt::Debug for HandshakeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeSecrets")
    }
}
