//! What the tables have of settings that are lists of tables. Knows none of the settings.

use crate::node::config::choices;
use crate::node::config::kind::{EntryField, EntryKind, SettingKind};

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

/// A table of `terminals.tls.certificates` and its like.
pub(super) const CERTIFICATE: EntryKind = EntryKind {
    fields: &[
        field("chain", SettingKind::PemFile, None),
        field("key", SettingKind::PemFile, None),
    ],
    example: r#"[{ chain = "/etc/holdfast/chain.pem", key = "/etc/holdfast/key.pem" }]"#,
};

const fn field(name: &'static str, kind: SettingKind, default: Option<&'static str>) -> EntryField {
    EntryField { name, kind, default }
}
