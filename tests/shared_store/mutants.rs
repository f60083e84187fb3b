//! Scripts that are broken on purpose: some test must fail with each. The scripts are text in this program, so a mutant needs no
//! build: a copy of the program has the text replaced, filled up with blanks to the same length. The list is `mutants.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

const LIST: &str = "tests/shared_store/mutants.toml";
const SCRIPTS: &str = "src/services/shared_store/scripts";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutants {
    mutant: Vec<Mutant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// The script's file, without its ending.
    script: String,
    /// What goes: it stands exactly once in the script.
    find: String,
    /// What takes its place.
    #[serde(default)]
    replace: String,
    /// The tests of which one must fail: the beginning of their names.
    check: String,
}

impl Mutant {
    /// The script as it is, and broken, in as many bytes.
    fn texts(&self) -> (String, String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPTS);
        let text = fs::read_to_string(path.join(format!("{}.lua", self.script))).unwrap();
        let found = text.matches(&self.find).count();
        assert_eq!(found, 1, "{}: its text stands {found} times", self.name);
        let broken = text.replace(&self.find, &self.replace);
        let broken = match broken.len().checked_sub(text.len()) {
            None | Some(0) => format!("{broken}{}", " ".repeat(text.len() - broken.len())),
            Some(surplus) => shortened(&broken, surplus),
        };
        assert_eq!(broken.len(), text.len(), "{}", self.name);
        (text, broken)
    }

    /// Whether a test fails with it. The script stands at this place of the program.
    fn is_caught(&self, program: &[u8], place: usize, folder: &Path) -> bool {
        let mut program = program.to_vec();
        let broken = self.texts().1;
        program[place..place + broken.len()].copy_from_slice(broken.as_bytes());
        let copy = folder.join(&self.name);
        fs::write(&copy, program).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new(&copy)
            .args([&self.check, "--test-threads=1"])
            .output()
            .unwrap();
        fs::remove_file(copy).unwrap();
        String::from_utf8_lossy(&output.stdout).contains(" ... FAILED")
    }
}

/// A script with so many characters less in a comment.
fn shortened(script: &str, surplus: usize) -> String {
    let long = |line: &&str| line.starts_with("-- ") && line.len() > 3 + surplus;
    let comment = script.lines().find(long).expect("a comment has room");
    script.replacen(comment, &comment[..comment.len() - surplus], 1)
}

/// Where a script stands in the program: once.
fn place_of(program: &[u8], script: &[u8]) -> usize {
    let windows = program.windows(script.len()).enumerate();
    let places: Vec<usize> = windows
        .filter_map(|(place, window)| (window == script).then_some(place))
        .collect();
    let [place] = places[..] else {
        panic!("a script stands {} times in the program", places.len());
    };
    place
}

fn mutants() -> Vec<Mutant> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST)).unwrap();
    toml::from_str::<Mutants>(&text).unwrap().mutant
}

#[test]
fn every_broken_script_applies_once() {
    let mutants = mutants();
    assert!(mutants.len() > 50, "they were found");
    let program = std::env::current_exe().unwrap();
    let tests = Command::new(program).arg("--list").output().unwrap().stdout;
    let tests = String::from_utf8(tests).unwrap();
    for mutant in &mutants {
        mutant.texts();
        let names_one = tests.lines().any(|test| test.starts_with(&mutant.check));
        assert!(names_one, "{} names no test", mutant.check);
    }
}

#[test]
#[ignore = "takes minutes"]
fn every_broken_script_is_noticed() {
    let named = std::env::var("HOLDFAST_MUTANTS").unwrap_or_default();
    let named: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    let is_named = |mutant: &Mutant| named.is_empty() || named.contains(&mutant.name.as_str());
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut survived = Vec::new();
    let mut places = BTreeMap::new();
    for mutant in mutants().into_iter().filter(is_named) {
        let script = mutant.texts().0;
        let place = *places
            .entry(script)
            .or_insert_with_key(|script| place_of(&program, script.as_bytes()));
        let caught = mutant.is_caught(&program, place, folder.path());
        println!(
            "{:<32} {}",
            mutant.name,
            if caught { "caught" } else { "SURVIVED" }
        );
        if !caught {
            survived.push(mutant.name);
        }
    }
    assert!(survived.is_empty(), "nothing caught {survived:?}");
}
