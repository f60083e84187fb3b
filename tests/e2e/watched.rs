//! The dashboard and the alerts: what they ask for is there in the metrics of a running gateway, with the labels that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::gateway;
use crate::support::certificate::TestCertificate;
use crate::support::exposition::{self, Family, Labels};
use crate::support::http::Http;
use crate::support::promql::{groupings, selectors};

const DASHBOARD: &str = include_str!("../../src/package/dashboard.json");
const ALERTS: &str = include_str!("../../src/package/alerts.yaml");
const ALERTS_TESTS: &str = include_str!("../alerts.yaml");
const OPERATING: &str = include_str!("../../src/OPERATING.md");

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// The metrics of a gateway that sends callbacks, and has two shards and a certificate: all that there are.
fn families() -> BTreeMap<String, Family> {
    let certificate = TestCertificate::new(&["gateway.example"]);
    let settings = [
        ("terminals.tls.certificates", &*certificate.setting()),
        ("shards.count", "2"),
        ("callback.url", "\"http://127.0.0.1:1/callback\""),
    ];
    let gateway = gateway(&settings);
    let (status, text) = Http::default().get(gateway.admin, "/metrics");
    assert_eq!(status, 200);
    exposition::read(&text).unwrap()
}

/// The labels of each sample of this whole name.
fn samples<'a>(families: &'a BTreeMap<String, Family>, name: &str) -> Vec<&'a Labels> {
    let samples = families.values().flat_map(|family| &family.samples);
    let of_name = samples.filter(|(sample, ..)| sample == name);
    of_name.map(|(_, labels, _)| labels).collect()
}

/// What of an expression, and of the labels that its legend shows, the metrics do not have.
fn missing(families: &BTreeMap<String, Family>, expression: &str, shown: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = ADDED.into();
    for selector in selectors(expression) {
        let samples = match &*selector.metric {
            "up" => continue,
            metric => samples(families, metric),
        };
        if samples.is_empty() {
            faults.push(format!("the metric {}", selector.metric));
        }
        labels.extend(
            samples
                .iter()
                .flat_map(|labels| labels.keys())
                .map(String::as_str),
        );
        for (label, _, value) in &selector.matchers {
            if ADDED.contains(&&**label) {
                continue;
            }
            let has = |value: &str| {
                let fits = |known: &String| match value.strip_suffix(".*") {
                    Some(begin) => known.starts_with(begin),
                    None => known == value,
                };
                samples.iter().any(|labels| labels.get(label).is_some_and(fits))
            };
            let values = value.split('|').filter(|value| !has(value));
            faults.extend(values.map(|value| format!("{}{{{label}=\"{value}\"}}", selector.metric)));
        }
    }
    let named = groupings(expression).into_iter().chain(shown.iter().cloned());
    faults.extend(
        named
            .filter(|label| !labels.contains(&**label))
            .map(|label| format!("the label {label}")),
    );
    faults
}

/// The labels that a text of Grafana or Prometheus puts in: `{{name}}`, or `{{ $labels.name }}`.
fn shown(text: &str) -> Vec<String> {
    let parts = text
        .split("{{")
        .skip(1)
        .map(|part| part.split_once("}}").unwrap().0.trim());
    let labels = parts.filter_map(|part| match part.strip_prefix("$labels.") {
        Some(label) => Some(label),
        None if part.starts_with('$') => None,
        None => Some(part),
    });
    labels.map(str::to_owned).collect()
}

/// All panels, those in rows too.
fn panels(of: &Value) -> Vec<&Value> {
    let direct: Vec<&Value> = of["panels"].as_array().into_iter().flatten().collect();
    let inner: Vec<&Value> = direct.iter().flat_map(|panel| panels(panel)).collect();
    [direct, inner].concat()
}

/// The expressions of a dashboard, each with its legend.
fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let targets = panels(dashboard)
        .into_iter()
        .filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| {
            (
                target["expr"].as_str().unwrap(),
                target["legendFormat"].as_str().unwrap(),
            )
        })
        .collect()
}

/// One rule, as far as a reader of this one file has to understand it.
struct Alert {
    name: String,
    expression: String,
    severity: String,
    /// The whole rule.
    text: String,
    /// The lines of comment above it.
    reason: String,
}

/// Reads the rules of a file that is written as this one is: each member in a line, or folded behind `>-`.
fn alerts() -> Vec<Alert> {
    let (mut alerts, mut comment) = (Vec::<Alert>::new(), String::new());
    let mut folded = false;
    for line in ALERTS.lines().skip_while(|line| line.trim() != "rules:").skip(1) {
        let trimmed = line.trim();
        if let Some(text) = trimmed.strip_prefix("# ") {
            comment += text;
        } else if let Some(name) = trimmed.strip_prefix("- alert: ") {
            let (name, reason) = (name.to_owned(), std::mem::take(&mut comment));
            let [expression, severity, text] = [const { String::new() }; 3];
            alerts.push(Alert {
                name,
                expression,
                severity,
                text,
                reason,
            });
        } else if let Some(alert) = alerts.last_mut() {
            let indent = line.len() - line.trim_start().len();
            alert.text += &format!("{trimmed}\n");
            if let Some(expression) = trimmed.strip_prefix("expr: ") {
                folded = expression == ">-";
                alert.expression = expression.replace(">-", "");
            } else if folded && indent > 8 {
                alert.expression += &format!(" {trimmed}");
            } else {
                folded = false;
            }
            if let Some(severity) = trimmed.strip_prefix("severity: ") {
                severity.clone_into(&mut alert.severity);
            }
        }
    }
    alerts
}

/// What promtool says, if the machine has it.
fn promtool(arguments: &[&str]) -> Option<Output> {
    Command::new("promtool").args(arguments).output().ok()
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_are_there() {
    let (families, dashboard) = (families(), serde_json::from_str(DASHBOARD).unwrap());
    let queries = queries(&dashboard);
    assert!(queries.len() > 50, "{}", queries.len());
    for (expression, legend) in &queries {
        let missing = missing(&families, expression, &shown(legend));
        assert!(missing.is_empty(), "{missing:?} of {expression} {legend}");
        assert!(!selectors(expression).is_empty(), "{expression}");
        for selector in selectors(expression) {
            let chosen: Vec<&str> = selector.matchers.iter().map(|(label, ..)| &**label).collect();
            assert!(
                ADDED.iter().all(|label| chosen.contains(label)),
                "{expression} looks at all gateways"
            );
        }
    }
    // As rules, so that promtool reads each expression.
    let plain = |text: &str| {
        text.replace("$__rate_interval", "5m")
            .replace("$job", ".*")
            .replace("$instance", ".*")
    };
    let rule = |(number, (expression, _)): (usize, &(&str, &str))| json!({"record": format!("r{number}"), "expr": plain(expression)});
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "{}",
        json!({"groups": [{"name": "dashboard", "rules": rules}]})
    )
    .unwrap();
    if let Some(said) = promtool(&["check", "rules", file.path().to_str().unwrap()]) {
        assert!(said.status.success(), "{said:?}");
    }
}

#[test]
fn the_dashboard_is_what_grafana_takes() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["id"].is_null() && dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<&str> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: a second panel of its id"
        );
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            let has_unit = panel["fieldConfig"]["defaults"]["unit"].is_string();
            assert!(has_unit || panel["type"] == "table", "{title} has no unit");
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is too wide");
        let cells = (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line)));
        cells.for_each(|cell| assert!(taken.insert(cell), "{title} covers another panel"));
    }
}

#[test]
fn the_alerts_ask_for_metrics_and_labels_that_are_there() {
    let (families, alerts) = (families(), alerts());
    assert_eq!(alerts.len(), ALERTS.matches("- alert: ").count());
    for alert in &alerts {
        let missing = missing(&families, &alert.expression, &shown(&alert.text));
        assert!(
            missing.is_empty(),
            "{missing:?} of {}: {}",
            alert.name,
            alert.expression
        );
        assert!(!selectors(&alert.expression).is_empty(), "{}", alert.name);
    }
}

#[test]
fn each_alert_says_why_it_is_there_and_what_to_do() {
    for Alert {
        name,
        severity,
        text,
        reason,
        ..
    } in alerts()
    {
        assert!(
            ["critical", "warning"].contains(&&*severity),
            "{name}: {severity}"
        );
        assert!(reason.len() > 60, "{name} has no reason");
        assert!(
            text.contains("summary: \"") && text.contains("description: >-"),
            "{name}"
        );
        let description = text.replace('\n', " ");
        let (_, sections) = description
            .rsplit_once("See ")
            .unwrap_or_else(|| panic!("{name} names no section"));
        let sections: Vec<&str> = sections.split('"').skip(1).step_by(2).collect();
        assert!(!sections.is_empty(), "{name}: {sections:?}");
        for section in sections {
            assert!(
                OPERATING.contains(&format!("\n## {section}\n")),
                "{name}: {section:?}"
            );
        }
        assert!(
            ALERTS_TESTS.contains(&format!("alertname=\"{name}\"")),
            "{name} is not tested"
        );
    }
}

#[test]
fn the_alerts_fire_when_they_should_where_promtool_is_there() {
    let at = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    for arguments in [
        ["check", "rules", &at("src/package/alerts.yaml")],
        ["test", "rules", &at("tests/alerts.yaml")],
    ] {
        if let Some(said) = promtool(&arguments) {
            assert!(said.status.success(), "{said:?}");
        }
    }
}
