//! Folders of results, each with one current figure's data, README and plots, and an index of all. A folder is replaced
//! as a whole or not at all. It measures nothing and changes no figure. The benches use it, too.

pub(crate) mod aims;

mod figures;
mod files;
mod index;
mod origin;
mod render;

#[cfg(test)]
mod tests;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::Value;

use files::{DATA, README};

pub(crate) use aims::FLAT;
pub(crate) use index::{displaced, rewrite, rewrite_all};
pub(crate) use render::{median, plot_file, table};

/// As folders have it: only the mask of the process takes rights away.
const FOLDER_MODE: u32 = 0o777;

/// Puts a folder with this data in the place of the one of this name: its README, and what `draw` draws. It is written
/// beside the old one and then takes its place, so that none is ever half of each. Gives where it is.
///
/// # Errors
/// If it cannot be written or put there. What was written stays, and the error says where.
pub(crate) fn replace(
    results: &Path,
    name: &str,
    data: &Value,
    draw: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = results.join(name);
    fs::create_dir_all(results)
        .with_context(|| format!("no folder for the results: {}", results.display()))?;
    let beside = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .permissions(Permissions::from_mode(FOLDER_MODE))
        .tempdir_in(results)
        .with_context(|| format!("no folder for the results in {}", results.display()))?;
    let text = serde_json::to_string_pretty(data)? + "\n";
    fs::write(beside.path().join(DATA), text).context("writing the results")?;
    fs::write(beside.path().join(README), render::readme(data)).context("writing the results")?;
    draw(beside.path())?;
    let beside = beside.keep();
    put(&beside, &folder).with_context(|| {
        let (beside, folder) = (beside.display(), folder.display());
        format!("the results are in {beside}, and cannot take the place of {folder}")
    })?;
    Ok(folder)
}

/// Puts a folder in the place of another one, which goes.
fn put(beside: &Path, folder: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(fs::rename(beside, folder)?);
    }
    if !folder.join(DATA).is_file() {
        bail!("what is there has no {DATA}, so it is no folder of results");
    }
    match renameat_with(CWD, beside, CWD, folder, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // Not every file system exchanges.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => put_in_two_steps(beside, folder)?,
        Err(error) => return Err(error.into()),
    }
    // From here on the old one is beside.
    Ok(fs::remove_dir_all(beside)?)
}

/// Has the two change places by renames alone. In between there is none.
fn put_in_two_steps(beside: &Path, folder: &Path) -> io::Result<()> {
    let old = beside.with_extension("old");
    fs::rename(folder, &old)?;
    if let Err(error) = fs::rename(beside, folder) {
        // Better the old one than none.
        fs::rename(&old, folder)?;
        return Err(error);
    }
    fs::rename(&old, beside)
}
