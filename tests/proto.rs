//! The types of the protocol, which are kept beside it so that no build needs a protobuf compiler.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::path::Path;

/// Writes the types anew, so that the change only has to be committed, and fails if they were not those of the protocol.
#[test]
fn the_types_are_those_of_the_protocol() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = protox::compile([proto.join("gateway.proto")], [&proto]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut compiler = prost_build::Config::new();
    compiler.out_dir(folder.path()).compile_fds(files).unwrap();
    let expected = std::fs::read_to_string(folder.path().join("holdfast.gateway.v1.rs")).unwrap();
    let kept = proto.join("gateway.rs");
    if std::fs::read_to_string(&kept).unwrap_or_default() != expected {
        // The sources may be read-only.
        let now = match std::fs::write(&kept, expected) {
            Ok(()) => "It has been written again: commit it".to_owned(),
            Err(error) => format!("It cannot be written again: {error}"),
        };
        panic!("proto/gateway.rs is not what gateway.proto says. {now}");
    }
}
