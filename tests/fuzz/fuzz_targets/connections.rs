//! The entry `connections`, driven by libFuzzer.
#![no_main]

use holdfast::{base, engine};

#[path = "../kernel.rs"]
mod kernel;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kernel::connections(bytes));
