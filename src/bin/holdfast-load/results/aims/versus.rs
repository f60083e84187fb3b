//! The current figures of `holdfast-load` with another server beside the gateway, and their aims.

use super::super::figures::Bound::AtMost;
use super::super::figures::{Figure, ResultsFolder, load};
use super::reasons::LOOPBACK;

const TOKIO: &str = "a plain server on tokio is what one would write instead";
const TOKIO_SATURATED: &str = "a ring has to pay off where the CPU is the limit";
const TOKIO_PACED: &str =
    "heartbeats that share a wake-up are to cost less than half of a server that wakes up for each";
const TOKIO_LOGIN: &str = "with nothing written to disk, a ring and one owner for each user have to pay off";
const TOKIO_RELAXED: &str = "a record that the system has is to cost no more than what is saved elsewhere";
const TOKIO_COMMIT: &str = "a record on disk is to cost a tenth more than a server that keeps nothing";
const LOGOUT: &str = "A logout is recorded as a change of its user, which the other server does not do.";
const ECHO: &str = "a bare echo loop is the floor of a heartbeat; knowing who is there may add some";
const RELAY: &str = "a gateway that keeps nothing of a message is to cost less than a broker";
const RELAY_TIME: &str = "a message is to be as soon there as by a broker";
const RELAY_HTTP: &str = "The gateway is sent to by HTTP/1.1: each message is a request with a UserSig to check, and an answer that \
     names each device. Mosquitto's publishers have a connection that speaks MQTT, with a few bytes for a message.";
const MOSQUITTO: &str = "a broker is what one would take instead";

pub(super) const FOLDERS: &[ResultsFolder] = &[
    ResultsFolder {
        name: "load-versus-tokio",
        title: "Beside a plain server on tokio",
        command: "holdfast-load versus",
        figures: VERSUS_TOKIO,
    },
    ResultsFolder {
        name: "load-versus-tokio-apart",
        title: "Beside a plain server on tokio, apart",
        command: "holdfast-load versus --apart",
        figures: VERSUS_TOKIO_APART,
    },
    ResultsFolder {
        name: "load-versus-tokio-commit",
        title: "Beside a plain server on tokio, with records on disk, which the other does not keep",
        command: "holdfast-load versus --set 'registry.store=\"embedded\"'",
        figures: VERSUS_TOKIO_COMMIT,
    },
    ResultsFolder {
        name: "load-versus-tokio-commit-apart",
        title: "The same, apart",
        command: "holdfast-load versus --apart --set 'registry.store=\"embedded\"'",
        figures: VERSUS_TOKIO_COMMIT_APART,
    },
    ResultsFolder {
        name: "load-versus-tokio-relaxed",
        title: "Beside a plain server on tokio, with records that the system writes to disk later",
        command: "holdfast-load versus --set 'registry.store=\"embedded\"' --set 'registry.durability=\"relaxed\"'",
        figures: VERSUS_TOKIO_RELAXED,
    },
    ResultsFolder {
        name: "load-versus-tokio-relaxed-apart",
        title: "The same, apart",
        command: "holdfast-load versus --apart --set 'registry.store=\"embedded\"' --set 'registry.durability=\"relaxed\"'",
        figures: VERSUS_TOKIO_RELAXED_APART,
    },
    ResultsFolder {
        name: "load-versus-echo",
        title: "Beside a bare echo loop on io_uring",
        command: "holdfast-load versus --peer echo",
        figures: VERSUS_ECHO,
    },
    ResultsFolder {
        name: "load-versus-echo-apart",
        title: "Beside a bare echo loop on io_uring, apart",
        command: "holdfast-load versus --apart --peer echo",
        figures: VERSUS_ECHO,
    },
    ResultsFolder {
        name: "load-versus-mosquitto",
        title: "Beside the broker mosquitto",
        command: "holdfast-load versus --peer mosquitto",
        figures: VERSUS_MOSQUITTO,
    },
    ResultsFolder {
        name: "load-versus-mosquitto-apart",
        title: "Beside the broker mosquitto, apart",
        command: "holdfast-load versus --apart --peer mosquitto",
        figures: VERSUS_MOSQUITTO,
    },
    ResultsFolder {
        name: "load-relay-mosquitto",
        title: "Messages beside the broker mosquitto",
        command: "holdfast-load relay --beside-mosquitto",
        figures: RELAY_MOSQUITTO,
    },
    ResultsFolder {
        name: "load-relay-mosquitto-apart",
        title: "Messages beside the broker mosquitto, apart",
        command: "holdfast-load relay --beside-mosquitto --apart",
        figures: RELAY_MOSQUITTO,
    },
];

// Only what was measured over loopback is excused by it.
const VERSUS_TOKIO: &[Figure] = &in_memory(Some(LOOPBACK));
const VERSUS_TOKIO_APART: &[Figure] = &in_memory(None);

const fn in_memory(missed: Option<&'static str>) -> [Figure; 6] {
    let [login, saturated, paced] = beside_tokio((0.7, TOKIO_LOGIN), missed);
    [
        login,
        saturated,
        paced,
        load(
            "logout: CPU ÷ tokio's",
            "",
            "logout: CPU of the gateway ÷ CPU of tokio",
        )
        .aims(AtMost(1.0), TOKIO)
        .if_missed(LOGOUT),
        load(
            "resident memory that a connection adds",
            "B",
            "gateway: RSS that a connection adds",
        ),
        load("the same of tokio's", "B", "tokio: RSS that a connection adds"),
    ]
}

const VERSUS_TOKIO_RELAXED: &[Figure] = &with_records((1.0, TOKIO_RELAXED), Some(LOOPBACK));
const VERSUS_TOKIO_RELAXED_APART: &[Figure] = &with_records((1.0, TOKIO_RELAXED), None);
const VERSUS_TOKIO_COMMIT: &[Figure] = &with_records((1.1, TOKIO_COMMIT), Some(LOOPBACK));
const VERSUS_TOKIO_COMMIT_APART: &[Figure] = &with_records((1.1, TOKIO_COMMIT), None);

const fn with_records(login: (f64, &'static str), missed: Option<&'static str>) -> [Figure; 4] {
    let [login, saturated, paced] = beside_tokio(login, missed);
    // No aim: a logout writes a record here and nothing there, so no ratio is one that it ought to have. What it costs
    // without records has an aim.
    let logout = load(
        "logout: CPU ÷ tokio's",
        "",
        "logout: CPU of the gateway ÷ CPU of tokio",
    );
    [login, saturated, paced, logout]
}

/// What has an aim with and without records. `missed`: how a value is to be read that misses it.
const fn beside_tokio(
    (login_max, login_reason): (f64, &'static str),
    missed: Option<&'static str>,
) -> [Figure; 3] {
    let figures = [
        load(
            "login: CPU ÷ tokio's",
            "",
            "login: CPU of the gateway ÷ CPU of tokio",
        )
        .aims(AtMost(login_max), login_reason),
        load(
            "heartbeat, saturated: CPU ÷ tokio's",
            "",
            "heartbeat, saturated: CPU of the gateway ÷ CPU of tokio",
        )
        .aims(AtMost(0.8), TOKIO_SATURATED),
        load(
            "heartbeat, paced: CPU ÷ tokio's",
            "",
            "heartbeat, paced: CPU of the gateway ÷ CPU of tokio",
        )
        .aims(AtMost(0.4), TOKIO_PACED),
    ];
    let Some(missed) = missed else { return figures };
    let [login, saturated, paced] = figures;
    [
        login.if_missed(missed),
        saturated.if_missed(missed),
        paced.if_missed(missed),
    ]
}

const VERSUS_ECHO: &[Figure] = &[
    load(
        "heartbeat, saturated: CPU ÷ echo's",
        "",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of echo",
    )
    .aims(AtMost(1.15), ECHO),
    load(
        "heartbeat, paced: CPU ÷ echo's",
        "",
        "heartbeat, paced: CPU of the gateway ÷ CPU of echo",
    ),
];

/// A logout of mosquitto's has no answer, so it has no aim.
const VERSUS_MOSQUITTO: &[Figure] = &[
    load(
        "login: CPU ÷ mosquitto's",
        "",
        "login: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(1.0), MOSQUITTO),
    load(
        "heartbeat, saturated: CPU ÷ mosquitto's",
        "",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(1.0), MOSQUITTO),
    load(
        "heartbeat, paced: CPU ÷ mosquitto's",
        "",
        "heartbeat, paced: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(1.0), MOSQUITTO),
    load(
        "logout, which mosquitto does not answer: CPU ÷ its",
        "",
        "logout: CPU of the gateway ÷ CPU of mosquitto",
    ),
    load(
        "resident memory that a connection adds",
        "B",
        "gateway: RSS that a connection adds",
    ),
    load(
        "the same of mosquitto's",
        "B",
        "mosquitto: RSS that a connection adds",
    ),
];

/// A message costs the gateway a request over HTTP with a UserSig to check and an answer that names each device.
const RELAY_MOSQUITTO: &[Figure] = &[
    load(
        "message, unacknowledged: CPU ÷ mosquitto's",
        "",
        "unacknowledged, as fast as may be: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(0.7), RELAY)
    .if_missed(RELAY_HTTP),
    load(
        "message, acknowledged: CPU ÷ mosquitto's",
        "",
        "acknowledged, as fast as may be: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(0.7), RELAY)
    .if_missed(RELAY_HTTP),
    load(
        "unacknowledged, 64 at once: CPU ÷ mosquitto's",
        "",
        "unacknowledged, 64 at once, as fast as may be: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(0.7), RELAY),
    load(
        "acknowledged, 64 at once: CPU ÷ mosquitto's",
        "",
        "acknowledged, 64 at once, as fast as may be: CPU of the gateway ÷ CPU of mosquitto",
    )
    .aims(AtMost(0.7), RELAY),
    load(
        "unacknowledged, 1,000/s: on its way, p99 ÷ mosquitto's",
        "",
        "unacknowledged, 1000/s: on its way, p99 of the gateway ÷ that of mosquitto",
    )
    .aims(AtMost(1.5), RELAY_TIME),
];
