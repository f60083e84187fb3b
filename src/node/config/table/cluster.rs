//! The settings of a node among others. They count with `registry.store = "redis"` alone.

use crate::node::config::kind::SettingKind;
use crate::node::config::setting::{Setting, TakesEffect, setting};

/// Whoever has it is a node.
const SECRET_BYTES_MIN: usize = 16;

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "cluster.name",
        TakesEffect::AtRestart,
        SettingKind::Name,
        r#""holdfast""#,
        "The cluster's name, the same on all its nodes: as `holdfast cluster create` was given it.",
    ),
    setting(
        "cluster.node",
        TakesEffect::AtRestart,
        SettingKind::Number(0, 65_535),
        "0",
        "This node's number, from 1 on. No other node of the cluster has it. 0: none, without a cluster.",
    ),
    setting(
        "cluster.secret",
        TakesEffect::AtRestart,
        SettingKind::Secret(SECRET_BYTES_MIN),
        r#""""#,
        "By which nodes know each other, the same on all of them.",
    ),
    setting(
        "cluster.secret_file",
        TakesEffect::AtRestart,
        SettingKind::FileOrNone,
        r#""""#,
        "A file that holds cluster.secret, in one line. Empty: none.",
    ),
    setting(
        "cluster.listen",
        TakesEffect::AtRestart,
        SettingKind::AddressesOrNone,
        "[]",
        "Where other nodes come in, by TLS and with the secret.",
    ),
    setting(
        "cluster.peer_address",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The host and port at which other nodes reach the first address of cluster.listen. Empty: that address.",
    ),
    setting(
        "cluster.admin_address",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The host and port at which readers of the stream of changes reach the first address of admin.listen. Other nodes name it to them. Empty: that address.",
    ),
    setting(
        "cluster.public_tcp",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The host and port at which terminals reach this node by TCP. Another node sends its users' terminals here by it. Empty: they cannot be sent here.",
    ),
    setting(
        "cluster.public_tls",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The same by TLS.",
    ),
    setting(
        "cluster.public_websocket",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The URL, of ws or wss, at which terminals reach this node's listener for WebSockets.",
    ),
    setting(
        "cluster.public_secure_websocket",
        TakesEffect::AtRestart,
        SettingKind::WordOrNone,
        r#""""#,
        "The URL, of wss, at which they reach its listener for WebSockets within TLS.",
    ),
    setting(
        "cluster.weight",
        TakesEffect::AtRestart,
        SettingKind::Number(1, 1_000),
        "1",
        "How large a part of all users this node is to have, against the other nodes' weights.",
    ),
    setting(
        "cluster.lease_s",
        TakesEffect::AtRestart,
        SettingKind::Number(3, 60),
        "6",
        "How long a node answers from memory after its last sign of life in the store. After one and a half times that without one it is dead for the others. The same on all nodes.",
    ),
    setting(
        "cluster.hold_s",
        TakesEffect::AtRestart,
        SettingKind::Number(0, 600),
        "15",
        "For how long after that a node keeps its terminals when it alone cannot reach the store. presence.restart_grace_s is at least 30 s more.",
    ),
];
