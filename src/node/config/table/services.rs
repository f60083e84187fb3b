//! The settings of what is kept and told: registry, callbacks, log. Never of what is decided.

use crate::node::config::choices;
use crate::node::config::kind::SettingKind;
use crate::node::config::setting::{Setting, TakesEffect, setting};

/// The vendor's console takes short tokens, and backends have them.
const TOKEN_BYTES_MIN: usize = 8;

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "registry.store",
        TakesEffect::AtRestart,
        SettingKind::OneOf(&choices::STORE),
        r#""embedded""#,
        "Where records are kept: in a store on disk, or in memory, where they are gone with the process and there are no changes to read and no callbacks.",
    ),
    setting(
        "registry.path",
        TakesEffect::AtRestart,
        SettingKind::Path,
        r#""holdfast-data""#,
        "The folder of the store on disk. One gateway alone may use it.",
    ),
    setting(
        "registry.durability",
        TakesEffect::AtRestart,
        SettingKind::OneOf(&choices::DURABILITY),
        r#""commit""#,
        "When a change counts as recorded. commit: when it is on disk. relaxed: when the system has it, which is up to 100 ms earlier; a power cut may undo those.",
    ),
    setting(
        "registry.memory_bytes_max",
        TakesEffect::AtRestart,
        SettingKind::Number(16 << 20, 64 << 30),
        "67108864",
        "About how much memory the store on disk may take for its caches and for what it has not written out.",
    ),
    setting(
        "changes.keep_days",
        TakesEffect::AtRestart,
        SettingKind::Number(1, 365),
        "7",
        "How long changes can be read. One whose callback is due is kept longer.",
    ),
    setting(
        "callback.url",
        TakesEffect::AtOnce,
        SettingKind::Url,
        r#""""#,
        "The app backend's address for State.StateChange callbacks. Empty: none are sent.",
    ),
    setting(
        "callback.token",
        TakesEffect::AtOnce,
        SettingKind::Secret(TOKEN_BYTES_MIN),
        r#""""#,
        "If set, each callback proves by Sign and RequestTime that it comes from here.",
    ),
    setting(
        "callback.token_file",
        TakesEffect::AtOnce,
        SettingKind::FileOrNone,
        r#""""#,
        "A file that holds callback.token, in one line. It is read at the start and at each reload. Empty: none.",
    ),
    setting(
        "callback.parallel",
        TakesEffect::AtOnce,
        SettingKind::Number(1, 1_024),
        "64",
        "Users whose callbacks are under way at the same time. One user's leave one by one.",
    ),
    setting(
        "callback.connections_max",
        TakesEffect::AtOnce,
        SettingKind::Number(1, 1_024),
        "64",
        "Connections to the app's backend that are open at the same time. If it is smaller than callback.parallel, it counts for both.",
    ),
    setting(
        "callback.timeout_ms",
        TakesEffect::AtOnce,
        SettingKind::Number(100, 60_000),
        "2000",
        "How long the app's backend may take to answer a callback, including name resolution, if no address is known, and the connection.",
    ),
    setting(
        "callback.give_up_hours",
        TakesEffect::AtOnce,
        SettingKind::Number(1, 720),
        "24",
        "How long after its change a callback is tried before it becomes a dead letter. This also counts while there is no receiver, or it is down.",
    ),
    setting(
        "callback.dead_keep_days",
        TakesEffect::AtOnce,
        SettingKind::Number(1, 365),
        "30",
        "How long a dead letter is kept before it is dropped.",
    ),
    setting(
        "callback.expiry",
        TakesEffect::AtOnce,
        SettingKind::Switch,
        "false",
        "Whether the end of PushOnline has a callback too. None is documented for it.",
    ),
    setting(
        "callback.ca_file",
        TakesEffect::AtOnce,
        SettingKind::FileOrNone,
        r#""""#,
        "A PEM file with the certificates that vouch for the app's backend, instead of those of the system. Empty: those of the system.",
    ),
    setting(
        "node.start_patience_s",
        TakesEffect::AtRestart,
        SettingKind::Number(0, 300),
        "10",
        "How long a start waits for each address, and for the store, while another process has it. After kill -9 the kernel takes some 5 s to close a million connections, and the address stays taken until then.",
    ),
    setting(
        "node.stop_deadline_s",
        TakesEffect::AtRestart,
        SettingKind::Number(1, 300),
        "10",
        "How long a clean stop may take, all in all. Connections and requests that are still open after three quarters of it are dropped.",
    ),
    setting(
        "node.core_dumps",
        TakesEffect::AtRestart,
        SettingKind::Switch,
        "false",
        "Whether the kernel may write core dumps of the gateway, whose memory holds secrets, and whether processes of the same user, such as debuggers and profilers, may read that memory. false: no core dumps, and only root may.",
    ),
    setting(
        "log.level",
        TakesEffect::AtOnce,
        SettingKind::OneOf(&choices::LOG_LEVEL),
        r#""info""#,
        "What is written to standard error. info: what happens to the gateway, and warnings of libraries. debug: also a line for each login, refusal, force-off, logout, time-out and end of a link. trace: also everything that libraries log. Release builds have no trace lines.",
    ),
    setting(
        "log.format",
        TakesEffect::AtRestart,
        SettingKind::OneOf(&choices::LOG_FORMAT),
        r#""text""#,
        "How it is written.",
    ),
    setting(
        "testing.registry_delay_ms",
        TakesEffect::AtRestart,
        SettingKind::Number(0, 60_000),
        "0",
        "FOR TESTS ALONE: how long the registry takes longer for each batch.",
    ),
    setting(
        "testing.registry_fail_every",
        TakesEffect::AtRestart,
        SettingKind::Number(0, i64::MAX),
        "0",
        "FOR TESTS ALONE: every so-many-th request to the registry fails. 0: none.",
    ),
];
