//! The settings of what is kept and told: registry, callbacks, log. Never of what is decided.

use super::{Effect, Kind, Setting, setting};

/// The vendor's console takes short tokens, and backends have them.
const TOKEN_BYTES_MIN: usize = 8;

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "registry.store",
        Effect::Restart,
        Kind::OneOf(&["embedded", "memory"]),
        r#""embedded""#,
        "Where records are kept: in a store on disk, or in memory, where they are gone with the process and there are no changes to read and no callbacks.",
    ),
    setting(
        "registry.path",
        Effect::Restart,
        Kind::Path,
        r#""holdfast-data""#,
        "The folder of the store on disk. One gateway alone may use it.",
    ),
    setting(
        "registry.durability",
        Effect::Restart,
        Kind::OneOf(&["commit", "relaxed"]),
        r#""commit""#,
        "When a change counts as recorded. commit: when it is on disk. relaxed: when the system has it, which is up to 100 ms earlier; a power cut may undo those.",
    ),
    setting(
        "registry.memory_bytes_max",
        Effect::Restart,
        Kind::Number(16 << 20, 64 << 30),
        "67108864",
        "About how much memory the store on disk may take for its caches and for what it has not written out.",
    ),
    setting(
        "changes.keep_days",
        Effect::Restart,
        Kind::Number(1, 365),
        "7",
        "How long changes can be read. One whose callback is due is kept longer.",
    ),
    setting(
        "callback.url",
        Effect::AtOnce,
        Kind::Url,
        r#""""#,
        "The app backend's address for State.StateChange callbacks. Empty: none are sent.",
    ),
    setting(
        "callback.token",
        Effect::AtOnce,
        Kind::Secret(TOKEN_BYTES_MIN),
        r#""""#,
        "If set, each callback proves by Sign and RequestTime that it comes from here.",
    ),
    setting(
        "callback.parallel",
        Effect::AtOnce,
        Kind::Number(1, 1_024),
        "64",
        "Users whose callbacks are under way at the same time. One user's leave one by one.",
    ),
    setting(
        "callback.connections_max",
        Effect::AtOnce,
        Kind::Number(1, 1_024),
        "64",
        "Connections to the app's backend that are open at the same time. If it is smaller than callback.parallel, it counts for both.",
    ),
    setting(
        "callback.timeout_ms",
        Effect::AtOnce,
        Kind::Number(100, 60_000),
        "2000",
        "How long the app's backend may take to answer a callback.",
    ),
    setting(
        "callback.give_up_hours",
        Effect::AtOnce,
        Kind::Number(1, 720),
        "24",
        "How long after its change a callback is tried again before it goes to the dead letters. It goes there by its age too while there is no receiver, or none that answers.",
    ),
    setting(
        "callback.dead_keep_days",
        Effect::AtOnce,
        Kind::Number(1, 365),
        "30",
        "How long a dead letter is kept before it is dropped for good.",
    ),
    setting(
        "callback.expiry",
        Effect::AtOnce,
        Kind::Switch,
        "false",
        "Whether the end of PushOnline has a callback too. None is documented for it.",
    ),
    setting(
        "callback.ca_file",
        Effect::AtOnce,
        Kind::FileOrNone,
        r#""""#,
        "A PEM file with the certificates that vouch for the app's backend, instead of those of the system. Empty: those of the system.",
    ),
    setting(
        "node.start_patience_s",
        Effect::Restart,
        Kind::Number(0, 300),
        "10",
        "How long a start waits for an address or a store that another process has. After a kill the system takes some 5 s to close a million connections, and their addresses stay taken until then.",
    ),
    setting(
        "node.stop_deadline_s",
        Effect::Restart,
        Kind::Number(1, 300),
        "10",
        "How long a clean stop may take, all in all. Connections and requests that are still open after three quarters of it are dropped.",
    ),
    setting(
        "log.level",
        Effect::AtOnce,
        Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
        r#""info""#,
        "What is written to standard error. info: what happens to the gateway. debug: a line for each login, refusal, force-off and end of a link too, and what libraries warn of. trace: all that libraries say. Release builds have nothing below debug.",
    ),
    setting(
        "log.format",
        Effect::Restart,
        Kind::OneOf(&["text", "json"]),
        r#""text""#,
        "How it is written.",
    ),
    setting(
        "testing.registry_delay_ms",
        Effect::Restart,
        Kind::Number(0, 60_000),
        "0",
        "FOR TESTS ALONE: how long the registry takes longer for each batch.",
    ),
    setting(
        "testing.registry_fail_every",
        Effect::Restart,
        Kind::Number(0, i64::MAX),
        "0",
        "FOR TESTS ALONE: every so-many-th letter to the registry fails. 0: none.",
    ),
];
