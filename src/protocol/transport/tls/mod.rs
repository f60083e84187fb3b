//! TLS as a layer between a socket and what stands above: rustls does the handshake; afterwards an idle connection keeps its
//! keys, 135 bytes, and nothing else. No I/O, and no cryptography of its own: ciphers, key derivation and signatures are
//! *ring*'s, the protocol of the handshake rustls'.

pub mod suite;
pub mod keys;
pub mod session;
pub mod secrets;
pub mod hello;
pub mod negotiation;
pub mod certificates;
pub mod tickets;
pub mod server;
pub mod client;
pub mod connection;
