//! Breaks each rule of the house on purpose, to see that it bites.

use super::house::{self, House};
use super::source::Source;
use super::*;

fn check(rule: Rule, path: &str, text: &str, broken: usize) {
    let faults = rule(&Source::new(path, text));
    assert_eq!(faults.len(), broken, "{path}: {text}: {faults:?}");
}

#[test]
fn every_floor_bites() {
    check(floors, "src/base/a.rs", "use crate::logic::delivery::ToShard;", 1);
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
        "use holdfast::{protocol::native, logic::state};",
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

type HouseRule = fn(&House) -> Vec<String>;

/// Each source is its path and its text.
fn check_house(rule: HouseRule, sources: &[(&str, &str)], broken: usize) {
    let read = sources.iter().map(|(path, text)| Source::new(path, text));
    let faults = rule(&House::new(&read.collect::<Vec<_>>()));
    assert_eq!(faults.len(), broken, "{sources:?}: {faults:?}");
}

#[test]
fn a_table_of_floors_that_names_what_is_not_there_is_found() {
    let all = house::missing(&[]).len();
    assert!(all > FLOORS.len(), "places and modules are asked for");
    let users = [
        Source::new("src/logic/users.rs", ""),
        Source::new("src/base/ids.rs", "struct UserId;"),
    ];
    // The places `src/base/` and `src/logic/`, a module, and an item.
    assert_eq!(house::missing(&users).len(), all - 4);
}

#[test]
fn circles_of_imports_bite() {
    let circle = |parent, child, broken| {
        let sources = [
            ("src/logic/mod.rs", parent),
            ("src/logic/a.rs", child),
            ("src/logic/b.rs", "use crate::base::x;"),
        ];
        check_house(house::circles, &sources, broken);
    };
    circle("mod a;\npub use a::X;", "use crate::logic::Y;", 1);
    circle(
        "mod a;\npub use a::X;",
        "fn f() { super::g(super::super::base::x) }",
        1,
    );
    circle(
        "mod a;\nuse self::a::{X, Z};",
        "pub(in crate::logic) struct X;",
        0,
    );
    circle(
        "mod a;\nuse a::X;",
        "#[cfg(test)]\nmod tests {\n    use crate::logic::Y;\n}",
        0,
    );
    circle("mod a;\nuse a::X;", "// use super::Y;\nuse super::b::Z;", 0);
    let floors = [
        ("src/logic/a.rs", "use crate::base::b::X;"),
        ("src/base/b.rs", "use crate::logic::a::Y;"),
    ];
    check_house(house::circles, &floors, 0);
    let program = [
        ("src/bin/load/a.rs", "use crate::b::X;"),
        ("src/bin/load/b.rs", "use super::a::Y;"),
    ];
    check_house(house::circles, &program, 1);
}

#[test]
fn fields_within_reach_bite() {
    let reached = |fields: &str, methods: &str, broken| {
        let data = format!("pub struct A {{\n    {fields}: u8,\n}}\n");
        let methods = format!("impl<T> Deref<T> for A {{\n    fn f({methods}) {{}}\n}}\n");
        let sources = [
            ("src/logic/a.rs", data.as_str()),
            ("src/logic/b.rs", methods.as_str()),
        ];
        check_house(house::reached_fields, &sources, broken);
    };
    reached("pub(super) a", "&mut self", 1);
    reached("pub(in crate::logic) a", "&mut self", 1);
    reached("a", "&mut self", 0);
    reached("pub(super) a", "&self", 0);
    let tuple = "pub struct A(pub(super) u8);\nimpl A {\n    fn f(&mut self) {}\n}\n";
    check_house(house::reached_fields, &[("src/logic/a.rs", tuple)], 1);
    check_house(house::reached_fields, &[("src/shard/a.rs", tuple)], 0);
}

#[test]
fn names_for_two_things_bite() {
    let names = |one, other, broken| {
        check_house(
            house::names,
            &[("src/logic/a.rs", one), ("src/shard/b.rs", other)],
            broken,
        );
    };
    names("struct A;", "pub(super) enum A {}", 1);
    names("type A = u8;", "fn f() {\n    trait A {}\n}", 1);
    names(
        "struct A;",
        "// struct A\n#[cfg(test)]\nmod tests {\n    struct A;\n}",
        0,
    );
    names("struct A;", "impl B {\n    type A = u8;\n}", 0);
    names("struct A;\n#[cfg(test)]\nmod b;", "struct B;", 0);
    check_house(
        house::names,
        &[
            ("src/a/mod.rs", "#[cfg(test)]\nmod b;\nstruct A;"),
            ("src/a/b.rs", "struct A;"),
        ],
        0,
    );
}

#[test]
fn switches_for_tests_bite() {
    let switch = |text, broken| check_house(house::test_switches, &[("src/logic/a.rs", text)], broken);
    switch("#[cfg(test)]\nfn f() {}", 1);
    switch("fn f() { if cfg!(test) {} }", 1);
    switch("#[cfg(not(test))]\nmod tests;", 1);
    switch("#[cfg_attr(test, derive(Debug))]\nstruct A;", 1);
    switch("#[cfg(test)]\nmod sample;", 1);
    switch("#[cfg(test)]\n#[path = \"../tests/sim/mod.rs\"]\nmod sim;", 0);
    switch("#[cfg(test)]\n#[expect(dead_code)]\nmod tests;", 0);
    switch("#[cfg(test)]\nmod tests {\n    #[cfg(test)]\n    fn f() {}\n}", 0);
    switch("#[cfg(feature = \"top\")]\nmod test;", 0);
}

#[test]
fn rooms_without_a_name_bite() {
    let map = "## Code map of logic\n| module | what |\n| --- | --- |\n| `a`, `b/c`, `d` | x |\n| `b` | its `e`; |\n\
               | … `f` | y |\n## Other\n| `g` | z |\n";
    let unnamed = |path: &str, broken| {
        let house = House::new(&[Source::new(path, "")]);
        assert_eq!(house::unnamed_rooms(&house, map).len(), broken, "{path}");
    };
    for named in ["mod", "a", "b/c", "d", "b/mod", "b/e", "b/f"] {
        unnamed(&format!("src/logic/{named}.rs"), 0);
    }
    for unknown in [
        "src/logic/c.rs",
        "src/logic/g.rs",
        "src/logic/b/d.rs",
        "src/shard/a.rs",
    ] {
        unnamed(unknown, 1);
    }
}
