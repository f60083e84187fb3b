//! The numbers that a cluster is made of, beside those of each of its hosts.

use crate::base::measured::RecordedFigure::{Awaited, Recorded};
use crate::base::measured::{self, cluster_run, durable_run, growth_run};
use crate::cli::sizing::Constant;

/// A constant of a run that may be still to come, and what stands for it until then.
macro_rules! of_run {
    ($name:ident, $figure:expr, $unit:literal, $run:ident, $command:literal, $stand_in:literal) => {
        pub(super) const $name: Constant = Constant {
            name: stringify!($name),
            value: $figure.value(),
            unit: $unit,
            source: match $figure {
                Recorded(_) => concat!("measured: ", $run!(), " (", $command, ")"),
                Awaited(_) => concat!(
                    "NOT MEASURED yet: ",
                    $stand_in,
                    "; ",
                    $run!(),
                    " is to say it (",
                    $command,
                    ")"
                ),
            },
        };
    };
}

/// A constant that was chosen.
macro_rules! chosen {
    ($name:ident, $value:expr, $unit:literal, $why:literal) => {
        pub(super) const $name: Constant = Constant {
            name: stringify!($name),
            value: $value,
            unit: $unit,
            source: concat!("chosen: ", $why),
        };
    };
}

of_run!(
    NODE_LOGIN_CPU_US,
    measured::NODE_LOGIN_CPU_US,
    "µs",
    cluster_run,
    "cargo bench --bench cluster",
    "its aim, 1.5 times a durable login of a gateway by itself"
);
of_run!(
    NODE_STATUS_CPU_US,
    measured::NODE_STATUS_CPU_US,
    "µs",
    cluster_run,
    "cargo bench --bench cluster",
    "its aim"
);
of_run!(
    REDIRECT_CPU_US,
    measured::REDIRECT_CPU_US,
    "µs",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    MASTER_CHANGE_CPU_US,
    measured::MASTER_CHANGE_CPU_US,
    "µs",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    REPLICA_CHANGE_CPU_US,
    measured::REPLICA_CHANGE_CPU_US,
    "µs",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    NODE_CONNECTION_USER_BYTES,
    measured::NODE_CONNECTION_USER_BYTES,
    "B",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    STORE_USER_BYTES,
    measured::STORE_USER_BYTES,
    "B",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    STORE_CHANGE_BYTES,
    measured::STORE_CHANGE_BYTES,
    "B",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    STORE_CHANGE_RECEIVED_BYTES,
    measured::STORE_CHANGE_RECEIVED_BYTES,
    "B",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
of_run!(
    STORE_CHANGE_REPLICATED_BYTES,
    measured::STORE_CHANGE_REPLICATED_BYTES,
    "B",
    growth_run,
    "holdfast-load grow-cluster --rounds 3",
    "by a trial of that run on a busy machine"
);
pub(super) const DURABLE_LOGIN_CPU_US: Constant = Constant {
    name: "DURABLE_LOGIN_CPU_US",
    value: measured::DURABLE_LOGIN_CPU_US,
    unit: "µs",
    source: concat!("measured: ", durable_run!(), " (cargo bench --bench durable)"),
};
chosen!(
    USERS_PER_CONNECTION,
    3.0,
    "",
    "accounts on record for each that is online, without --users"
);
chosen!(
    LOGINS_PER_CONNECTION_AND_DAY,
    10.0,
    "",
    "people change networks, and open and close the app; without --logins"
);
chosen!(
    PEAK_TO_AVERAGE,
    5.0,
    "",
    "logins in a busy second, against those of the average second of a day"
);
chosen!(
    STATUSES_PER_CONNECTION_AND_SECOND,
    0.1,
    "",
    "each looks at ten contacts every 100 s; without --statuses"
);
chosen!(
    CHANGES_PER_LOGIN,
    2.0,
    "",
    "the login, and later the logout or the link's end, which is reckoned to cost a node as much"
);
chosen!(
    NODES_MIN,
    3.0,
    "",
    "with two, the loss of one leaves no other to lose"
);
chosen!(
    RETURN_SHARE_OF_GRACE,
    0.5,
    "",
    "users of a lost node are all back in this part of presence.restart_grace_s, counted from when it is found dead; whoever comes later than the grace has a change"
);
chosen!(
    MASTERS_MIN,
    3.0,
    "",
    "a cluster of Redis or Valkey elects with most of its masters"
);
chosen!(
    MASTER_CORE_SHARE,
    0.5,
    "",
    "of the one core that a master runs its scripts on; the other half is for storms, in which changes share calls and are cheaper"
);
chosen!(
    STORE_MEMORY_PER_DATA,
    1.5,
    "",
    "a server that writes its file anew keeps what is changed meanwhile twice"
);
chosen!(
    SERVER_BYTES_MAX,
    (32_u64 << 30) as f64,
    "B",
    "a server stands still while it forks, and longer the more memory it has; a new replica copies all of it"
);
chosen!(
    HEARTBEAT_WIRE_BYTES,
    256.0,
    "B",
    "both ways: three packets with headers of 66 B (Ethernet, IPv4, TCP with timestamps), and two short frames in TLS"
);
chosen!(
    LOGIN_WIRE_BYTES,
    6_144.0,
    "B",
    "both ways: a handshake of TLS 1.3 with a chain of certificates, and a login; without TLS it is a quarter"
);

/// All that a cluster is made of, beside what each of its hosts is.
pub(in crate::cli) const CONSTANTS: [&Constant; 24] = [
    &NODE_LOGIN_CPU_US,
    &DURABLE_LOGIN_CPU_US,
    &NODE_STATUS_CPU_US,
    &REDIRECT_CPU_US,
    &MASTER_CHANGE_CPU_US,
    &REPLICA_CHANGE_CPU_US,
    &NODE_CONNECTION_USER_BYTES,
    &STORE_USER_BYTES,
    &STORE_CHANGE_BYTES,
    &STORE_CHANGE_RECEIVED_BYTES,
    &STORE_CHANGE_REPLICATED_BYTES,
    &USERS_PER_CONNECTION,
    &LOGINS_PER_CONNECTION_AND_DAY,
    &PEAK_TO_AVERAGE,
    &STATUSES_PER_CONNECTION_AND_SECOND,
    &CHANGES_PER_LOGIN,
    &NODES_MIN,
    &RETURN_SHARE_OF_GRACE,
    &MASTERS_MIN,
    &MASTER_CORE_SHARE,
    &STORE_MEMORY_PER_DATA,
    &SERVER_BYTES_MAX,
    &HEARTBEAT_WIRE_BYTES,
    &LOGIN_WIRE_BYTES,
];
