//! The settings that documents name: each is one that the program has. Decides nothing about what is said of them.

use std::collections::BTreeSet;
use std::process::Command;

use super::documents::{Document, code_spans, documents};

/// All settings, as `holdfast config` prints them.
fn settings() -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let printed = command.arg("config").env_clear().output();
    let printed = printed.expect("what the package builds can be started").stdout;
    let printed = String::from_utf8(printed).expect("a configuration is text");
    settings_in(&printed)
}

fn settings_in(printed: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            found.insert(format!("{section}.{name}"));
        }
    }
    found
}

/// What of a page may name a setting: its spans of code, and the lines of its blocks of TOML.
fn code<'a>(line: &'a str, block: Option<&str>) -> Vec<&'a str> {
    match block {
        Some("toml") => vec![line],
        Some(_) => Vec::new(),
        None => code_spans(line).collect(),
    }
}

/// The code of a page that begins with a section's name and a dot, and with no setting.
fn unknown_settings(document: &Document, settings: &BTreeSet<String>) -> Vec<String> {
    let section = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let sections: BTreeSet<String> = settings.iter().map(|name| section(name)).collect();
    let spans = document
        .lines()
        .flat_map(|(number, line, block)| code(line, block).into_iter().map(move |span| (number, span)));
    let names = spans.filter_map(|(number, span)| Some((number, setting_of(span)?)));
    let unknown = names.filter(|(_, name)| sections.contains(&section(name)) && !settings.contains(*name));
    unknown
        .map(|(number, name)| format!("{number}: there is no setting `{name}`"))
        .collect()
}

/// The beginning of a span, if it is written as a setting is.
fn setting_of(span: &str) -> Option<&str> {
    let is_part = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let end = span.find(|character: char| !is_part(character) && character != '.' && character != '_');
    let name = &span[..end.unwrap_or(span.len())];
    let (_, rest) = name.split_once('.')?;
    (!rest.is_empty()).then_some(name)
}

#[test]
fn settings_in_documents_are_settings() {
    let settings = settings();
    assert!(settings.len() > 50, "they were printed");
    let faults: Vec<String> = documents()
        .iter()
        .flat_map(|page| {
            unknown_settings(page, &settings)
                .into_iter()
                .map(|fault| format!("{}:{fault}", page.path))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

mod bites {
    use super::*;

    #[test]
    fn a_setting_that_is_none_is_found() {
        let settings = settings_in(
            "# a.b = 1\n[log]\n# It takes x = y\nlevel = \"info\"\n[admin]\ntoken = \"\"\n[admin.tls]\nkey = \"\"\n",
        );
        assert_eq!(
            settings.iter().collect::<Vec<_>>(),
            ["admin.tls.key", "admin.token", "log.level"]
        );
        let check = |text: &str, broken: usize| {
            let faults = unknown_settings(&Document::new("a.md", text), &settings);
            assert_eq!(faults.len(), broken, "{text}: {faults:?}");
        };
        check("`log.level` and `admin.token=x`, `log.level = \"debug\"`", 0);
        check("`log.levels`", 1);
        check("`admin.tls.key` and `admin.tls.keys`", 1);
        check("`admin.tokens=x` and `log.format`", 2);
        check("```toml\nlog.level = \"info\"\n```\n", 0);
        check("```toml\nlog.levels = \"info\"\n```\n", 1);
        // Another's names.
        check("`net.core.somaxconn` `data.json` log.none", 0);
    }
}
