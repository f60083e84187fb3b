//! Bytes to packets and back. Knows no users and decides nothing.

pub mod frame;
pub mod packet;

/// The types generated from `proto/gateway.proto`.
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from gateway.proto, which explains them"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/holdfast.gateway.v1.rs"));
}
