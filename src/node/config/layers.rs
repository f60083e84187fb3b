//! From what was typed to one value a setting: defaults, then the file, then the environment, then `--set`. Finds every
//! problem before it gives up, and never repeats a secret.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::entries;
use super::files;
use super::kind::SettingKind;
use super::problem::Problem;
use super::setting::Setting;
use super::table::{find, settings};
use super::values::Values;
use super::variables::{self, Variable};

/// What was typed.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// `--set key=value`, in order.
    pub overrides: Vec<String>,
}

impl Sources {
    /// The arguments that give another command the same configuration, but for what must not be shown.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let file = self
            .file
            .iter()
            .flat_map(|file| ["--config".to_owned(), file.display().to_string()]);
        let is_shown = |text: &&String| {
            let setting = text.split_once('=').and_then(|(key, _)| find(key.trim()));
            setting.is_some_and(|setting| !setting.kind.is_secret())
        };
        let overrides = self.overrides.iter().filter(is_shown);
        file.chain(overrides.flat_map(|text| ["--set".to_owned(), text.clone()]))
            .collect()
    }
}

/// Lays the sources over each other.
pub(super) fn gather(sources: &Sources) -> (Values, Vec<Problem>) {
    let mut layers = Layers::default();
    for setting in settings() {
        let default = setting.default.parse().expect("a default is TOML");
        layers.values.put(setting.key, default);
    }
    if let Some(path) = &sources.file {
        layers.add_file(path);
        layers.end_one();
    }
    for (name, text) in &sources.environment {
        layers.add_variable(name, text);
    }
    layers.end_one();
    for text in &sources.overrides {
        layers.add_override(text);
    }
    layers.end_one();
    files::read_files(&mut layers.values, &mut layers.problems);
    (layers.values, layers.problems)
}

#[derive(Default)]
struct Layers {
    values: Values,
    problems: Vec<Problem>,
    /// What the layer that is being added gives a value, and not an empty one.
    given: BTreeSet<&'static str>,
}

impl Layers {
    /// The end of one layer. A secret that it gives counts in the place of a lower layer's file, and the other way round: they are
    /// two ways to say the same. An empty one says nothing, as container platforms set variables that nobody filled in.
    fn end_one(&mut self) {
        let given = std::mem::take(&mut self.given);
        for secret in settings().filter(|setting| matches!(setting.kind, SettingKind::Secret(_))) {
            let (key, file) = (secret.key, files::file_key(secret.key));
            match (given.contains(key), given.contains(file)) {
                (true, true) => {
                    let found = format!("a file, while {key} is set, too");
                    self.problems
                        .push(Problem::new(file, found, "set one of the two"));
                }
                (true, false) => self.values.put(file, String::new().into()),
                (false, true) => self.values.put(key, String::new().into()),
                (false, false) => {}
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        let place = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) => {
                self.problems.push(Problem::new(
                    place,
                    error.to_string(),
                    "name a readable file with --config",
                ));
                return;
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.add_table("", table),
            // The error's own text would show the line, and with it perhaps a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
                let line = before.matches('\n').count() + 1;
                self.problems.push(Problem::new(
                    place,
                    format!("no TOML in line {line}"),
                    error.message(),
                ));
            }
        }
    }

    fn add_table(&mut self, section: &str, table: Table) {
        for (name, value) in table {
            let key = if section.is_empty() {
                name
            } else {
                format!("{section}.{name}")
            };
            match (find(&key), value) {
                (Some(setting), value) => self.put(setting, value),
                (None, Value::Table(table)) if is_section(&key) => self.add_table(&key, table),
                (None, _) => self.unknown(&key),
            }
        }
    }

    fn add_variable(&mut self, name: &OsStr, text: &OsStr) {
        match variables::variable(name) {
            Variable::Setting(setting) => self.put_text(setting, &name.to_string_lossy(), text),
            Variable::Mistaken { nearest, section } => {
                let found = "a variable of a setting that does not exist";
                let remedy = remedy(Some(&nearest), &section);
                self.problems
                    .push(Problem::new(name.to_string_lossy(), found, remedy));
            }
            Variable::Foreign => {}
        }
    }

    /// Takes a text from `place`, which is any bytes if it is a path.
    fn put_text(&mut self, setting: &'static Setting, place: &str, text: &OsStr) {
        match text.to_str() {
            Some(text) => self.put(setting, read_value(setting.kind, text)),
            None if setting.kind.is_path() => {
                self.given.insert(setting.key);
                self.values.put_path(setting.key, text.into());
            }
            None => {
                let remedy = format!("it takes {}", setting.kind.bounds());
                self.problems
                    .push(Problem::new(place, "a text that is not UTF-8", remedy));
            }
        }
    }

    fn add_override(&mut self, text: &str) {
        let Some((key, value)) = text.split_once('=') else {
            self.problems
                .push(Problem::new("--set", "no `=`", "write --set key=value"));
            return;
        };
        match find(key.trim()) {
            Some(setting) => self.put(setting, read_value(setting.kind, value)),
            None => self.unknown(key.trim()),
        }
    }

    fn unknown(&mut self, key: &str) {
        let keys = || settings().map(|setting| setting.key);
        let section = section_of(key);
        let same: Vec<_> = keys()
            .filter(|known| section_of(known) == section)
            .map(str::to_owned)
            .collect();
        // A section is taken for a section.
        let known = keys().map(|known| match key.contains('.') {
            true => known.to_owned(),
            false => section_of(known).to_owned(),
        });
        let nearest = variables::nearest(key, known);
        let nearest = nearest.filter(|known| variables::is_near(key, known));
        let remedy = remedy(nearest.as_deref(), &same);
        self.problems
            .push(Problem::new(key, "a setting that does not exist", remedy));
    }

    fn put(&mut self, setting: &'static Setting, value: Value) {
        if setting.kind.takes(&value) {
            match value.as_str() {
                Some("") => self.given.remove(setting.key),
                Some(_) | None => self.given.insert(setting.key),
            };
            self.values.put(setting.key, value);
            return;
        }
        if let (SettingKind::Entries(of), true) = (setting.kind, value.is_array()) {
            self.problems.extend(entries::problems(setting.key, of, &value));
            return;
        }
        let found = if setting.kind.is_secret() {
            setting.kind.fault_of_secret(&value)
        } else {
            value.to_string()
        };
        let remedy = format!("it takes {}", setting.kind.bounds());
        self.problems.push(Problem::new(setting.key, found, remedy));
    }
}

/// What would do instead of something that does not exist.
fn remedy(nearest: Option<&str>, section: &[String]) -> String {
    let meant = nearest.map_or_else(String::new, |nearest| format!("did you mean {nearest}? "));
    if section.is_empty() {
        format!("{meant}`holdfast config` shows all settings")
    } else {
        format!("{meant}This section has {}", section.join(", "))
    }
}

fn section_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(section, _)| section)
}

fn is_section(key: &str) -> bool {
    settings().any(|setting| {
        setting
            .key
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// TOML, or a text that nobody quoted.
fn read_value(kind: SettingKind, text: &str) -> Value {
    let text = text.trim();
    let unquoted = || Value::String(text.to_owned());
    match text.parse::<Value>() {
        Ok(value) if value.is_str() || !kind.is_text() => value,
        Ok(_) | Err(_) => unquoted(),
    }
}
