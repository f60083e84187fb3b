//! The entry `tls_records`, driven by libFuzzer.
#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code, reason = "the other entries are other targets'")]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::tls::tls_records(bytes));
