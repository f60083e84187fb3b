//! What a setting may be: its form and bounds, checked and explained in one place. Knows no setting.

use toml::Value;

use super::choices::Words;
use super::texts::{
    NAME_BYTES_MAX, SECRET_BYTES_MAX, fault_of_text, is_address, is_key, is_list, is_name, is_origin,
    is_request_path, is_secret, is_store_url, is_word, network,
};
use crate::base::ids::UserId;
use crate::base::limits::PUBLIC_ADDRESS_BYTES_MAX;
use crate::services::callback::ReceiverUrl;

/// What may be said.
#[derive(Debug, Clone, Copy)]
pub(super) enum SettingKind {
    /// A list of `address:port`, at least one.
    Addresses,
    /// A list of `address:port`; empty: none.
    AddressesOrNone,
    /// One `address:port`.
    Address,
    /// A list of networks, as `10.0.0.0/8`.
    Networks,
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
    /// The path that a request of HTTP names.
    RequestPath,
    /// A list of origins of web pages, as browsers name them.
    Origins,
    /// Where a file of certificates or a key is, in PEM. It is read with the configuration.
    PemFile,
    /// The same; empty: none.
    PemFileOrNone,
    /// A list of `{ secret, not_after }`, or `secret_file` instead of `secret`.
    Keys,
    /// The name of a cluster.
    Name,
    /// A text of printable ASCII characters without a space; empty: none.
    WordOrNone,
    /// A list of `redis` or `rediss` addresses without user and password.
    StoreUrls,
    /// A list of tables.
    Entries(&'static EntryKind),
}

/// What the tables of a list are.
#[derive(Debug)]
pub(super) struct EntryKind {
    /// What they have.
    pub(super) fields: &'static [EntryField],
    /// A list of them, as TOML.
    pub(super) example: &'static str,
}

/// What a table of a list may have.
#[derive(Debug)]
pub(super) struct EntryField {
    /// Its name.
    pub(super) name: &'static str,
    /// What may be said.
    pub(super) kind: SettingKind,
    /// What it is if nothing is said, as TOML; `None`: it has to be said.
    pub(super) default: Option<&'static str>,
}

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
            Self::Address => r#"an address with a port that is not 0, as "127.0.0.1:9001""#.to_owned(),
            Self::Networks => {
                r#"a list of networks, as ["10.0.0.0/8", "fd00::/8"], or of single addresses"#.to_owned()
            }
            Self::RequestPath => {
                r#"a path as "/terminals", of printable ASCII characters without any of ?# and spaces"#.to_owned()
            }
            Self::Origins => {
                r#"a list of origins in lower case, as ["https://app.example", "http://localhost:8080"]"#.to_owned()
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
            Self::PemFile => "the path of a PEM file".to_owned(),
            Self::PemFileOrNone => "the path of a PEM file, or \"\" for none".to_owned(),
            Self::Keys => {
                "a list of { secret = \"16 or more characters\", not_after = \"2027-01-01T00:00:00Z\" }, or with secret_file = \"path\" instead of secret"
                    .to_owned()
            }
            Self::Name => format!("a name of 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and -"),
            Self::WordOrNone => format!(
                "a text of at most {PUBLIC_ADDRESS_BYTES_MAX} printable ASCII characters without a space, or \"\" for none"
            ),
            Self::StoreUrls => {
                r#"a list of addresses as "redis://store-1.example:6379" or, with TLS, "rediss://store-1.example:6379", all of one kind, without user and password"#.to_owned()
            }
            Self::Entries(of) => {
                let fields: Vec<_> = of.fields.iter().map(EntryField::bounds).collect();
                format!("a list of tables, each with {}", fields.join(", "))
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
            Self::PemFileOrNone => Some(r#""/etc/holdfast/name-of-the-file.pem""#),
            Self::Keys => Some(r#"[{ secret_file = "/etc/holdfast/usersig-key" }]"#),
            Self::Networks => Some(r#"["10.0.0.0/8"]"#),
            Self::WordOrNone => Some(r#""gateway-1.example:9001""#),
            Self::StoreUrls => Some(r#"["redis://store-1.example:6379", "redis://store-2.example:6379"]"#),
            Self::Entries(of) => Some(of.example),
            Self::Addresses
            | Self::Address
            | Self::RequestPath
            | Self::Origins
            | Self::Number(..)
            | Self::Switch
            | Self::OneOf(_)
            | Self::Users
            | Self::Secret(_)
            | Self::Path
            | Self::Name
            | Self::PemFile => None,
        }
    }

    /// Whether a value is one of this kind.
    #[must_use]
    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Addresses => is_list(value, 1, is_address),
            Self::AddressesOrNone => is_list(value, 0, is_address),
            Self::Address => value.as_str().is_some_and(is_address),
            Self::Networks => is_list(value, 0, |text| network(text).is_some()),
            Self::RequestPath => value.as_str().is_some_and(is_request_path),
            Self::Origins => is_list(value, 0, is_origin),
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
            Self::Path | Self::PemFile => value
                .as_str()
                .is_some_and(|text| !text.is_empty() && !text.contains('\0')),
            Self::FileOrNone | Self::PemFileOrNone => value.as_str().is_some_and(|text| !text.contains('\0')),
            Self::Keys => value.as_array().is_some_and(|keys| keys.iter().all(is_key)),
            Self::Name => value.as_str().is_some_and(is_name),
            Self::WordOrNone => value
                .as_str()
                .is_some_and(|text| text.is_empty() || is_word(text)),
            Self::StoreUrls => is_list(value, 0, is_store_url),
            Self::Entries(of) => value
                .as_array()
                .is_some_and(|list| list.iter().all(|entry| of.takes(entry))),
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
            Self::OneOf(_)
            | Self::Address
            | Self::Name
            | Self::WordOrNone
            | Self::Secret(_)
            | Self::Url
            | Self::Path
            | Self::FileOrNone
            | Self::PemFile
            | Self::PemFileOrNone
            | Self::RequestPath => true,
            Self::Addresses
            | Self::AddressesOrNone
            | Self::Networks
            | Self::Number(..)
            | Self::Switch
            | Self::Users
            | Self::Hosts
            | Self::Origins
            | Self::StoreUrls
            | Self::Keys
            | Self::Entries(_) => false,
        }
    }

    /// Whether it is a path, which may have any bytes.
    #[must_use]
    pub(super) fn is_path(self) -> bool {
        matches!(
            self,
            Self::Path | Self::FileOrNone | Self::PemFile | Self::PemFileOrNone
        )
    }

    /// Whether what was said must not be repeated.
    #[must_use]
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret(_) | Self::Keys)
    }
}

impl EntryKind {
    fn takes(&self, entry: &Value) -> bool {
        let Some(entry) = entry.as_table() else {
            return false;
        };
        let known = |name: &String| self.fields.iter().any(|field| field.name == *name);
        entry.keys().all(known) && self.fields.iter().all(|field| field.takes(entry.get(field.name)))
    }
}

impl EntryField {
    /// Whether what is said of it in an entry, if anything, is of its kind.
    pub(super) fn takes(&self, said: Option<&Value>) -> bool {
        said.map_or(self.default.is_some(), |value| self.kind.takes(value))
    }

    fn bounds(&self) -> String {
        let default = self
            .default
            .map(|default| format!("; {default} if it is left out"));
        format!(
            "{} ({}{})",
            self.name,
            self.kind.bounds(),
            default.unwrap_or_default()
        )
    }
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

    #[test]
    fn kinds_of_a_cluster_have_bounds() {
        for (name, expected) in [("prod-2", true), ("", false), ("Prod", false), ("a b", false)] {
            check(SettingKind::Name, &format!("{name:?}"), expected);
        }
        check(
            SettingKind::Name,
            &format!("{:?}", "x".repeat(NAME_BYTES_MAX + 1)),
            false,
        );
        for (word, expected) in [
            ("", true),
            ("wss://a.example/x", true),
            ("a b", false),
            ("h\u{e4}", false),
        ] {
            check(SettingKind::WordOrNone, &format!("{word:?}"), expected);
        }
        for (url, expected) in [
            ("redis://a.example", true),
            ("rediss://[::1]:6380", true),
            ("redis://user:word@a.example", false),
            ("http://a.example", false),
            ("a.example:6379", false),
            ("redis://", false),
            ("redis://a.example:port", false),
        ] {
            check(SettingKind::StoreUrls, &format!("[{url:?}]"), expected);
        }
        check(SettingKind::StoreUrls, "[]", true);
    }

    #[test]
    fn listeners_kinds_have_bounds() {
        check(SettingKind::AddressesOrNone, "[]", true);
        check(SettingKind::AddressesOrNone, r#"["127.0.0.1:9004"]"#, true);
        check(SettingKind::AddressesOrNone, r#"["127.0.0.1:0"]"#, false);
        for (network, expected) in [
            ("10.0.0.0/8", true),
            ("10.1.2.3", true),
            ("fd00::/8", true),
            ("10.0.0.0/33", false),
            ("office", false),
        ] {
            check(SettingKind::Networks, &format!("[{network:?}]"), expected);
        }
        for (path, expected) in [
            ("/", true),
            ("/ws/v1", true),
            ("ws", false),
            ("/a?b=1", false),
            ("/a b", false),
        ] {
            check(SettingKind::RequestPath, &format!("{path:?}"), expected);
        }
        for (origin, expected) in [
            ("https://app.example", true),
            ("http://[::1]:8080", true),
            ("https://App.example", false),
            ("https://app.example/", false),
            ("app.example", false),
            ("*", false),
            ("capacitor://localhost", true),
            ("http://app.example:443", true),
            ("https://app.example:443", false),
            ("http://x:80", false),
            ("://x", false),
            ("https://a:b", false),
            ("https://a:08", false),
            ("https://a:1:2", false),
            ("HTTPS://a", false),
        ] {
            check(SettingKind::Origins, &format!("[{origin:?}]"), expected);
        }
    }
}
