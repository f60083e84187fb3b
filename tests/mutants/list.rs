//! The lists of mutants: what each breaks, where, and which check must fail. Reads them and finds their places; builds nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A change of the source that breaks something on purpose.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// What is wrong with it, in a sentence.
    pub(crate) breaks: String,
    /// The presence rule that it breaks, by its name in `rules.toml`, if it breaks one.
    pub(crate) rule: Option<String>,
    /// The file that it changes, or a folder of files, from the package's root.
    pub(crate) file: String,
    /// What stands right before it, to tell it from the same text elsewhere.
    #[serde(default)]
    pub(crate) behind: String,
    /// What stands right after it.
    #[serde(default)]
    pub(crate) ahead: String,
    /// What is replaced: whole statements or a whole expression. It stands exactly once there; blanks, line
    /// breaks and commas before a closing bracket do not count.
    pub(crate) find: String,
    /// What it is replaced by; nothing if the statement goes.
    #[serde(default)]
    pub(crate) replace: String,
    /// The tests of the library of which one must fail, as `cargo test --lib` takes them; those of the list if none are named.
    #[serde(default)]
    pub(crate) check: String,
    /// How it gets into the source.
    #[serde(default)]
    pub(crate) build: Build,
}

/// How a mutant gets into the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Build {
    /// With others, behind a switch that the run sets.
    #[default]
    Together,
    /// In a build of its own: the text is a pattern, a constant, or another thing that cannot be chosen when the program runs.
    Alone,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// For all mutants of the list that do not name another.
    check: String,
    mutant: Vec<Mutant>,
}

/// A rule that must have a mutant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// What it says.
    #[allow(dead_code, reason = "for those who read the list")]
    pub(crate) says: String,
}

#[derive(Deserialize)]
struct Rules {
    rule: Vec<Rule>,
}

/// Where the lists are.
const LISTS: &str = "tests/sim/mutants";
const RULES: &str = "rules.toml";

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All mutants of all lists, in the order of the lists' names.
pub(crate) fn all() -> Vec<Mutant> {
    let mut files: Vec<PathBuf> = files_below(&root().join(LISTS));
    files.retain(|path| path.extension().is_some_and(|end| end == "toml") && !path.ends_with(RULES));
    files
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let list: List =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let check = list.check;
            list.mutant.into_iter().map(move |mutant| Mutant {
                check: if mutant.check.is_empty() {
                    check.clone()
                } else {
                    mutant.check.clone()
                },
                ..mutant
            })
        })
        .collect()
}

/// The rules that must be broken by one mutant at least.
pub(crate) fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(root().join(LISTS).join(RULES)).unwrap();
    toml::from_str::<Rules>(&text).unwrap().rule
}

/// Where a mutant's text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the package's root.
    pub(crate) file: PathBuf,
    /// Bytes of the file.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    /// Whether both cannot be replaced in the same file; two that are the same can.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        self != other && self.file == other.file && self.start < other.end && other.start < self.end
    }
}

/// The one place of a mutant's text in the sources below `root`.
pub(crate) fn place(root: &Path, mutant: &Mutant) -> Result<Place, String> {
    let path = root.join(&mutant.file);
    let files = if path.is_file() {
        vec![path]
    } else {
        files_below(&path)
    };
    let mut places = Vec::new();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let text = fs::read_to_string(path).unwrap();
        let file = path.strip_prefix(root).expect("it is below").to_owned();
        places.extend(
            find(&text, [&mutant.behind, &mutant.find, &mutant.ahead])
                .into_iter()
                .map(|(start, end)| Place {
                    file: file.clone(),
                    start,
                    end,
                }),
        );
    }
    match places.as_slice() {
        [place] => Ok(place.clone()),
        _ => Err(format!(
            "{}: its text stands {} times in {}",
            mutant.name,
            places.len(),
            mutant.file
        )),
    }
}

/// All files below a folder, by name.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The beginnings and ends of a text in another one, between these two, whatever blanks and commas a formatter has put there.
fn find(text: &str, [behind, wanted, ahead]: [&str; 3]) -> Vec<(usize, usize)> {
    let [all, before, wanted] = [text, behind, wanted].map(compact);
    let whole: Vec<(usize, char)> = before
        .iter()
        .chain(&wanted)
        .copied()
        .chain(compact(ahead))
        .collect();
    assert!(!wanted.is_empty(), "something is replaced");
    let matches = all.windows(whole.len()).filter(|window| {
        window
            .iter()
            .zip(&whole)
            .all(|((_, one), (_, other))| one == other)
    });
    let place = |window: &[(usize, char)]| {
        let (first, last) = (window[before.len()], window[before.len() + wanted.len() - 1]);
        (first.0, last.0 + last.1.len_utf8())
    };
    matches.map(place).collect()
}

/// The characters that count, with their places.
fn compact(text: &str) -> Vec<(usize, char)> {
    let mut kept: Vec<(usize, char)> = Vec::with_capacity(text.len());
    for (place, character) in text
        .char_indices()
        .filter(|(_, character)| !character.is_whitespace())
    {
        if ")]}".contains(character) && kept.last().is_some_and(|(_, last)| *last == ',') {
            kept.pop();
        }
        kept.push((place, character));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_laid_out() {
        let check = |text: &str, wanted: [&str; 3], expected: &[&str]| {
            let found = find(text, wanted);
            let found: Vec<&str> = found.iter().map(|(start, end)| &text[*start..*end]).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check(
            "if a {\n    f(\n        b,\n    );\n}",
            ["", "f(b);", ""],
            &["f(\n        b,\n    );"],
        );
        check("f(b);", ["", "f(\n b,\n);", ""], &["f(b);"]);
        check("f(b); f(b);", ["", "f(b)", ""], &["f(b)", "f(b)"]);
        check("f(b); f(b);", ["f(b);", "f(b)", ""], &["f(b)"]);
        check("f(b); f(b);", ["", "f(b)", "; f"], &["f(b)"]);
        check("f(c)", ["", "f(b)", ""], &[]);
        check("\u{e4}(x)", ["", "(x)", ""], &["(x)"]);
    }
}
