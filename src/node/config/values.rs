//! One value for each setting, and what belongs to it that is no TOML: a path of any bytes, and secrets that were read from
//! files. Overwrites the secrets among them when it goes. Checks nothing.

use std::collections::BTreeMap;
use std::ops::Index;
use std::path::PathBuf;

use toml::Value;
use zeroize::Zeroize;

use super::table::settings;
use crate::base::secret::Secret;

/// The values, by the settings' keys.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Values {
    plain: BTreeMap<&'static str, Value>,
    /// Paths whose bytes are no UTF-8; their plain value is as much of them as can be shown.
    paths: BTreeMap<&'static str, PathBuf>,
    /// What was read from files, by the setting that names them: of a list of files in its order, `None` where there is none.
    read: BTreeMap<&'static str, Vec<Option<Secret>>>,
}

impl Values {
    /// The value of a setting, if it has one.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.plain.get(key)
    }

    /// Gives a setting another value.
    pub(super) fn put(&mut self, key: &'static str, value: Value) {
        self.paths.remove(key);
        if let Some(mut before) = self.plain.insert(key, value) {
            overwrite(&mut before);
        }
    }

    /// Gives a setting a path whose bytes are no UTF-8.
    pub(super) fn put_path(&mut self, key: &'static str, path: PathBuf) {
        self.put(key, path.display().to_string().into());
        self.paths.insert(key, path);
    }

    /// Notes what was read from the files that a setting names.
    pub(super) fn put_read(&mut self, key: &'static str, secrets: Vec<Option<Secret>>) {
        self.read.insert(key, secrets);
    }

    /// The path that a setting says.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        let plain = || self[key].as_str().expect("its kind is a path").into();
        self.paths.get(key).cloned().unwrap_or_else(plain)
    }

    /// What was read from the files that a setting names.
    pub(super) fn read(&self, key: &str) -> &[Option<Secret>] {
        self.read.get(key).map_or(&[], |secrets| secrets)
    }

    /// Whether a setting means the same here and there; of a file, whether it held the same.
    pub(super) fn agrees(&self, other: &Self, key: &str) -> bool {
        self.says_the_same(other, key) && self.read.get(key) == other.read.get(key)
    }

    /// Whether a setting has the same value here and there, whatever its files held.
    pub(super) fn says_the_same(&self, other: &Self, key: &str) -> bool {
        self.plain.get(key) == other.plain.get(key) && self.paths.get(key) == other.paths.get(key)
    }

    /// Takes over what a setting means there.
    pub(super) fn copy(&mut self, other: &Self, key: &'static str) {
        self.put(key, other[key].clone());
        self.paths
            .extend(other.paths.get(key).map(|path| (key, path.clone())));
        self.read
            .extend(other.read.get(key).map(|secrets| (key, secrets.clone())));
    }
}

impl Index<&str> for Values {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.get(key).expect("every setting has a value")
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        for setting in settings().filter(|setting| setting.kind.is_secret()) {
            self.plain.get_mut(setting.key).into_iter().for_each(overwrite);
        }
    }
}

/// Texts in lists and tables, too.
fn overwrite(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(overwrite),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| overwrite(value)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}
