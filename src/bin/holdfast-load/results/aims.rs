//! All current figures: the folder of each, the command that makes it, and what it is to be. Aims stand here and nowhere
//! else: the benches and the index read them.

mod benches;
mod clusters;
mod load;
mod reasons;
mod versus;
mod wrapped;

use super::figures::{Bound, ResultsFolder};

pub(crate) use reasons::FLAT;

/// All folders: those of the benches, and then those of `holdfast-load`.
pub(crate) fn folders() -> impl Iterator<Item = &'static ResultsFolder> {
    benches::FOLDERS
        .iter()
        .chain(load::FOLDERS)
        .chain(clusters::FOLDERS)
        .chain(versus::FOLDERS)
        .chain(wrapped::FOLDERS)
}

/// The folder of this name, if it is one of a current figure.
pub(crate) fn folder(name: &str) -> Option<&'static ResultsFolder> {
    folders().find(|folder| folder.name == name)
}

/// What a bench's claim is to be.
#[allow(dead_code, reason = "the benches ask for it")]
pub(crate) fn bound(name: &str, claim: &str) -> Option<Bound> {
    let mut figures = folder(name)?.figures.iter();
    let figure = figures.find(|figure| figure.claim == Some(claim))?;
    Some(figure.aim?.bound)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::figures::Figure;
    use super::*;

    #[test]
    fn every_aim_has_a_reason_and_every_folder_a_name_of_its_own() {
        let mut names = HashSet::new();
        for folder in folders() {
            assert!(names.insert(folder.name), "{} stands there twice", folder.name);
            let dated = folder.name.starts_with(|first: char| first.is_ascii_digit());
            assert!(!dated && !folder.figures.is_empty(), "{}", folder.name);
            for aim in folder.figures.iter().filter_map(|figure| figure.aim) {
                assert!(!aim.reason.is_empty(), "{}: {aim:?}", folder.name);
            }
        }
    }

    #[test]
    fn what_was_measured_apart_is_not_excused_by_loopback() {
        for folder in folders().filter(|folder| folder.command.contains("--apart")) {
            let aims = folder.figures.iter().filter_map(|figure| figure.aim);
            for missed in aims.filter_map(|aim| aim.missed) {
                assert!(!missed.contains("loopback"), "{}: {missed}", folder.name);
            }
        }
    }

    #[test]
    fn the_benches_claim_what_the_table_has() {
        for folder in folders() {
            let Some(bench) = folder.command.strip_prefix("cargo bench --bench ") else {
                continue;
            };
            assert_eq!(
                bench.replace('_', "-"),
                folder.name,
                "a bench's folder has its name"
            );
            let path = format!("{}/benches/{bench}.rs", env!("CARGO_MANIFEST_DIR"));
            let source = std::fs::read_to_string(path).unwrap();
            let named = |figure: &Figure| {
                let claim = figure.claim.map(|claim| ("claim", claim));
                figure.place.texts.into_iter().flatten().chain(claim)
            };
            for (name, text) in folder.figures.iter().flat_map(named) {
                // One is made of its arrangement and its operation.
                let words = text.strip_suffix(": ratio to epoll").unwrap_or(text);
                let words = words.split_once(": ").map_or(words, |(_, words)| words);
                let there = source.contains(&format!("\"{words}\""));
                assert!(there, "{bench}: {name}: no {words:?}");
            }
        }
    }

    #[test]
    fn a_bench_finds_the_bound_of_its_claim() {
        let claim = "µs of CPU per user state without details";
        assert_eq!(bound("query", claim), Some(Bound::AtMost(0.25)));
        let claim_of_raw = "µs of CPU per user state with details";
        assert_eq!(bound("query", claim_of_raw), Some(Bound::AtMost(0.4)));
        assert_eq!(bound("query", "without details"), None);
        assert_eq!(bound("no such bench", claim), None);
    }
}
