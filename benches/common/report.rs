//! Reports: what was run where, and what came out, into `bench-results/<name>/`. What is claimed of a figure stands in the
//! table of aims.

use std::path::Path;

use serde_json::{Value, json};

use super::machine;
use super::results;
use super::results::aims;

/// One report in the making.
pub struct Report {
    name: &'static str,
    title: String,
    /// Of the machine as it was when the report began: later its bench may have been kept on few cores.
    machine: Value,
    text: Vec<String>,
    data: Vec<Value>,
}

impl Report {
    pub fn new(name: &'static str, title: &str) -> Self {
        let mut machine = machine::facts();
        if machine["profile"] == "release" {
            // The profile of benches shares its folder.
            machine["profile"] = "bench (as dist)".into();
        }
        Self {
            name,
            title: title.to_owned(),
            machine,
            text: Vec::new(),
            data: Vec::new(),
        }
    }

    /// A line for people, printed at once.
    pub fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.extend(line.split('\n').map(str::to_owned));
    }

    /// A raw figure.
    pub fn data(&mut self, data: Value) {
        self.data.push(data);
    }

    /// A figure that has an aim, under the words of the table of aims, and whether the aim holds.
    ///
    /// # Panics
    /// If the table has no such aim.
    pub fn claim(&mut self, claim: &str, figure: f64) {
        let bound = aims::bound(self.name, claim);
        let bound = bound.unwrap_or_else(|| panic!("{}: the table of aims has no {claim:?}", self.name));
        let ((words, limit), holds) = (bound.parts(), bound.holds(figure));
        let verdict = if holds { "met" } else { "missed" };
        self.line(&format!(
            "- {claim}: {figure:.3}, {words} {limit:.3}: **{verdict}**"
        ));
        self.data(
            json!({ "claim": claim, "figure": figure, "bound": words, "limit": limit, "holds": holds }),
        );
    }

    /// Writes the folder, and the index of all.
    pub fn write(mut self) {
        self.machine["took"] = machine::ran().into();
        let data = json!({
            "title": self.title, "command": format!("cargo bench --bench {}", self.name.replace('-', "_")), "machine": self.machine,
            "text": self.text, "data": self.data,
        });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-results");
        results::replace(&folder, self.name, &data, |_| Ok(())).expect("a folder for the results");
        println!("written: bench-results/{}", self.name);
        results::rewrite(&folder).expect("the index");
    }
}
