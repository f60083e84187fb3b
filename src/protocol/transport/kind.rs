//! The kinds of transports, by their names. Plain values.

/// How a terminal's bytes reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Plain TCP: the socket's bytes are the dialect's.
    Tcp,
    /// TLS.
    Tls,
    /// Messages of WebSocket.
    WebSocket,
    /// Messages of WebSocket, within TLS.
    SecureWebSocket,
}

impl Transport {
    /// Its name for people, also in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::SecureWebSocket => "websocket-tls",
        }
    }
}
