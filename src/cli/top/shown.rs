//! What is shown: some lines with a title each, and a table whose first row is that of all. It knows nothing of what it shows.

use std::fmt::Write;

/// What is shown of an interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShownFigures {
    /// How long it was.
    pub(super) seconds: f64,
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) columns: &'static [&'static str],
    /// One for all, then one for each.
    pub(super) rows: Vec<Vec<String>>,
}

impl ShownFigures {
    /// All of it as lines.
    pub(super) fn text(&self) -> String {
        let mut out = format!("in {:.1} s:\n", self.seconds);
        let mut line = |text: &str| writeln!(out, "{}", text.trim_end()).expect("a string takes every text");
        for (title, text) in &self.lines {
            line(&format!("{title:<12} {text}"));
        }
        let cells = |row: &[String]| {
            let cells = row.iter().zip(self.columns);
            let cells = cells.map(|(cell, column)| format!("{cell:>width$}", width = width(column)));
            cells.collect::<Vec<_>>().join(" ")
        };
        let head: Vec<String> = self.columns.iter().map(|column| (*column).to_owned()).collect();
        line(&cells(&head));
        self.rows.iter().for_each(|row| line(&cells(row)));
        line("");
        out
    }
}

/// How wide a column is.
pub(super) fn width(column: &str) -> usize {
    column.len().max(9)
}
