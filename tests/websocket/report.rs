//! The folder of results of all cases. The tool writes its page and the index from the data.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::case::{Case, End};
use crate::run::{InMemory, OverTcp, faults, serve};
use crate::{CUTS, CUTS_OVER_TCP, cases, gateway};

fn expected(case: &Case) -> String {
    let seen = match case.seen.len() {
        0 => String::new(),
        1 => "one answer, ".to_owned(),
        count => format!("{count} answers, "),
    };
    let end = match &case.end {
        End::ByClient => "and the client's close is answered".to_owned(),
        End::Answered(codes) if codes == &[None] => "a close without a code".to_owned(),
        End::Answered(codes) => format!("a close with {}", either(codes.iter().flatten())),
        End::Failed(codes) => format!("a close with {}", either(codes.iter())),
    };
    let informational = if case.is_informational {
        " (any outcome may be)"
    } else {
        ""
    };
    format!("{seen}{end}{informational}")
}

fn either<'a>(codes: impl Iterator<Item = &'a u16>) -> String {
    codes.map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Runs all cases, and writes `bench-results/websocket`. Gives how many have failed.
pub(crate) fn write() -> usize {
    let echo = serve();
    let (_gateway, address) = gateway::start();
    let mut rows = Vec::new();
    let (mut failed, mut of_gateway) = (0, 0);
    for case in cases::all() {
        let by_echo = faults(&case, CUTS, || Box::new(InMemory::open()))
            .chain(faults(&case, CUTS_OVER_TCP, || Box::new(OverTcp::open(echo))))
            .next();
        let by_gateway = case.without_echo.then(|| {
            of_gateway += 1;
            faults(&case, CUTS_OVER_TCP, || Box::new(OverTcp::open(address))).next()
        });
        let has_failed = by_echo.is_some() || by_gateway.as_ref().is_some_and(Option::is_some);
        failed += usize::from(has_failed);
        let told = |fault: Option<String>| fault.unwrap_or_else(|| "passed".to_owned());
        rows.push(json!({
            "case": case.id,
            "sent": case.sends,
            "must come": expected(&case),
            "echo": told(by_echo),
            "gateway": by_gateway.map_or_else(|| "needs an echo".to_owned(), told),
        }));
    }
    let all = json!({ "cases": rows.len(), "cases against the gateway": of_gateway, "failed": failed });
    let text = text(&rows);
    write_data(&text, std::iter::once(all).chain(rows).collect());
    failed
}

/// The page.
fn text(rows: &[Value]) -> Vec<String> {
    const COLUMNS: [&str; 5] = ["case", "sent", "must come", "echo", "gateway"];
    let line = |cells: [&str; 5]| format!("| {} |", cells.join(" | "));
    let about = "Each case is driven against an endpoint on the gateway's codec, which takes texts and sends every message back: in \
                 memory, with its bytes cut in seven ways, and over TCP, cut in two. Those whose result needs no echo are \
                 driven against the gateway, too.";
    let head = [about.to_owned(), String::new(), line(COLUMNS), line(["---"; 5])];
    let rows = rows
        .iter()
        .map(|row| line(COLUMNS.map(|name| row[name].as_str().unwrap())));
    head.into_iter().chain(rows).collect()
}

fn write_data(text: &[String], data: Vec<Value>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let data = json!({
        "title": "The cases of the Autobahn testsuite for servers of WebSocket, groups 1 to 7 and 10",
        "command": "cargo test --test websocket -- --ignored the_table",
        "machine": {
            "commit": told("git", &["rev-parse", "--short", "HEAD"]),
            "date": told("date", &["+%F"]),
            "profile": "dev",
        },
        "text": text,
        "data": data,
    });
    let folder = root.join("bench-results/websocket");
    fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(&data).unwrap() + "\n";
    fs::write(folder.join("data.json"), text).unwrap();
    told(env!("CARGO_BIN_EXE_holdfast-load"), &["index"]);
}
