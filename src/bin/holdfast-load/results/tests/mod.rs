//! Folders of results that are replaced, and those that are kept with the sources.

mod kept;

use serde_json::json;
use tempfile::TempDir;

use super::files::read;
use super::*;

/// The files that a folder with this data has beside the data and the page.
pub(super) fn plots(data: &Value) -> Vec<String> {
    let courses = data["courses"].as_array().into_iter().flatten();
    let drawn = courses.filter(|course| course["points"].as_array().is_some_and(|points| points.len() > 1));
    drawn
        .map(|course| plot_file(course["name"].as_str().unwrap_or_default()))
        .collect()
}

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
