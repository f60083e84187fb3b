//! The measured figures of the first page: each is the one in the data of the run that its row names, and its aim and verdict
//! are those of the index of results. Measures nothing.

use std::path::Path;

use serde_json::Value;

use super::documents::Document;

/// Where the figure of a row stands in its run's data: the entry of `list` whose `key` is `text`, and the entry's field.
struct Place {
    /// The row's first cell.
    what: &'static str,
    list: &'static str,
    key: &'static str,
    text: &'static str,
    field: &'static str,
}

/// A figure of `holdfast-load`: of its rounds, the median.
const fn load(what: &'static str, text: &'static str) -> Place {
    Place {
        what,
        list: "figures",
        key: "name",
        text,
        field: "rounds",
    }
}

/// What a bench claims.
const fn claim(what: &'static str, text: &'static str) -> Place {
    Place {
        what,
        list: "data",
        key: "claim",
        text,
        field: "figure",
    }
}

/// Every row of the table.
const PLACES: &[Place] = &[
    load(
        "kernel bytes per connection",
        "kernel bytes of a connection, the gateway's end",
    ),
    load("user-space bytes per connection", "user bytes of a connection"),
    load("the same with TLS 1.3", "user bytes of a connection"),
    load(
        "heartbeat, saturated: CPU ÷ tokio",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of tokio",
    ),
    load(
        "heartbeat, paced: CPU ÷ tokio",
        "heartbeat, paced: CPU of the gateway ÷ CPU of tokio",
    ),
    load("login: CPU ÷ tokio", "login: CPU of the gateway ÷ CPU of tokio"),
    load("logout: CPU ÷ tokio", "logout: CPU of the gateway ÷ CPU of tokio"),
    claim(
        "heartbeat, paced: CPU ÷ epoll",
        "loopback: heartbeat, paced at 5,000/s: ratio to epoll",
    ),
    claim(
        "CPU per status, in a query for 500 users",
        "µs of CPU per user state without details",
    ),
    claim(
        "logins per second, each on disk before it is answered",
        "durable logins per second",
    ),
    claim(
        "startup time with 2,000,000 users on disk",
        "seconds from the start until it is ready",
    ),
    load(
        "until 1,000,000 terminals are back after `kill -9`",
        "from there until everyone is back",
    ),
];

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    what: &'a str,
    figure: &'a str,
    aim: &'a str,
    command: &'a str,
    folder: &'a str,
}

/// The rows of a page that link to a folder of results.
fn rows(page: &str) -> impl Iterator<Item = Row<'_>> {
    page.lines().filter_map(|line| {
        let line = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [what, figure, aim, link] = cells[..] else {
            return None;
        };
        let (command, rest) = link.strip_prefix("[`")?.split_once("`](")?;
        let folder = rest.strip_suffix(')')?;
        folder.starts_with("bench-results/").then_some(Row {
            what,
            figure,
            aim,
            command,
            folder,
        })
    })
}

/// The number that a cell begins with, and how many digits it has behind the point.
fn number(cell: &str) -> Option<(f64, usize)> {
    let word = cell.split(' ').next()?.replace(',', "");
    let decimals = word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    Some((word.parse().ok()?, decimals))
}

/// Where the data has the figure, as a JSON pointer.
fn pointer(data: &Value, place: &Place) -> Option<String> {
    let mut entries = data[place.list].as_array()?.iter();
    let number = entries.position(|entry| entry[place.key] == place.text)?;
    Some(format!("/{}/{number}/{}", place.list, place.field))
}

/// The aim and the verdict of this figure in the index of results.
fn judged<'a>(index: &'a str, folder: &str, pointer: &str) -> Option<(&'a str, &'a str)> {
    let link = format!(
        "({}/data.json \"{pointer}\")",
        folder.strip_prefix("bench-results/")?
    );
    let line = index.lines().find(|line| line.contains(&link))?;
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, _, aim, _, _, verdict, _] = cells[..] else {
        return None;
    };
    Some((aim, verdict))
}

/// A bound: what it begins with, and its number. `None` if there is none.
fn bound(aim: &str) -> Option<(&'static str, f64)> {
    let signs = [("≤ ", "≤"), ("at most ", "≤"), ("≥ ", "≥"), ("at least ", "≥")];
    let found = signs
        .iter()
        .find_map(|(written, sign)| Some((*sign, aim.strip_prefix(written)?)));
    let (sign, rest) = found?;
    let (number, _) = number(rest.trim_end_matches(", **missed**"))?;
    Some((sign, number))
}

/// Whether a row says of its aim what the index says.
fn agrees_on_aim(row: &Row<'_>, (aim, verdict): (&str, &str)) -> bool {
    let is_missed = [row.aim, verdict].map(|text| text.contains("**missed**"));
    bound(row.aim) == bound(aim) && aim.is_empty() == row.aim.is_empty() && is_missed[0] == is_missed[1]
}

/// The figure as the run has it.
fn measured(data: &Value, pointer: &str) -> Option<f64> {
    let value = data.pointer(pointer)?;
    let Some(rounds) = value.as_array() else {
        return value.as_f64();
    };
    let mut rounds: Vec<f64> = rounds.iter().filter_map(Value::as_f64).collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied()
}

/// Whether a figure is on the wrong side of its aim.
fn is_missed(seen: f64, aim: &str) -> bool {
    bound(aim).is_some_and(|(sign, bound)| if sign == "≤" { seen > bound } else { seen < bound })
}

/// What is wrong with a row.
fn fault(row: &Row<'_>, data: &Value, index: &str) -> Option<String> {
    let found = PLACES.iter().find(|place| place.what == row.what);
    let pointer = found.and_then(|place| pointer(data, place)).unwrap_or_default();
    let Some(seen) = measured(data, &pointer) else {
        return Some(format!("`{}` is not in {}", row.what, row.folder));
    };
    let Some((told, decimals)) = number(row.figure) else {
        return Some(format!("`{}` has no number", row.what));
    };
    if data["command"] != row.command {
        return Some(format!("{} was made by {}", row.folder, data["command"]));
    }
    let power = 10_f64.powi(i32::try_from(decimals).expect("a few digits"));
    if is_missed(seen, row.aim) != row.aim.contains("**missed**") {
        return Some(format!("`{}` is {seen}, and its aim {}", row.what, row.aim));
    }
    let judged = judged(index, row.folder, &pointer);
    if !judged.is_some_and(|judged| agrees_on_aim(row, judged)) {
        return Some(format!(
            "`{}` has the aim {}, and in the index {judged:?}",
            row.what, row.aim
        ));
    }
    let agrees = (seen * power).round() == (told * power).round();
    (!agrees).then(|| format!("`{}` is {seen} in {}, not {told}", row.what, row.folder))
}

#[test]
fn figures_of_the_first_page_are_those_of_their_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("the first page is there");
    let page = Document::new("README.md", &page);
    let index = std::fs::read_to_string(root.join("bench-results/README.md")).expect("there is an index");
    let mut faults = Vec::new();
    let mut count = 0;
    for row in rows(&page.text) {
        count += 1;
        let data = std::fs::read_to_string(root.join(row.folder).join("data.json")).expect("a run has data");
        let data = serde_json::from_str(&data).expect("data is JSON");
        faults.extend(fault(&row, &data, &index));
    }
    assert_eq!(count, PLACES.len(), "each row has its place in the data");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

mod bites {
    use super::*;

    #[test]
    fn a_figure_that_differs_is_found() {
        let what = "user-space bytes per connection";
        let data = serde_json::json!({
            "command": "c x",
            "figures": [{ "name": "user bytes of a connection", "rounds": [3.0, 1_149.4, 5_000.0] }],
        });
        let check = |line: &str, good: bool| {
            let row = rows(line).next().expect("it is a row");
            let (aim, verdict) = match row.aim {
                "" => ("", "told"),
                "≤ 2,000 B" => ("at most 2000", "holds"),
                _ => ("at most 9", "**missed**"),
            };
            let index = format!("| b | {aim} | [1149](a/data.json \"/figures/0/rounds\") | B | {verdict} |");
            assert_eq!(fault(&row, &data, &index).is_none(), good, "{line}");
        };
        check(
            &format!("| {what} | 1,149 B | ≤ 2,000 B | [`c x`](bench-results/a) |"),
            true,
        );
        check(
            &format!("| {what} | 1,149 B | ≤ 9 B, **missed** | [`c x`](bench-results/a) |"),
            true,
        );
        check(
            &format!("| {what} | 1,149 B | ≤ 9 B | [`c x`](bench-results/a) |"),
            false,
        );
        check(
            &format!("| {what} | 1,149 B | ≥ 9 B, **missed** | [`c x`](bench-results/a) |"),
            false,
        );
        check(
            &format!("| {what} | 1149.4 B | | [`c x`](bench-results/a) |"),
            true,
        );
        check(
            &format!("| {what} | 1,150 B | | [`c x`](bench-results/a) |"),
            false,
        );
        check(
            &format!("| {what} | 1149.5 B | | [`c x`](bench-results/a) |"),
            false,
        );
        check(&format!("| {what} | many | | [`c x`](bench-results/a) |"), false);
        check(
            &format!("| {what} | 1,149 B | | [`c y`](bench-results/a) |"),
            false,
        );
        check("| something else | 1,149 B | | [`c x`](bench-results/a) |", false);
        assert_eq!(rows("| a | b | c | [d](src/e.md) |").count(), 0);
    }

    #[test]
    fn an_aim_that_is_softer_than_the_indexs_is_found() {
        let check = |aim: &str, judged: (&str, &str), good: bool| {
            let line = format!("| a | 0.95 | {aim} | [`c`](bench-results/a) |");
            let row = rows(&line).next().expect("it is a row");
            assert_eq!(agrees_on_aim(&row, judged), good, "{aim} {judged:?}");
        };
        check("≤ 1", ("at most 1", "holds"), true);
        check("≥ 12,000", ("at least 12000", "holds"), true);
        check("≤ 0.7, **missed**", ("at most 0.7", "**missed**"), true);
        check("≤ 1", ("at most 0.7", "**missed**"), false);
        check("≤ 0.7", ("at most 0.7", "**missed**"), false);
        check("≥ 1", ("at most 1", "holds"), false);
        check("", ("at most 1", "holds"), false);
        check("≤ 1", ("", "told"), false);
        assert_eq!(judged("", "bench-results/a", "/data/0/figure"), None);
    }
}
