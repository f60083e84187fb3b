//! The page of a folder of results, made from its data alone: whatever a page says stands in the data. It wraps lines, and
//! leaves words as they are.

use std::fmt::Write;

use serde_json::Value;

/// The longest line that a page has, in characters. Tables and images have lines of their own, which are not wrapped.
pub(super) const LINE_MAX: usize = 140;

/// The page.
pub(super) fn readme(data: &Value) -> String {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let mut page = format!("# {}\n\n", text("title"));
    for (name, value) in data["machine"].as_object().into_iter().flatten() {
        page += &line("- ", &format!("{name}: {}", value.as_str().unwrap_or_default()));
    }
    page += &line("- ", &format!("command: `{}`", text("command")));
    page += "\n";
    page += &match data["text"].as_array() {
        Some(lines) => wrapped(&texts(lines).join("\n")),
        None => table(data) + &images(data),
    };
    page.trim_end().to_owned() + "\n"
}

/// Conditions, figures and checks.
pub(crate) fn table(data: &Value) -> String {
    let mut text = String::new();
    for condition in texts(list(data, "conditions")) {
        text += &line("", condition);
        text += "\n";
    }
    text += "| figure | median | smallest | largest | unit |\n| --- | ---: | ---: | ---: | --- |\n";
    list(data, "figures")
        .iter()
        .for_each(|figure| text += &row(figure));
    text += "\n";
    for check in list(data, "checks") {
        let [what, seen] = ["what", "seen"].map(|name| check[name].as_str().unwrap_or_default());
        let verdict = if check["holds"] == true { "holds" } else { "FAILED" };
        text += &line("- ", &format!("{what}: {seen}: **{verdict}**"));
    }
    text + "\n"
}

/// How many checks there are in a folder's data, and how many of them hold.
pub(crate) fn checks(data: &Value) -> (usize, usize) {
    let checks = list(data, "checks");
    let hold = checks.iter().filter(|check| check["holds"] == true);
    (checks.len(), hold.count())
}

/// One figure; what was measured once has no smallest and no largest.
fn row(figure: &Value) -> String {
    let rounds: Vec<f64> = list(figure, "rounds").iter().filter_map(Value::as_f64).collect();
    let [name, unit] = ["name", "unit"].map(|name| figure[name].as_str().unwrap_or_default());
    let unit = worded(unit);
    match sorted(&rounds).as_slice() {
        [] => String::new(),
        [only] => format!("| {name} | {} | | | {unit} |\n", shown(*only)),
        all @ [first, .., last] => {
            let [median, first, last] = [all[all.len() / 2], *first, *last].map(shown);
            format!("| {name} | {median} | {first} | {last} | {unit} |\n")
        }
    }
}

fn images(data: &Value) -> String {
    let mut text = String::new();
    for course in list(data, "courses") {
        // One point is no course.
        if list(course, "points").len() > 1 {
            let name = course["name"].as_str().unwrap_or_default();
            writeln!(text, "![{name}]({})", plot_file(name)).expect("text grows");
        }
    }
    text
}

/// The file of a course's plot: its name without what a path would have to quote.
pub(crate) fn plot_file(name: &str) -> String {
    let words = name.split([' ', ',']).filter(|word| !word.is_empty());
    format!("{}.svg", words.collect::<Vec<_>>().join("-"))
}

fn list<'a>(data: &'a Value, name: &str) -> &'a [Value] {
    data[name].as_array().map_or(&[], Vec::as_slice)
}

fn texts(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

/// The one in the middle, of an even number the upper one; `None` of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    sorted(values).get(values.len() / 2).copied()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Enough digits to tell figures apart.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => grouped(&format!("{value:.0}")),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let first = usize::from(number.starts_with('-'));
    let mut text = number.to_owned();
    for place in (first + 1..whole)
        .rev()
        .filter(|place| (whole - place).is_multiple_of(3))
    {
        text.insert(place, ',');
    }
    text
}

/// A unit in words.
pub(super) fn worded(unit: &str) -> &str {
    if unit == "1/s" { "per second" } else { unit }
}

/// Text of several lines, each of them wrapped.
pub(super) fn wrapped(text: &str) -> String {
    let lines = text.lines().map(|text| match text.strip_prefix("- ") {
        Some(item) => line("- ", item),
        None if text.starts_with(['|', '#', '!']) => format!("{text}\n"),
        None => line("", text),
    });
    lines.collect()
}

/// One paragraph, or one item of a list, behind its mark.
pub(super) fn line(mark: &str, text: &str) -> String {
    let indent = " ".repeat(mark.len());
    let (mut out, mut length) = (mark.to_owned(), mark.len());
    let words: Vec<&str> = text.split_whitespace().collect();
    for (place, word) in words.iter().enumerate() {
        let size = word.chars().count();
        let space = usize::from(place > 0);
        // A mark that only stands within a text would begin something else at the beginning of a line.
        let tail: usize = words[place + 1..]
            .iter()
            .take_while(|word| is_mark(word))
            .map(|word| 1 + word.chars().count())
            .sum();
        if place > 0 && length + space + size + tail > LINE_MAX && !is_mark(word) {
            out += &format!("\n{indent}{word}");
            length = indent.len() + size;
        } else {
            out += &" ".repeat(space);
            out += word;
            length += space + size;
        }
    }
    out + "\n"
}

/// Whether a line that begins with this word is something else than a paragraph.
fn is_mark(word: &str) -> bool {
    let number = word.trim_end_matches(['.', ')']);
    let is_number = number.len() < word.len() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number || ["-", "+", "*", ">", "|"].contains(&word) || word.starts_with(['#', '|', '='])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::plots;
    use super::*;

    #[test]
    fn figures_have_their_median_and_those_of_several_rounds_their_ends() {
        let data = json!({
            "figures": [
                { "name": "once", "unit": "B", "rounds": [148.7] },
                { "name": "thrice", "unit": "ms", "rounds": [3.0, 1.0, 2.0] },
                { "name": "many", "unit": "1/s", "rounds": [12345.6] },
                { "name": "never", "unit": "", "rounds": [] },
            ],
            "checks": [
                { "what": "logins", "seen": "1", "holds": true },
                { "what": "logouts", "seen": "0, expected 1", "holds": false },
            ],
        });
        let expected = "| figure | median | smallest | largest | unit |
| --- | ---: | ---: | ---: | --- |
| once | 149 | | | B |
| thrice | 2.00 | 1.00 | 3.00 | ms |
| many | 12,346 | | | per second |

- logins: 1: **holds**
- logouts: 0, expected 1: **FAILED**

";
        assert_eq!(table(&data), expected);
        assert_eq!(checks(&data), (2, 1));
    }

    #[test]
    fn thousands_are_grouped() {
        let check = |value: &str, expected: &str| assert_eq!(grouped(value), expected);
        check("0", "0");
        check("999", "999");
        check("1000", "1,000");
        check("-1234567.125", "-1,234,567.125");
        check("123456", "123,456");
        check("-100", "-100");
    }

    #[test]
    fn a_page_says_what_stands_in_the_data() {
        let data = json!({
            "title": "Idle", "command": "holdfast-load idle", "machine": { "commit": "abc", "date": "2026-11-28" },
            "conditions": ["10 terminals"],
            "courses": [
                { "name": "CPU of the gateway", "points": [[0.0, 1.0], [1.0, 1.0]] },
                { "name": "one point", "points": [[0.0, 1.0]] },
            ],
        });
        let expected = "# Idle

- commit: abc
- date: 2026-11-28
- command: `holdfast-load idle`

10 terminals

| figure | median | smallest | largest | unit |
| --- | ---: | ---: | ---: | --- |


![CPU of the gateway](CPU-of-the-gateway.svg)
";
        assert_eq!(readme(&data), expected);
        assert_eq!(plots(&data), ["CPU-of-the-gateway.svg"]);
        let bench = json!({ "title": "Cost", "command": "cargo bench --bench cost", "text": ["one", "", "| a |", "- two"] });
        assert_eq!(
            readme(&bench),
            "# Cost\n\n- command: `cargo bench --bench cost`\n\none\n\n| a |\n- two\n"
        );
    }

    #[test]
    fn lines_are_wrapped_between_words_and_no_line_becomes_a_list() {
        let long = "word ".repeat(60);
        let text = wrapped(&format!("{long}\n- {long}\n| {long}"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.iter().map(|line| line.len()).collect::<Vec<_>>(),
            [139, 139, 19, 136, 136, 31, 302]
        );
        assert!(lines[3].starts_with("- word") && lines[4].starts_with("  word"));
        // 138 characters, and then what would be an item.
        let text = format!("{} - 2) 3", "ab ".repeat(46).trim_end());
        assert!(
            wrapped(&text).lines().all(|line| !line.starts_with(['-', '2'])),
            "{}",
            wrapped(&text)
        );
        assert_eq!(
            wrapped(&text).split_whitespace().count(),
            text.split_whitespace().count()
        );
        assert!(
            wrapped(&text)
                .lines()
                .all(|line| line.chars().count() <= LINE_MAX)
        );
    }

    #[test]
    fn a_plot_is_named_after_its_course() {
        assert_eq!(plot_file("answers, 10 connections"), "answers-10-connections.svg");
    }
}
