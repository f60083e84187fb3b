//! The generated types of `proto/gateway.proto`. `cargo test --test proto` makes them anew, and fails if that changes anything.
#![expect(
    missing_docs,
    clippy::all,
    reason = "generated from gateway.proto, which explains them"
)]

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/gateway.rs"));
