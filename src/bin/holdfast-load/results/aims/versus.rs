//! The current figures of `holdfast-load` with another server beside the gateway, and their aims.

use super::super::figures::Bound::AtMost;
use super::super::figures::{Figure, Folder, load};

const TOKIO: &str = "a plain server on tokio is what one would write instead";
const ECHO: &str = "a bare echo loop is the floor of a heartbeat; knowing who is there may add a tenth";
const MOSQUITTO: &str = "a broker is what one would take instead";

pub(super) const FOLDERS: &[Folder] = &[
    Folder {
        name: "load-versus-tokio",
        title: "Beside a plain server on tokio",
        command: "holdfast-load versus",
        figures: VERSUS_TOKIO,
    },
    Folder {
        name: "load-versus-tokio-apart",
        title: "Beside a plain server on tokio, apart",
        command: "holdfast-load versus --apart",
        figures: VERSUS_TOKIO,
    },
    Folder {
        name: "load-versus-tokio-commit",
        title: "Beside a plain server on tokio, with records on disk, which the other does not keep",
        command: "holdfast-load versus --set 'registry.store=\"embedded\"'",
        figures: VERSUS_TOKIO_RECORDS,
    },
    Folder {
        name: "load-versus-tokio-commit-apart",
        title: "The same, apart",
        command: "holdfast-load versus --apart --set 'registry.store=\"embedded\"'",
        figures: VERSUS_TOKIO_RECORDS,
    },
    Folder {
        name: "load-versus-echo",
        title: "Beside a bare echo loop on io_uring",
        command: "holdfast-load versus --peer echo",
        figures: VERSUS_ECHO,
    },
    Folder {
        name: "load-versus-echo-apart",
        title: "Beside a bare echo loop on io_uring, apart",
        command: "holdfast-load versus --apart --peer echo",
        figures: VERSUS_ECHO,
    },
    Folder {
        name: "load-versus-mosquitto",
        title: "Beside the broker mosquitto",
        command: "holdfast-load versus --peer mosquitto",
        figures: VERSUS_MOSQUITTO,
    },
    Folder {
        name: "load-versus-mosquitto-apart",
        title: "Beside the broker mosquitto, apart",
        command: "holdfast-load versus --apart --peer mosquitto",
        figures: VERSUS_MOSQUITTO,
    },
];

const VERSUS_TOKIO: &[Figure] = &[
    load(
        "login: CPU ÷ tokio's",
        "",
        "login: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "heartbeat, saturated: CPU ÷ tokio's",
        "",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "heartbeat, paced: CPU ÷ tokio's",
        "",
        "heartbeat, paced: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "logout: CPU ÷ tokio's",
        "",
        "logout: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "resident memory that a connection adds",
        "B",
        "gateway: RSS that a connection adds",
    ),
    load("the same of tokio's", "B", "tokio: RSS that a connection adds"),
];

const VERSUS_TOKIO_RECORDS: &[Figure] = &[
    load(
        "login: CPU ÷ tokio's",
        "",
        "login: CPU of the gateway ÷ CPU of tokio",
    ),
    load(
        "heartbeat, saturated: CPU ÷ tokio's",
        "",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "heartbeat, paced: CPU ÷ tokio's",
        "",
        "heartbeat, paced: CPU of the gateway ÷ CPU of tokio",
    )
    .aims(AtMost(1.0), TOKIO),
    load(
        "logout: CPU ÷ tokio's",
        "",
        "logout: CPU of the gateway ÷ CPU of tokio",
    ),
];

const VERSUS_ECHO: &[Figure] = &[
    load(
        "heartbeat, saturated: CPU ÷ echo's",
        "",
        "heartbeat, saturated: CPU of the gateway ÷ CPU of echo",
    )
    .aims(AtMost(1.10), ECHO),
    load(
        "heartbeat, paced: CPU ÷ echo's",
        "",
        "heartbeat, paced: CPU of the gateway ÷ CPU of echo",
    )
    .aims(AtMost(1.10), ECHO),
];

/// A logout of mosquitto's has no answer, so it is told without an aim.
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
