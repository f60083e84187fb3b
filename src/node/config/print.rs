//! Prints a configuration as TOML that explains itself, without its secrets.

use toml::Value;

use super::kind::SettingKind;
use super::setting::Setting;
use super::table::settings;
use super::texts::HIDDEN;
use super::values::Values;

const HEAD: &str = "\
# The effective configuration of holdfast. `holdfast reload`, or SIGHUP, takes a changed one: each setting says from when on it
# counts. Settings come from --config FILE, then from the environment (HOLDFAST_SECTION_NAME), then from --set section.name=value.
# Secrets are shown as \"<set>\": such a line must be given its value before this can be used as a file.
";

/// How long the lines of explanations are.
const LINE_CHARACTERS_MAX: usize = 120;

/// The whole configuration.
pub(super) fn print(values: &Values) -> String {
    let of_one = |setting: &Setting| {
        let value = shown(setting.kind, &values[setting.key]);
        let default = format!("Default: {}.", setting.default);
        format!("{}{} = {value}\n", explained(setting, &default), setting.name())
    };
    HEAD.to_owned() + &sections(of_one)
}

/// Every setting under its section, as `of_one` has it.
pub(super) fn sections(of_one: impl Fn(&Setting) -> String) -> String {
    let mut out = String::new();
    let mut section_before = "";
    for setting in settings() {
        if setting.section() != section_before {
            section_before = setting.section();
            out.push_str(&format!("\n[{section_before}]\n"));
        }
        out.push_str(&of_one(setting));
    }
    out
}

/// What a setting means and may be, in comments, with something more.
pub(super) fn explained(setting: &Setting, more: &str) -> String {
    comment(setting.line) + &comment(&facts(setting, more))
}

/// What a setting may be and when another value counts, with something more between.
pub(super) fn facts(setting: &Setting, more: &str) -> String {
    let unit = setting.unit().map(|unit| format!(", in {unit}"));
    let bounds = format!("It takes {}{}.", setting.kind.bounds(), unit.unwrap_or_default());
    let effect = format!("Another value counts {}.", setting.takes_effect.name());
    let parts = [&bounds, more, &effect]
        .into_iter()
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// Comments in lines that an editor and a terminal show whole.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let with_word = length + 1 + word.chars().count();
        if length == 0 || with_word > LINE_CHARACTERS_MAX {
            lines.push_str(if length == 0 { "# " } else { "\n# " });
            length = 2 + word.chars().count();
        } else {
            lines.push(' ');
            length = with_word;
        }
        lines.push_str(word);
    }
    lines + "\n"
}

fn shown(kind: SettingKind, value: &Value) -> String {
    match kind {
        SettingKind::Secret(_) if value.as_str() != Some("") => Value::from(HIDDEN).to_string(),
        SettingKind::Keys => {
            Value::Array(value.as_array().into_iter().flatten().map(hidden).collect()).to_string()
        }
        SettingKind::Secret(_)
        | SettingKind::Url
        | SettingKind::Path
        | SettingKind::FileOrNone
        | SettingKind::PemFile
        | SettingKind::PemFileOrNone
        | SettingKind::Addresses
        | SettingKind::AddressesOrNone
        | SettingKind::Address
        | SettingKind::Networks
        | SettingKind::Number(..)
        | SettingKind::Switch
        | SettingKind::OneOf(_)
        | SettingKind::Users
        | SettingKind::Hosts
        | SettingKind::RequestPath
        | SettingKind::Origins
        | SettingKind::Name
        | SettingKind::WordOrNone
        | SettingKind::StoreUrls
        | SettingKind::Entries(_) => value.to_string(),
    }
}

fn hidden(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(secret) = key.as_table_mut().and_then(|key| key.get_mut("secret")) {
        *secret = HIDDEN.into();
    }
    key
}
