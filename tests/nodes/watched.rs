//! What an operator sees of all nodes.

use std::process::Command;

use crate::node::{Cluster, Node, arrive, following, wait_until};
use crate::support::terminal::Terminal;
use holdfast::protocol::native::proto::Platform;

/// What `holdfast top` shows of all nodes, asking one of them.
fn top(cluster: &Cluster, asked: &Node) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(["top", "--cluster", "--once", "--interval", "200ms"]);
    for (key, value) in cluster.common_settings() {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let admin = format!("admin.listen=[\"{}\"]", asked.gateway.admin);
    let output = command.args(["--set", &admin]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The cell of a node's row, or of that of `all`.
fn cell(text: &str, row: &str, column: &str) -> String {
    // These titles have blanks in them.
    let text = text.replace("store p50", "p50").replace(" of ", "/");
    let words = |head: &str| -> Vec<String> {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(head));
        let line = line.unwrap_or_else(|| panic!("no line of {head} in\n{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let place = words("node").iter().position(|word| word == column).unwrap();
    words(row)[place].clone()
}

#[test]
fn one_command_shows_each_node_and_what_all_have_together() {
    let cluster = Cluster::found(&[]);
    let nodes: Vec<Node> = (1..=3).map(|number| cluster.start(number)).collect();
    cluster.wait_whole(&nodes.iter().collect::<Vec<_>>());
    let come = |number: u32| {
        let login = following(&format!("user{number}"), Platform::Android, 1);
        arrive(&nodes[0], &login).0
    };
    let terminals: Vec<Terminal> = (0..24).map(come).collect();
    let number = |text: &str, row: &str, column: &str| cell(text, row, column).parse::<u64>().unwrap();
    let mut text = String::new();
    wait_until("all terminals are counted", || {
        text = top(&cluster, &nodes[1]);
        number(&text, "all", "online") == terminals.len() as u64
    });
    assert!(text.contains("all partitions have a node"), "{text}");
    assert_eq!(cell(&text, "all", "state"), "3/3");
    assert_eq!(cell(&text, "all", "lease"), "3/3");
    for column in ["owned", "connections", "online"] {
        let each = ["1", "2", "3"].map(|node| number(&text, node, column));
        assert_eq!(each.iter().sum::<u64>(), number(&text, "all", column), "{text}");
    }
    for (node, row) in nodes.iter().zip(["1", "2", "3"]) {
        assert_eq!(number(&text, row, "owned"), node.owned() as u64, "{text}");
        assert_eq!(
            (cell(&text, row, "state"), cell(&text, row, "lease")),
            ("up".to_owned(), "yes".to_owned())
        );
    }
}

#[test]
fn a_node_that_is_gone_is_told_while_the_others_are_shown() {
    let cluster = Cluster::found(&[]);
    let (first, second) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&first, &second]);
    drop(second.gateway);
    let text = top(&cluster, &first);
    assert!(text.contains("no answer    node 2: nobody listens at "), "{text}");
    assert_eq!(cell(&text, "2", "online"), "?");
    assert_eq!(cell(&text, "1", "online"), "0");
}
