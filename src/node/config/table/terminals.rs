//! The settings of terminals' listeners. Never of what is decided about terminals.

use crate::node::config::choices;
use crate::node::config::kind::SettingKind;
use crate::node::config::setting::{Setting, TakesEffect, setting};
use crate::node::config::table::lists::{CERTIFICATE, LISTENER};
use crate::protocol::transport::tls::tickets;

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
    setting(
        "terminals.tls.certificates",
        TakesEffect::AtOnce,
        SettingKind::Entries(&CERTIFICATE),
        "[]",
        "The gateway's certificates for listeners with tls = true. chain: its own certificate, then those that lead to a root. key: the private key, without a passphrase. A terminal that names a host gets the first certificate for that host, else the first of all. The files are read at the start and at each reload; open connections go on.",
    ),
    setting(
        "terminals.tls.min_version",
        TakesEffect::AtOnce,
        SettingKind::OneOf(&choices::TLS_VERSION),
        r#""1.3""#,
        "The lowest version of TLS. A connection by 1.2 takes kilobytes of memory, one by 1.3 some hundred bytes.",
    ),
    setting(
        "terminals.tls.tickets",
        TakesEffect::AtOnce,
        SettingKind::Switch,
        "true",
        "Whether a terminal that comes back may resume TLS by a ticket, which costs less CPU. Nothing is stored for it.",
    ),
    setting(
        "terminals.tls.ticket_secret",
        TakesEffect::AtOnce,
        SettingKind::Secret(tickets::SECRET_BYTES_MIN),
        r#""""#,
        "If set, the keys of tickets are made from it, so that gateways with the same secret take each other's tickets, also after a restart or a reload. At least 32 characters.",
    ),
    setting(
        "terminals.tls.ticket_secret_file",
        TakesEffect::AtOnce,
        SettingKind::FileOrNone,
        r#""""#,
        "A file that holds terminals.tls.ticket_secret, in one line. It is read at the start and at each reload. Empty: none.",
    ),
    setting(
        "terminals.tls.client_ca_file",
        TakesEffect::AtOnce,
        SettingKind::PemFileOrNone,
        r#""""#,
        "If set, terminals need a certificate that one of those in this file has signed. They get no tickets. It is read at the start and at each reload. Empty: terminals are asked for none.",
    ),
    setting(
        "terminals.tls.compact",
        TakesEffect::AtOnce,
        SettingKind::Switch,
        "true",
        "Whether a connection by TLS 1.3 keeps only its keys once it is open. false: the library keeps it whole, as by 1.2.",
    ),
];
