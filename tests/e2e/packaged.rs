//! What `src/package` says of the program and of its source is so: the image's recipe and the unit name files, arguments and
//! settings that there are. What only other tools can judge is looked at by `.ci/run`.

use std::path::Path;

use tempfile::TempDir;

use crate::support::command::run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");
const CONTAINERFILE: &str = include_str!("../../src/package/Containerfile");
const UNIT: &str = include_str!("../../src/package/holdfast.service");
const MAKE_DEB: &str = include_str!("../../src/package/debian/make-deb");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// The words behind an instruction, wherever it stands.
fn instructions(name: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = CONTAINERFILE
        .lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.map(|rest| rest.split(' ').collect())
}

#[test]
fn the_image_copies_what_there_is_and_runs_what_is_built() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copied = Vec::new();
    for words in instructions("COPY").filter(|words| !words[0].starts_with("--from")) {
        let (_, names) = words.split_last().unwrap();
        assert!(names.iter().all(|name| source.join(name).exists()), "{names:?}");
        copied.extend(names.to_vec());
    }
    for needed in ["Cargo.toml", "Cargo.lock", "src", "proto"] {
        assert!(copied.contains(&needed), "{needed}");
    }
    // Cargo wants all targets of the manifest to be there.
    for path in MANIFEST.lines().filter_map(|line| line.strip_prefix("path = ")) {
        let folder = path.trim_matches('"').split('/').next().unwrap();
        assert!(copied.contains(&folder), "{path}");
    }
    assert!(CONTAINERFILE.contains("cargo build --locked --profile dist --bin holdfast"));
    assert!(MANIFEST.contains("[profile.dist]"));
}

#[test]
fn the_images_settings_are_taken_and_need_keys_and_a_token() {
    let (_, text) = CONTAINERFILE.split_once("printf '%s\\n' \\\n").unwrap();
    let lines = text.lines().take_while(|line| !line.contains('>'));
    let settings: Vec<&str> = lines
        .map(|line| line.trim().trim_end_matches(" \\").trim_matches('\''))
        .collect();
    assert_eq!(settings.len(), 4, "{settings:?}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("holdfast.toml");
    std::fs::write(&file, settings.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let refused = run(PROGRAM, &["--config", file, "config"], b"");
    assert_eq!(refused.code, Some(2));
    for needed in ["usersig.keys", "admin.token"] {
        assert!(refused.errors.contains(needed), "{}", refused.errors);
    }
    let secrets = [
        "--set",
        "usersig.keys=[{secret=\"0123456789abcdef\"}]",
        "--set",
        "admin.token=0123456789abcdef",
    ];
    let taken = run(
        PROGRAM,
        &[&["--config", file, "config"][..], &secrets].concat(),
        b"",
    );
    assert_eq!(taken.code, Some(0), "{}", taken.errors);
    for port in instructions("EXPOSE").flatten() {
        assert!(
            taken.out.contains(&format!("\"0.0.0.0:{port}\"")),
            "{port}: {}",
            taken.out
        );
    }
}

/// Whether the maker of the Debian package makes such a file.
fn is_made(name: &str) -> bool {
    let name = ["bash", "zsh", "fish"]
        .iter()
        .fold(name.to_owned(), |name, shell| name.replace(shell, "$shell"));
    MAKE_DEB.contains(&format!("\"$made/{}\"", name.split("/*").next().unwrap()))
}

#[test]
fn the_debian_package_has_files_that_there_are_or_that_its_maker_makes() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().unwrap();
    assert!(assets.len() > 10);
    let assets = assets.iter().map(|asset| &asset[0]);
    let named = ["maintainer-scripts", "changelog"].map(|key| &package[key]);
    for name in assets.chain(named).chain([&package["license-file"][0]]) {
        let name = name.as_str().unwrap();
        let is_there = match name.strip_prefix("target/package/") {
            Some(made) => is_made(made),
            None => name == "target/release/holdfast" || source.join(name).exists(),
        };
        assert!(is_there, "{name}");
    }
    let user = std::fs::read_to_string(source.join("src/package/debian/holdfast.sysusers")).unwrap();
    assert!(user.contains(&format!("u {} ", directive("User"))), "{user}");
}

/// What the unit sets a directive to.
fn directive(name: &str) -> &'static str {
    let found = UNIT
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("the unit has no {name}"))
}

#[test]
fn the_unit_waits_longer_than_a_stop_takes() {
    let shown = run(PROGRAM, &["config"], b"").out;
    let deadline = shown
        .split_once("stop_deadline_s = ")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    let deadline: u64 = deadline.parse().unwrap();
    let patience: u64 = directive("TimeoutStopSec").parse().unwrap();
    assert!(
        patience > deadline + 1,
        "the signals' thread ends it a second after its deadline"
    );
}

#[test]
fn the_unit_does_not_try_a_wrong_configuration_again() {
    let folder = TempDir::new().unwrap();
    let nowhere = folder.path().join("nowhere.toml");
    let refused = run(PROGRAM, &["--config", nowhere.to_str().unwrap()], b"");
    let code: i32 = directive("RestartPreventExitStatus").parse().unwrap();
    assert_eq!(refused.code, Some(code));
    assert_eq!(
        directive("ExecStart"),
        "/usr/bin/holdfast --config /etc/holdfast/holdfast.toml"
    );
}
