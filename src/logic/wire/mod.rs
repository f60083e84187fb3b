//! Bytes to packets and back. Knows no users and decides nothing.

pub mod frame;
pub mod packet;
pub mod verdict;

/// The types generated from `proto/gateway.proto`.
#[expect(
    missing_docs,
    clippy::all,
    reason = "generated from gateway.proto, which explains them"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/holdfast.gateway.v1.rs"));
}
