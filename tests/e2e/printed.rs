//! What `holdfast print` prints: each text under its name, well-formed as far as that can be told without other tools, and no
//! file of `src/package` left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

fn print(arguments: &[&str]) -> Output {
    let mut command = Command::new(HOLDFAST);
    command
        .arg("print")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = print(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names that the list has, with what it says of each.
fn names() -> BTreeMap<String, String> {
    let list = printed(&[]);
    let (_, names) = list.split_once("\nNames:\n").unwrap();
    let lines = names.lines().take_while(|line| line.starts_with("  "));
    // A longer explanation goes on in lines that are indented further.
    let firsts = lines.filter(|line| !line.starts_with("   "));
    let parts = firsts.map(|line| line.trim().split_once(' ').unwrap());
    parts
        .map(|(name, what)| (name.to_owned(), what.trim().to_owned()))
        .collect()
}

/// Whatever a name needs besides itself.
fn text_of(name: &str) -> String {
    match name {
        "completions" => printed(&["completions", "bash"]),
        name => printed(&[name]),
    }
}

/// The files of the package. What only goes into a Debian package is in a folder of its own there.
fn package() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/package");
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn each_name_prints_a_text_that_ends_its_last_line() {
    let names = names();
    assert!(names.len() >= 5, "{names:?}");
    for (name, what) in names {
        assert!(what.len() > 10, "{name} is explained: {what}");
        let text = text_of(&name);
        assert!(text.trim().len() > 100 && text.ends_with('\n'), "{name}: {text}");
        if text.starts_with('{') {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            assert!(parsed.is_ok(), "{name}: {parsed:?}");
        }
    }
}

#[test]
fn each_file_of_the_package_is_printed_by_a_name() {
    let texts: Vec<_> = names().keys().map(|name| text_of(name)).collect();
    let files = package();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let content = std::fs::read_to_string(&file).unwrap();
        let is_printed = texts.iter().any(|text| text.contains(content.trim()));
        assert!(is_printed, "no name prints {}", file.display());
    }
}

#[test]
fn the_list_is_the_same_with_help() {
    let help = printed(&["--help"]);
    for (name, what) in names() {
        assert!(help.contains(&format!("  {name} ")), "{help}");
        assert!(help.contains(what.split_once(' ').unwrap().0), "{help}");
    }
}

#[test]
fn a_wrong_name_is_answered_by_the_nearest_one() {
    for (arguments, meant) in [
        (&["licences"][..], "licenses"),
        (&["confg"], "config"),
        (&["completions", "bsh"], "bash"),
        (&["man", "conect"], "holdfast-connect"),
        (&["man", "callbacks", "lst"], "holdfast-callbacks-list"),
        (&["man", "nothing-like-it"], "holdfast --help"),
    ] {
        let output = print(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(
            errors.contains(meant) && output.stdout.is_empty(),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = Command::new(HOLDFAST);
    command.args(["print", "licenses"]).stdin(Stdio::null());
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is never read.
    let mut out = running.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    drop(out);
    let ended = running.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), &*errors), (Some(0), ""));
    assert!(printed(&["licenses"]).len() > 1 << 17);
}

#[test]
fn a_wrong_configuration_does_not_keep_the_texts_away() {
    let mut command = Command::new(HOLDFAST);
    command
        .args(["--config", "/nonexistent", "print", "config"])
        .env("HOLDFAST_SHARDS_COUNT", "many");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn the_sample_configuration_is_toml_that_the_gateway_takes() {
    let text = printed(&["config"]);
    let table: toml::Table = text.parse().unwrap();
    assert!(table.contains_key("terminals"), "{table:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.toml");
    let in_force: Vec<_> = text.lines().map(without_mark).collect();
    std::fs::write(&path, in_force.join("\n")).unwrap();
    let config = |arguments: &[&str]| {
        let output = Command::new(HOLDFAST).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let read = config(&["--config", path.to_str().unwrap(), "config"]);
    assert_eq!(read, config(&["config"]));
}

/// A line of the sample, with its setting in force.
fn without_mark(line: &str) -> &str {
    let setting = line
        .strip_prefix('#')
        .filter(|rest| rest.starts_with(char::is_alphabetic));
    setting.unwrap_or(line)
}

#[test]
fn every_shell_has_its_completions() {
    let mut scripts = BTreeSet::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(scripts.insert(script.clone()), "{shell} has another's");
        for part in ["callbacks", "replay", "dry-run", "licenses"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
}

/// Asks a bash that has read the completions what it makes of these words.
fn completed(script: &Path, words: &str) -> Vec<String> {
    let ask = format!(
        "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _holdfast holdfast \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &ask])
        // An unknown locale is told in the errors.
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    out.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_names_and_shells() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("holdfast.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).unwrap();
    assert_eq!(completed(&script, "holdfast sta"), ["status"]);
    assert_eq!(completed(&script, "holdfast print li"), ["licenses"]);
    assert_eq!(completed(&script, "holdfast print completions z"), ["zsh"]);
    assert_eq!(completed(&script, "holdfast callbacks replay --a"), ["--all"]);
    assert_eq!(
        completed(&script, "holdfast connect --platform iP"),
        ["iPhone", "iPad"]
    );
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man/man1");
    let paths = printed(&["man", "--to", pages.to_str().unwrap()]);
    let paths: Vec<_> = paths.lines().map(Path::new).collect();
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert_eq!(pages.read_dir().unwrap().count(), paths.len());
    assert_eq!(page("holdfast.1"), printed(&["man"]));
    assert_eq!(page("holdfast-connect.1"), printed(&["man", "connect"]));
    assert_eq!(
        page("holdfast-callbacks-list.1"),
        printed(&["man", "callbacks", "list"])
    );
    assert_eq!(page("holdfast.toml.5"), printed(&["man", "holdfast.toml"]));
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let head = format!(
            ".TH {} ",
            name.to_uppercase().replace(".1", " 1").replace(".5", " 5")
        );
        assert!(text.contains(&head), "{head}: {text}");
        for section in [".SH NAME", ".SH DESCRIPTION", ".SH \"SEE ALSO\""] {
            let found = text.lines().filter(|line| *line == section);
            assert_eq!(found.count(), 1, "{name}: {section}");
        }
    }
    assert!(
        page("holdfast.toml.5").contains("\\[u2026]"),
        "a character that is not ASCII"
    );
    assert!(page("holdfast-callbacks-list.1").contains("holdfast(1), holdfast\\-callbacks(1)"));
    for section in [
        ".SH SYNOPSIS",
        ".SH OPTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "SIGNALS",
        "FILES",
    ] {
        assert!(page("holdfast.1").contains(section), "{section}");
    }
}

#[test]
fn the_page_of_the_file_has_every_setting() {
    let page = printed(&["man", "holdfast.toml"]);
    let table: toml::Table = printed(&["config"])
        .lines()
        .map(without_mark)
        .fold(String::new(), |text, line| text + line + "\n")
        .parse()
        .unwrap();
    assert!(table.len() > 5, "{table:?}");
    let mut sections: Vec<(String, toml::Value)> = table.into_iter().collect();
    while let Some((section, settings)) = sections.pop() {
        let (_, of_section) = page.split_once(&format!(".SH [{section}]\n")).unwrap();
        let (of_section, _) = of_section.split_once(".SH").unwrap();
        for (name, value) in settings.as_table().unwrap() {
            if value.is_table() {
                sections.push((format!("{section}.{name}"), value.clone()));
                continue;
            }
            assert!(
                of_section.contains(&format!("\\fB{name}\\fR = ")),
                "{section}.{name}: {of_section}"
            );
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let output = print(&["man", "--to", "/proc/none/of/this"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("/proc/none/of/this cannot be written"),
        "{errors}"
    );
}

#[test]
fn the_licences_are_ours_and_those_of_all_libraries() {
    let text = printed(&["licenses"]);
    for part in [
        "MIT License",
        "Apache License",
        "\nfjall 3.",
        "\nclap 4.",
        "The standard library of Rust",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn the_changelog_begins_with_this_version() {
    let text = printed(&["changelog"]);
    let headings: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## ["))
        .collect();
    let (version, _) = headings[0].split_once(']').unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let sections: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert!(
        !sections.is_empty() && sections.iter().all(|kind| kinds.contains(kind)),
        "{sections:?}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 140));
}
