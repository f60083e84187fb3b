//! The rules between files: what may import what in a floor, whose fields others reach, names, test switches, and that every
//! room is named in the map of the house. Each rule is a pure function over all sources. Never looks into tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::documents::code_spans;
use super::source::{Source, module_of, words};
use super::{FLOORS, package};

/// What the rules between files read: production code alone, by module.
pub(super) struct House {
    rooms: BTreeMap<String, Source>,
}

impl House {
    pub(super) fn new(sources: &[Source]) -> Self {
        let in_src = sources.iter().filter(|source| source.path.starts_with("src/"));
        let all: Vec<(String, &Source)> = in_src
            .map(|source| (module_of(&source.path).join("::"), source))
            .collect();
        let test_only: Vec<String> = all
            .iter()
            .flat_map(|(module, source)| test_modules(module, &source.code))
            .collect();
        let is_test = |module: &str| {
            module.split("::").any(|part| part == "tests")
                || test_only
                    .iter()
                    .any(|test| module == test || module.starts_with(&format!("{test}::")))
        };
        let production = all.into_iter().filter(|(module, _)| !is_test(module));
        Self {
            rooms: production
                .map(|(module, source)| (module, without_tests(source)))
                .collect(),
        }
    }

    /// The innermost room that `path` is in, or is.
    fn room_of(&self, path: &str) -> Option<&str> {
        let ends = path.match_indices("::").map(|(end, _)| end).chain([path.len()]);
        let beginnings = ends.map(|end| &path[..end]);
        let rooms = beginnings.filter_map(|beginning| self.rooms.get_key_value(beginning));
        rooms.last().map(|(room, _)| room.as_str())
    }

    /// The other rooms of its floor from which a room imports.
    fn imports(&self, module: &str, source: &Source) -> BTreeSet<&str> {
        let floor = floor_of(module);
        let paths = source.paths().into_iter().filter_map(|(path, _)| {
            let path = match path.strip_prefix("crate::") {
                Some(path) if floor.starts_with("bin::") && !path.starts_with("bin::") => {
                    format!("{floor}::{path}")
                }
                Some(path) => path.to_owned(),
                None if path.contains("::") => format!("{module}::{path}"),
                None => return None,
            };
            let room = self.room_of(&path)?;
            // A program's root has nothing that its rooms use: such a path leads into the library.
            let is_root = floor.starts_with("bin::") && room == floor;
            (room != module && !is_root && floor_of(room) == floor).then_some(room)
        });
        paths.collect()
    }
}

/// The modules that a file declares for tests alone.
fn test_modules(module: &str, code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let switches = (0..lines.len()).filter(|line| lines[*line].trim() == "#[cfg(test)]");
    let declared = switches.filter_map(|line| {
        let name = behind_attributes(&lines, line)?
            .strip_prefix("mod ")?
            .strip_suffix(';')?;
        Some(if module.is_empty() {
            name.to_owned()
        } else {
            format!("{module}::{name}")
        })
    });
    declared.collect()
}

/// The first line below `line` that is no attribute, without the word that opens it to the crate: the simulation looks into some tests.
fn behind_attributes<'a>(lines: &[&'a str], line: usize) -> Option<&'a str> {
    let mut below = lines[line + 1..].iter().map(|line| line.trim());
    let found = below.find(|line| !line.starts_with("#["))?;
    Some(found.strip_prefix("pub(crate) ").unwrap_or(found))
}

/// A file up to its tests, which are its end.
fn without_tests(source: &Source) -> Source {
    let lines: Vec<&str> = source.text.lines().collect();
    let tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    let length = lines.windows(2).position(tests).unwrap_or(lines.len());
    Source::new(&source.path, &lines[..length].join("\n"))
}

/// `logic` of `logic::users::queue`; each program of `src/bin` is a floor.
fn floor_of(module: &str) -> &str {
    let parts = if module.starts_with("bin::") { 2 } else { 1 };
    let end = module.match_indices("::").nth(parts - 1);
    end.map_or(module, |(end, _)| &module[..end])
}

/// Files of a floor do not import each other in a circle: what two of them share is in a file below both.
pub(super) fn circles(house: &House) -> Vec<String> {
    let imports: BTreeMap<&str, BTreeSet<&str>> = house
        .rooms
        .iter()
        .map(|(module, source)| (module.as_str(), house.imports(module, source)))
        .collect();
    let reach: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|room| (*room, reached(&imports, room)))
        .collect();
    let mut told = BTreeSet::new();
    let mut faults = Vec::new();
    for room in imports.keys().copied().filter(|room| reach[room].contains(room)) {
        let circle: BTreeSet<&str> = reach[room]
            .iter()
            .copied()
            .filter(|other| reach[other].contains(room))
            .collect();
        if told.insert(circle.clone()) {
            let ties = circle.iter().map(|room| {
                let within: Vec<_> = imports[room].intersection(&circle).copied().collect();
                format!("\n    {room} -> {}", within.join(", "))
            });
            let (floor, ties) = (floor_of(room).replace("::", "/"), ties.collect::<String>());
            faults.push(format!("src/{floor}/: {} files in a circle:{ties}", circle.len()));
        }
    }
    faults
}

/// All that can be reached by imports from a room; itself only by a circle.
fn reached<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, room: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = imports[room].iter().copied().collect();
    while let Some(room) = next.pop() {
        if found.insert(room) {
            next.extend(&imports[room]);
        }
    }
    found
}

/// A type of logic whose fields other files of logic can reach is plain data: no method changes it.
pub(super) fn reached_fields(house: &House) -> Vec<String> {
    let logic = || {
        house
            .rooms
            .values()
            .filter(|source| source.path.starts_with("src/logic/"))
    };
    let changed: BTreeSet<String> = logic().flat_map(types_that_change).collect();
    let faults = logic().flat_map(|source| {
        let reached = types_within_reach(source).into_iter();
        let broken = reached.filter(|(name, _)| changed.contains(name));
        broken.map(|(name, line)| {
            format!(
                "{}:{line}: others reach into `{name}`, which has methods that change it",
                source.path
            )
        })
    });
    faults.collect()
}

/// The structs with a field that is visible in a part of the crate, with their lines.
fn types_within_reach(source: &Source) -> Vec<(String, usize)> {
    let mut open: Option<(String, usize)> = None;
    let mut found = Vec::new();
    for (line, number) in source.code.lines().zip(1..) {
        if let Some(name) = name_behind(line, "struct") {
            let fields = line.split_once(&name).map_or("", |(_, fields)| fields);
            if fields.contains("pub(") {
                found.push((name, number));
            } else if !fields.ends_with(';') {
                open = Some((name, number));
            }
        } else if line.trim_start().starts_with("pub(") && line.contains(':') {
            found.extend(open.take());
        } else if line.starts_with('}') {
            open = None;
        }
    }
    found
}

/// The types to which this file gives methods that take `&mut self`.
fn types_that_change(source: &Source) -> BTreeSet<String> {
    let mut of = None;
    let mut found = BTreeSet::new();
    for line in source.code.lines() {
        if line.starts_with("impl") {
            let target = line
                .rsplit_once(" for ")
                .map_or_else(|| behind_generics(line), |(_, name)| name);
            of = words(target).next().map(str::to_owned);
        } else if line.contains("&mut self") {
            found.extend(of.clone());
        }
    }
    found
}

/// What is behind `impl` and its generics.
fn behind_generics(line: &str) -> &str {
    let rest = &line["impl".len()..];
    match rest.strip_prefix('<') {
        Some(generics) => generics.split_once("> ").map_or("", |(_, rest)| rest),
        None => rest,
    }
}

/// The name that a line of code declares with this word.
fn name_behind(line: &str, word: &str) -> Option<String> {
    let mut rest = words(line).skip_while(|found| *found != word);
    rest.nth(1).map(str::to_owned)
}

/// One word, one meaning: no two types have one name, private ones included.
pub(super) fn names(house: &House) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in house.rooms.values() {
        for (line, number) in source.code.lines().zip(1..) {
            let declares = ["struct", "enum", "trait", "union"];
            let names = declares.iter().filter_map(|word| name_behind(line, word));
            let alias = line.trim_start_matches("pub ").strip_prefix("type ");
            let alias = alias.and_then(|alias| words(alias).next()).map(str::to_owned);
            for name in names.chain(alias) {
                places
                    .entry(name)
                    .or_default()
                    .push(format!("{}:{number}", source.path));
            }
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

/// Tests do not show in production code: their switch stands before `mod tests` only, or before what is mounted from `tests`.
pub(super) fn test_switches(house: &House) -> Vec<String> {
    house
        .rooms
        .values()
        .flat_map(|source| {
            let (code, text): (Vec<&str>, Vec<&str>) =
                (source.code.lines().collect(), source.text.lines().collect());
            let allowed = |line: usize| {
                let mounted = text.get(line + 1).is_some_and(|path| path.contains("tests/"));
                let below = behind_attributes(&code, line).unwrap_or_default();
                code[line].trim() == "#[cfg(test)]"
                    && (below.starts_with("mod tests") || (mounted && below.starts_with("mod ")))
            };
            let is_switch = |line: usize| {
                let found: Vec<&str> = words(code[line]).collect();
                found.contains(&"test") && found.iter().any(|word| word.starts_with("cfg"))
            };
            let broken = (0..code.len()).filter(|line| is_switch(*line) && !allowed(*line));
            broken
                .map(|line| format!("{}:{}: a switch for tests", source.path, line + 1))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The code maps name every room of every floor.
pub(super) fn unnamed_rooms(house: &House, architecture: &str) -> Vec<String> {
    let named = named_rooms(architecture);
    let rooms = house
        .rooms
        .iter()
        .filter(|(module, _)| floor_of(module) != module.as_str());
    let unnamed = rooms.filter(|(module, _)| {
        let floor = floor_of(module);
        let floor_name = floor.trim_start_matches("bin::");
        let inside = module[floor.len() + 2..].replace("::", "/");
        !named.contains(&format!("{floor_name}/{inside}"))
    });
    unnamed
        .map(|(_, source)| format!("{}: no code map names it", source.path))
        .collect()
}

/// Rooms as `floor/folder/room`, from the tables under headings `Code map of …`. A row's first cell names a room by its path in
/// the floor, or, behind `…`, in the folder that was named last; a further one without a folder is beside the first. The second
/// cell may name rooms inside of the first one.
fn named_rooms(architecture: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let (mut floor, mut folder) = (None, String::new());
    for line in architecture.lines() {
        if line.starts_with("## ") {
            floor = line.strip_prefix("## Code map of ");
        }
        let mut cells = line.split('|').skip(1);
        let (Some(floor), Some(rooms), Some(text)) = (floor, cells.next(), cells.next()) else {
            continue;
        };
        let continues = rooms.trim_start().starts_with('…');
        let rooms: Vec<&str> = code_spans(rooms).collect();
        let Some(first) = rooms.first() else { continue };
        if !continues {
            folder = format!("{floor}/{first}");
        }
        let beside = match first.rsplit_once('/') {
            _ if continues => folder.clone(),
            Some((above, _)) => format!("{floor}/{above}"),
            None => floor.to_owned(),
        };
        let path = |room: &&str| match room.contains('/') && !continues {
            true => format!("{floor}/{room}"),
            false => format!("{beside}/{room}"),
        };
        named.extend(rooms.iter().map(path));
        named.extend(code_spans(text).map(|room| format!("{}/{room}", path(first))));
    }
    named
}

/// Where the table names places and modules of the house that are not there.
pub(super) fn missing(sources: &[Source]) -> Vec<String> {
    let places = FLOORS.iter().map(|floor| floor.place);
    let no_place = places.filter(|place| !sources.iter().any(|source| source.path.starts_with(place)));
    let named = FLOORS.iter().flat_map(|floor| floor.never);
    let modules: Vec<(String, &Source)> = sources
        .iter()
        .map(|source| (format!("crate::{}", module_of(&source.path).join("::")), source))
        .collect();
    let is_there = |path: &str| {
        let item = path.rsplit_once("::").expect("a path in the crate");
        modules.iter().any(|(module, source)| {
            module == path || (module == item.0 && !source.lines_with_word(item.1).is_empty())
        })
    };
    let no_module = named.filter(|path| path.starts_with("crate::") && !is_there(path));
    no_place
        .chain(no_module.copied())
        .map(|gone| format!("the table of floors names {gone}, which is not there"))
        .collect()
}

#[test]
fn files_keep_the_rules_between_them() {
    let sources = package();
    let house = House::new(&sources);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("src/ARCHITECTURE.md")).expect("the house has a map");
    let faults = [
        ("floors", missing(&sources)),
        ("circles", circles(&house)),
        ("reached fields", reached_fields(&house)),
        ("names", names(&house)),
        ("test switches", test_switches(&house)),
        ("unnamed rooms", unnamed_rooms(&house, &map)),
    ];
    let told = faults.iter().flat_map(|(rule, faults)| {
        let faults = faults.iter();
        faults.map(move |fault| format!("{rule}: {fault}"))
    });
    let broken: Vec<String> = told.collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
