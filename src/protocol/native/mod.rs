//! The gateway's own dialect: the packets of `proto/gateway.proto`, each with its length before it. The generated types stay
//! on this side; packets in plain types are on the other.

pub mod frame;
pub mod proto;
mod read;
pub mod terminal;
mod write;

pub use read::{HEARTBEAT, next};
pub use write::{HEARTBEAT_ANSWER, LOGOUT_ANSWER, PROTOCOL, encode, write};
