//! What a setting may be: its form and bounds, checked and explained in one place. Knows no setting.

use std::net::SocketAddr;

use toml::Value;

use super::choices::Words;
use crate::base::ids::UserId;
use crate::services::callback::ReceiverUrl;

/// What may be said.
#[derive(Debug, Clone, Copy)]
pub(super) enum SettingKind {
    /// A list of `address:port`, at least one.
    Addresses,
    /// A list of `address:port`; empty: none.
    AddressesOrNone,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// `true` or `false`.
    Switch,
    /// One of some words.
    OneOf(&'static dyn Words),
    /// A list of UserIDs, at least one.
    Users,
    /// A list of host names.
    Hosts,
    /// A text of at least so many bytes that is never shown; empty: none.
    Secret(usize),
    /// An `http` or `https` address without a query; empty: none.
    Url,
    /// Where a folder is.
    Path,
    /// Where a file is; empty: none.
    FileOrNone,
    /// A list of `{ secret, not_after }`, or `secret_file` instead of `secret`.
    Keys,
}

/// What stands in the place of a secret when the configuration is printed.
pub(super) const HIDDEN: &str = "<set>";

/// The vendor's secret keys have 64 characters.
pub(super) const KEY_BYTES_MIN: usize = 16;

/// Far beyond what anyone uses.
pub(super) const SECRET_BYTES_MAX: usize = 1_024;

impl SettingKind {
    /// What may be said, for people.
    #[must_use]
    pub(super) fn bounds(self) -> String {
        match self {
            Self::Addresses => {
                r#"a list of one or more addresses, with ports that are not 0, as ["127.0.0.1:9001", "[::1]:9001"]"#.to_owned()
            }
            Self::AddressesOrNone => {
                r#"a list of addresses, with ports that are not 0, as ["127.0.0.1:9004"], or [] for none"#.to_owned()
            }
            Self::Number(min, i64::MAX) => format!("a whole number, at least {min}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::OneOf(choice) => choice
                .words()
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" or "),
            Self::Users => "a list of one or more UserIDs of 1 to 32 printable ASCII characters".to_owned(),
            Self::Hosts => r#"a list of host names without ports, as ["gateway.example"]"#.to_owned(),
            Self::Secret(min) => format!(
                "a text of {min} to {SECRET_BYTES_MAX} printable ASCII characters, or \"\" for none"
            ),
            Self::Url => r#"an address as "https://backend.example:8443/path", with a port from 1 to 65535 or none, without any of !$&?@# and spaces, or "" for none"#.to_owned(),
            Self::Path => "the path of a folder".to_owned(),
            Self::FileOrNone => "the path of a file, or \"\" for none".to_owned(),
            Self::Keys => {
                "a list of { secret = \"16 or more characters\", not_after = \"2027-01-01T00:00:00Z\" }, or with secret_file = \"path\" instead of secret"
                    .to_owned()
            }
        }
    }

    /// A value of the kind, as TOML, where the usual default says nothing of its form. No secret: people would use it.
    #[must_use]
    pub(super) fn example(self) -> Option<&'static str> {
        match self {
            Self::AddressesOrNone => Some(r#"["127.0.0.1:9004"]"#),
            Self::Hosts => Some(r#"["gateway.example"]"#),
            Self::Url => Some(r#""https://backend.example:8443/im/callback""#),
            Self::FileOrNone => Some(r#""/etc/holdfast/name-of-the-file""#),
            Self::Keys => Some(r#"[{ secret_file = "/etc/holdfast/usersig-key" }]"#),
            Self::Addresses
            | Self::Number(..)
            | Self::Switch
            | Self::OneOf(_)
            | Self::Users
            | Self::Secret(_)
            | Self::Path => None,
        }
    }

    /// Whether a value is one of this kind.
    #[must_use]
    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Addresses => is_list(value, 1, is_address),
            Self::AddressesOrNone => is_list(value, 0, is_address),
            Self::Number(min, max) => value
                .as_integer()
                .is_some_and(|number| (min..=max).contains(&number)),
            Self::Switch => value.is_bool(),
            Self::OneOf(choice) => value.as_str().is_some_and(|word| choice.words().contains(&word)),
            Self::Users => is_list(value, 1, |text| UserId::new(text.as_bytes()).is_ok()),
            Self::Hosts => is_list(value, 0, |text| {
                !text.is_empty() && !text.contains([':', '/', ' '])
            }),
            Self::Secret(min) => value
                .as_str()
                .is_some_and(|text| text.is_empty() || is_secret(text, min)),
            Self::Url => value
                .as_str()
                .is_some_and(|text| text.is_empty() || ReceiverUrl::read(text).is_ok()),
            Self::Path => value
                .as_str()
                .is_some_and(|text| !text.is_empty() && !text.contains('\0')),
            Self::FileOrNone => value.as_str().is_some_and(|text| !text.contains('\0')),
            Self::Keys => value.as_array().is_some_and(|keys| keys.iter().all(is_key)),
        }
    }

    /// What is wrong with a value that must not be repeated.
    #[must_use]
    pub(super) fn fault_of_secret(self, value: &Value) -> String {
        if let (Self::Secret(bytes_min), Some(text)) = (self, value.as_str()) {
            let fault = fault_of_text(text, bytes_min);
            return fault.unwrap_or_else(|| "something else".to_owned());
        }
        let keys = value.as_array().filter(|_| matches!(self, Self::Keys));
        let bad = keys.and_then(|keys| keys.iter().position(|key| !is_key(key)));
        bad.map_or("something else".to_owned(), |bad| {
            format!("something else in entry {}", bad + 1)
        })
    }

    /// Whether it is a text, so that quotes can be left out where nothing else is meant.
    #[must_use]
    pub(super) fn is_text(self) -> bool {
        match self {
            Self::OneOf(_) | Self::Secret(_) | Self::Url | Self::Path | Self::FileOrNone => true,
            Self::Addresses
            | Self::AddressesOrNone
            | Self::Number(..)
            | Self::Switch
            | Self::Users
            | Self::Hosts
            | Self::Keys => false,
        }
    }

    /// Whether it is a path, which may have any bytes.
    #[must_use]
    pub(super) fn is_path(self) -> bool {
        matches!(self, Self::Path | Self::FileOrNone)
    }

    /// Whether what was said must not be repeated.
    #[must_use]
    pub(super) fn is_secret(self) -> bool {
        match self {
            Self::Secret(_) | Self::Keys => true,
            Self::Addresses
            | Self::AddressesOrNone
            | Self::Number(..)
            | Self::Switch
            | Self::OneOf(_)
            | Self::Users
            | Self::Hosts
            | Self::Url
            | Self::Path
            | Self::FileOrNone => false,
        }
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>()
        .is_ok_and(|address| address.port() != 0)
}

fn is_list(value: &Value, length_min: usize, takes: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|list| {
        list.len() >= length_min && list.iter().all(|entry| entry.as_str().is_some_and(&takes))
    })
}

/// Shorter ones can be guessed; printed place-holders are none.
pub(super) fn is_secret(text: &str, bytes_min: usize) -> bool {
    fault_of_text(text, bytes_min).is_none()
}

/// What keeps a text from being a secret; nothing of the text.
pub(super) fn fault_of_text(text: &str, bytes_min: usize) -> Option<String> {
    if text.contains('\n') {
        Some("more than one line".to_owned())
    } else if text == HIDDEN {
        Some("what stands for a secret when the configuration is printed".to_owned())
    } else if text.len() < bytes_min {
        Some(format!("fewer than {bytes_min} characters"))
    } else if text.len() > SECRET_BYTES_MAX {
        Some(format!("more than {SECRET_BYTES_MAX} characters"))
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("a character that is not printable ASCII, or a space".to_owned())
    } else {
        None
    }
}

fn is_key(key: &Value) -> bool {
    let Some(key) = key.as_table() else { return false };
    let known = |name: &String| ["secret", "secret_file", "not_after"].contains(&&**name);
    let known = key.keys().all(known);
    let secret = match (key.get("secret"), key.get("secret_file")) {
        (Some(secret), None) => secret.as_str().is_some_and(|text| is_secret(text, KEY_BYTES_MIN)),
        (None, Some(path)) => path
            .as_str()
            .is_some_and(|path| !path.is_empty() && !path.contains('\0')),
        (Some(_), Some(_)) | (None, None) => false,
    };
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

    fn check(kind: SettingKind, value: &str, expected: bool) {
        let value: Value = value.parse().unwrap();
        assert_eq!(kind.takes(&value), expected, "{value}");
    }

    #[test]
    fn kinds_have_bounds() {
        check(SettingKind::Addresses, "[]", false);
        check(SettingKind::Addresses, r#"["127.0.0.1:0"]"#, false);
        check(SettingKind::Addresses, r#"["localhost:1"]"#, false);
        check(SettingKind::AddressesOrNone, "[]", true);
        check(SettingKind::AddressesOrNone, r#"["127.0.0.1:9004"]"#, true);
        check(SettingKind::AddressesOrNone, r#"["127.0.0.1:0"]"#, false);
        check(SettingKind::Number(1, 3), "3", true);
        check(SettingKind::Number(1, 3), "4", false);
        check(SettingKind::Number(1, 3), "\"2\"", false);
        check(SettingKind::Users, r#"["a", ""]"#, false);
        check(SettingKind::Hosts, r#"["a:80"]"#, false);
        check(SettingKind::Secret(16), "\"0123456789abcdef\"", true);
        check(SettingKind::Secret(16), "\"short\"", false);
        check(SettingKind::Secret(3), "\"short\"", true);
        for good in [
            "",
            "http://10.0.0.1",
            "https://[::1]:8443/im/callback",
            "http://a.example:80/x%20y",
        ] {
            check(SettingKind::Url, &format!("{good:?}"), true);
        }
        for bad in [
            "ftp://a",
            "http://",
            "http:///x",
            "http://a b",
            "http://a:99999",
            "http://a:8o",
            "http://a:+80",
            "http://a?x=1",
            "http://u:p@a",
            "http://a#f",
            "a",
        ] {
            check(SettingKind::Url, &format!("{bad:?}"), false);
        }
        check(SettingKind::Path, "\"\"", false);
        check(SettingKind::FileOrNone, "\"\"", true);
        check(
            SettingKind::Keys,
            r#"[{secret="0123456789abcdef", not_after=2027-01-01T00:00:00Z}]"#,
            true,
        );
        check(
            SettingKind::Keys,
            r#"[{secret="0123456789abcdef", not_after="2027-01-01T00:00:00Z"}]"#,
            true,
        );
        check(
            SettingKind::Keys,
            r#"[{secret="0123456789abcdef", not_after="soon"}]"#,
            false,
        );
        check(
            SettingKind::Keys,
            r#"[{secret="0123456789abcdef", until=1}]"#,
            false,
        );
        check(SettingKind::Keys, r#"[{secret="<set>"}]"#, false);
        check(SettingKind::Keys, r#"[{secret_file="/run/key"}]"#, true);
        check(SettingKind::Keys, r#"[{secret_file=""}]"#, false);
        check(SettingKind::Keys, r#"[{not_after=2027-01-01T00:00:00Z}]"#, false);
        check(
            SettingKind::Keys,
            r#"[{secret="0123456789abcdef", secret_file="/run/key"}]"#,
            false,
        );
    }
}
