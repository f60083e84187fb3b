//! How a transport ends: by its peer, in order or by a mistake, or by the gateway, for a reason. Plain values.

/// A transport is at its end by what its peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportEnd {
    /// The peer has said that it ends.
    InOrder,
    /// It made a mistake.
    Mistake(TransportMistake),
    /// It does without this layer, which is a mistake, and may speak the dialect alone: it is answered in that.
    Skipped(TransportMistake),
}

macro_rules! mistakes {
    ($($mistake:ident = $name:literal, $text:literal;)*) => {
        /// Why a connection is closed before its bytes are the dialect's: what its peer did wrong, or that there is no room.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TransportMistake { $(#[doc = $text] $mistake,)* }

        impl TransportMistake {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mistake,)*];

            /// Its series in metrics.
            #[must_use]
            pub const fn series(self) -> &'static str {
                match self { $(Self::$mistake => concat!("transport_errors{kind=\"", $name, "\"}"),)* }
            }
        }
    };
}

mistakes! {
    ProxyUntrusted = "proxy-untrusted", "It is no proxy that is trusted, at a listener that wants a proxy's header.";
    ProxyHeader = "proxy-header", "It sent no header of a proxy, or a wrong one.";
    NotTls = "not-tls", "It does not speak TLS, at a listener that wants it.";
    TlsHandshake = "tls-handshake", "The handshake failed: no common version or cipher, no certificate, or wrong bytes.";
    TlsRecord = "tls-record", "A record is forged, too large, out of place or cannot be read.";
    TlsAlert = "tls-alert", "It ended TLS by an alert.";
    HandshakesWaiting = "handshakes-waiting", "More handshakes wait already than may.";
    NotHttp = "not-http", "It does not speak HTTP, at a listener that wants WebSocket.";
    Upgrade = "upgrade", "Its request is no upgrade to WebSocket that is taken.";
    WebSocketFrame = "websocket-frame", "A frame or a close is against the rules of WebSocket.";
    WebSocketText = "websocket-text", "It sent a text message.";
    WebSocketTooLarge = "websocket-too-large", "A message is larger than it may be.";
    UnexpectedTls = "unexpected-tls", "It speaks TLS, at a listener that does not.";
    UnexpectedHttp = "unexpected-http", "It speaks HTTP, at a listener whose terminals do without.";
}

/// Why the gateway ends a connection, as far as a transport has words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// All is done: a logout was answered.
    Normal,
    /// The gateway stops.
    GoingAway,
    /// The terminal's bytes are no packets, or packets out of place.
    ProtocolError,
    /// The peer speaks another protocol, in which it was told so; this is what is counted.
    Mistake(TransportMistake),
    /// A packet of the terminal is too large.
    TooLarge,
    /// The terminal may not be here, or not any more: refused, forced off, too late, silent.
    Policy,
}
