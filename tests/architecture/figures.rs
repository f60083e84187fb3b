//! The measured figures of the first page: each is the one in the data of the run that its row names. Measures nothing.

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

/// The figure as the run has it.
fn measured(data: &Value, place: &Place) -> Option<f64> {
    let entries = data[place.list].as_array()?;
    let entry = entries.iter().find(|entry| entry[place.key] == place.text)?;
    let value = &entry[place.field];
    let Some(rounds) = value.as_array() else {
        return value.as_f64();
    };
    let mut rounds: Vec<f64> = rounds.iter().filter_map(Value::as_f64).collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied()
}

/// Whether a figure is on the wrong side of its aim.
fn is_missed(seen: f64, aim: &str) -> bool {
    let bound = |sign| aim.strip_prefix(sign).and_then(number).map(|(bound, _)| bound);
    bound("≤ ").is_some_and(|most| seen > most) || bound("≥ ").is_some_and(|least| seen < least)
}

/// What is wrong with a row.
fn fault(row: &Row<'_>, data: &Value) -> Option<String> {
    let found = PLACES.iter().find(|place| place.what == row.what);
    let Some(seen) = found.and_then(|place| measured(data, place)) else {
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
    let agrees = (seen * power).round() == (told * power).round();
    (!agrees).then(|| format!("`{}` is {seen} in {}, not {told}", row.what, row.folder))
}

#[test]
fn figures_of_the_first_page_are_those_of_their_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("the first page is there");
    let page = Document::new("README.md", &page);
    let mut faults = Vec::new();
    let mut count = 0;
    for row in rows(&page.text) {
        count += 1;
        let data = std::fs::read_to_string(root.join(row.folder).join("data.json")).expect("a run has data");
        let data = serde_json::from_str(&data).expect("data is JSON");
        faults.extend(fault(&row, &data));
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
            assert_eq!(fault(&row, &data).is_none(), good, "{line}");
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
}
