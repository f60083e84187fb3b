//! A strict reader of the Prometheus text format (version 0.0.4), and of the naming rules that `promtool check metrics`
//! goes by. Written from the format's description, not from what the gateway does. A reader that is made
//! for scraping takes what it can; this one refuses whatever is not quite right.

use std::collections::{BTreeMap, BTreeSet};

/// Labels in the order of their names.
pub type Labels = BTreeMap<String, String>;

/// One family of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// The sample's whole name (a histogram has three), its labels, its value.
    pub samples: Vec<(String, Labels, f64)>,
}

/// Reads a whole text.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let fault = |what: &str| format!("{what}: {line:?}");
        if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').ok_or_else(|| fault("no help"))?;
            check_name(name).map_err(|what| fault(&what))?;
            if help.trim().is_empty() || help != help.trim() {
                return Err(fault("an empty help, or one with spaces around it"));
            }
            if help.replace("\\\\", "").replace("\\n", "").contains('\\') {
                return Err(fault("a backslash that escapes nothing"));
            }
            let family = Family {
                kind: String::new(),
                help: help.to_owned(),
                samples: Vec::new(),
            };
            if families.insert(name.to_owned(), family).is_some() {
                return Err(fault("a second help"));
            }
            name.clone_into(&mut current);
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').ok_or_else(|| fault("no type"))?;
            let family = families.get_mut(name).filter(|_| name == current);
            let family = family.ok_or_else(|| fault("a type that does not follow its help"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(fault("an unknown type"));
            }
            if !family.kind.is_empty() || !family.samples.is_empty() {
                return Err(fault("a second type, or one behind its samples"));
            }
            kind.clone_into(&mut family.kind);
        } else {
            let (name, labels, value) = read_sample(line).map_err(|what| fault(&what))?;
            let family = families.get_mut(&current).ok_or_else(|| fault("no family"))?;
            if !belongs(&name, &current, &family.kind) {
                return Err(fault("a sample outside of its family"));
            }
            if !seen.insert((name.clone(), labels.clone())) {
                return Err(fault("a second sample with these labels"));
            }
            family.samples.push((name, labels, value));
        }
    }
    for (name, family) in &families {
        check_family(name, family).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(families)
}

fn check_name(name: &str) -> Result<(), String> {
    let first = |character: char| character.is_ascii_alphabetic() || character == '_';
    let good = name.starts_with(first)
        && name
            .chars()
            .all(|character| first(character) || character.is_ascii_digit());
    if good {
        Ok(())
    } else {
        Err(format!("a bad name: {name}"))
    }
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    match kind {
        "histogram" => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| sample.strip_suffix(end) == Some(family)),
        "counter" | "gauge" => sample == family,
        _ => false,
    }
}

fn read_sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    check_name(name)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        value if value.starts_with(|first: char| first.is_ascii_digit() || first == '-') => value
            .parse()
            .map_err(|_| format!("a value that is no number: {value}"))?,
        value => return Err(format!("a value that is no number: {value}")),
    };
    Ok((name.to_owned(), labels, value))
}

/// Gives what follows the closing brace.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        check_name(name)?;
        let mut value = String::new();
        let mut characters = behind.char_indices();
        let end = loop {
            let (place, character) = characters.next().ok_or("a label that does not end")?;
            match character {
                '"' => break place,
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => value.push('\n'),
                    Some(escaped @ ('\\' | '"')) => value.push(escaped),
                    other => return Err(format!("a backslash before {other:?}")),
                },
                character => value.push(character),
            }
        };
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} twice"));
        }
        rest = &behind[end + 1..];
        match rest.split_at_checked(1) {
            Some((",", behind)) => rest = behind,
            Some(("}", behind)) => return Ok((labels, behind)),
            _ => return Err("labels that do not end".to_owned()),
        }
    }
}

/// What `promtool check metrics` looks at, and what makes a histogram one.
fn check_family(name: &str, family: &Family) -> Result<(), String> {
    if family.samples.is_empty() {
        return Err("no samples".to_owned());
    }
    let counter = family.kind == "counter";
    if counter != name.ends_with("_total") {
        return Err(format!("a {} of this name", family.kind));
    }
    let histogram = family.kind == "histogram";
    if !histogram
        && ["_count", "_sum", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
    {
        return Err("a histogram's name".to_owned());
    }
    const NOT_BASE: [&str; 14] = [
        "ms",
        "us",
        "ns",
        "s",
        "sec",
        "milliseconds",
        "microseconds",
        "minutes",
        "hours",
        "days",
        "b",
        "kb",
        "mb",
        "kilobytes",
    ];
    let words: Vec<&str> = name.split('_').collect();
    if let Some(unit) = words.iter().find(|word| NOT_BASE.contains(word)) {
        return Err(format!("{unit} is no base unit, or is abbreviated"));
    }
    if words
        .iter()
        .any(|word| ["counter", "gauge", "histogram"].contains(word))
    {
        return Err("the type in the name".to_owned());
    }
    let negative = family.samples.iter().find(|(.., value)| *value < 0.0);
    if let Some(sample) = negative.filter(|_| counter || histogram) {
        return Err(format!("below zero: {sample:?}"));
    }
    if histogram {
        check_histogram(name, family)?;
    }
    Ok(())
}

fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut sets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let single = |end: &str| {
        let of_end = family
            .samples
            .iter()
            .filter(|(sample, ..)| *sample == format!("{name}{end}"));
        of_end
            .map(|(_, labels, value)| (labels.clone(), *value))
            .collect::<BTreeMap<Labels, f64>>()
    };
    let (sums, counts) = (single("_sum"), single("_count"));
    for (sample, labels, value) in &family.samples {
        if *sample != format!("{name}_bucket") {
            if labels.contains_key("le") {
                return Err("a bound on a sum or count".to_owned());
            }
            continue;
        }
        let mut labels = labels.clone();
        let bound = labels.remove("le").ok_or("a bucket without its bound")?;
        let bound = match &*bound {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().map_err(|_| format!("bound {bound}"))?,
        };
        sets.entry(labels).or_default().push((bound, *value));
    }
    if sets.is_empty() {
        return Err("no buckets".to_owned());
    }
    for (labels, buckets) in &sets {
        let rises = buckets
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last = buckets.last().expect("it was made with one");
        let count = counts.get(labels).ok_or("no count")?;
        let whole = last.0.is_infinite() && (last.1 - count).abs() < f64::EPSILON;
        if !rises || !whole || !sums.contains_key(labels) {
            return Err(format!("buckets {buckets:?} with count {count}"));
        }
    }
    Ok(())
}

/// One sample of a text that was read, by its whole name and labels.
pub fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let samples = families.values().flat_map(|family| &family.samples);
    let mut fitting = samples.filter(|(sample, labels, _)| sample == name && *labels == wanted);
    fitting.next().map(|(.., value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# HELP a_total All.
# TYPE a_total counter
a_total 3
a_total{x=\"a\\\"b,}\",y=\"\"} 4.5
# HELP t_seconds Times.
# TYPE t_seconds histogram
t_seconds_bucket{le=\"0.5\"} 1
t_seconds_bucket{le=\"+Inf\"} 2
t_seconds_sum 0.75
t_seconds_count 2
";

    #[test]
    fn what_is_good_is_read() {
        let families = read(GOOD).unwrap();
        assert_eq!(families.len(), 2);
        assert_eq!(
            value(&families, "a_total", &[("x", "a\"b,}"), ("y", "")]),
            Some(4.5)
        );
        assert_eq!(value(&families, "t_seconds_bucket", &[("le", "0.5")]), Some(1.0));
        assert_eq!(value(&families, "a_total", &[("x", "a")]), None);
    }

    fn check(good: &str, bad: &str, fault: &str) {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD);
        let told = read(&text).unwrap_err();
        assert!(told.contains(fault), "{bad}: {told}");
    }

    #[test]
    fn what_is_bad_is_named() {
        check(
            "# HELP a_total All.\n",
            "",
            "a type that does not follow its help",
        );
        check("# HELP a_total All.", "# HELP a_total", "no help");
        check("a_total 3", "a_total", "no value");
        check("a_total 3", "a_total x", "no number");
        check("a_total 3", "a_total -3", "below zero");
        check("a_total 3", "a_total{} 3", "without a value");
        check("a_total 3\n", "a_total 3\na_total 3\n", "a second sample");
        check("a_total 3", "t_seconds_sum 3", "outside of its family");
        check("a\\\"b", "a\\xb", "backslash");
        check("y=\"\"", "x=\"\"", "twice");
        check("le=\"0.5\"} 1", "le=\"0.5\"} 3", "buckets");
        check("t_seconds_count 2", "t_seconds_count 3", "buckets");
        check("t_seconds_sum 0.75\n", "", "buckets");
        check("t_seconds_bucket{le=\"+Inf\"} 2\n", "", "buckets");
        assert!(
            read(&GOOD.replace("a_total", "a_now"))
                .unwrap_err()
                .contains("a counter of")
        );
        assert!(
            read(&GOOD.replace("t_seconds", "t_ms"))
                .unwrap_err()
                .contains("base unit")
        );
        assert!(read(GOOD.trim_end()).unwrap_err().contains("no end"));
    }
}
