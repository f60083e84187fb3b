//! What came out of a run: figures, checks and courses over time; a table on standard output, and a folder with all of it.
//! It invents no figure: each comes from a measurement that is given to it.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::arguments::without_secret;
use crate::plot::{self, PlotCourse};
use crate::{ending, machine, results};

/// One report in the making.
pub(crate) struct RunReport {
    scenario: String,
    title: String,
    /// Of the machine as it was before anything of the run began.
    facts: Value,
    /// The part of the run that checks and courses are of now.
    part: Option<String>,
    conditions: Vec<String>,
    figures: Vec<RunFigure>,
    checks: Vec<Check>,
    courses: Vec<PlotCourse>,
}

struct RunFigure {
    name: String,
    unit: &'static str,
    rounds: Vec<f64>,
}

struct Check {
    what: String,
    holds: bool,
    seen: String,
}

/// A run that is refused, since its results would replace the current figures of another command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Displaces(String);

impl RunReport {
    /// A report whose folder will be put into `results`.
    ///
    /// # Errors
    /// [`Displaces`], before anything is measured.
    pub(crate) fn begin(scenario: impl Into<String>, title: &str, results: &Path) -> anyhow::Result<Self> {
        let report = Self::new(scenario.into(), title);
        match results::displaced(results, &report.name(), &command()) {
            Some(why) => Err(Displaces(why).into()),
            None => Ok(report),
        }
    }

    fn new(scenario: String, title: &str) -> Self {
        Self {
            scenario,
            title: title.to_owned(),
            facts: machine::facts(),
            part: None,
            conditions: Vec::new(),
            figures: Vec::new(),
            checks: Vec::new(),
            courses: Vec::new(),
        }
    }

    /// The folder's.
    fn name(&self) -> String {
        format!("load-{}", self.scenario)
    }

    /// The build profile of the gateway that is measured, as it tells it.
    pub(crate) fn set_gateways_profile(&mut self, profile: &str) {
        self.facts["profile of the gateway"] = profile.into();
    }

    /// Checks and courses are of this part of the run from now on, and say so behind their names; `None`: of all of it.
    pub(crate) fn set_part(&mut self, part: Option<String>) {
        self.part = part;
    }

    fn named(&self, name: &str) -> String {
        let part = self.part.as_ref().map(|part| format!(", {part}"));
        format!("{name}{}", part.unwrap_or_default())
    }

    /// Under which the run was made, or how a figure is to be read.
    pub(crate) fn condition(&mut self, text: String) {
        self.conditions.push(text);
    }

    pub(crate) fn figure(&mut self, name: &str, unit: &'static str, value: f64) {
        self.rounds(name, unit, vec![value]);
    }

    /// A figure that was measured several times.
    pub(crate) fn rounds(&mut self, name: &str, unit: &'static str, rounds: Vec<f64>) {
        let name = name.to_owned();
        self.figures.push(RunFigure { name, unit, rounds });
    }

    /// Something that has to hold, and what was seen.
    pub(crate) fn check(&mut self, what: &str, holds: bool, seen: impl ToString) {
        self.checks.push(Check {
            what: self.named(what),
            holds,
            seen: seen.to_string(),
        });
    }

    /// A count that has to be this.
    pub(crate) fn check_equal(&mut self, what: &str, expected: u64, seen: u64) {
        self.check(what, expected == seen, format!("{seen}, expected {expected}"));
    }

    pub(crate) fn course(&mut self, course: PlotCourse) {
        let name = self.named(&course.name);
        self.courses.push(PlotCourse { name, ..course });
    }

    /// Prints the table, writes the folder, and the index of all. Says whether every check holds.
    pub(crate) fn finish(mut self, results: &Path) -> anyhow::Result<bool> {
        self.facts["took"] = machine::ran().into();
        let data = self.data();
        let folder = results::replace(results, &self.name(), &data, |folder| {
            let courses = self.courses.iter().filter(|course| course.points.len() > 1);
            courses.into_iter().try_for_each(|course| {
                let file = results::plot_file(&course.name);
                plot::write(&folder.join(file), course)
            })
        })?;
        let mut out = io::stdout().lock();
        // A table that nobody reads is in the folder.
        let _ = writeln!(out, "\n{}written: {}", results::table(&data), folder.display());
        if let Err(error) = results::rewrite(results) {
            ending::tell(&format!("holdfast-load: there is no new index: {error:#}"));
        }
        Ok(self.holds())
    }

    /// Whether every check so far holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    fn data(&self) -> Value {
        let figures = self
            .figures
            .iter()
            .map(|figure| json!({ "name": figure.name, "unit": figure.unit, "rounds": figure.rounds }));
        let checks = self
            .checks
            .iter()
            .map(|check| json!({ "what": check.what, "seen": check.seen, "holds": check.holds }));
        let courses = self
            .courses
            .iter()
            .map(|course| json!({ "name": course.name, "unit": course.unit, "points": course.points }));
        json!({
            "scenario": self.scenario, "title": self.title, "command": command(), "machine": self.facts,
            "conditions": self.conditions,
            "figures": figures.collect::<Vec<_>>(), "checks": checks.collect::<Vec<_>>(),
            "courses": courses.collect::<Vec<_>>(), "holds": self.holds(),
        })
    }
}

/// A number as a folder's name has it: in whole millions or else whole thousands, if it is a multiple of them.
pub(crate) fn short(number: u32) -> String {
    match number {
        1.. if number.is_multiple_of(1_000_000) => format!("{}m", number / 1_000_000),
        1.. if number.is_multiple_of(1_000) => format!("{}k", number / 1_000),
        _ => number.to_string(),
    }
}

/// As it was typed, without where the program lies and without secrets.
fn command() -> String {
    let mut words = vec!["holdfast-load".to_owned()];
    let mut hides = false;
    for word in std::env::args().skip(1) {
        if hides {
            hides = false;
            continue;
        }
        hides = word == "--secret";
        if !word.starts_with("--secret") {
            words.push(quoted(match word.strip_prefix("--set=") {
                Some(pair) => format!("--set={}", without_secret(pair)),
                None => without_secret(&word),
            }));
        }
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_whole_and_differ() {
        let check = |number: u32, expected: &str| assert_eq!(short(number), expected);
        check(0, "0");
        check(999, "999");
        check(10_000, "10k");
        check(12_345, "12345");
        check(1_000_000, "1m");
        check(1_500_000, "1500k");
        check(1_500_001, "1500001");
        check(2_000_000, "2m");
    }

    #[test]
    fn parts_of_a_run_have_checks_and_plots_of_their_own() {
        let mut report = RunReport::new("parts".to_owned(), "Parts");
        for part in [Some("10 connections"), Some("20 connections"), None] {
            report.set_part(part.map(str::to_owned));
            report.check_equal("logins", 1, 1);
            report.course(PlotCourse {
                name: "terminals logged in".to_owned(),
                unit: "connections",
                points: Vec::new(),
            });
        }
        let checks: Vec<&str> = report.checks.iter().map(|check| check.what.as_str()).collect();
        assert_eq!(
            checks,
            ["logins, 10 connections", "logins, 20 connections", "logins"]
        );
        let files = report
            .courses
            .iter()
            .map(|course| results::plot_file(&course.name));
        assert_eq!(
            files.collect::<Vec<String>>(),
            [
                "terminals-logged-in-10-connections.svg",
                "terminals-logged-in-20-connections.svg",
                "terminals-logged-in.svg"
            ]
        );
    }

    #[test]
    fn a_command_can_be_typed_again() {
        let check = |word: &str, expected: &str| assert_eq!(quoted(word.to_owned()), expected);
        check("--connections=10", "--connections=10");
        check("registry.store=\"embedded\"", "'registry.store=\"embedded\"'");
        check("a b", "'a b'");
        check("it's", "'it'\\''s'");
        check("", "''");
    }
}
