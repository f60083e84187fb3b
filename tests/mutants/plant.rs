//! A copy of the package with mutants in it: behind switches as many as fit, and each of the others alone. Changes nothing
//! outside of the copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::list::{Build, Mutant, Place};

/// Which mutant a run has, by its number in the list, counting from 1.
pub(crate) const SWITCH: &str = "HOLDFAST_MUTANT";

/// What the copy's library has besides.
const CHOICE: &str = r#"
/// Whether this run has the mutant of this number.
pub(crate) fn mutant(number: usize) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("HOLDFAST_MUTANT").ok()?.parse().ok());
    *CHOSEN == Some(number)
}
"#;

/// A mutant with its number and its place.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) number: usize,
    pub(crate) mutant: Mutant,
    pub(crate) place: Place,
}

/// Those that one build can have.
pub(crate) fn batches(planted: &[Planted]) -> Vec<Vec<Planted>> {
    let mut batches: Vec<Vec<Planted>> = Vec::new();
    for one in planted {
        let fits = |batch: &&mut Vec<Planted>| {
            let alone = |other: &Planted| other.mutant.build == Build::Alone;
            !alone(one)
                && !batch
                    .iter()
                    .any(|other| alone(other) || other.place.collides(&one.place))
        };
        match batches.iter_mut().find(fits) {
            Some(batch) => batch.push(one.clone()),
            None => batches.push(vec![one.clone()]),
        }
    }
    batches
}

/// What the copy leaves out.
const NOT_COPIED: &[&str] = &["target", "bench-results"];

/// Makes the copy what the package is with this batch in it. What is so already is not written, so that it need not be built
/// again.
pub(crate) fn copy(root: &Path, copy: &Path, batch: &[Planted]) {
    let mut files = BTreeMap::new();
    read(root, root, &mut files);
    for (path, text) in mutated(&files, batch) {
        files.insert(path, text);
    }
    let lib = files.get_mut(Path::new("src/lib.rs")).expect("a library");
    *lib = [b"#![allow(warnings)]\n", lib.as_slice(), CHOICE.as_bytes()].concat();
    // The tests of the library do not need the library beside them.
    let manifest = files.get_mut(Path::new("Cargo.toml")).expect("a package");
    let lines = String::from_utf8(manifest.clone()).expect("a manifest is text");
    let others = lines.lines().filter(|line| !line.starts_with("holdfast = {"));
    *manifest = others
        .flat_map(|line| [line, "\n"])
        .collect::<String>()
        .into_bytes();
    let mut there = BTreeMap::new();
    read(copy, copy, &mut there);
    for gone in there.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(copy.join(gone)).unwrap();
    }
    for (path, text) in files.iter().filter(|(path, text)| there.get(*path) != Some(text)) {
        let path = copy.join(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn read(folder: &Path, root: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let inside = path.strip_prefix(root).expect("it is below").to_owned();
        let name = inside.to_string_lossy();
        if name.starts_with('.') || NOT_COPIED.contains(&&*name) || name.ends_with("/target") {
            continue;
        }
        if path.is_dir() {
            read(&path, root, files);
        } else {
            files.insert(inside, fs::read(&path).unwrap());
        }
    }
}

/// The files that a batch changes.
fn mutated(files: &BTreeMap<PathBuf, Vec<u8>>, batch: &[Planted]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut places: BTreeMap<(&Path, usize, usize), Vec<&Planted>> = BTreeMap::new();
    for planted in batch {
        let Place { file, start, end } = &planted.place;
        places.entry((file, *start, *end)).or_default().push(planted);
    }
    let mut changed: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    // From the end of each file on, so that the places before stay where they are.
    for ((file, start, end), planted) in places.into_iter().rev() {
        let text = changed
            .entry(file.to_owned())
            .or_insert_with(|| files[file].clone());
        let original = String::from_utf8(text[start..end].to_vec()).expect("a source is text");
        text.splice(start..end, replaced(&original, &planted).into_bytes());
    }
    changed
}

/// The text with its mutants, of which a run chooses one or none.
fn replaced(original: &str, planted: &[&Planted]) -> String {
    if let [Planted { mutant, .. }] = planted
        && mutant.build == Build::Alone
    {
        return mutant.replace.clone();
    }
    let choices = planted.iter().map(|planted| {
        format!(
            "if crate::mutant({}) {{ {} }} else ",
            planted.number, planted.mutant.replace
        )
    });
    let choice = format!("{}{{ {original} }}", choices.collect::<String>());
    // What ends so is a statement.
    if original.ends_with([';', '}']) {
        choice
    } else {
        format!("({choice})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(number: usize, start: usize, end: usize, build: Build) -> Planted {
        let text = |text: &str| text.to_owned();
        let mutant = Mutant {
            name: text("a"),
            breaks: text(""),
            rule: None,
            file: text("src/a.rs"),
            behind: text(""),
            ahead: text(""),
            find: text(""),
            replace: format!("r{number}"),
            check: text(""),
            build,
        };
        Planted {
            number,
            mutant,
            place: Place {
                file: "src/a.rs".into(),
                start,
                end,
            },
        }
    }

    #[test]
    fn mutants_that_collide_are_built_apart() {
        let all = [
            planted(1, 0, 4, Build::Together),
            planted(2, 2, 6, Build::Together),
            planted(3, 4, 6, Build::Together),
            planted(4, 0, 4, Build::Together),
            planted(5, 9, 9, Build::Alone),
        ];
        let numbers = |batch: Vec<Planted>| batch.iter().map(|one| one.number).collect::<Vec<_>>();
        let numbers: Vec<_> = batches(&all).into_iter().map(numbers).collect();
        assert_eq!(numbers, [vec![1, 3, 4], vec![2], vec![5]]);
    }

    #[test]
    fn a_text_is_replaced_behind_a_switch_or_as_it_is() {
        let check = |text: &str, batch: &[Planted], expected: &str| {
            let files = BTreeMap::from([(PathBuf::from("src/a.rs"), text.as_bytes().to_vec())]);
            let changed = mutated(&files, batch).remove(Path::new("src/a.rs")).unwrap();
            assert_eq!(String::from_utf8(changed).unwrap(), expected);
        };
        let together = |number, start, end| planted(number, start, end, Build::Together);
        check(
            "f(a);",
            &[together(1, 2, 3)],
            "f((if crate::mutant(1) { r1 } else { a }));",
        );
        check(
            "a; b;",
            &[together(2, 3, 5)],
            "a; if crate::mutant(2) { r2 } else { b; }",
        );
        let both = "(if crate::mutant(1) { r1 } else if crate::mutant(2) { r2 } else { a })";
        check("a", &[together(1, 0, 1), together(2, 0, 1)], both);
        check("a + b", &[planted(3, 0, 5, Build::Alone)], "r3");
    }
}
