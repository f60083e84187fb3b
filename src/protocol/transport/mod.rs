//! What a dialect's bytes travel in: layers between a socket and a dialect, each pure, each optional. From the socket up: the
//! header of a proxy, TLS, WebSocket. Knows no packets, and keeps nothing of a plain connection.

pub mod kind;
pub mod ending;
pub mod other_protocol;
pub mod unwrapped;

pub mod proxy;
pub mod tls;
pub mod websocket;

pub mod layers;
pub mod settings;
pub mod state;

pub use kind::Transport;
