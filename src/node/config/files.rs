//! Secrets, certificates and their keys that stand in files of their own: read beside the configuration, at the start and at each
//! reload. Shows nothing of them, not in an error either.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::Value;
use zeroize::Zeroizing;

use super::entries;
use super::kind::{EntryKind, SettingKind};
use super::problem::Problem;
use super::setting::Setting;
use super::table::settings;
use super::texts::{KEY_BYTES_MIN, SECRET_BYTES_MAX, fault_of_text};
use super::values::Values;
use crate::base::secret::Secret;

/// What a file of a setting's secret is named by: the setting's own name, with this behind it.
const SUFFIX: &str = "_file";

/// Of one file. The longest chains have some ten certificates of two kilobytes; bundles of all roots have some 200 kB.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Reads the secrets and certificates whose files the values name.
pub(super) fn read_files(values: &mut Values, problems: &mut Vec<Problem>) {
    for setting in settings() {
        match setting.kind {
            SettingKind::Secret(bytes_min) => read_token(setting, bytes_min, values, problems),
            SettingKind::Keys => read_keys(setting, values, problems),
            SettingKind::PemFileOrNone => read_pem_file(setting, values, problems),
            SettingKind::Entries(of) => read_pem_files(setting, of, values, problems),
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
            | SettingKind::PemFile
            | SettingKind::RequestPath
            | SettingKind::Origins
            | SettingKind::Name
            | SettingKind::WordOrNone
            | SettingKind::StoreUrls => {}
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

fn read_pem_file(setting: &Setting, values: &mut Values, problems: &mut Vec<Problem>) {
    let path = values.path(setting.key);
    if !path.as_os_str().is_empty() {
        let pem = read_pem(setting.key, &path, problems);
        values.put_read(setting.key, vec![pem]);
    }
}

/// The files of each entry, in the order of its fields.
fn read_pem_files(setting: &Setting, of: &EntryKind, values: &mut Values, problems: &mut Vec<Problem>) {
    let entries = values[setting.key].as_array().cloned().unwrap_or_default();
    let mut files = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        for field in of
            .fields
            .iter()
            .filter(|field| matches!(field.kind, SettingKind::PemFile))
        {
            let path = entry.get(field.name).and_then(Value::as_str).map(Path::new);
            let key = format!("{}.{}", entries::place(setting.key, index), field.name);
            files.push(path.and_then(|path| read_pem(&key, path, problems)));
        }
    }
    values.put_read(setting.key, files);
}

fn read_pem(key: &str, path: &Path, problems: &mut Vec<Problem>) -> Option<Secret> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path).and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_string(&mut text));
    let found = match read {
        Ok(bytes) if bytes as u64 <= PEM_BYTES_MAX => return Some(text.as_str().into()),
        Ok(_) => format!("more than {PEM_BYTES_MAX} bytes"),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => "no text, as DER is none".to_owned(),
        Err(error) => error.to_string(),
    };
    let found = format!("{}: {found}", path.display());
    problems.push(Problem::new(
        key,
        found,
        "name a readable file in PEM, which begins with -----BEGIN",
    ));
    None
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

#[cfg(test)]
mod tests {
    use super::super::tests::read;

    fn certificates(chain: &std::path::Path, key: &std::path::Path) -> String {
        format!("terminals.tls.certificates=[{{chain={chain:?}, key={key:?}}}]")
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_read_is_named_by_its_entry() {
        let good = tempfile::NamedTempFile::new().unwrap();
        let der = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(der.path(), b"\x30\x82\xff").unwrap();
        let problems = read(&[&certificates(der.path(), "/nowhere/key.pem".as_ref())]).unwrap_err();
        let expected = [
            format!(
                "terminals.tls.certificates[1].chain: found {}: no text, as DER is none; name",
                der.path().display()
            ),
            "terminals.tls.certificates[1].key: found /nowhere/key.pem: No such file".to_owned(),
        ];
        for (problem, expected) in problems.iter().zip(&expected) {
            assert!(problem.starts_with(expected), "{problem}");
        }
        assert_eq!(problems.len(), 2, "{problems:?}");
        std::fs::write(der.path(), vec![b'-'; (1 << 20) + 1]).unwrap();
        let problems = read(&[&certificates(good.path(), der.path())]).unwrap_err();
        assert!(problems[0].contains("more than 1048576 bytes"), "{problems:?}");
        let ca_file = read(&["terminals.tls.client_ca_file=/nowhere/ca.pem"]).unwrap_err();
        assert!(
            ca_file[0].starts_with("terminals.tls.client_ca_file: found /nowhere/ca.pem: "),
            "{ca_file:?}"
        );
    }

    #[test]
    fn files_are_read_with_the_configuration_and_compared_with_it() {
        let (chain, key) = (
            tempfile::NamedTempFile::new().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        let config = |content: &str| {
            std::fs::write(key.path(), content).unwrap();
            read(&[&certificates(chain.path(), key.path())]).unwrap()
        };
        let (before, after) = (config("a key that nobody may see"), config("another"));
        assert_eq!(
            before.terminals_tls.certificates[0].key_pem.expose(),
            "a key that nobody may see"
        );
        let differs: Vec<_> = before.differences(&after).iter().map(|one| one.key).collect();
        assert_eq!(differs, ["terminals.tls.certificates"]);
        assert!(before.reloaded(&after).unwrap().terminals_tls == after.terminals_tls);
        let shown = format!("{} {:?}", before.print(), before.terminals_tls);
        assert!(shown.contains(&*key.path().to_string_lossy()), "{shown}");
        assert!(!shown.contains("nobody may see"), "{shown}");
    }
}
