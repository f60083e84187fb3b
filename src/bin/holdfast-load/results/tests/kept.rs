//! Tests of the results that are kept with the sources: each stands in the index, and is as the tool makes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::json;
use tempfile::TempDir;

use super::super::aims;
use super::super::figures::AimVerdict;
use super::super::files::read;
use super::super::index::{is_made_by, of};
use super::super::render::{LINE_MAX, readme};
use super::super::*;
use super::plots;

/// The folder of results.
const KEPT: &str = "bench-results";

/// How to repair what these tests find.
const REMEDY: &str = "run `holdfast-load index`; measure what is no current figure with --results elsewhere, or give it a \
    place in src/bin/holdfast-load/results/aims";

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// What in a folder with results is not as the tool makes it, or stands in no index.
fn problems(results: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in names(results)? {
        let Some(folder) = aims::folder(&name) else {
            if name != README {
                problems.push(format!("{name}: no current figure"));
            }
            continue;
        };
        let path = results.join(&name);
        let data = read(&path)?;
        let mut owned = BTreeSet::from([DATA.to_owned(), README.to_owned()]);
        owned.extend(plots(&data));
        let files = names(&path)?;
        let strange = files.symmetric_difference(&owned);
        problems.extend(strange.map(|file| format!("{name}/{file}: not the files that its data tells of")));
        if fs::read_to_string(path.join(README))? != readme(&data) {
            problems.push(format!("{name}/{README}: not what its data says"));
        }
        if !is_made_by(&data, folder) {
            let (made, own) = (&data["command"], folder.command);
            problems.push(format!(
                "{name}: made by {made}, and its figures are those of `{own}`"
            ));
        }
        let values = folder
            .figures
            .iter()
            .map(|figure| (figure, figure.place.find(&data)));
        let without = values.filter(|(_, value)| value.is_none());
        problems.extend(without.map(|(figure, _)| format!("{name}: {}: not in its data", figure.what)));
    }
    if fs::read_to_string(results.join(README))? != of(results)? {
        problems.push(format!("{README}: not the index of the folders"));
    }
    Ok(problems)
}

#[test]
fn what_is_kept_is_in_the_index_and_is_as_the_tool_makes_it() {
    let problems = problems(&sources().join(KEPT)).unwrap();
    assert!(problems.is_empty(), "{REMEDY}\n{}", problems.join("\n"));
}

#[test]
fn no_page_has_a_line_that_is_too_long() {
    let results = sources().join(KEPT);
    let mut pages = vec![results.join(README)];
    pages.extend(
        names(&results)
            .unwrap()
            .iter()
            .map(|name| results.join(name).join(README)),
    );
    for page in pages.iter().filter(|page| page.is_file()) {
        // A table's rows cannot be wrapped.
        let text = fs::read_to_string(page).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("| ")) {
            assert!(line.chars().count() <= LINE_MAX, "{}: {line}", page.display());
        }
    }
}

/// A folder of results with one figure in it, and the index.
fn kept() -> TempDir {
    let results = TempDir::new().unwrap();
    let command = aims::folder("load-return-links").unwrap().command;
    let figures = [
        "until all link ends are recorded",
        "from there until everyone is back",
    ];
    let figures = figures.map(|name| json!({ "name": name, "unit": "s", "rounds": [1.5] }));
    let data = json!({ "title": "Links", "command": command, "figures": figures, "courses": [
        { "name": "answers", "unit": "1/s", "points": [[0.0, 1.0], [1.0, 2.0]] },
    ]});
    replace(results.path(), "load-return-links", &data, |folder| {
        Ok(fs::write(folder.join("answers.svg"), "")?)
    })
    .unwrap();
    rewrite(results.path()).unwrap();
    results
}

/// That one change to what is kept is found.
fn check(change: impl FnOnce(&Path), expected: &str) {
    let results = kept();
    assert_eq!(problems(results.path()).unwrap(), Vec::<String>::new());
    change(results.path());
    let found = problems(results.path()).unwrap();
    assert!(
        found.iter().any(|problem| problem.contains(expected)),
        "{found:?}"
    );
}

#[test]
fn whatever_is_not_as_the_tool_makes_it_is_found() {
    let copy = |results: &Path, name: &str| {
        fs::create_dir(results.join(name)).unwrap();
        fs::copy(
            results.join("load-return-links").join(DATA),
            results.join(name).join(DATA),
        )
        .unwrap();
    };
    check(
        |results| copy(results, "2026-11-25-idle"),
        "2026-11-25-idle: no current figure",
    );
    check(|results| copy(results, "notes"), "notes: no current figure");
    check(
        |results| fs::write(results.join("notes.md"), "").unwrap(),
        "notes.md: no current figure",
    );
    let file = |results: &Path, name: &str| results.join("load-return-links").join(name);
    let strange = "not the files that its data tells of";
    check(
        |results| fs::write(file(results, "old.svg"), "").unwrap(),
        strange,
    );
    check(
        |results| fs::remove_file(file(results, "answers.svg")).unwrap(),
        strange,
    );
    check(
        |results| fs::write(file(results, README), "# By hand").unwrap(),
        "README.md: not what its data says",
    );
    let put = |results: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(file(results, DATA)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file(results, DATA), text.replace(from, to)).unwrap();
    };
    check(
        |results| put(results, "--connections 1000000", "--connections 10"),
        "made by",
    );
    check(|results| put(results, "everyone", "somebody"), "not in its data");
    check(
        |results| put(results, "1.5", "2.5"),
        "not the index of the folders",
    );
}

/// Everything that names a folder of results in a text.
fn quotes(text: &str) -> Vec<String> {
    let end = |character: char| !(character.is_ascii_alphanumeric() || "-_./".contains(character));
    let folder = format!("{KEPT}/");
    let behind = text.split(&folder).skip(1);
    let paths = behind.map(|rest| rest.split(end).next().unwrap_or_default());
    let paths = paths.map(|path| path.trim_end_matches(['.', '/']).to_owned());
    paths.filter(|path| !path.is_empty()).collect()
}

#[test]
fn what_sources_and_documents_quote_of_results_is_there() {
    assert_eq!(
        quotes("see `bench-results/cost`, bench-results/idle/data.json. And bench-results/<name>/."),
        ["cost", "idle/data.json"]
    );
    let mut quoted = BTreeSet::new();
    // Tests make up folders of their own.
    let mut folders = ["src", "proto", "benches"]
        .map(|name| sources().join(name))
        .to_vec();
    let mut files = vec![sources().join(README)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if !entry.ends_with("results/kept.rs") {
                files.push(entry);
            }
        }
    }
    for file in files {
        // A file of bytes quotes nothing.
        let text = fs::read_to_string(&file).unwrap_or_default();
        quoted.extend(quotes(&text).into_iter().map(|path| (path, file.clone())));
    }
    assert!(
        quoted.iter().any(|(path, _)| path == "load-idle-1m"),
        "measured.rs quotes it"
    );
    for (path, file) in quoted {
        let there = sources().join(KEPT).join(&path).exists();
        // One that is still to be measured stands in the index, too.
        assert!(
            there || aims::folder(&path).is_some(),
            "{} quotes {KEPT}/{path}, which is not there",
            file.display()
        );
    }
}

#[test]
fn an_index_tells_what_holds_what_is_missed_and_what_is_not_measured() {
    let results = TempDir::new().unwrap();
    let machine = json!({ "commit": "abc", "date": "2026-11-28", "kernel": "6.18", "profile": "release" });
    let claim = |claim: &str, figure: f64| json!({ "claim": claim, "figure": figure });
    let data = json!({ "title": "Idle", "command": "cargo bench --bench idle", "machine": machine, "data": [
        { "rss_first": 1000 },
        claim("user bytes per idle connection", 300.0),
        claim("kernel bytes per idle connection", 4_000.0),
    ]});
    let none = |_: &Path| Ok(());
    replace(results.path(), "idle", &data, none).unwrap();
    let trial = json!({ "title": "A trial", "command": "holdfast-load idle", "machine": machine,
        "checks": [{ "what": "logins", "seen": "0", "holds": false }],
        "figures": [{ "name": "once", "unit": "B", "rounds": [3.0, 1.0, 2.0] }] });
    replace(results.path(), "load-idle-10", &trial, none).unwrap();
    let index = of(results.path()).unwrap();
    let says = |text: &str| assert!(index.contains(text), "{text:?} is not in\n{index}");
    says("2 figures have an aim: 1 meet it, 1 miss it.\n");
    says("- [idle](#idle): user bytes of a connection: 300 B, at most 256\n");
    says("`cargo bench --bench idle`, 2026-11-28, commit abc, kernel 6.18, profile release.\n");
    says(
        "| user bytes of a connection | at most 256 | [300](idle/data.json \"/data/1/figure\") | B | **missed** |\n",
    );
    says(
        "| kernel bytes of a connection | at most 4,300 | [4,000](idle/data.json \"/data/2/figure\") | B | met |\n",
    );
    says(
        "| resident with 1,500 connections |  | [1,000](idle/data.json \"/data/0/rss_first\") | B | no aim |\n",
    );
    says("| once |  | 2.00 | B | no aim |\n");
    says("- [load-idle-10](#load-idle-10): **1 of 1 checks FAILED**");
    says("- built by the profile `release`; what is shipped and measured is built by `dist`\n");
    says("- load-versus-tokio: Beside a plain server on tokio: `holdfast-load versus`\n");
    assert!(index.find("## idle").unwrap() < index.find("## load-idle-10").unwrap());
    assert_eq!(
        aims::folder("idle").unwrap().figures[0].verdict(Some(300.0)),
        AimVerdict::Missed
    );
}

#[test]
fn an_index_tells_by_which_profiles_the_tool_and_the_gateway_were_built() {
    let check = |machine: Value, expected: &str, is_shipped: bool| {
        let results = TempDir::new().unwrap();
        let data = json!({ "command": "holdfast-load beat", "machine": machine });
        replace(results.path(), "load-beat", &data, |_| Ok(())).unwrap();
        let index = of(results.path()).unwrap();
        assert!(
            index.contains(&format!(", {expected}.\n")),
            "{expected:?} is not in\n{index}"
        );
        assert_eq!(!index.contains("what is shipped"), is_shipped, "{index}");
    };
    let both = |tool: &str, gateway: &str| json!({ "profile": tool, "profile of the gateway": gateway });
    check(json!({}), "build profile not recorded", true);
    check(both("unknown", "unknown"), "build profile not recorded", true);
    check(
        both("dist", "unknown"),
        "profile dist, of the gateway not recorded",
        true,
    );
    check(both("unknown", "dist"), "profile of the gateway dist", true);
    check(
        both("unknown", "release"),
        "profile of the gateway release",
        false,
    );
    check(both("dist", "dist"), "profile dist", true);
    check(
        both("dist", "release"),
        "profile dist, of the gateway release",
        false,
    );
    check(
        both("release", "dist"),
        "profile release, of the gateway dist",
        true,
    );
    check(
        json!({ "profile": "bench (as dist)", "took": "9 s" }),
        "profile bench (as dist), took 9 s",
        true,
    );
}

#[test]
fn a_page_that_is_no_index_stays_as_it_is() {
    let results = kept();
    let page = results.path().join(README);
    rewrite(results.path()).unwrap();
    fs::write(&page, "# My notes\n").unwrap();
    let error = rewrite(results.path()).unwrap_err().to_string();
    assert!(error.contains("is no index"), "{error}");
    assert_eq!(fs::read_to_string(page).unwrap(), "# My notes\n");
}

#[test]
fn an_index_tells_once_how_to_read_what_misses_its_aim() {
    let results = TempDir::new().unwrap();
    for (name, value) in [("load-versus-tokio", 9.0), ("load-versus-tokio-apart", 8.0)] {
        let figures = ["login", "heartbeat, paced"].map(
            |what| json!({ "name": format!("{what}: CPU of the gateway ÷ CPU of tokio"), "unit": "", "rounds": [value] }),
        );
        replace(results.path(), name, &json!({ "figures": figures }), |_| Ok(())).unwrap();
    }
    let index = of(results.path()).unwrap();
    let (summary, _) = index.split_once("\n## ").unwrap();
    assert_eq!(summary.matches("Over loopback").count(), 1, "{summary}");
    let group = "  - [load-versus-tokio](#load-versus-tokio): login: CPU ÷ tokio's: 9.00, at most 0.7\n  - ";
    assert!(summary.contains(group), "{summary}");
    // It is no excuse apart.
    let apart =
        "\n- [load-versus-tokio-apart](#load-versus-tokio-apart): login: CPU ÷ tokio's: 8.00, at most 0.7\n";
    assert!(summary.contains(apart), "{summary}");
}

#[test]
fn an_index_counts_what_is_not_recorded_and_what_cannot_be_reproduced() {
    let check = |commit: &str, profile: Option<&str>, expected: Option<&str>| {
        let results = TempDir::new().unwrap();
        let data = json!({ "machine": { "commit": commit, "profile": profile } });
        replace(results.path(), "load-beat", &data, |_| Ok(())).unwrap();
        let index = of(results.path()).unwrap();
        let counted = index.lines().find(|line| line.starts_with("Of 1 folders, "));
        assert_eq!(counted, expected);
        let told = index
            .matches("\n- measured with changes that are in no commit")
            .count();
        assert_eq!(told, usize::from(commit.ends_with(" with changes")), "{index}");
    };
    let expected = |unknown: u32, changed: u32| {
        format!(
            "Of 1 folders, {unknown} do not record the build profile, and {changed} are of sources with changes that are \
             in no commit."
        )
    };
    check("abc", Some("dist"), None);
    check("abc", None, Some(&expected(1, 0)));
    check("abc with changes", Some("dist"), Some(&expected(0, 1)));
    check("abc with changes", Some("unknown"), Some(&expected(1, 1)));
}

#[test]
fn a_trial_would_replace_a_figure_only_where_there_is_one() {
    let results = kept();
    let told = |name: &str, command: &str| displaced(results.path(), name, command);
    let links = "holdfast-load return --connections 10 --links";
    let remark = told("load-return-links", links).unwrap();
    let own = "`holdfast-load return --connections 1000000 --links`";
    assert!(remark.contains(own) && remark.contains("--results"), "{remark}");
    assert_eq!(told("load-return-links", own.trim_matches('`')), None);
    assert_eq!(
        told("load-return-links", &format!("{links} --results /tmp/x")),
        None
    );
    assert_eq!(told("load-idle-10", "holdfast-load idle --connections 10"), None);
    // Nothing is there.
    assert_eq!(told("load-beat", "holdfast-load beat --connections 10"), None);
}

#[test]
fn pages_are_made_anew_from_the_data() {
    let results = kept();
    let page = results.path().join("load-return-links").join(README);
    fs::write(&page, "# By hand\n").unwrap();
    rewrite_all(results.path()).unwrap();
    assert_eq!(problems(results.path()).unwrap(), Vec::<String>::new());
}
