//! What a PromQL expression asks for: its metrics with their matchers, and the labels that it groups by. Knows no functions: what
//! is a metric is told by its name.

/// A metric, and what its labels have to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    /// Label, operator and value.
    pub matchers: Vec<(String, String, String)>,
}

/// All metrics of an expression.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(|character: char| character.is_ascii_alphabetic() || character == '"') {
        rest = &rest[begin..];
        if let Some(behind) = rest.strip_prefix('"') {
            rest = behind.split_once('"').expect("a text ends").1;
            continue;
        }
        let end = rest
            .find(|character: char| !is_of_a_name(character))
            .unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        if name == "up" || name.starts_with("holdfast_") || name.starts_with("process_") {
            let (matchers, behind) = matchers(rest);
            let metric = name.to_owned();
            found.push(Selector { metric, matchers });
            rest = behind;
        }
    }
    found
}

fn is_of_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == ':'
}

fn matchers(text: &str) -> (Vec<(String, String, String)>, &str) {
    let (mut found, Some(mut rest)) = (Vec::new(), text.strip_prefix('{')) else {
        return (Vec::new(), text);
    };
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (found, behind);
        }
        let (label, behind) = rest.split_at(rest.find(['=', '!']).expect("a matcher has an operator"));
        let (operator, behind) = behind.split_once('"').expect("its value is a text");
        let (value, behind) = behind.split_once('"').expect("a text ends");
        found.push((
            label.trim().to_owned(),
            operator.trim().to_owned(),
            value.to_owned(),
        ));
        rest = behind;
    }
}

/// All labels that an expression groups by or matches on.
pub fn groupings(expression: &str) -> Vec<String> {
    let parts = ["by (", "on (", "without (", "ignoring ("];
    let lists = parts.iter().flat_map(|part| expression.split(part).skip(1));
    let labels = lists.flat_map(|list| list.split_once(')').expect("a list ends").0.split(','));
    labels.map(|label| label.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matchers = [(&'static str, &'static str, &'static str)];

    fn check(expression: &str, expected: &[(&str, &Matchers)], by: &[&str]) {
        let selector = |(metric, matchers): &(&str, &Matchers)| Selector {
            metric: (*metric).to_owned(),
            matchers: matchers
                .iter()
                .map(|(label, operator, value)| ((*label).into(), (*operator).into(), (*value).into()))
                .collect(),
        };
        let expected: Vec<Selector> = expected.iter().map(selector).collect();
        assert_eq!(selectors(expression), expected);
        assert_eq!(groupings(expression), by);
    }

    #[test]
    fn metrics_matchers_and_groupings_are_found() {
        check(
            r#"sum by (job, le) (rate(holdfast_a_bucket{code=~"A|B.*", job="x}"}[5m])) / up{} unless on (shard) process_b > 1"#,
            &[
                (
                    "holdfast_a_bucket",
                    &[("code", "=~", "A|B.*"), ("job", "=", "x}")],
                ),
                ("up", &[]),
                ("process_b", &[]),
            ],
            &["job", "le", "shard"],
        );
        check(r#"time() == "holdfast_no" or vector(1)"#, &[], &[]);
    }
}
