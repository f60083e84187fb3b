//! Any bytes as frames and packets: never a panic, and always the same packets wherever the bytes are cut.
#![no_main]

use holdfast::logic::wire::frame::{Next, next};
use holdfast::logic::wire::packet::read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Next::Packet(packet, behind) = next(rest, 4_096) {
        let _ = read(packet);
        rest = behind;
    }
});
