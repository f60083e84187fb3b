//! Folders of results, each with one current figure's data, README and plots, and an index of all. A folder is replaced
//! as a whole or not at all. It measures nothing and changes no figure. The benches use it, too.

mod aims;
pub(crate) mod figures;
mod index;
mod origin;
mod render;
#[cfg(test)]
mod kept;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::Value;

pub(crate) use aims::FLAT;
pub(crate) use index::{displaced, rewrite, rewrite_all};
pub(crate) use render::{median, plot_file, table};

/// The raw figures of a folder.
const DATA: &str = "data.json";
/// A folder's page, and the index.
const README: &str = "README.md";

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

/// A folder's data.
fn read(folder: &Path) -> anyhow::Result<Value> {
    let path = folder.join(DATA);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn write(results: &Path, title: &str) -> anyhow::Result<PathBuf> {
        replace(results, "load-idle-10", &json!({ "title": title }), |folder| {
            Ok(fs::write(folder.join("plot.svg"), title)?)
        })
    }

    /// All that is in a folder, by name.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole_and_nothing_stays_beside() {
        let results = TempDir::new().unwrap();
        let folder = write(results.path(), "one").unwrap();
        fs::write(folder.join("of-the-old-one.svg"), "").unwrap();
        assert_eq!(write(results.path(), "two").unwrap(), folder);
        assert_eq!(names(&folder), ["README.md", "data.json", "plot.svg"]);
        assert_eq!(fs::read_to_string(folder.join("plot.svg")).unwrap(), "two");
        assert_eq!(names(results.path()), ["load-idle-10"]);
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
        assert_ne!(mode & 0o077, 0, "others may read it as far as the mask lets them");
    }

    #[test]
    fn a_folder_whose_plots_fail_leaves_the_old_one_as_it_was() {
        let results = TempDir::new().unwrap();
        let folder = write(results.path(), "one").unwrap();
        let failed = replace(results.path(), "load-idle-10", &json!({ "title": "two" }), |_| {
            bail!("no ink")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no ink");
        assert_eq!(read(&folder).unwrap()["title"], "one");
        assert_eq!(names(results.path()), ["load-idle-10"]);
    }

    #[test]
    fn what_is_no_folder_of_results_is_not_replaced_and_the_new_one_is_kept() {
        let results = TempDir::new().unwrap();
        let folder = results.path().join("load-idle-10");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("letter.txt"), "dear").unwrap();
        let error = format!("{:#}", write(results.path(), "one").unwrap_err());
        assert!(error.contains("no folder of results"), "{error}");
        assert_eq!(names(&folder), ["letter.txt"]);
        let kept = names(results.path())
            .into_iter()
            .find(|name| name.starts_with('.'))
            .unwrap();
        assert!(error.contains(&kept), "{error}");
        assert_eq!(read(&results.path().join(kept)).unwrap()["title"], "one");
    }

    #[test]
    fn two_steps_do_the_same_where_nothing_can_be_exchanged() {
        let results = TempDir::new().unwrap();
        let (beside, folder) = (results.path().join(".new-x"), results.path().join("cost"));
        for (path, title) in [(&beside, "new"), (&folder, "old")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(README), title).unwrap();
        }
        put_in_two_steps(&beside, &folder).unwrap();
        assert_eq!(fs::read_to_string(folder.join(README)).unwrap(), "new");
        assert_eq!(fs::read_to_string(beside.join(README)).unwrap(), "old");
        assert_eq!(names(results.path()), [".new-x", "cost"]);
    }
}
