//! The current figures of `holdfast-load` with terminals that speak TLS or WebSocket, and their aims.

use super::super::figures::Bound::AtMost;
use super::super::figures::{Figure, ResultsFolder, load};
use super::reasons::IDLE_KERNEL;

const TLS_USER: &str = "a plain connection and 135 B of keys for both directions";
const WEBSOCKET_USER: &str = "a plain connection, and that it is a WebSocket";
const BOTH_USER: &str = "a plain connection, the keys, and that it is a WebSocket";
const LOGIN: &str = "the handshake is rustls' own; what is around it may cost a third of it";
const FLIGHTS: &str = "A handshake sends and receives twice more than a login. Over loopback the gateway's CPU includes the terminals' half of \
    that TCP.";
const BEAT: &str = "a record more each way, and the ciphers that are made for it";

pub(super) const FOLDERS: &[ResultsFolder] = &[
    ResultsFolder {
        name: "load-idle-tls-500k",
        title: "500,000 idle connections over TLS",
        command: "holdfast-load idle --tls --connections 500000 --hold 1m",
        figures: &idle(300.0, TLS_USER),
    },
    ResultsFolder {
        name: "load-idle-websocket-100k",
        title: "100,000 idle WebSockets",
        command: "holdfast-load idle --websocket --connections 100000 --hold 30s",
        figures: &idle(170.0, WEBSOCKET_USER),
    },
    ResultsFolder {
        name: "load-idle-tls-websocket-100k",
        title: "100,000 idle WebSockets over TLS",
        command: "holdfast-load idle --tls --websocket --connections 100000 --hold 30s",
        figures: &idle(320.0, BOTH_USER),
    },
    ResultsFolder {
        name: "load-versus-tls-tokio",
        title: "Beside a plain server on tokio, both over TLS",
        command: "holdfast-load versus --tls",
        figures: &[
            load(
                "the gateway: memory that a connection adds",
                "B",
                "gateway: RSS that a connection adds",
            ),
            load(
                "tokio-rustls: memory that a connection adds",
                "B",
                "tokio: RSS that a connection adds",
            ),
            load(
                "login: CPU ÷ tokio's",
                "",
                "login: CPU of the gateway ÷ CPU of tokio",
            ),
            load(
                "heartbeat, saturated: CPU ÷ tokio's",
                "",
                "heartbeat, saturated: CPU of the gateway ÷ CPU of tokio",
            ),
            load(
                "heartbeat, paced: CPU ÷ tokio's",
                "",
                "heartbeat, paced: CPU of the gateway ÷ CPU of tokio",
            ),
        ],
    },
    ResultsFolder {
        name: "load-tls-cost",
        title: "What TLS adds to a login and to a heartbeat",
        command: "holdfast-load tls-cost",
        figures: &[
            load(
                "full handshake: added to a login ÷ in memory",
                "",
                "login, full: (CPU by TLS − plain) ÷ in memory",
            )
            .aims(AtMost(1.3), LOGIN)
            .if_missed(FLIGHTS),
            load(
                "by a ticket: added to a login ÷ in memory",
                "",
                "login, resumed: (CPU by TLS − plain) ÷ in memory",
            )
            .aims(AtMost(1.3), LOGIN)
            .if_missed(FLIGHTS),
            load(
                "heartbeat: CPU by TLS ÷ plain",
                "",
                "heartbeat: CPU by TLS ÷ plain",
            )
            .aims(AtMost(1.5), BEAT),
            load(
                "CPU that a full handshake adds to a login",
                "µs",
                "login, full: CPU by TLS − plain",
            ),
            load(
                "CPU that a handshake by a ticket adds to a login",
                "µs",
                "login, resumed: CPU by TLS − plain",
            ),
        ],
    },
    ResultsFolder {
        name: "load-handshakes",
        title: "20,000 terminals begin a handshake at once, beside 2,000 that beat",
        command: "holdfast-load handshakes",
        figures: &[
            load(
                "heartbeat before the storm, p99",
                "ms",
                "heartbeat before the storm, p99",
            ),
            load("heartbeat in the storm, p99", "ms", "heartbeat in the storm, p99"),
            load(
                "until all of the storm are logged in",
                "s",
                "until all of the storm are logged in",
            ),
        ],
    },
];

const fn idle(user_max: f64, reason: &'static str) -> [Figure; 3] {
    [
        load("user bytes of a connection", "B", "user bytes of a connection").aims(AtMost(user_max), reason),
        load(
            "kernel bytes of a connection",
            "B",
            "kernel bytes of a connection, the gateway's end",
        )
        .aims(AtMost(4_180.0), IDLE_KERNEL),
        load("CPU of a heartbeat", "µs", "CPU of the gateway for a heartbeat"),
    ]
}
