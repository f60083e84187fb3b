//! Secrets that stand in files of their own: read beside the configuration, at the start and at each reload. Shows nothing of
//! them, not in an error either.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::Value;
use zeroize::Zeroizing;

use super::kind::SettingKind;
use super::problem::Problem;
use super::setting::Setting;
use super::table::settings;
use super::texts::{KEY_BYTES_MIN, SECRET_BYTES_MAX, fault_of_text};
use super::values::Values;
use crate::base::secret::Secret;

/// What a file of a setting's secret is named by: the setting's own name, with this behind it.
const SUFFIX: &str = "_file";

/// Reads the secrets whose files the values name.
pub(super) fn read_secrets(values: &mut Values, problems: &mut Vec<Problem>) {
    for setting in settings() {
        match setting.kind {
            SettingKind::Secret(bytes_min) => read_token(setting, bytes_min, values, problems),
            SettingKind::Keys => read_keys(setting, values, problems),
            SettingKind::Addresses
            | SettingKind::AddressesOrNone
            | SettingKind::Address
            | SettingKind::Networks
            | SettingKind::Number(..)
            | SettingKind::Switch
            | SettingKind::OneOf(_)
            | SettingKind::Users
            | SettingKind::Hosts
            | SettingKind::Url
            | SettingKind::Path
            | SettingKind::FileOrNone
            | SettingKind::RequestPath
            | SettingKind::Origins
            | SettingKind::Entries(_) => {}
        }
    }
}

/// The setting that names the file of a secret setting.
pub(super) fn file_key(secret: &str) -> &'static str {
    let of_it = |setting: &&Setting| setting.key.strip_suffix(SUFFIX) == Some(secret);
    settings()
        .find(of_it)
        .expect("every secret may stand in a file")
        .key
}

fn read_token(setting: &Setting, bytes_min: usize, values: &mut Values, problems: &mut Vec<Problem>) {
    let key = file_key(setting.key);
    let path = values.path(key);
    let is_set_itself = values[setting.key].as_str() != Some("");
    // One layer that gives both was told already.
    if path.as_os_str().is_empty() || is_set_itself {
        return;
    }
    match read(&path, bytes_min) {
        Ok(secret) => values.put_read(key, vec![Some(secret)]),
        Err(found) => problems.push(unreadable(key, &path, &found, bytes_min)),
    }
}

fn read_keys(setting: &'static Setting, values: &mut Values, problems: &mut Vec<Problem>) {
    let keys = values[setting.key].as_array().cloned().unwrap_or_default();
    let bytes_min = KEY_BYTES_MIN;
    let mut secrets = Vec::with_capacity(keys.len());
    for key in &keys {
        let path = key.get("secret_file").and_then(Value::as_str).map(Path::new);
        let secret = path.map(|path| {
            read(path, bytes_min).map_err(|found| unreadable(setting.key, path, &found, bytes_min))
        });
        match secret.transpose() {
            Ok(secret) => secrets.push(secret),
            Err(problem) => {
                problems.push(problem);
                secrets.push(None);
            }
        }
    }
    values.put_read(setting.key, secrets);
}

fn unreadable(key: &str, path: &Path, found: &str, bytes_min: usize) -> Problem {
    let remedy = format!(
        "name a file that holds {bytes_min} to {SECRET_BYTES_MAX} printable ASCII characters in one line"
    );
    Problem::new(key, format!("{}: {found}", path.display()), remedy)
}

/// The one line of a file, without its end.
fn read(path: &Path, bytes_min: usize) -> Result<Secret, String> {
    let told = |error: io::Error| error.to_string();
    let mut text = Zeroizing::new(String::new());
    // A line's end, and a byte that is too much.
    let bytes_max = SECRET_BYTES_MAX as u64 + 3;
    let file = File::open(path).map_err(told)?;
    file.take(bytes_max).read_to_string(&mut text).map_err(told)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match fault_of_text(line, bytes_min) {
        None => Ok(line.into()),
        Some(fault) => Err(fault),
    }
}
