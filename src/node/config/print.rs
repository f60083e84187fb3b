//! Prints a configuration as TOML that explains itself, without its secrets.

use std::fmt::Write;

use toml::Value;

use super::kind::{HIDDEN, Kind};
use super::table::settings;
use super::values::Values;

const HEAD: &str = "\
# The effective configuration of holdfast. `holdfast reload`, or SIGHUP, takes a changed one: each setting says from when on it counts.
# Settings come from --config FILE, then from the environment (HOLDFAST_SECTION_NAME), then from --set section.name=value.
# Secrets are shown as \"<set>\": such a line must be given its value before this can be used as a file.
";

/// The whole configuration.
pub(super) fn print(values: &Values) -> String {
    let mut out = HEAD.to_owned();
    let mut section_before = "";
    for setting in settings() {
        let (section, name) = setting.key.split_once('.').expect("every key has a section");
        if section != section_before {
            put(&mut out, format_args!("\n[{section}]\n"));
            section_before = section;
        }
        put(
            &mut out,
            format_args!(
                "# {}\n# It takes {}. Default: {}. Another value counts {}.\n",
                setting.line,
                setting.kind.bounds(),
                setting.default,
                setting.effect.name()
            ),
        );
        put(
            &mut out,
            format_args!("{name} = {}\n", shown(setting.kind, &values[setting.key])),
        );
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every text");
}

fn shown(kind: Kind, value: &Value) -> String {
    match kind {
        Kind::Secret(_) if value.as_str() != Some("") => Value::from(HIDDEN).to_string(),
        Kind::Keys => Value::Array(value.as_array().into_iter().flatten().map(hidden).collect()).to_string(),
        Kind::Secret(_)
        | Kind::Url
        | Kind::Path
        | Kind::FileOrNone
        | Kind::Addresses
        | Kind::Number(..)
        | Kind::Switch
        | Kind::OneOf(_)
        | Kind::Users
        | Kind::Hosts => value.to_string(),
    }
}

fn hidden(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(secret) = key.as_table_mut().and_then(|key| key.get_mut("secret")) {
        *secret = HIDDEN.into();
    }
    key
}
