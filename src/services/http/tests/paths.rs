//! The OpenAPI document has what the HTTP server answers, and nothing else. What its answers are like is looked at from outside.

use std::collections::BTreeSet;

use super::*;
use crate::services::http::admin::pages::{CHANGES_OF, FIXED, USER};
use crate::services::http::backend::commands::BackendCommand;
use crate::services::http::backend::pages::MESSAGES;

const DOCUMENT: &str = include_str!("../../../package/openapi.json");

/// The paths of all commands.
fn commands() -> impl Iterator<Item = &'static str> {
    BackendCommand::PATHS.iter().map(|(path, _)| *path)
}

/// The paths of the gateway's own requests for messages.
fn messages() -> impl Iterator<Item = &'static str> {
    MESSAGES.iter().map(|(path, _)| *path)
}

/// The paths of all pages, of users' with this UserID.
fn pages(user: &str) -> impl Iterator<Item = String> {
    let fixed = FIXED.iter().map(|(path, _)| (*path).to_owned());
    fixed.chain(["", CHANGES_OF].map(|behind| format!("{USER}{user}{behind}")))
}

#[test]
fn every_path_is_in_the_openapi_document_and_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let of_backends = commands().chain(messages()).map(str::to_owned);
    let known: Vec<String> = of_backends.chain(pages("{user}")).collect();
    assert_eq!(described, known.iter().map(String::as_str).collect());
}

#[test]
fn every_page_has_a_path() {
    let world = World::new(settings(), shards);
    for path in pages("online") {
        let (status, body) = http(world.admin, "HEAD", &path, "", "");
        assert_ne!(status, 404, "{path} {body}");
    }
    for path in messages() {
        assert_eq!(http(world.backend, "PUT", path, "", "").0, 405, "{path}");
    }
    for path in commands() {
        assert_ne!(
            world.ask(path, "{}")["ErrorCode"],
            codes::COMMAND_UNKNOWN,
            "{path}"
        );
    }
}

#[test]
fn every_error_code_is_in_the_openapi_document() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let table = &document["components"]["schemas"]["ErrorCode"]["description"];
    let code = include_str!("../backend/codes.rs")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let words =
        code.flat_map(|line| line.split(|character: char| !character.is_ascii_digit() && character != '_'));
    let codes: Vec<u32> = words
        .filter_map(|word| word.replace('_', "").parse().ok())
        .collect();
    let codes: Vec<&u32> = codes.iter().filter(|code| **code > 10_000).collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes {
        assert!(table.as_str().unwrap().contains(&format!("| {code} |")), "{code}");
    }
}
