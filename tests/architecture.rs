//! The rules of the house, kept by reading its source and its documents. Each rule is a pure function over one file, or over
//! all of them in `house`; the tests in `bites` break each of them once.

#[path = "architecture/bites.rs"]
mod bites;
#[path = "architecture/commands.rs"]
mod commands;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/figures.rs"]
mod figures;
#[path = "architecture/house.rs"]
mod house;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::{Source, words};

/// What a floor may import, and words that it must never contain.
struct Floor {
    /// The beginning of its files' paths.
    place: &'static str,
    /// Beginnings of paths within the crate.
    may_import: &'static [&'static str],
    /// Beginnings of paths that it must not name, in this crate or another.
    never: &'static [&'static str],
}

/// I/O, and what waits: neither has a place where decisions are made.
const NOT_PURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::sync::atomic",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::mpsc",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::*",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::*",
    "std::os",
    "std::os::unix::net",
    "libc",
    "rustix",
    "io_uring",
    "tokio",
    "hyper",
    "crossbeam_channel",
];

/// Not of the house's own decisions: what a service talks about, never how a shard decides.
const DECISIONS: &[&str] = &[
    "crate::logic::state",
    "crate::logic::connections",
    "crate::logic::users",
    "crate::protocol::native",
    "crate::protocol::stack",
    "crate::protocol::dialect",
];

/// The table of src/ARCHITECTURE.md. The first place that fits counts.
const FLOORS: &[Floor] = &[
    Floor {
        place: "src/base/time.rs",
        may_import: &["base"],
        never: &["std::fs", "std::net", "std::thread", "prost"],
    },
    Floor {
        place: "src/base/",
        may_import: &["base"],
        never: &[
            "std::fs",
            "std::io",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::thread",
            "rustix",
            "libc",
            "prost",
        ],
    },
    Floor {
        place: "src/protocol/",
        may_import: &["base", "protocol"],
        never: NOT_PURE,
    },
    Floor {
        place: "src/logic/",
        may_import: &["base", "protocol", "logic"],
        never: NOT_PURE,
    },
    Floor {
        place: "src/engine/",
        may_import: &["base", "engine"],
        never: &[
            "prost",
            "crate::base::ids::UserId",
            "crate::base::ids::DeviceId",
            "crate::base::ids::SessionId",
        ],
    },
    Floor {
        place: "src/shard/",
        may_import: &["base", "protocol", "logic", "engine", "shard"],
        never: &[],
    },
    Floor {
        place: "src/services/",
        may_import: &["base", "protocol", "logic", "services"],
        never: DECISIONS,
    },
    Floor {
        place: "src/node/",
        may_import: &["base", "protocol", "logic", "engine", "shard", "services", "node"],
        never: &[],
    },
    Floor {
        place: "src/cli/",
        may_import: &["base", "protocol", "logic", "engine", "services", "node", "cli"],
        never: &[],
    },
    Floor {
        place: "src/bin/",
        may_import: &["base", "protocol", "engine"],
        never: &[],
    },
    Floor {
        place: "src/main.rs",
        may_import: &[
            "base", "protocol", "logic", "engine", "shard", "services", "node", "cli",
        ],
        never: &[],
    },
    Floor {
        place: "src/lib.rs",
        may_import: &[],
        never: &[],
    },
];

/// Everything that is a floor; other names at the crate's root are not the table's business.
const NAMES: &[&str] = &[
    "base", "protocol", "logic", "engine", "shard", "services", "node", "cli",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

type Rule = fn(&Source) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("floors", floors),
    ("module comments", module_comment),
    ("file size", file_size),
    ("function size", function_size),
    ("unsafe addresses", unsafe_addresses),
    ("unsafe reasons", unsafe_reasons),
    ("one clock", one_clock),
];

/// Whether `path` is `beginning` or something in it.
fn within(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A file imports only from its own floor and from those that the table gives it.
fn floors(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let Some(floor) = FLOORS.iter().find(|floor| source.path.starts_with(floor.place)) else {
        return vec!["stands on no floor of the house".to_owned()];
    };
    let allowed = |path: &str| match path.strip_prefix("crate::") {
        Some(inner) if NAMES.iter().any(|name| within(inner, name)) => {
            floor.may_import.iter().any(|name| within(inner, name))
        }
        Some(_) | None => true,
    };
    let broken = |path: &str| !allowed(path) || floor.never.iter().any(|never| within(path, never));
    let paths = source.paths().into_iter().filter(|(path, _)| broken(path));
    paths
        .map(|(path, line)| format!("{line}: names `{path}`"))
        .collect()
}

/// A module opens with what it is and what it never does.
fn module_comment(source: &Source) -> Vec<String> {
    let opens = source.text.starts_with("//! ") || source.text.starts_with("#![doc = include_str!");
    if opens {
        Vec::new()
    } else {
        vec!["1: does not open with `//!`".to_owned()]
    }
}

/// The places whose size the house watches: a test's own text may be as long as what it tells.
fn is_sized(source: &Source) -> bool {
    ["src/", "tests/sim/", "tests/architecture"]
        .iter()
        .any(|place| source.path.starts_with(place))
}

/// A file that passes 400 lines, without its tests, is two files.
fn file_size(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let tests =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    let length = lines.windows(2).position(tests).unwrap_or(lines.len());
    let is_test = source.path.ends_with("/tests.rs");
    if !is_sized(source) || is_test || length <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{length}: more than {FILE_LINES_MAX} lines")]
}

/// No function is longer than a look.
fn function_size(source: &Source) -> Vec<String> {
    let too_long =
        |(line, length): &(usize, usize)| is_sized(source) && *line > 0 && *length > FUNCTION_LINES_MAX;
    let long = functions(&source.code).into_iter().filter(too_long);
    long.map(|(line, length)| format!("{line}: a function of {length} lines"))
        .collect()
}

/// The first line and the number of lines of each function with a body.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let starts = (0..lines.len()).filter(|line| {
        let mut rest = words(lines[*line]).skip_while(|word| *word != "fn");
        rest.next().is_some() && rest.next().is_some()
    });
    starts
        .filter_map(|start| Some((start + 1, body_lines(&lines[start..])?)))
        .collect()
}

/// How many lines there are to the brace that closes the first one opened; `None` if a semicolon comes first.
fn body_lines(lines: &[&str]) -> Option<usize> {
    let (mut braces, mut others) = (0_i32, 0_i32);
    let after_fn = lines[0].find("fn ").unwrap_or(0);
    for (number, line) in lines.iter().enumerate() {
        for character in line[if number == 0 { after_fn } else { 0 }..].chars() {
            match character {
                '{' => braces += 1,
                '}' => braces -= 1,
                '(' | '[' => others += 1,
                ')' | ']' => others -= 1,
                ';' if braces == 0 && others == 0 => return None,
                _ => continue,
            }
            if character == '}' && braces == 0 {
                return Some(number + 1);
            }
        }
    }
    None
}

/// `unsafe` lives in the engine; tests and benches may need it to watch the allocator.
fn unsafe_addresses(source: &Source) -> Vec<String> {
    let lives_here = ["src/engine/", "tests/", "benches/"]
        .iter()
        .any(|place| source.path.starts_with(place));
    let words = if lives_here {
        Vec::new()
    } else {
        source.lines_with_word("unsafe")
    };
    words
        .iter()
        .map(|line| format!("{line}: unsafe outside the engine"))
        .collect()
}

/// Each `unsafe` block and `impl` says why it is sound. An `unsafe fn` asks it of its callers, and its own blocks say it.
fn unsafe_reasons(source: &Source) -> Vec<String> {
    let text: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    let asks_callers = |line: usize| {
        let mut rest = words(code[line]).skip_while(|word| *word != "unsafe").skip(1);
        rest.any(|word| word == "fn")
    };
    let lines = source.lines_with_word("unsafe").into_iter();
    let without = lines.filter(|line| !asks_callers(line - 1) && !has_reason(&text, &code, line - 1));
    without
        .map(|line| format!("{line}: unsafe without a SAFETY comment"))
        .collect()
}

/// Looks at the line, and up to where its statement begins.
fn has_reason(text: &[&str], code: &[&str], line: usize) -> bool {
    let says = |line: usize| {
        ["// SAFETY:", "# Safety"]
            .iter()
            .any(|mark| text[line].contains(mark))
    };
    let ends_statement = |line: usize| code[line].trim_end().ends_with([';', '{', '}']);
    says(line)
        || (0..line)
            .rev()
            .take_while(|above| !ends_statement(*above))
            .any(says)
}

/// Only base/time.rs asks the operating system for the time.
fn one_clock(source: &Source) -> Vec<String> {
    // The latter asks how much of a CPU a thread had.
    const WITH_A_CLOCK: [&str; 2] = ["src/base/time.rs", "src/bin/holdfast-load/process.rs"];
    if WITH_A_CLOCK.contains(&&*source.path) || !source.path.starts_with("src/") {
        return Vec::new();
    }
    const CLOCKS: &[&str] = &["clock_gettime", "gettimeofday", "ClockId"];
    let named = CLOCKS.iter().flat_map(|clock| source.lines_with_word(clock));
    let paths = source.paths();
    // A terminal on the command line waits on its runtime's timers; nothing that the gateway decides sees them.
    let timers =
        source.path.starts_with("src/cli/") && paths.iter().any(|(path, _)| path == "tokio::time::Instant");
    let asks = |path: &str| path.ends_with("SystemTime::now") || (path.ends_with("Instant::now") && !timers);
    let asked = paths.into_iter().filter(|(path, _)| asks(path));
    let lines = named.chain(asked.map(|(_, line)| line));
    lines
        .map(|line| format!("{line}: asks for the time by itself"))
        .collect()
}

/// Files that name tokio-uring: its runtime is one file's affair.
fn names_tokio_uring(sources: &[Source]) -> Vec<&str> {
    let naming = sources
        .iter()
        .filter(|source| !source.lines_with_word("tokio_uring").is_empty());
    naming
        .map(|source| source.path.as_str())
        .filter(|path| path.starts_with("src/"))
        .collect()
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder of the package can be read").path();
        let name = path
            .strip_prefix(root)
            .expect("it is below")
            .to_string_lossy()
            .replace('\\', "/");
        if path.is_dir() && !name.ends_with("/target") && !name.ends_with("/corpus") {
            collect(&path, root, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            found.push(Source::new(&name, &text));
        }
    }
}

fn package() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect(&root.join(folder), root, &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 10, "the package was found");
    found
}

#[test]
fn the_house_keeps_its_rules() {
    let sources = package();
    let mut broken = Vec::new();
    for source in &sources {
        for (name, rule) in RULES {
            broken.extend(
                rule(source)
                    .into_iter()
                    .map(|fault| format!("{name}: {}:{fault}", source.path)),
            );
        }
    }
    let naming = names_tokio_uring(&sources);
    if naming.len() > 1 {
        broken.push(format!("one runtime: tokio_uring is named in {naming:?}"));
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
