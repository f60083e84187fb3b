//! The index of a folder with results: of each folder in it its figures, what they are to be, and whether they are, from
//! its data and the table of aims. It says nothing that stands in neither.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use super::aims::{folder, folders};
use super::figures::{AimVerdict, Bound, Figure, ResultsFolder};
use super::files::{DATA, README, read};
use super::origin::{has_changes, origin, profiles, unlike_what_is_shipped};
use super::render::{checks, grouped, line, median, readme, shown, worded};

/// What an index says of itself. A page without it is somebody else's.
const MARK: &str = "Made by `holdfast-load index`";

/// What an index begins with, in front of its verdicts.
const ABOUT: &str = "Made by `holdfast-load index` from the folders beside it, and again after each run and bench. \
    Each folder has the current figures of one command; older ones are in the repository's history. \
    The figures, their aims and the reasons for them are in `src/bin/holdfast-load/results/aims`. A figure of several \
    rounds is their median. Figures without an aim are for information.";

/// A folder that is there.
struct IndexEntry {
    name: String,
    data: Value,
    /// If it is one of a current figure.
    folder: Option<&'static ResultsFolder>,
}

/// One line of an entry's table.
struct Row {
    what: String,
    unit: String,
    aim: String,
    /// With its JSON pointer, if the table of aims knows it.
    value: Option<(f64, Option<String>)>,
    verdict: AimVerdict,
    /// How a value that misses its aim is to be read.
    missed: &'static str,
}

impl Row {
    /// What it is, its value and its aim.
    fn sentence(&self) -> String {
        let value = self.value.as_ref().map(|(value, _)| shown(*value));
        let value = value.unwrap_or_else(|| "not measured".to_owned());
        let unit = if self.unit.is_empty() { "" } else { " " };
        format!("{}: {value}{unit}{}, {}", self.what, self.unit, self.aim)
    }
}

/// Writes the index anew.
///
/// # Errors
/// If a folder's data cannot be read, or the page that is there is no index: it is left as it is.
pub(crate) fn rewrite(results: &Path) -> anyhow::Result<()> {
    let path = results.join(README);
    let there = fs::read_to_string(&path).unwrap_or_else(|_| MARK.to_owned());
    if !there.contains(MARK) {
        bail!("{} is no index, and stays as it is", path.display());
    }
    write(&path, &of(results)?)
}

/// Writes the index anew, and the page of each folder from its data.
///
/// # Errors
/// As above, and if a page cannot be written.
#[allow(dead_code, reason = "no bench asks for it")]
pub(crate) fn rewrite_all(results: &Path) -> anyhow::Result<()> {
    for entry in entries(results)? {
        write(&results.join(&entry.name).join(README), &readme(&entry.data))?;
    }
    rewrite(results)
}

/// Writes a file as a whole.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("md.new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("writing {}", path.display()))
}

/// The index.
pub(super) fn of(results: &Path) -> anyhow::Result<String> {
    let entries = entries(results)?;
    let mut text = format!("# Measured figures\n\n{}\n", line("", ABOUT));
    text += &summary(&entries);
    for entry in &entries {
        text += &section(entry);
    }
    let missing = |folder: &&ResultsFolder| !entries.iter().any(|entry| entry.name == folder.name);
    let missing: Vec<&ResultsFolder> = folders().filter(missing).collect();
    if !missing.is_empty() {
        text += "\n## Not measured\n\n";
    }
    for folder in missing {
        text += &line(
            "- ",
            &format!("{}: {}: `{}`", folder.name, folder.title, folder.command),
        );
    }
    Ok(text)
}

/// All folders with data: those of current figures in the order of their table, then the others by name.
fn entries(results: &Path) -> anyhow::Result<Vec<IndexEntry>> {
    let mut entries = Vec::new();
    let listed = fs::read_dir(results).with_context(|| format!("reading {}", results.display()))?;
    for path in listed {
        let path = path?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // What is being written begins with a dot.
        if name.starts_with('.') || !path.join(DATA).is_file() {
            continue;
        }
        let (data, folder) = (read(&path)?, folder(&name));
        entries.push(IndexEntry { name, data, folder });
    }
    let place = |name: &str| folders().position(|folder| folder.name == name);
    entries.sort_by_key(|entry| (place(&entry.name).unwrap_or(usize::MAX), entry.name.clone()));
    Ok(entries)
}

/// How many aims are met, each that is missed, and of how many folders it is not known what made them.
fn summary(entries: &[IndexEntry]) -> String {
    let verdicts: Vec<AimVerdict> = entries.iter().flat_map(rows).map(|row| row.verdict).collect();
    let count = |verdict| verdicts.iter().filter(|seen| **seen == verdict).count();
    let (met, missed) = (count(AimVerdict::Met), count(AimVerdict::Missed));
    let mut text = format!(
        "{} figures have an aim: {met} meet it, {missed} miss it.\n",
        met + missed
    );
    let mut list = misses(entries);
    for entry in entries {
        if let Some(sentence) = failed(entry) {
            list += &line("- ", &format!("{}: {sentence}", link(entry)));
        }
    }
    if !list.is_empty() {
        text += &format!("\n{list}");
    }
    let unknown = entries
        .iter()
        .filter(|entry| profiles(&entry.data).is_none())
        .count();
    let changed = entries.iter().filter(|entry| has_changes(&entry.data)).count();
    if unknown + changed > 0 {
        let origins = format!(
            "Of {} folders, {unknown} do not record the build profile, and {changed} are of sources with changes that are \
             in no commit.",
            entries.len()
        );
        text += &format!("\n{}", line("", &origins));
    }
    text
}

/// Each figure that misses its aim, below the sentence on how to read it, if there is one.
fn misses(entries: &[IndexEntry]) -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    for entry in entries {
        for row in rows(entry).iter().filter(|row| row.verdict == AimVerdict::Missed) {
            let mark = if row.missed.is_empty() { "- " } else { "  - " };
            let item = line(mark, &format!("{}: {}", link(entry), row.sentence()));
            match groups.iter_mut().find(|(reason, _)| *reason == row.missed) {
                Some((_, items)) => *items += &item,
                None => groups.push((row.missed, item)),
            }
        }
    }
    let text = groups.iter().map(|(reason, items)| {
        let reason = (!reason.is_empty()).then(|| line("- ", reason));
        reason.unwrap_or_default() + items
    });
    text.collect()
}

/// To an entry's section.
fn link(entry: &IndexEntry) -> String {
    format!("[{0}](#{0})", entry.name)
}

/// A folder whose run was not as it has to be.
fn failed(entry: &IndexEntry) -> Option<String> {
    let (all, hold) = checks(&entry.data);
    (hold < all).then(|| {
        format!(
            "**{} of {all} checks FAILED**: what was measured is not to be used.",
            all - hold
        )
    })
}

fn section(entry: &IndexEntry) -> String {
    let (name, data) = (&entry.name, &entry.data);
    let word = |text: &Value| text.as_str().unwrap_or("unknown").to_owned();
    let title = entry
        .folder
        .map_or_else(|| word(&data["title"]), |folder| folder.title.to_owned());
    let mut text = format!("\n## {name}\n\n");
    text += &line(
        "",
        &format!("{title}: [page]({name}/{README}), [data]({name}/{DATA})."),
    );
    text += "\n";
    text += &line("", &origin(&entry.data));
    text += "\n| figure | aim | value | unit | verdict |\n| --- | --- | ---: | --- | --- |\n";
    for row in rows(entry) {
        let verdict = match row.verdict {
            AimVerdict::Met => "met",
            AimVerdict::Missed => "**missed**",
            AimVerdict::NoAim => "no aim",
        };
        let value = match row.value {
            None => "not measured".to_owned(),
            Some((value, None)) => shown(value),
            Some((value, Some(pointer))) => format!("[{}]({name}/{DATA} \"{pointer}\")", shown(value)),
        };
        text += &format!(
            "| {} | {} | {value} | {} | {verdict} |\n",
            row.what, row.aim, row.unit
        );
    }
    let remarks = remarks(entry);
    if !remarks.is_empty() {
        text += "\n";
    }
    for remark in remarks {
        text += &line("- ", &remark);
    }
    text
}

/// The table of an entry. Of a folder that is none of a current figure no value has an aim.
fn rows(entry: &IndexEntry) -> Vec<Row> {
    let Some(folder) = entry.folder else {
        return without_aims(&entry.data);
    };
    let row = |figure: &Figure| {
        let found = figure.place.find(&entry.data);
        let value = found.as_ref().map(|(_, value)| *value);
        let missed = figure.aim.and_then(|aim| aim.missed);
        Row {
            what: figure.what.to_owned(),
            unit: worded(figure.unit).to_owned(),
            aim: figure.aim.map(|aim| aimed(aim.bound)).unwrap_or_default(),
            value: found.map(|(pointer, value)| (value, Some(pointer))),
            verdict: figure.verdict(value),
            missed: missed.unwrap_or_default(),
        }
    };
    folder.figures.iter().map(row).collect()
}

/// An aim in words.
fn aimed(bound: Bound) -> String {
    let (words, limit) = bound.parts();
    format!("{words} {}", grouped(&limit.to_string()))
}

fn without_aims(data: &Value) -> Vec<Row> {
    let figures = data["figures"].as_array().into_iter().flatten();
    let row = |figure: &Value| {
        let rounds = figure["rounds"].as_array()?.iter().filter_map(Value::as_f64);
        Some(Row {
            what: figure["name"].as_str()?.to_owned(),
            unit: worded(figure["unit"].as_str()?).to_owned(),
            aim: String::new(),
            value: Some((median(&rounds.collect::<Vec<_>>())?, None)),
            verdict: AimVerdict::NoAim,
            missed: "",
        })
    };
    figures.filter_map(row).collect()
}

/// What there is to say of a folder beside its figures: checks, another command, the reasons of aims.
fn remarks(entry: &IndexEntry) -> Vec<String> {
    let mut remarks: Vec<String> = failed(entry).into_iter().collect();
    let (all, hold) = checks(&entry.data);
    if all > 0 && all == hold {
        remarks.push(format!("all {all} checks of the run hold"));
    }
    let Some(folder) = entry.folder else {
        remarks.push("no current figure: the table of aims does not know this folder".to_owned());
        return remarks;
    };
    if !is_made_by(&entry.data, folder) {
        remarks.push(format!(
            "the figures are to be those of another command: `{}`",
            folder.command
        ));
    }
    if has_changes(&entry.data) {
        remarks
            .push("measured with changes that are in no commit: the figures cannot be reproduced".to_owned());
    }
    if let Some(profile) = unlike_what_is_shipped(&entry.data) {
        remarks.push(format!(
            "built by the profile `{profile}`; what is shipped and measured is built by `dist`"
        ));
    }
    for figure in folder.figures {
        let Some(aim) = figure.aim else { continue };
        let reason = format!("{}: {}", aimed(aim.bound), aim.reason);
        // Several figures may have one aim.
        if !remarks.contains(&reason) {
            remarks.push(reason);
        }
    }
    remarks
}

/// Why this command is not to be run without a place for its results: they would replace the current figures of another
/// one.
#[allow(dead_code, reason = "a bench has one command")]
pub(crate) fn displaced(results: &Path, name: &str, command: &str) -> Option<String> {
    let folder = folder(name)?;
    let is_given = command.contains("--results");
    let replaces = results.join(name).exists() && !is_given && !is_of(command, folder);
    replaces.then(|| {
        format!(
            "{} has the figures of `{}`, which this run would replace: name another folder with --results",
            results.join(name).display(),
            folder.command
        )
    })
}

/// Whether the folder's own command made this data, however its words were quoted.
pub(super) fn is_made_by(data: &Value, folder: &ResultsFolder) -> bool {
    is_of(data["command"].as_str().unwrap_or_default(), folder)
}

fn is_of(command: &str, folder: &ResultsFolder) -> bool {
    command.replace('\'', "") == folder.command.replace('\'', "")
}
