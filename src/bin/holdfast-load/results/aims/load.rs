//! The current figures of `holdfast-load` with the gateway alone, and their aims.

use super::super::figures::Bound::AtMost;
use super::super::figures::{Figure, ResultsFolder, load};
use super::reasons::{FLAT, FLAT_REASON, IDLE_KERNEL, QUERY, RESTART};

const IDLE_USER: &str =
    "the budget of a connection over plain TCP: slot, session, user, UserID, index and alarm";
const FEW_SHARDS: &str =
    "Some work is done once for all shards. With few shards its share in each heartbeat is larger.";
const MANY_SHARDS: &str = "A shard holds no more connections than the process may have file descriptors. With a limit of 20,000 a \
     million connections need 58 shards, and a query of 500 users has to ask each of them for a few users.";
const THREADS: &str = "With a limit of 20,000 file descriptors a million connections need 58 shards, which take turns on two cores. \
     Each finds the caches filled by the others, and has few heartbeats to answer at once.";
const FEW_CONNECTIONS: &str = "Tables grow in steps, which weigh more where a shard has few connections.";
const HOLDING: &str =
    "a million connections, with a heartbeat every two minutes, are to take a seventh of a core";
const FANNED: &str = "a request for many users is there to save what is done for each request";
const GROW_USER: &str = "user bytes of a connection: largest ÷ smallest (aim 1.10, no check)";
const GROW_KERNEL: &str =
    "kernel bytes of a connection, the gateway's end: largest ÷ smallest (aim 1.10, no check)";
const GROW_SATURATED: &str = "heartbeat, saturated (128 at once for each shard): CPU of the server for one: largest ÷ smallest \
     (aim 1.10, no check)";
const GROW_PACED: &str = "heartbeat, paced (146/s for each shard): CPU of the server for one: largest ÷ smallest (aim 1.10, no \
     check)";

pub(super) const FOLDERS: &[ResultsFolder] = &[
    ResultsFolder {
        name: "load-idle-100k",
        title: "100,000 idle connections",
        command: "holdfast-load idle --connections 100000 --hold 30s",
        figures: IDLE,
    },
    ResultsFolder {
        name: "load-idle-1m",
        title: "1,000,000 idle connections",
        command: "holdfast-load idle --connections 1000000 --hold 10m",
        figures: IDLE_MILLION,
    },
    ResultsFolder {
        name: "load-relay",
        title: "Messages to terminals",
        command: "holdfast-load relay",
        figures: &[
            load("one to one: CPU", "µs", "message, one to one: CPU of the gateway"),
            load(
                "the same, acknowledged",
                "µs",
                "message, one to one, acknowledged: CPU of the gateway",
            ),
            load(
                "one to 500: CPU ÷ CPU of one to one",
                "",
                "message, one to 500: CPU of the gateway ÷ that of one to one",
            )
            .aims(AtMost(0.7), FANNED),
            load(
                "on its way at 1,000/s, p99",
                "ms",
                "message, paced at 1000/s: on its way, p99",
            ),
        ],
    },
    ResultsFolder {
        name: "load-grow",
        title: "What one costs with 10,000, 100,000 and 1,000,000 connections",
        command: "holdfast-load grow",
        figures: &[
            load(
                "user bytes of a connection, of 1,000,000",
                "B",
                "user bytes of a connection, 1000000",
            )
            .aims(AtMost(160.0), IDLE_USER),
            load("user bytes of a connection: largest ÷ smallest", "", GROW_USER)
                .aims(AtMost(FLAT), FLAT_REASON)
                .if_missed(FEW_CONNECTIONS),
            load(
                "kernel bytes of a connection: largest ÷ smallest",
                "",
                GROW_KERNEL,
            )
            .aims(AtMost(FLAT), FLAT_REASON),
            load(
                "CPU of a saturated heartbeat: largest ÷ smallest",
                "",
                GROW_SATURATED,
            )
            .aims(AtMost(FLAT), FLAT_REASON)
            .if_missed(THREADS),
            load("CPU of a paced heartbeat: largest ÷ smallest", "", GROW_PACED)
                .aims(AtMost(FLAT), FLAT_REASON)
                .if_missed(FEW_SHARDS),
        ],
    },
    ResultsFolder {
        name: "load-beat",
        title: "Heartbeats of 8,000 terminals",
        command: "holdfast-load beat",
        figures: &[
            load(
                "CPU of a saturated heartbeat",
                "µs",
                "heartbeat, saturated (256 at once): CPU of the server for one",
            ),
            load(
                "CPU of a paced heartbeat",
                "µs",
                "heartbeat, paced at 5000/s: CPU of the server for one",
            ),
            load(
                "saturated heartbeats",
                "1/s",
                "heartbeat, saturated (256 at once): rate",
            ),
            load("paced heartbeat, p99", "ms", "heartbeat, paced at 5000/s: p99"),
        ],
    },
    ResultsFolder {
        name: "load-login",
        title: "Logins and logouts, on disk before they are answered",
        command: "holdfast-load login",
        figures: &[
            load("CPU of a login", "µs", "login: CPU of the server for one"),
            load("CPU of a logout", "µs", "logout: CPU of the server for one"),
            load("logins", "1/s", "login: rate"),
            load("login, p99", "ms", "login: p99"),
        ],
    },
    ResultsFolder {
        name: "load-churn",
        title: "Coming and going in every way",
        command: "holdfast-load churn",
        figures: &[
            load("CPU of the gateway", "cores", "CPU of the gateway"),
            load("login, p99", "ms", "logins, p99"),
            load("resume, p99", "ms", "resumes, p99"),
        ],
    },
    ResultsFolder {
        name: "load-query",
        title: "Status queries of 500 users while terminals beat",
        command: "holdfast-load query --rate 5000",
        figures: &[
            load(
                "CPU of a user's status",
                "µs",
                "CPU of the gateway for a user's status",
            )
            .aims(AtMost(0.25), QUERY),
            load("query of 500 users, p99", "ms", "query of 500 users, p99"),
            load("heartbeat meanwhile, p99", "ms", "heartbeat meanwhile, p99"),
        ],
    },
    ResultsFolder {
        name: "load-query-storm",
        title: "Status queries at 1,000,000 terminals, before and in a storm of logins",
        command: "holdfast-load query --connections 1000000 --storm 2000",
        figures: &[
            load(
                "before the storm: CPU of a user's status",
                "µs",
                "CPU of the gateway for a user's status",
            )
            .aims(AtMost(0.25), QUERY)
            .if_missed(MANY_SHARDS),
            load(
                "before the storm: query of 500 users, p99",
                "ms",
                "query of 500 users, p99",
            ),
            load(
                "in the storm: query of 500 users, p99",
                "ms",
                "in the storm: query of 500 users, p99",
            ),
            load("in the storm: visit, p99", "ms", "in the storm: visit, p99"),
        ],
    },
    ResultsFolder {
        name: "load-return",
        title: "The gateway is killed, and 1,000,000 terminals come back",
        command: "holdfast-load return --connections 1000000",
        figures: &[
            load(
                "until the gateway is ready again",
                "s",
                "from there until the gateway is ready again",
            )
            .aims(AtMost(10.0), RESTART),
            load(
                "from there until everyone is back",
                "s",
                "from there until everyone is back",
            ),
            load("resume, p99", "ms", "resume, p99 at this window"),
        ],
    },
    ResultsFolder {
        name: "load-return-links",
        title: "The links of 1,000,000 terminals are cut, and all come back",
        command: "holdfast-load return --connections 1000000 --links",
        figures: &[
            load(
                "until all link ends are recorded",
                "s",
                "until all link ends are recorded",
            ),
            load(
                "from there until everyone is back",
                "s",
                "from there until everyone is back",
            ),
        ],
    },
];

/// What holding connections costs is an aim only for a million.
const IDLE: &[Figure] = &idle(None);
const IDLE_MILLION: &[Figure] = &idle(Some(0.15));

const fn idle(cores_max: Option<f64>) -> [Figure; 5] {
    let holding = load(
        "CPU of the gateway while holding",
        "cores",
        "CPU of the gateway while holding",
    );
    let holding = match cores_max {
        Some(cores) => holding.aims(AtMost(cores), HOLDING),
        None => holding,
    };
    [
        load("user bytes of a connection", "B", "user bytes of a connection").aims(AtMost(160.0), IDLE_USER),
        load(
            "kernel bytes of a connection",
            "B",
            "kernel bytes of a connection, the gateway's end",
        )
        .aims(AtMost(4_300.0), IDLE_KERNEL),
        load("CPU of a heartbeat", "µs", "CPU of the gateway for a heartbeat"),
        holding,
        load(
            "resident memory of the gateway, peak",
            "MiB",
            "RSS of the gateway, peak",
        ),
    ]
}
