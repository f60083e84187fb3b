//! The commands in the documents: each program that the package builds is asked whether it understands what the pages say
//! to type, and cargo's arguments are held to the package. Carries none of them out.

use std::path::Path;
use std::process::{Command, Stdio};

use super::documents::{Document, code_spans, documents};
use super::source::{Source, words};

/// A command as a page has it.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    /// Without its folder.
    program: String,
    arguments: Vec<String>,
}

/// The words of a line of shell, one list a command; comments and what is redirected are left out.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | ';' | '&' | '<' | '>') => {
                let list = commands.last_mut().expect("there is one from the beginning");
                list.extend(word.take());
                if character != ' ' {
                    commands.push(Vec::new());
                }
            }
            (_, _) => word.get_or_insert_default().push(character),
        }
    }
    let list = commands.last_mut().expect("there is one from the beginning");
    list.extend(word);
    commands
}

/// The commands of one line, and then those within `$(…)`, in whose place a word stands.
fn commands(line: &str) -> Vec<Typed> {
    let mut outer = String::new();
    let mut inner = Vec::new();
    for (place, part) in line.split("$(").enumerate() {
        match part.split_once(')').filter(|_| place > 0) {
            Some((command, rest)) => {
                inner.push(command);
                outer.push('0');
                outer.push_str(rest);
            }
            None => outer.push_str(part),
        }
    }
    let lines = std::iter::once(outer.as_str()).chain(inner);
    lines.flat_map(split).filter_map(typed).collect()
}

fn typed(words: Vec<String>) -> Option<Typed> {
    let is_given =
        |word: &String| word == "sudo" || word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let mut words = words.into_iter().skip_while(is_given);
    let program = words.next()?;
    Some(Typed {
        program: program.rsplit('/').next()?.to_owned(),
        arguments: words.collect(),
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// The commands of a page with their lines: those of its blocks of shell, and what is quoted in a line and begins as one.
fn typed_in(document: &Document) -> Vec<(usize, Typed)> {
    let mut found = Vec::new();
    for (number, line, block) in document.lines() {
        let texts: Vec<&str> = match block {
            Some("sh") => vec![line],
            Some(_) => Vec::new(),
            None => code_spans(line).filter(|span| !span.contains('…')).collect(),
        };
        let all = texts.into_iter().flat_map(commands);
        found.extend(all.map(|command| (number, command)));
    }
    found
}

/// Whether a word stands for something that the reader puts in, as FILE does.
fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether the program takes these arguments: it reads them before it comes to the request for help.
fn is_understood(program: &Path, arguments: &[String]) -> bool {
    let asked = |arguments: &[&String]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--help").env_clear();
        let ended = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ended.expect("what the package builds can be started").success()
    };
    let all: Vec<&String> = arguments.iter().collect();
    let certain: Vec<&String> = arguments.iter().filter(|word| !is_placeholder(word)).collect();
    asked(&all) || certain.len() < all.len() && asked(&certain)
}

/// What cargo knows of the package.
struct Package<'a> {
    manifest: &'a str,
    sources: &'a [Source],
}

impl Package<'_> {
    /// Whether the manifest has this line.
    fn says(&self, line: &str) -> bool {
        self.manifest.lines().any(|other| other.trim() == line)
    }

    fn has_feature(&self, name: &str) -> bool {
        self.manifest.lines().any(|line| {
            line.split_once(" = [")
                .is_some_and(|(feature, _)| feature == name)
        })
    }

    fn has_profile(&self, name: &str) -> bool {
        ["dev", "release", "test", "bench"].contains(&name) || self.says(&format!("[profile.{name}]"))
    }

    fn has_file(&self, path: &str) -> bool {
        self.sources.iter().any(|source| source.path == path)
    }

    fn has_test_target(&self, name: &str) -> bool {
        self.has_file(&format!("tests/{name}.rs")) || self.has_file(&format!("tests/{name}/main.rs"))
    }

    /// Whether a test below `place` has this word in its name or in the path of its file, which are its modules.
    fn has_test(&self, place: &str, word: &str) -> bool {
        let files = self
            .sources
            .iter()
            .filter(|source| source.path.starts_with(place));
        files.into_iter().any(|source| {
            let (_, modules) = source.path.split_once('/').expect("it is in a folder");
            tests_of(source).any(|name| modules.contains(word) || name.contains(word))
        })
    }
}

/// The names of the tests in a file.
fn tests_of(source: &Source) -> impl Iterator<Item = &str> {
    let behind = source.code.split("#[test]").skip(1);
    behind.filter_map(|rest| words(rest).skip_while(|word| *word != "fn").nth(1))
}

/// What cargo is told.
#[derive(Default)]
struct Cargo<'a> {
    /// Where the tests are that it is to run.
    places: Vec<String>,
    /// Words that their names contain.
    filters: Vec<&'a str>,
    faults: Vec<String>,
}

/// What the package does not have of the arguments for cargo.
fn cargo_faults(arguments: &[String], package: &Package<'_>) -> Vec<String> {
    const KNOWN: &[&str] = &["build", "run", "test", "bench", "deb", "fmt", "clippy", "check"];
    let (own, _) = parted(arguments);
    let mut words = own.iter().map(String::as_str);
    let Some(command) = words.next().filter(|word| KNOWN.contains(word)) else {
        return vec!["no command of cargo that is known here".to_owned()];
    };
    let mut cargo = Cargo::default();
    while let Some(word) = words.next() {
        read_word(word, &mut words, package, &mut cargo);
    }
    if command == "test" {
        cargo.faults.extend(test_faults(&cargo, package));
    }
    cargo.faults
}

/// What is cargo's, and what is behind `--`.
fn parted(arguments: &[String]) -> (&[String], &[String]) {
    match arguments.iter().position(|word| word == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[]),
    }
}

fn read_word<'a>(
    word: &'a str,
    rest: &mut impl Iterator<Item = &'a str>,
    package: &Package<'_>,
    cargo: &mut Cargo<'a>,
) {
    let mut named = |is_there: &dyn Fn(&str) -> bool| {
        let names = rest.next().unwrap_or_default();
        let missing = names.split(',').filter(|name| !is_there(name));
        cargo
            .faults
            .extend(missing.map(|name| format!("{word} has no `{name}`")));
        names
    };
    match word {
        "--release" | "--timings" | "--no-default-features" | "--all-targets" | "--locked" => {}
        // The simulation is the library's, and lies with the tests.
        "--lib" => cargo.places.extend(["src/", "tests/sim/"].map(str::to_owned)),
        "--features" => drop(named(&|name| package.has_feature(name))),
        "--profile" => drop(named(&|name| package.has_profile(name))),
        "--bin" => drop(named(&|name| package.says(&format!("name = \"{name}\"")))),
        "--bench" => drop(named(&|name| package.has_file(&format!("benches/{name}.rs")))),
        "--test" => {
            let name = named(&|name| package.has_test_target(name));
            cargo.places.push(format!("tests/{name}"));
        }
        flag if flag.starts_with('-') => cargo.faults.push(format!("{flag} is not known here")),
        filter => cargo.filters.push(filter),
    }
}

fn test_faults(cargo: &Cargo<'_>, package: &Package<'_>) -> Vec<String> {
    let found = |word: &&&str| cargo.places.iter().any(|place| package.has_test(place, word));
    let missing = cargo.filters.iter().filter(|word| !found(word));
    missing
        .map(|word| format!("no test is called `{word}`"))
        .collect()
}

/// The programs of the package that documents name: where they are built.
const PROGRAMS: &[(&str, &str)] = &[
    ("holdfast", env!("CARGO_BIN_EXE_holdfast")),
    ("holdfast-load", env!("CARGO_BIN_EXE_holdfast-load")),
];

/// What is wrong with a command of a page.
fn faults(command: &Typed, package: &Package<'_>) -> Vec<String> {
    if command.program != "cargo" {
        return program_faults(&command.program, &command.arguments);
    }
    let (own, behind) = parted(&command.arguments);
    let mut faults = cargo_faults(own, package);
    if own.first().is_some_and(|word| word == "run") {
        let named = own.iter().skip_while(|word| *word != "--bin").nth(1);
        faults.extend(program_faults(named.map_or("holdfast", String::as_str), behind));
    }
    faults
}

fn program_faults(program: &str, arguments: &[String]) -> Vec<String> {
    let found = PROGRAMS.iter().find(|(name, _)| *name == program);
    let wrong = found.is_some_and(|(_, path)| !is_understood(Path::new(path), arguments));
    let text = || format!("{program} does not take `{}`", arguments.join(" "));
    wrong.then(text).into_iter().collect()
}

#[test]
fn commands_in_documents_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is there");
    let sources = super::package();
    let package = Package {
        manifest: &manifest,
        sources: &sources,
    };
    let mut all = Vec::new();
    let mut count = 0;
    for document in documents() {
        for (line, command) in typed_in(&document) {
            count += 1;
            let faults = faults(&command, &package).into_iter();
            all.extend(faults.map(|fault| format!("{}:{line}: {fault}", document.path)));
        }
    }
    assert!(count > 30, "the commands were found");
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

mod bites {
    use super::*;

    fn typed_words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        let check = |line: &str, expected: &[(&str, &[&str])]| {
            let found = commands(line)
                .into_iter()
                .map(|command| (command.program, command.arguments));
            let expected = expected.iter().map(|(program, arguments)| {
                (
                    (*program).to_owned(),
                    arguments.iter().map(|word| (*word).to_owned()).collect(),
                )
            });
            let expected: Vec<(String, Vec<String>)> = expected.collect();
            assert_eq!(found.collect::<Vec<_>>(), expected, "{line}");
        };
        check(
            "target/dist/a --set 'x=\"y z\"' # b",
            &[("a", &["--set", "x=\"y z\""])],
        );
        check("X=1 sudo a b | c && d", &[("a", &["b"]), ("c", &[]), ("d", &[])]);
        check("X=$(holdfast usersig a)", &[("holdfast", &["usersig", "a"])]);
        check("# nothing", &[]);
    }

    #[test]
    fn shell_and_quoted_commands_of_a_page_are_looked_at() {
        let text = "run `a b`, not `c …`\n```sh\nd\n```\n```toml\ne = 1\n```\n";
        let found = typed_in(&Document::new("a.md", text));
        let programs: Vec<_> = found
            .iter()
            .map(|(line, typed)| (*line, typed.program.as_str()))
            .collect();
        assert_eq!(programs, [(1, "a"), (3, "d")]);
    }

    #[test]
    fn a_command_that_the_program_does_not_have_is_found() {
        let check = |arguments: &str, broken: usize| {
            assert_eq!(
                program_faults("holdfast", &typed_words(arguments)).len(),
                broken,
                "{arguments}"
            );
        };
        check("status alice --detail", 0);
        check("--config FILE", 0);
        check("store salvage --to DIR", 0);
        check("status alice --details", 1);
        check("stats alice", 1);
        check("plan --connections many", 1);
        assert_eq!(program_faults("holdfast-load", &typed_words("beats")).len(), 1);
        assert_eq!(program_faults("curl", &typed_words("--nothing")).len(), 0);
    }

    #[test]
    fn what_cargo_would_not_find_is_found() {
        let sources = [
            Source::new("tests/e2e/main.rs", "mod killed; mod helper;"),
            Source::new("tests/e2e/killed.rs", "#[test]\n#[ignore]\nfn it_is_back() {}"),
            Source::new("tests/e2e/helper.rs", "fn a_helper() {}"),
            Source::new(
                "src/a.rs",
                "fn no_test() {}\n#[test]\nfn the_whole_table_of_a() {}",
            ),
            Source::new("benches/idle.rs", "fn main() {}"),
        ];
        let manifest = "[features]\nload = []\n[profile.dist]\n[[bin]]\nname = \"holdfast\"\n";
        let package = Package {
            manifest,
            sources: &sources,
        };
        let check = |arguments: &str, broken: usize| {
            let faults = cargo_faults(&typed_words(arguments), &package);
            assert_eq!(faults.len(), broken, "{arguments}: {faults:?}");
        };
        check("build --profile dist --features load", 0);
        check("build --profile ship --features load,peers", 2);
        check("bench --bench idle", 0);
        check("bench --bench busy", 1);
        check("test --test e2e killed", 0);
        check("test --test e2e back", 0);
        check("test --test e2e healed", 1);
        check("test --test e2e helper", 1);
        check("test --lib no_test", 1);
        check("test --test e3e killed", 2);
        check("test --lib the_whole_table", 0);
        check("test --lib killed", 1);
        check("run --release --bin holdfast", 0);
        check("ran --fast", 1);
        check("run --fast", 1);
    }
}
