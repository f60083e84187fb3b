//! The settings of terminals' listeners. Never of what is decided about terminals.

use crate::node::config::choices;
use crate::node::config::kind::{EntryField, EntryKind, SettingKind};
use crate::node::config::setting::{Setting, TakesEffect, setting};

/// A table of `terminals.listener`.
pub(in crate::node::config) const LISTENER: EntryKind = EntryKind {
    fields: &[
        field("address", SettingKind::Address, None),
        field(
            "transport",
            SettingKind::OneOf(&choices::TRANSPORT),
            Some(r#""tcp""#),
        ),
        field("tls", SettingKind::Switch, Some("false")),
        field("proxy", SettingKind::OneOf(&choices::PROXY), Some(r#""off""#)),
        field(
            "dialect",
            SettingKind::OneOf(&choices::DIALECT),
            Some(r#""native""#),
        ),
        field("path", SettingKind::RequestPath, Some(r#""/""#)),
        field("origins", SettingKind::Origins, Some("[]")),
    ],
    example: r#"[{ address = "0.0.0.0:9443", transport = "websocket", tls = true, origins = ["https://app.example"] }]"#,
};

const fn field(name: &'static str, kind: SettingKind, default: Option<&'static str>) -> EntryField {
    EntryField { name, kind, default }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "terminals.listen",
        TakesEffect::AtRestart,
        SettingKind::AddressesOrNone,
        r#"["127.0.0.1:9001", "[::1]:9001"]"#,
        "Where terminals connect by plain TCP. Other listeners are in terminals.listener; with one there, this may be [].",
    ),
    setting(
        "terminals.listener",
        TakesEffect::AtRestart,
        SettingKind::Entries(&LISTENER),
        "[]",
        "More listeners of terminals, in a file also written as [[terminals.listener]]. transport: what packets travel in. tls: whether by TLS, with terminals.tls.certificates. proxy: which version of the PROXY protocol each connection begins with; only proxies in terminals.proxy_trusted may connect there. dialect: what the packets are. path and origins belong to websocket: the path that a request for an upgrade names, and the web pages that may connect, [] being all.",
    ),
    setting(
        "terminals.proxy_trusted",
        TakesEffect::AtRestart,
        SettingKind::Networks,
        "[]",
        "The networks of your proxies: the header of the PROXY protocol and X-Forwarded-For count from these only, and say which address a terminal has.",
    ),
    setting(
        "terminals.login_deadline_s",
        TakesEffect::AtRestart,
        SettingKind::Number(1, 300),
        "10",
        "How long a new connection may take to log in.",
    ),
    setting(
        "terminals.accepts_per_second_max",
        TakesEffect::AtRestart,
        SettingKind::Number(0, 1_000_000),
        "0",
        "New connections that one shard takes a second; the others wait in the kernel's queue. 0: as many as come.",
    ),
    setting(
        "terminals.retry_after_ms",
        TakesEffect::AtOnce,
        SettingKind::Number(100, 60_000),
        "2000",
        "When a terminal that met a full or failing gateway is told to come back: at random around this, over a window that grows with the number of those still to come back, up to half of presence.restart_grace_s and at most a minute.",
    ),
];
