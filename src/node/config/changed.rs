//! One configuration beside another: what differs, what a reload must not take away, and what a caller was given. Shows no secret.

use std::net::SocketAddr;

use toml::{Table, Value};

use super::effective::Config;
use super::layers::Sources;
use super::parts::CertificateFiles;
use super::problem::Problem;
use super::setting::{Setting, TakesEffect};
use super::table::{find, settings};
use crate::base::time::Timestamp;

/// A setting whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub key: &'static str,
    /// When the new value counts.
    pub takes_effect: TakesEffect,
    /// The value before and the new one, as TOML; `None` of a secret.
    pub values: Option<(String, String)>,
    /// What differs.
    pub what: DifferenceKind,
}

/// What differs of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Its value.
    Value,
    /// Its value is the same, and a file that it names holds something else.
    FileContent,
}

impl DifferenceKind {
    fn words(self) -> &'static str {
        match self {
            Self::Value => "a setting differs",
            Self::FileContent => "a setting names the same file, whose content differs",
        }
    }
}

impl Difference {
    /// One line of the log.
    pub fn log(&self) {
        let (setting, counts) = (self.key, self.takes_effect.name());
        let (before, after) = self
            .values
            .as_ref()
            .map_or((None, None), |(before, after)| (Some(before), Some(after)));
        tracing::info!(setting, before, after, counts, "{}", self.what.words());
    }
}

/// What a caller of a running gateway was given, besides the way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Settings of its file, each with its value as TOML.
    pub of_file: Vec<(&'static str, String)>,
    /// Settings of its environment and its arguments.
    pub own: Vec<(&'static str, String)>,
    /// Secrets among its arguments.
    pub secrets: Vec<&'static str>,
}

/// These say how a gateway is reached, and need not be its own.
const OF_THE_WAY: &[&str] = &["admin.listen", "admin.token", "admin.token_file"];

impl Config {
    /// The settings that differ in `other`, in the table's order.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let differing = settings().filter(|setting| !self.values.agrees(&other.values, setting.key));
        let difference = |setting: &Setting| {
            let shown = |config: &Self| config.values[setting.key].to_string();
            Difference {
                key: setting.key,
                takes_effect: setting.takes_effect,
                values: (!setting.kind.is_secret()).then(|| (shown(self), shown(other))),
                what: if self.values.says_the_same(&other.values, setting.key) {
                    DifferenceKind::FileContent
                } else {
                    DifferenceKind::Value
                },
            }
        };
        differing.map(difference).collect()
    }

    /// What a reload to `next` at `now` would open to everyone, or close to everyone. A file that lost a line, or could not be
    /// filled in, must not do that to a gateway that serves: a secret is replaced by a reload, and taken away by a restart alone.
    #[must_use]
    pub fn secrets_taken_away(&self, next: &Self, now: Timestamp) -> Vec<Problem> {
        let signs = next.callback.url.is_some();
        let https_ends = |of: fn(&Self) -> (&[SocketAddr], &[CertificateFiles])| {
            let ((_, before), (addresses, after)) = (of(self), of(next));
            !addresses.is_empty() && !before.is_empty() && after.is_empty()
        };
        let plain = "none, where there were some: the listener would speak plain HTTP";
        let all = [
            (
                "usersig.keys",
                !self.is_for_development() && next.is_for_development(),
                "the development secret, which everyone knows, in the place of the app's own",
            ),
            (
                "usersig.keys",
                !self.takes_no_usersig(now) && next.takes_no_usersig(now),
                "keys that have all ended (not_after), so nobody could log in",
            ),
            (
                "admin.token",
                self.admin_token.is_some() && next.admin_token.is_none(),
                "none, where there was one",
            ),
            (
                "terminals.tls.client_ca_file",
                self.terminals_tls.client_ca.is_some() && next.terminals_tls.client_ca.is_none(),
                "none, where there was one: terminals would need no certificate",
            ),
            (
                "http.tls.certificates",
                https_ends(|config| (&config.http, &config.http_certificates)),
                plain,
            ),
            (
                "admin.tls.certificates",
                https_ends(|config| (&config.admin, &config.admin_certificates)),
                plain,
            ),
            (
                "web.tls.certificates",
                https_ends(|config| (&config.web, &config.web_certificates)),
                plain,
            ),
            (
                "callback.token",
                self.callback.token.is_some() && next.callback.token.is_none() && signs,
                "none, where there was one",
            ),
        ];
        let taken_away = all.into_iter().filter(|(_, taken_away, _)| *taken_away);
        let problem =
            |(key, _, found)| Problem::new(key, found, "set one, or restart the gateway to be without");
        taken_away.map(problem).collect()
    }

    /// Where a caller was given other values than these, a line for each.
    #[must_use]
    pub fn differs_from<'a>(&self, given: impl Iterator<Item = &'a (String, String)>) -> Vec<String> {
        let differs = given.filter_map(|(key, value)| {
            let setting = find(key).filter(|setting| !setting.kind.is_secret())?;
            let own = self.values[setting.key].to_string();
            (own != *value).then(|| format!("{key}: the gateway reads {own}, its caller was given {value}"))
        });
        differs.collect()
    }

    /// What of this configuration was given by `sources`, besides the way to a gateway.
    #[must_use]
    pub fn given(&self, sources: &Sources) -> Given {
        let argued = |setting: &Setting| {
            let keys = sources
                .overrides
                .iter()
                .filter_map(|text| Some(text.split_once('=')?.0.trim()));
            keys.into_iter().any(|key| key == setting.key)
        };
        let in_environment = |setting: &Setting| {
            let variable = setting.variable();
            sources.environment.iter().any(|(name, _)| *name == *variable)
        };
        let file = sources
            .file
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let file: Table = file.and_then(|text| text.parse().ok()).unwrap_or_default();
        let mut given = Given::default();
        for setting in settings().filter(|setting| !OF_THE_WAY.contains(&setting.key)) {
            let value = || (setting.key, self.values[setting.key].to_string());
            let own = argued(setting) || in_environment(setting);
            match (setting.kind.is_secret(), own) {
                (true, _) if argued(setting) => given.secrets.push(setting.key),
                (false, true) => given.own.push(value()),
                (false, false) if is_in(&file, setting.key) => given.of_file.push(value()),
                (true | false, _) => {}
            }
        }
        given
    }
}

fn is_in(file: &Table, key: &str) -> bool {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    match file.get(first) {
        Some(Value::Table(section)) if !rest.is_empty() => is_in(section, rest),
        found => found.is_some() && rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sources: &Sources) -> Config {
        Config::read(sources).unwrap()
    }

    #[test]
    fn a_difference_shows_both_values_and_no_secret() {
        let with = |overrides: &[&str]| {
            read(&Sources {
                overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
                ..Sources::default()
            })
        };
        let differences = with(&[]).differences(&with(&[
            "presence.policy=dual",
            "admin.token=0123456789abcdef",
            "limits.failed_logins_per_address_max=5",
        ]));
        let seen: Vec<_> = differences
            .iter()
            .map(|one| (one.key, one.values.as_ref()))
            .collect();
        let values = |before: &str, after: &str| (before.to_owned(), after.to_owned());
        let (limit, policy) = (values("0", "5"), values("\"single\"", "\"dual\""));
        assert_eq!(
            seen,
            [
                ("limits.failed_logins_per_address_max", Some(&limit)),
                ("admin.token", None),
                ("presence.policy", Some(&policy)),
            ]
        );
    }

    #[test]
    fn a_caller_is_given_what_stands_in_its_file_its_environment_and_its_arguments() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[presence]\npolicy = \"multi\"\nconflict = \"oldest-wins\"\n[admin]\ntoken = \"0123456789abcdef\"\n";
        std::fs::write(file.path(), text).unwrap();
        let sources = Sources {
            file: Some(file.path().to_owned()),
            environment: vec![("HOLDFAST_LOG_LEVEL".into(), "warn".into())],
            overrides: [
                "presence.policy=dual",
                "admin.listen=[\"127.0.0.1:1\"]",
                "callback.token=0123456789",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        let given = read(&sources).given(&sources);
        assert_eq!(
            given.of_file,
            [("presence.conflict", "\"oldest-wins\"".to_owned())]
        );
        assert_eq!(
            given.own,
            [
                ("presence.policy", "\"dual\"".to_owned()),
                ("log.level", "\"warn\"".to_owned())
            ]
        );
        assert_eq!(given.secrets, ["callback.token"]);
    }
}
