//! What may be built in: licences and sources of all dependencies, held to `.deny.toml` without the network. Advisories need
//! a database that changes every day: `cargo deny check` reads the same file and has one.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The parts of `.deny.toml` that are kept here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// What `cargo metadata` says of the package and all that it depends on.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` is this package.
    source: Option<String>,
}

impl Rules {
    fn read() -> Self {
        let text = std::fs::read_to_string(Path::new(ROOT).join(".deny.toml")).unwrap();
        toml::from_str(&text).unwrap()
    }

    /// What is wrong with a package.
    fn fault(&self, package: &Package) -> Option<String> {
        let Package { name, version, .. } = package;
        let source = package.source.as_deref()?;
        let known = |registry: &String| source.strip_prefix("registry+") == Some(registry);
        if !self.sources.allow_registry.iter().any(known) {
            return Some(format!("{name} {version} comes from {source}"));
        }
        let licence = package.license.as_deref().unwrap_or("no licence at all");
        (!self.allows(licence)).then(|| format!("{name} {version} has the licence {licence}"))
    }

    fn allows(&self, licence: &str) -> bool {
        let allowed = self.licenses.allow.iter();
        let allowed: Vec<Licensee> = allowed.map(|name| Licensee::parse(name).unwrap()).collect();
        Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|licence| {
            licence.evaluate(|wanted| allowed.iter().any(|licensee| licensee.satisfies(wanted)))
        })
    }
}

fn packages() -> Vec<Package> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--locked",
            "--all-features",
            "--format-version",
            "1",
        ])
        .args(["--filter-platform", &target])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

#[test]
fn all_have_an_allowed_licence_and_a_known_source() {
    let (rules, packages) = (Rules::read(), packages());
    assert!(packages.len() > 100, "the dependencies were found");
    let faults: Vec<String> = packages
        .iter()
        .filter_map(|package| rules.fault(package))
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_licence_or_a_source_that_is_not_allowed_is_named() {
    let (rules, registry) = (
        Rules::read(),
        "registry+https://github.com/rust-lang/crates.io-index",
    );
    let check = |license: Option<&str>, source: &str, expected: Option<&str>| {
        let package = Package {
            name: "some".to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(ToOwned::to_owned),
            source: Some(source.to_owned()),
        };
        assert_eq!(rules.fault(&package).as_deref(), expected, "{license:?} {source}");
    };
    check(Some("MIT/Apache-2.0"), registry, None);
    check(Some("Apache-2.0 OR GPL-2.0-only"), registry, None);
    check(
        Some("MIT AND GPL-3.0-only"),
        registry,
        Some("some 1.0.0 has the licence MIT AND GPL-3.0-only"),
    );
    check(
        Some("ours alone"),
        registry,
        Some("some 1.0.0 has the licence ours alone"),
    );
    check(
        None,
        registry,
        Some("some 1.0.0 has the licence no licence at all"),
    );
    check(
        Some("MIT"),
        "git+https://example.com/some",
        Some("some 1.0.0 comes from git+https://example.com/some"),
    );
}

/// Whether the code of this package checks its arithmetic where this profile builds it.
fn checks_arithmetic(profiles: &toml::Table, name: &str) -> bool {
    const KEY: &str = "overflow-checks";
    let profile = &profiles[name];
    let own = profile
        .get("package")
        .and_then(|packages| packages.get("holdfast")?.get(KEY));
    if let Some(checks) = own.or_else(|| profile.get(KEY)) {
        return checks.as_bool() == Some(true);
    }
    let inherited = profile.get("inherits").and_then(toml::Value::as_str);
    inherited.is_some_and(|parent| checks_arithmetic(profiles, parent))
}

#[test]
fn what_is_shipped_and_measured_checks_arithmetic() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let profiles = manifest["profile"].as_table().unwrap();
    for name in ["release", "dist", "bench"] {
        assert!(checks_arithmetic(profiles, name), "the profile {name} does not");
    }
}

#[test]
fn a_profile_that_checks_no_arithmetic_is_found() {
    let check = |dist: &str, expected: bool| {
        let text = format!("[release]\noverflow-checks = true\n[dist]\n{dist}");
        assert_eq!(
            checks_arithmetic(&toml::from_str(&text).unwrap(), "dist"),
            expected,
            "{dist}"
        );
    };
    check("inherits = \"release\"", true);
    check(
        "inherits = \"release\"\npackage.\"*\".overflow-checks = false",
        true,
    );
    check("inherits = \"release\"\noverflow-checks = false", false);
    check(
        "inherits = \"release\"\npackage.holdfast.overflow-checks = false",
        false,
    );
    check("", false);
}
