//! Every setting: its name, bounds, default and meaning, in one table. What is read, checked, printed and explained
//! is read, checked, printed and explained by this table.

use std::net::SocketAddr;

use toml::Value;

use crate::base::ids::UserId;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// `section.name`, the unit last.
    pub(super) key: &'static str,
    /// What may be said.
    pub(super) kind: Kind,
    /// The default, as TOML.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) line: &'static str,
}

/// What may be said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A list of `address:port`, at least one.
    Addresses,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// `true` or `false`.
    Switch,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A list of UserIDs, at least one.
    Users,
    /// A list of host names.
    Hosts,
    /// A text that is never shown; empty: none.
    Secret,
    /// A list of `{ secret, not_after }`.
    Keys,
}

/// What stands in the place of a secret when the configuration is printed.
pub(super) const HIDDEN: &str = "<set>";

const SECONDS_A_DAY: i64 = 86_400;

const fn setting(key: &'static str, kind: Kind, default: &'static str, line: &'static str) -> Setting {
    Setting {
        key,
        kind,
        default,
        line,
    }
}

/// All of them, section by section.
pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "terminals.listen",
        Kind::Addresses,
        r#"["127.0.0.1:9001", "[::1]:9001"]"#,
        "Where terminals connect.",
    ),
    setting(
        "terminals.login_deadline_s",
        Kind::Number(1, 300),
        "10",
        "How long a new connection may take to log in.",
    ),
    setting(
        "terminals.accepts_per_second_max",
        Kind::Number(0, 1_000_000),
        "0",
        "New connections that one shard takes a second; the others wait in the kernel's queue. 0: as many as come.",
    ),
    setting(
        "terminals.retry_after_ms",
        Kind::Number(100, 60_000),
        "2000",
        "When a terminal that met a full or failing gateway is told to come back; spread at random around this.",
    ),
    setting(
        "http.listen",
        Kind::Addresses,
        r#"["127.0.0.1:9002"]"#,
        "Where the app's backend queries statuses and kicks users, by plain HTTP.",
    ),
    setting(
        "admin.listen",
        Kind::Addresses,
        r#"["127.0.0.1:9003"]"#,
        "Where the operator finds health, metrics and all that is known of a user. Beyond loopback only with admin.token.",
    ),
    setting(
        "admin.token",
        Kind::Secret,
        r#""""#,
        "If set, admin requests must send `Authorization: Bearer <token>`. At least 16 characters.",
    ),
    setting(
        "admin.hosts",
        Kind::Hosts,
        "[]",
        "Host names, besides those of loopback and the addresses of admin.listen, that the admin listener answers to.",
    ),
    setting(
        "app.sdk_app_id",
        Kind::Number(1, u32::MAX as i64),
        "1400000001",
        "The SDKAppID of the one app that is served. The default is the development app.",
    ),
    setting(
        "app.administrators",
        Kind::Users,
        r#"["administrator"]"#,
        "The UserIDs that may call the REST interface.",
    ),
    setting(
        "usersig.keys",
        Kind::Keys,
        "[]",
        "The secret keys that UserSigs may be made with: { secret = \"…\", not_after = \"2027-01-01T00:00:00Z\" }, not_after being optional. None: the development secret, on loopback only.",
    ),
    setting(
        "shards.count",
        Kind::Number(0, 1_024),
        "0",
        "Shards, each a thread with a ring. 0: one per core, or more where connections_max is more than RLIMIT_NOFILE allows one ring.",
    ),
    setting(
        "shards.connections_max",
        Kind::Number(0, 1 << 20),
        "0",
        "Connections that one shard holds at most; with shards.count = 0, that one core holds. 0: as many as RLIMIT_NOFILE allows.",
    ),
    setting(
        "shards.heartbeat_delay_max_ms",
        Kind::Number(0, 1_000),
        "5",
        "How long a heartbeat may wait for others, so that they are answered together. More saves CPU, most with many shards on few cores.",
    ),
    setting(
        "shards.pin",
        Kind::Switch,
        "false",
        "Whether each shard's thread stays on one core.",
    ),
    setting(
        "presence.policy",
        Kind::OneOf(&["single", "dual", "triple", "multi"]),
        r#""single""#,
        "Platforms that may be online together: one; one native and Web; one mobile, one desktop and Web; all.",
    ),
    setting(
        "presence.conflict",
        Kind::OneOf(&["newest-wins", "oldest-wins"]),
        r#""newest-wins""#,
        "Who goes when two may not be online together.",
    ),
    setting(
        "presence.instances_android",
        Kind::Number(1, 3),
        "1",
        "Android devices of one user that may be online together.",
    ),
    setting(
        "presence.instances_iphone",
        Kind::Number(1, 3),
        "1",
        "The same for iPhone.",
    ),
    setting(
        "presence.instances_ipad",
        Kind::Number(1, 3),
        "1",
        "The same for iPad.",
    ),
    setting(
        "presence.instances_windows",
        Kind::Number(1, 3),
        "1",
        "The same for Windows.",
    ),
    setting(
        "presence.instances_mac",
        Kind::Number(1, 3),
        "1",
        "The same for Mac.",
    ),
    setting(
        "presence.instances_linux",
        Kind::Number(1, 3),
        "1",
        "The same for Linux.",
    ),
    setting(
        "presence.instances_web",
        Kind::Number(1, 10),
        "1",
        "The same for Web.",
    ),
    setting(
        "presence.web_close",
        Kind::OneOf(&["time-out", "at-once"]),
        r#""time-out""#,
        "When a web page whose link ended is Offline: after its heartbeat time-out, or at once.",
    ),
    setting(
        "presence.heartbeat_interval_s",
        Kind::Number(1, 3_600),
        "120",
        "How often an idle terminal is told to beat.",
    ),
    setting(
        "presence.heartbeat_timeout_mobile_s",
        Kind::Number(2, SECONDS_A_DAY),
        "400",
        "Silence after which the link of an Android, iPhone or iPad counts as lost.",
    ),
    setting(
        "presence.heartbeat_timeout_desktop_s",
        Kind::Number(2, SECONDS_A_DAY),
        "400",
        "The same for Windows, Mac and Linux.",
    ),
    setting(
        "presence.heartbeat_timeout_web_s",
        Kind::Number(2, SECONDS_A_DAY),
        "400",
        "The same for Web.",
    ),
    setting(
        "presence.push_online_days",
        Kind::Number(1, 365),
        "7",
        "How long a mobile device stays PushOnline without a login.",
    ),
    setting(
        "node.stop_deadline_s",
        Kind::Number(1, 300),
        "10",
        "How long a clean stop may take.",
    ),
    setting(
        "log.level",
        Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
        r#""info""#,
        "What is written to standard error. Release builds have nothing below debug.",
    ),
    setting(
        "log.format",
        Kind::OneOf(&["text", "json"]),
        r#""text""#,
        "How it is written.",
    ),
    setting(
        "testing.registry_delay_ms",
        Kind::Number(0, 60_000),
        "0",
        "FOR TESTS ALONE: how long the registry takes longer for each batch.",
    ),
    setting(
        "testing.registry_fail_every",
        Kind::Number(0, i64::MAX),
        "0",
        "FOR TESTS ALONE: every so-many-th letter to the registry fails. 0: none.",
    ),
];

impl Setting {
    /// The setting of that key.
    #[must_use]
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Its name in the environment.
    #[must_use]
    pub(super) fn variable(&self) -> String {
        format!("HOLDFAST_{}", self.key.replace('.', "_").to_uppercase())
    }
}

impl Kind {
    /// What may be said, for people.
    #[must_use]
    pub(super) fn bounds(self) -> String {
        match self {
            Self::Addresses => {
                r#"a list of one or more addresses, with ports that are not 0, as ["127.0.0.1:9001", "[::1]:9001"]"#.to_owned()
            }
            Self::Number(min, i64::MAX) => format!("a whole number, at least {min}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::OneOf(words) => words
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" or "),
            Self::Users => "a list of one or more UserIDs of 1 to 32 printable ASCII characters".to_owned(),
            Self::Hosts => r#"a list of host names without ports, as ["gateway.example"]"#.to_owned(),
            Self::Secret => "a text of 16 to 1024 printable ASCII characters, or \"\" for none".to_owned(),
            Self::Keys => {
                "a list of { secret = \"16 or more characters\", not_after = \"2027-01-01T00:00:00Z\" }"
                    .to_owned()
            }
        }
    }

    /// Whether a value is one of this kind.
    #[must_use]
    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Addresses => is_list(value, 1, |text| {
                text.parse::<SocketAddr>()
                    .is_ok_and(|address| address.port() != 0)
            }),
            Self::Number(min, max) => value
                .as_integer()
                .is_some_and(|number| (min..=max).contains(&number)),
            Self::Switch => value.is_bool(),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Users => is_list(value, 1, |text| UserId::new(text.as_bytes()).is_ok()),
            Self::Hosts => is_list(value, 0, |text| {
                !text.is_empty() && !text.contains([':', '/', ' '])
            }),
            Self::Secret => value
                .as_str()
                .is_some_and(|text| text.is_empty() || is_secret(text)),
            Self::Keys => value.as_array().is_some_and(|keys| keys.iter().all(is_key)),
        }
    }

    /// Whether what was said must not be repeated.
    #[must_use]
    pub(super) fn is_secret(self) -> bool {
        match self {
            Self::Secret | Self::Keys => true,
            Self::Addresses
            | Self::Number(..)
            | Self::Switch
            | Self::OneOf(_)
            | Self::Users
            | Self::Hosts => false,
        }
    }
}

fn is_list(value: &Value, length_min: usize, takes: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|list| {
        list.len() >= length_min && list.iter().all(|entry| entry.as_str().is_some_and(&takes))
    })
}

/// Shorter ones can be guessed; printed place-holders are none.
fn is_secret(text: &str) -> bool {
    (16..=1_024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) && text != HIDDEN
}

fn is_key(key: &Value) -> bool {
    let Some(key) = key.as_table() else { return false };
    let known = key.keys().all(|name| name == "secret" || name == "not_after");
    let secret = key.get("secret").and_then(Value::as_str).is_some_and(is_secret);
    known && secret && key.get("not_after").is_none_or(|end| not_after_s(end).is_some())
}

/// The Unix second of a `not_after`: a date-time of TOML, or a text of the same form.
#[must_use]
pub(super) fn not_after_s(value: &Value) -> Option<u64> {
    let text = match value.as_datetime() {
        Some(at) => at.to_string(),
        None => value.as_str()?.to_owned(),
    };
    let at = humantime::parse_rfc3339(&text).ok()?;
    Some(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_kind() {
        for setting in SETTINGS {
            let value: Value = setting.default.parse().unwrap();
            assert!(setting.kind.takes(&value), "{}", setting.key);
        }
    }

    fn check(kind: Kind, value: &str, expected: bool) {
        let value: Value = value.parse().unwrap();
        assert_eq!(kind.takes(&value), expected, "{value}");
    }

    #[test]
    fn kinds_have_bounds() {
        check(Kind::Addresses, "[]", false);
        check(Kind::Addresses, r#"["127.0.0.1:0"]"#, false);
        check(Kind::Addresses, r#"["localhost:1"]"#, false);
        check(Kind::Number(1, 3), "3", true);
        check(Kind::Number(1, 3), "4", false);
        check(Kind::Number(1, 3), "\"2\"", false);
        check(Kind::Users, r#"["a", ""]"#, false);
        check(Kind::Hosts, r#"["a:80"]"#, false);
        check(Kind::Secret, "\"0123456789abcdef\"", true);
        check(Kind::Secret, "\"short\"", false);
        check(
            Kind::Keys,
            r#"[{secret="0123456789abcdef", not_after=2027-01-01T00:00:00Z}]"#,
            true,
        );
        check(
            Kind::Keys,
            r#"[{secret="0123456789abcdef", not_after="2027-01-01T00:00:00Z"}]"#,
            true,
        );
        check(
            Kind::Keys,
            r#"[{secret="0123456789abcdef", not_after="soon"}]"#,
            false,
        );
        check(Kind::Keys, r#"[{secret="0123456789abcdef", until=1}]"#, false);
        check(Kind::Keys, r#"[{secret="<set>"}]"#, false);
    }
}
