//! The files of a folder of results, by name, and its data. Writes none.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// The raw figures of a folder.
pub(super) const DATA: &str = "data.json";
/// A folder's page, and the index.
pub(super) const README: &str = "README.md";

/// A folder's data.
pub(super) fn read(folder: &Path) -> anyhow::Result<Value> {
    let path = folder.join(DATA);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
