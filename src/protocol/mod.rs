//! Floor 1: bytes to packets and back, without I/O, users or decisions. A listener chooses a [`stack::ProtocolStack`]: a
//! transport, which turns bytes into bytes, and a dialect, which turns those into packets. Nothing here costs memory while
//! a connection idles.

pub mod stack;
pub mod transport;
pub mod dialect;
pub mod native;

pub mod packet;
pub mod verdict;
pub mod outgoing;

pub mod usersig;
