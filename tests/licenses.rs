//! The licences of the libraries in the shipped binary: `src/package/licenses.txt` has them, with their texts. The test gathers
//! them from the sources that cargo has, without the network, and writes the file again where it is stale.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, ParseMode};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What is built for other processors differs in no licence.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How files begin that say what a licence demands to be passed on.
const TITLES: &[&str] = &[
    "license",
    "licence",
    "unlicense",
    "copying",
    "copyright",
    "notice",
];

/// A licence that a library offers besides one that is allowed by `.deny.toml`: it is used under the other one.
const NOT_TAKEN: &str = "gpl";

const HEAD: &str = "\
LICENCES OF THE LIBRARIES THAT ARE BUILT INTO HOLDFAST

First all of them by name, then the text of each licence with the libraries whose text it is. A library that offers the GPL beside
another licence is used under the other one.

The standard library of Rust is one of them: copyright by The Rust Project Contributors, https://github.com/rust-lang/rust,
MIT OR Apache-2.0; the text of the Apache License stands below.

";

/// A library, and the texts that come with it.
#[derive(Debug, Clone)]
struct Library {
    /// Name and version.
    name: String,
    licence: String,
    repository: String,
    texts: Vec<String>,
}

/// What `cargo metadata` says of all packages.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
}

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).args(["--offline", "--locked"]);
    let output = command.current_dir(ROOT).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names and versions of what is in the binary, but for itself: nothing that only builds, tests or expands.
fn names() -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--target",
        TARGET,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
    ]);
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    tree.lines()
        .skip(1)
        .map(|line| words(line).replace(" v", " "))
        .collect()
}

fn libraries() -> Vec<Library> {
    let text = cargo(&["metadata", "--format-version", "1", "--filter-platform", TARGET]);
    let metadata: Metadata = serde_json::from_str(&text).unwrap();
    let named = |package: &Package| format!("{} {}", package.name, package.version);
    let packages: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (named(package), package))
        .collect();
    names()
        .into_iter()
        .map(|name| library(name.clone(), packages[&name]))
        .collect()
}

fn library(name: String, package: &Package) -> Library {
    let licence = package.license.clone().unwrap();
    let mut texts = Vec::new();
    add_texts(package.manifest_path.parent().unwrap(), &mut texts);
    if texts.is_empty() {
        texts = standard_texts(&licence, &package.authors.join(", "));
    }
    let repository = package.repository.clone().unwrap_or_default();
    Library {
        name,
        licence,
        repository,
        texts,
    }
}

/// The texts in a folder and below it: libraries of other languages are in folders of their own.
fn add_texts(folder: &Path, texts: &mut Vec<String>) {
    let mut paths: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        let is_source = [".rs", ".c", ".h", ".py"].iter().any(|end| name.ends_with(end));
        if path.is_dir() {
            add_texts(&path, texts);
        } else if !is_source
            && !name.contains(NOT_TAKEN)
            && TITLES.iter().any(|title| name.starts_with(title))
        {
            texts.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
}

/// Of a library without a text: what its licences are by their names.
fn standard_texts(licence: &str, authors: &str) -> Vec<String> {
    let expression = Expression::parse_mode(licence, ParseMode::LAX).unwrap();
    let ids = expression.requirements().filter_map(|one| one.req.license.id());
    ids.map(|id| format!("Copyright (c) {authors}\n\n{}", id.text()))
        .collect()
}

/// What makes two texts the same.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rendered(libraries: &[Library]) -> String {
    let mut out = HEAD.to_owned();
    let mut owners: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut in_order = Vec::new();
    for Library {
        name,
        licence,
        repository,
        texts,
    } in libraries
    {
        writeln!(out, "{}", format!("{name}: {licence} {repository}").trim_end()).unwrap();
        for text in texts {
            let same = owners.entry(words(text)).or_default();
            if same.is_empty() {
                in_order.push(text);
            }
            same.insert(name);
        }
    }
    for text in in_order {
        let names: Vec<_> = owners[&words(text)].iter().copied().collect();
        write!(
            out,
            "\n{}\n{}\n\n{}",
            "=".repeat(100),
            wrapped(&names),
            tidy(text)
        )
        .unwrap();
    }
    out
}

/// Names, as many on a line as an editor shows.
fn wrapped(names: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for name in names {
        let line = lines.last_mut().unwrap();
        if line.len() + name.len() > 120 {
            lines.push((*name).to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { ", " });
            line.push_str(name);
        }
    }
    lines.join(",\n")
}

/// The text with line ends as they are here, and without blanks around it.
fn tidy(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_matches('\n'))
}

#[test]
fn every_library_in_the_binary_is_named_with_its_licence() {
    let libraries = libraries();
    assert!(libraries.len() > 50, "the libraries were found");
    for library in &libraries {
        assert!(!library.texts.is_empty(), "{} has no text", library.name);
    }
    let (path, expected) = (
        Path::new(ROOT).join("src/package/licenses.txt"),
        rendered(&libraries),
    );
    if std::fs::read_to_string(&path).unwrap_or_default() != expected {
        // The sources may be read-only.
        let now = match std::fs::write(&path, expected) {
            Ok(()) => "It has been written again: look at it and commit it".to_owned(),
            Err(error) => format!("It cannot be written again: {error}"),
        };
        panic!("src/package/licenses.txt is not what the libraries say. {now}");
    }
}

#[test]
fn a_text_stands_once_with_all_whose_text_it_is() {
    let library = |name: &str, texts: &[&str]| Library {
        name: name.to_owned(),
        licence: "MIT".to_owned(),
        repository: String::new(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let text = rendered(&[
        library("one 1.0.0", &["Do  as\r\nyou like."]),
        library("two 2.0.0", &["Do as you\nlike.\n", "Ask me."]),
    ]);
    assert_eq!(
        text.matches("you like").count() + text.matches("you\nlike").count(),
        1,
        "{text}"
    );
    assert!(text.contains("one 1.0.0: MIT\ntwo 2.0.0: MIT\n"), "{text}");
    assert!(
        text.contains("one 1.0.0, two 2.0.0\n\nDo  as\nyou like.\n"),
        "{text}"
    );
    assert!(text.contains("two 2.0.0\n\nAsk me.\n"), "{text}");
}

#[test]
fn what_has_no_text_gets_the_standard_one() {
    let texts = standard_texts("0BSD OR MIT", "A. Nyone");
    assert_eq!(texts.len(), 2);
    assert!(
        texts
            .iter()
            .all(|text| text.starts_with("Copyright (c) A. Nyone\n\n"))
    );
    assert!(
        texts[0].contains("THE SOFTWARE IS PROVIDED \"AS IS\""),
        "{texts:?}"
    );
}

#[test]
fn a_licence_that_is_not_taken_is_not_among_them() {
    let offers = |library: &Library| library.licence.contains("GPL");
    let libraries = libraries();
    assert!(libraries.iter().any(offers), "else this rule has nothing to do");
    let has = |library: &Library| {
        library
            .texts
            .iter()
            .any(|text| text.contains("GNU GENERAL PUBLIC LICENSE"))
    };
    assert!(!libraries.iter().any(has));
}

#[test]
fn libraries_in_other_languages_are_among_them() {
    let libraries = libraries();
    let of = |name: &str| {
        libraries
            .iter()
            .find(|library| library.name.starts_with(name))
            .unwrap()
    };
    let texts = of("libmimalloc-sys ").texts.join("\n");
    assert!(
        texts.contains("Microsoft Corporation"),
        "the allocator's own, in a folder below"
    );
}
