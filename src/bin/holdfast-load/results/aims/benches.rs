//! The current figures of the benches, and their aims.

use super::super::figures::Bound::{AtLeast, AtMost};
use super::super::figures::{Figure, ResultsFolder, claim, raw};
use super::reasons::{FLAT, IDLE_KERNEL, LOOPBACK, QUERY, RESTART};

const IDLE_USER_SMALL: &str =
    "the budget of a connection, and what a shard keeps once, spread over few connections";
const MUTANTS: &str = "each rule has one, and so have the callbacks, the store and the life of a connection";
const ROUNDS: &str = "each kind of fault comes some times, alone and beside others";
const VIOLATIONS: &str = "what a cluster promises holds whatever fails";
const SURVIVORS: &str = "what a check does not notice, it does not keep";
const ALL_CASES: &str = "all cases of the groups";
const CASES: &str = "terminals on any client of WebSocket are to find what RFC 6455 says";
const EPOLL: &str = "a ring is worth its trouble only if it costs no more than a plain epoll loop";
const EPOLL_PACED: &str = "heartbeats that share a wake-up are to cost half of a loop that wakes up for each";

const STORE_CHANGES: &str = "a storm of 500,000 changes is on record within nine seconds, through one server";
const STORE_ALONE: &str =
    "10,000,000 users with 12,000 changes a second take a quarter of one core of a server";
const STORE_BATCHED: &str = "the busier a server is, the more changes share the price of a call";
const NODE_LOGIN: &str = "CPU of a login ÷ that at a gateway by itself";
const NODE_SATURATED: &str = "CPU of a saturated heartbeat ÷ that at a gateway by itself";
const NODE_PACED: &str = "CPU of a paced heartbeat ÷ that at a gateway by itself";
const SILENCE: &str = "a second in which nobody says anything";
const LOGIN_IN_CLUSTER: &str = "a node writes to a socket what a gateway by itself writes to its disk";
const NODE_ALIKE: &str = "a node has no more to do for a connection that is there: the same within 10 %";
const QUERY_OVER_NODES: &str =
    "most accounts of a query are at home at another node, which is asked and answers";

const QUERY_DETAILS: &str = "2,500,000 statuses a second on one core, with the platforms of each user";

const SATURATED: &str = "heartbeat, saturated (256 at once)";
const PACED: &str = "heartbeat, paced at 5,000/s";
const LOGIN: &str = "login (connect, UserSig, answer)";
const LOOPBACK_SATURATED: &str = "loopback: heartbeat, saturated (256 at once): ratio to epoll";
const LOOPBACK_PACED: &str = "loopback: heartbeat, paced at 5,000/s: ratio to epoll";
const APART_SATURATED: &str = "apart: heartbeat, saturated (256 at once): ratio to epoll";
const APART_PACED: &str = "apart: heartbeat, paced at 5,000/s: ratio to epoll";
const RECEIVER: &str = "most memory with the receiver down, over most memory without callbacks";

pub(super) const FOLDERS: &[ResultsFolder] = &[
    ResultsFolder {
        name: "cost",
        title: "CPU of a heartbeat and of a login, beside a plain epoll server",
        command: "cargo bench --bench cost",
        figures: &[
            claim(
                "heartbeat, saturated, over loopback: CPU ÷ epoll's",
                "",
                LOOPBACK_SATURATED,
            )
            .aims(AtMost(1.0), EPOLL),
            claim(
                "heartbeat, paced, over loopback: CPU ÷ epoll's",
                "",
                LOOPBACK_PACED,
            )
            .aims(AtMost(0.5), EPOLL_PACED)
            .if_missed(LOOPBACK),
            claim("heartbeat, saturated, apart: CPU ÷ epoll's", "", APART_SATURATED).aims(AtMost(1.0), EPOLL),
            claim("heartbeat, paced, apart: CPU ÷ epoll's", "", APART_PACED).aims(AtMost(0.5), EPOLL_PACED),
            // Without an aim: that of a login is beside tokio.
            ratio("login, over loopback: CPU ÷ epoll's", "loopback", LOGIN),
            ratio("login, apart: CPU ÷ epoll's", "apart", LOGIN),
            cost("heartbeat, saturated, over loopback", "loopback", SATURATED),
            cost("heartbeat, paced, over loopback", "loopback", PACED),
            cost("login, over loopback", "loopback", LOGIN),
            cost("heartbeat, saturated, apart", "apart", SATURATED),
            cost("heartbeat, paced, apart", "apart", PACED),
            cost("login, apart", "apart", LOGIN),
        ],
    },
    ResultsFolder {
        name: "idle",
        title: "Memory of an idle connection, of 15,000",
        command: "cargo bench --bench idle",
        figures: &[
            claim(
                "user bytes of a connection",
                "B",
                "user bytes per idle connection",
            )
            .aims(AtMost(256.0), IDLE_USER_SMALL),
            claim(
                "kernel bytes of a connection",
                "B",
                "kernel bytes per idle connection",
            )
            .aims(AtMost(4_300.0), IDLE_KERNEL),
            raw("resident with 1,500 connections", "B", [None, None], "rss_first"),
        ],
    },
    ResultsFolder {
        name: "query",
        title: "Status queries of 500 users, over 1,000,000 users in memory",
        command: "cargo bench --bench query",
        figures: &[
            claim(
                "CPU of a user's status",
                "µs",
                "µs of CPU per user state without details",
            )
            .aims(AtMost(0.25), QUERY),
            raw(
                "CPU of a user's status with details",
                "µs",
                text("query", "with details"),
                "us_per_state",
            )
            // The bench claims it, too, but data that is older has the raw figure only.
            .claimed("µs of CPU per user state with details")
            .aims(AtMost(0.4), QUERY_DETAILS),
        ],
    },
    ResultsFolder {
        name: "durable",
        title: "A login that is on disk before it is answered",
        command: "cargo bench --bench durable",
        figures: &[
            claim("CPU of a durable login", "µs", "µs of CPU per durable login").aims(
                AtMost(45.0),
                "a durable login is to cost little more than one in memory",
            ),
            claim("durable logins", "1/s", "durable logins per second").aims(
                AtLeast(12_000.0),
                "a million terminals come back within a minute and a half",
            ),
            raw(
                "CPU of a login, relaxed",
                "µs",
                text("records", "relaxed"),
                "cpu_us",
            ),
            raw(
                "CPU of a login, in memory",
                "µs",
                text("records", "in memory"),
                "cpu_us",
            ),
        ],
    },
    ResultsFolder {
        name: "receiver",
        title: "100,000 changes while the receiver of callbacks is down",
        command: "cargo bench --bench receiver",
        figures: &[
            claim("most memory ÷ the same without callbacks", "", RECEIVER)
                .aims(AtMost(1.1), "a receiver that is down costs disk and no memory"),
            raw("until all callbacks are taken", "s", [None, None], "took_s"),
        ],
    },
    ResultsFolder {
        name: "restart",
        title: "A start with 2,000,000 users on record",
        command: "cargo bench --bench restart",
        figures: &[
            claim(
                "until the gateway is ready",
                "s",
                "seconds from the start until it is ready",
            )
            .aims(AtMost(10.0), RESTART),
            raw(
                "from the first device given up to the last",
                "s",
                [None, None],
                "given_up_s",
            ),
        ],
    },
    ResultsFolder {
        name: "cluster",
        title: "What a node of a cluster costs, beside a gateway by itself",
        command: "cargo bench --bench cluster",
        figures: &[
            claim(
                "login, recorded: CPU ÷ that of a gateway by itself",
                "",
                NODE_LOGIN,
            )
            .aims(AtMost(1.5), LOGIN_IN_CLUSTER),
            claim(
                "heartbeat, saturated: CPU ÷ that of a gateway by itself",
                "",
                NODE_SATURATED,
            )
            .aims(AtMost(FLAT), NODE_ALIKE),
            claim(
                "heartbeat, paced: CPU ÷ that of a gateway by itself",
                "",
                NODE_PACED,
            )
            .aims(AtMost(FLAT), NODE_ALIKE),
            claim(
                "user bytes of an idle connection ÷ those of a gateway by itself",
                "",
                "bytes of an idle connection ÷ those at a gateway by itself",
            )
            .aims(AtMost(FLAT), NODE_ALIKE),
            claim(
                "CPU of all nodes for a user's status",
                "µs",
                "µs of CPU of all nodes per user state",
            )
            .aims(AtMost(0.8), QUERY_OVER_NODES),
            node("login, recorded, at a node", "login, recorded"),
            node("heartbeat, saturated, at a node", SATURATED),
            node("heartbeat, paced, at a node", PACED),
            node("a silent second at a node with 8,000 connections", SILENCE),
        ],
    },
    ResultsFolder {
        name: "shared-store",
        title: "What a change costs a shared store of Redis",
        command: "cargo bench --bench shared_store",
        figures: &[
            claim(
                "changes through a registry",
                "1/s",
                "changes a second through a registry",
            )
            .aims(AtLeast(60_000.0), STORE_CHANGES),
            raw(
                "SETs by redis-benchmark, without WAIT",
                "1/s",
                text("records", "redis-benchmark"),
                "per_second",
            ),
            claim(
                "CPU of the master for a change in batches of 1",
                "µs",
                "µs of the master's CPU for a change in batches of 1",
            )
            .aims(AtMost(20.0), STORE_ALONE),
            claim(
                "CPU of the master for a change in batches of 16",
                "µs",
                "µs of the master's CPU for a change in batches of 16",
            )
            .aims(AtMost(6.0), STORE_BATCHED),
        ],
    },
    ResultsFolder {
        name: "mutants",
        title: "Mutants of the source, and what caught them",
        command: "cargo test --test mutants -- --ignored",
        figures: &[
            raw("mutants", "", [None, None], "mutants").aims(AtLeast(80.0), MUTANTS),
            raw("mutants that no check notices", "", [None, None], "survivors").aims(AtMost(0.0), SURVIVORS),
        ],
    },
    ResultsFolder {
        name: "nemesis",
        title: "Faults of a cluster of real processes, and what the checker found",
        command: "HOLDFAST_NEMESIS_ROUNDS=100 cargo test --test nemesis -- --ignored rounds",
        figures: &[
            raw("rounds", "", [None, None], "rounds").aims(AtLeast(100.0), ROUNDS),
            raw("changes", "", [None, None], "changes"),
            raw(
                "sights of users that the checker judged",
                "",
                [None, None],
                "sights",
            ),
            raw("violations", "", [None, None], "violations").aims(AtMost(0.0), VIOLATIONS),
        ],
    },
    ResultsFolder {
        name: "websocket",
        title: "The cases of the Autobahn testsuite for servers of WebSocket, groups 1 to 7 and 10",
        command: "cargo test --test websocket -- --ignored the_table",
        figures: &[
            raw("cases", "", [None, None], "cases").aims(AtLeast(247.0), ALL_CASES),
            raw(
                "cases against the gateway",
                "",
                [None, None],
                "cases against the gateway",
            ),
            raw("cases that fail", "", [None, None], "failed").aims(AtMost(0.0), CASES),
        ],
    },
];

/// CPU of one operation of the gateway.
const fn cost(what: &'static str, arrangement: &'static str, operation: &'static str) -> Figure {
    let texts = [Some(("arrangement", arrangement)), Some(("operation", operation))];
    raw(what, "µs", texts, "ours_us")
}

/// CPU of one operation of a node.
const fn node(what: &'static str, operation: &'static str) -> Figure {
    raw(what, "µs", text("operation", operation), "node_us")
}

/// The same by what the epoll server took in the same round.
const fn ratio(what: &'static str, arrangement: &'static str, operation: &'static str) -> Figure {
    let mut figure = cost(what, arrangement, operation);
    figure.unit = "";
    figure.place.by = Some("epoll_us");
    figure
}

const fn text(name: &'static str, text: &'static str) -> [Option<(&'static str, &'static str)>; 2] {
    [Some((name, text)), None]
}
