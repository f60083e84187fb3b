//! Any bytes as frames and packets: never a panic, and always the same packets wherever the bytes are cut.
#![no_main]

use holdfast::protocol::native::next;
use holdfast::protocol::packet::NextPacket;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let NextPacket::Packet { rest: behind, .. } = next(rest, 4_096) {
        rest = behind;
    }
});
