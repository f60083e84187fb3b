//! Bytes to packets and back. Knows no users and decides nothing.

pub mod frame;
pub mod packet;
pub mod verdict;

/// The types of `proto/gateway.proto`. `cargo test --test proto` makes them anew, and fails if that changes anything.
#[expect(
    missing_docs,
    clippy::all,
    reason = "generated from gateway.proto, which explains them"
)]
pub mod proto {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/gateway.rs"));
}
