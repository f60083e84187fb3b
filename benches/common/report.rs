//! Reports: what was run where, and what came out, into `bench-results/<date>-<name>/`.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::machine;

/// One report in the making.
pub struct Report {
    name: &'static str,
    title: String,
    /// Of the machine as it was when the report began: later its bench may have been kept on few cores.
    machine: Value,
    text: String,
    data: Vec<Value>,
}

impl Report {
    pub fn new(name: &'static str, title: &str) -> Self {
        Self {
            name,
            title: title.to_owned(),
            machine: machine::facts(),
            text: String::new(),
            data: Vec::new(),
        }
    }

    /// A line for people, printed at once.
    pub fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.text, "{line}").expect("text grows");
    }

    /// A raw figure.
    pub fn data(&mut self, data: Value) {
        self.data.push(data);
    }

    /// A claim that a figure is no larger than this, and whether it holds.
    pub fn claim(&mut self, claim: &str, figure: f64, at_most: f64) {
        self.judge(claim, figure, ("at most", at_most), figure <= at_most);
    }

    /// A claim that a figure is no smaller than this, and whether it holds.
    pub fn claim_at_least(&mut self, claim: &str, figure: f64, at_least: f64) {
        self.judge(claim, figure, ("at least", at_least), figure >= at_least);
    }

    fn judge(&mut self, claim: &str, figure: f64, (bound, limit): (&str, f64), holds: bool) {
        let verdict = if holds { "holds" } else { "MISSED" };
        self.line(&format!(
            "- {claim}: {figure:.3}, {bound} {limit:.3}: **{verdict}**"
        ));
        self.data(
            json!({ "claim": claim, "figure": figure, "bound": bound, "limit": limit, "holds": holds }),
        );
    }

    /// Writes the folder.
    pub fn write(self) {
        let folder: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "bench-results",
            &format!("{}-{}", machine::today(), self.name),
        ]
        .iter()
        .collect();
        std::fs::create_dir_all(&folder).expect("a folder for the results");
        let mut text = format!("# {}\n\n", self.title);
        for (key, value) in self.machine.as_object().expect("an object") {
            writeln!(text, "- {key}: {}", value.as_str().unwrap_or_default()).expect("text grows");
        }
        writeln!(
            text,
            "- command: `cargo bench --bench {}`\n\n{}",
            self.name, self.text
        )
        .expect("text grows");
        std::fs::write(folder.join("README.md"), text).expect("the report");
        let data = json!({ "machine": self.machine, "data": self.data });
        let data = serde_json::to_string_pretty(&data).expect("JSON");
        std::fs::write(folder.join("data.json"), data + "\n").expect("the data");
        println!("written: bench-results/{}-{}", machine::today(), self.name);
    }
}
