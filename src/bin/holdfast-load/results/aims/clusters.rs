//! The current figures of `holdfast-load` with a cluster of gateways, and their aims.

use super::super::figures::Bound::AtMost;
use super::super::figures::{Figure, ResultsFolder, load};
use super::reasons::{FLAT, FLAT_REASON};

const NODE_LOSS: &str = "a node is dead after 9 s without a sign of life, and its users wait little longer";
const NODE_RESTART: &str =
    "a node that is started again knows at once that its users are its own, and waits for nobody";

const ALL_AT_HOME: &str = "With one node every account of a query is at home where it is asked for. With more most are not, \
     and their nodes are asked.";

pub(super) const FOLDERS: &[ResultsFolder] = &[
    ResultsFolder {
        name: "load-grow-cluster",
        title: "What one costs with 1 to 3 nodes, and with 1 to 3 masters of the shared store",
        command: "holdfast-load grow-cluster --rounds 3",
        figures: &[
            growth(
                "CPU of a login at the nodes, by nodes: the most ÷ that of the fewest",
                "login, recorded: CPU of the nodes for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a login at the nodes, by masters: the most ÷ that of the fewest",
                "login, recorded: CPU of the nodes for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a login at the masters, by nodes: the most ÷ that of the fewest",
                "login, recorded: CPU of the masters for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a login at the masters, by masters: the most ÷ that of the fewest",
                "login, recorded: CPU of the masters for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a logout at the nodes, by nodes: the most ÷ that of the fewest",
                "logout, recorded: CPU of the nodes for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a logout at the nodes, by masters: the most ÷ that of the fewest",
                "logout, recorded: CPU of the nodes for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a logout at the masters, by nodes: the most ÷ that of the fewest",
                "logout, recorded: CPU of the masters for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a logout at the masters, by masters: the most ÷ that of the fewest",
                "logout, recorded: CPU of the masters for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a saturated heartbeat, by nodes: the most ÷ that of the fewest",
                "heartbeat, saturated (128 at once for each node): CPU of the nodes for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a saturated heartbeat, by masters: the most ÷ that of the fewest",
                "heartbeat, saturated (128 at once for each node): CPU of the nodes for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a paced heartbeat, by nodes: the most ÷ that of the fewest",
                "heartbeat, paced (2000/s for each node): CPU of the nodes for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a paced heartbeat, by masters: the most ÷ that of the fewest",
                "heartbeat, paced (2000/s for each node): CPU of the nodes for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a user's status, by nodes: the most ÷ that of the fewest",
                "user's status in a query: CPU of the nodes for one, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ).if_missed(ALL_AT_HOME),
            growth(
                "CPU of a user's status, by masters: the most ÷ that of the fewest",
                "user's status in a query: CPU of the nodes for one, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a silent second of a node, by nodes: the most ÷ that of the fewest",
                "a silent second: CPU of each node, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "CPU of a silent second of a node, by masters: the most ÷ that of the fewest",
                "a silent second: CPU of each node, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "user bytes of a connection, by nodes: the most ÷ that of the fewest",
                "user bytes of a connection, by nodes: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            growth(
                "user bytes of a connection, by masters: the most ÷ that of the fewest",
                "user bytes of a connection, by masters: the most ÷ that of the fewest (aim 1.10, no check)",
            ),
            load(
                "CPU of a login at three nodes with one master",
                "µs",
                "login, recorded: CPU of the nodes for one, 3 nodes, 1 master",
            ),
            load(
                "CPU of it at the master",
                "µs",
                "login, recorded: CPU of the masters for one, 3 nodes, 1 master",
            ),
            load(
                "CPU of it at the replica",
                "µs",
                "login, recorded: CPU of the replicas for one, 3 nodes, 1 master",
            ),
            load(
                "CPU of a redirect at three nodes",
                "µs",
                "redirect: CPU of the nodes for one, 3 nodes, 1 master",
            ),
            load(
                "CPU of a user's status at three nodes",
                "µs",
                "user's status in a query: CPU of the nodes for one, 3 nodes, 1 master",
            ),
            load(
                "bytes of a user, kept at the master",
                "B",
                "bytes of a user, kept at the masters, 3 nodes, 1 master",
            ),
            load(
                "bytes of a change, kept at the master",
                "B",
                "bytes of a change, kept at the masters, 3 nodes, 1 master",
            ),
            load(
                "bytes of a change, received by the master",
                "B",
                "bytes of a change, received by the masters, 3 nodes, 1 master",
            ),
            load(
                "bytes of a change, sent to the replica",
                "B",
                "bytes of a change, sent to the replicas, 3 nodes, 1 master",
            ),
        ],
    },
    ResultsFolder {
        name: "load-return-kill-node",
        title: "A node of three with 100,000 terminals is killed, and its users come back at the others",
        command: "holdfast-load return --kill-node --connections 100000",
        figures: &node_loss(12.0, NODE_LOSS),
    },
    ResultsFolder {
        name: "load-return-kill-node-in-place",
        title: "A node of three with 100,000 terminals is killed and started again, and its users come back",
        command: "holdfast-load return --kill-node --restart-in-place --connections 100000",
        figures: &node_loss(6.0, NODE_RESTART),
    },
];

/// How much more one costs at the largest sizes than at the smallest.
const fn growth(what: &'static str, name: &'static str) -> Figure {
    load(what, "", name).aims(AtMost(FLAT), FLAT_REASON)
}

/// A node that is killed, and what becomes of its users.
const fn node_loss(open_max_s: f64, reason: &'static str) -> [Figure; 4] {
    let open = "from the kill until all its partitions are open";
    [
        load("until all its partitions are open", "s", open).aims(AtMost(open_max_s), reason),
        load(
            "from there until everyone is back",
            "s",
            "from there until everyone is back",
        ),
        load("CPU of a resume", "µs", "CPU of the nodes for a resume"),
        load(
            "from a link's end until its terminal is back, p99",
            "s",
            "from a link's end until its terminal is back, p99",
        ),
    ]
}
