//! WebSocket (RFC 6455) as a layer: a request over HTTP, then frames. The payload of binary messages is a stream of bytes for
//! the layer above: a message may have several of its packets, or part of one. What the gateway sends is a message for each
//! packet. Extensions are declined. Between two messages a connection has no state here; nothing does I/O.

pub mod close;
pub mod frame;
pub mod decoder;

mod accept;
mod forwarded;
pub mod upgrade;

pub mod layer;
pub mod client;
