//! Breaks each rule of the house on purpose, to see that it bites.

use super::source::Source;
use super::*;

fn check(rule: Rule, path: &str, text: &str, broken: usize) {
    let faults = rule(&Source::new(path, text));
    assert_eq!(faults.len(), broken, "{path}: {text}: {faults:?}");
}

#[test]
fn every_floor_bites() {
    check(floors, "src/base/a.rs", "use crate::logic::letter::ToShard;", 1);
    check(floors, "src/base/a.rs", "use std::{fmt, fs::File};", 1);
    check(floors, "src/base/a.rs", "use prost::Message;", 1);
    check(
        floors,
        "src/base/a.rs",
        "// use crate::logic\nlet text = \"crate::logic::x\"; let r = r#\"std::fs\"#;",
        0,
    );
    check(
        floors,
        "src/logic/a.rs",
        "use crate::{base::ids, engine::{ring, wake}};",
        2,
    );
    check(
        floors,
        "src/logic/wire/a.rs",
        "use super::super::super::engine::ring;",
        1,
    );
    check(
        floors,
        "src/logic/a.rs",
        "use std::sync::{Arc, atomic::AtomicU8};",
        1,
    );
    check(
        floors,
        "src/logic/a.rs",
        "use std::time::{Duration, Instant as Clock};",
        1,
    );
    check(floors, "src/logic/a.rs", "fn f() { std::thread::sleep(x) }", 1);
    check(
        floors,
        "src/logic/a.rs",
        "use std::net::{Ipv6Addr, TcpStream};",
        1,
    );
    check(
        floors,
        "src/logic/a.rs",
        "use crate::base::time::Instant; use std::net::Ipv6Addr; use super::letter;",
        0,
    );
    check(floors, "src/engine/a.rs", "use crate::logic::Effect;", 1);
    check(floors, "src/engine/a.rs", "use crate::base::ids::UserId;", 1);
    check(floors, "src/shard/a.rs", "fn f(x: crate::services::Http) {}", 1);
    check(floors, "src/services/a.rs", "use crate::shard::Mesh;", 1);
    check(
        floors,
        "src/services/a.rs",
        "use crate::logic::{letter, state::ShardState};",
        1,
    );
    check(floors, "src/cli/a.rs", "use crate::shard::Shard;", 1);
    check(floors, "src/node/a.rs", "use crate::cli::Arguments;", 1);
    check(
        floors,
        "src/bin/load.rs",
        "use holdfast::logic::{wire::packet, state};",
        1,
    );
    check(floors, "src/other/a.rs", "", 1);
}

#[test]
fn sizes_and_comments_bite() {
    check(module_comment, "src/base/a.rs", "use x;", 1);
    check(module_comment, "src/base/a.rs", "//! What it is.", 0);
    check(file_size, "src/base/a.rs", &"x\n".repeat(401), 1);
    check(
        file_size,
        "src/base/a.rs",
        &format!(
            "{}#[cfg(test)]\nmod tests {{\n{}",
            "x\n".repeat(400),
            "x\n".repeat(99)
        ),
        0,
    );
    check(
        function_size,
        "src/base/a.rs",
        &format!("fn a(\n) -> [u8; 2] {{\n{}}}\n", "x;\n".repeat(68)),
        1,
    );
    check(
        function_size,
        "src/base/a.rs",
        &format!("fn a() {{\n{}}}\n", "x;\n".repeat(68)),
        0,
    );
    check(
        function_size,
        "src/base/a.rs",
        &format!("fn a() -> u8;\nfn b() {{}}\n{}", "\n".repeat(100)),
        0,
    );
}

#[test]
fn unsafe_and_clocks_bite() {
    check(
        unsafe_addresses,
        "src/logic/a.rs",
        "// SAFETY: no\nunsafe { f() }",
        1,
    );
    check(
        unsafe_addresses,
        "src/logic/a.rs",
        "// unsafe\n#![deny(unsafe_code)]",
        0,
    );
    check(unsafe_addresses, "src/engine/a.rs", "unsafe { f() }", 0);
    check(
        unsafe_reasons,
        "src/engine/a.rs",
        "// SAFETY: x\nlet a = 1;\nunsafe { f() }",
        1,
    );
    check(
        unsafe_reasons,
        "src/engine/a.rs",
        "// SAFETY: it holds,\n// and so on\nlet a =\n    unsafe { f() };",
        0,
    );
    let impls = "unsafe impl Send for A {\n    unsafe fn f(&self) {\n        unsafe { g() }\n    }\n}";
    check(unsafe_reasons, "src/engine/a.rs", impls, 2);
    check(
        one_clock,
        "src/shard/a.rs",
        "let now = std::time::Instant::now();",
        1,
    );
    check(one_clock, "src/node/a.rs", "use rustix::time::clock_gettime;", 1);
    check(
        one_clock,
        "src/node/a.rs",
        "// SystemTime::now()\nlet now = clock.now(); let then = SystemTime::UNIX_EPOCH + x;",
        0,
    );
    let timers = "use tokio::time::Instant; fn f() { Instant::now() }";
    check(one_clock, "src/cli/a.rs", timers, 0);
    check(one_clock, "src/node/a.rs", timers, 1);
    check(
        one_clock,
        "src/cli/a.rs",
        "let now = std::time::Instant::now();",
        1,
    );
    let two = [
        Source::new("src/a.rs", "use tokio_uring::fs;"),
        Source::new("src/b.rs", "tokio_uring::start(x)"),
    ];
    assert_eq!(names_tokio_uring(&two).len(), 2);
}
