//! The configuration: what was typed becomes what is meant, once, and all problems are told at once.

mod layers;
mod print;
pub mod shards;
mod table;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use toml::Value;

use crate::base::ids::{Platform, UserId};
use crate::logic::settings::{Conflict, Policy, Settings, TimeoutByClass, WebClose};
use crate::logic::usersig::Key;
use crate::services::http::Token;
use crate::services::registry::Trouble;
use layers::Values;
pub use layers::{Problem, Sources};
use shards::ShardsWanted;

/// Known to everyone who reads this: good for nothing but a gateway on loopback.
pub const DEVELOPMENT_SECRET: &str = "holdfast-development-secret-for-loopback-only-never-in-production";

/// Everything that a node goes by. Shown, as for debugging, without its secrets.
#[derive(Clone)]
pub struct Config {
    /// Where terminals connect.
    pub terminals: Vec<SocketAddr>,
    /// Where the app's backend asks.
    pub http: Vec<SocketAddr>,
    /// Where the operator looks.
    pub admin: Vec<SocketAddr>,
    /// What the admin listener asks for.
    pub admin_token: Option<Token>,
    /// Names that it answers to, besides those of loopback.
    pub admin_hosts: Vec<String>,
    /// Who may call the REST interface.
    pub administrators: Vec<UserId>,
    /// How many shards, and of what size.
    pub shards: ShardsWanted,
    /// How long a heartbeat may wait for others.
    pub heartbeat_delay_max: Duration,
    /// New connections that one shard takes a second; 0: as many as come.
    pub accepts_per_second_max: u32,
    /// Whether each shard's thread stays on one core.
    pub pin: Pin,
    /// What decisions depend on.
    pub logic: Settings,
    /// How long a clean stop may take.
    pub stop_within: Duration,
    /// `error` to `trace`.
    pub log_level: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Difficulties that a test asks for.
    pub trouble: Trouble,
    values: Values,
}

/// Whether threads stay on their cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Each on one.
    Yes,
    /// The system moves them.
    No,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.print())
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let (values, mut problems) = layers::gather(sources);
        let config = Self::of(values);
        config.check(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// The effective configuration as commented TOML, without secrets.
    #[must_use]
    pub fn print(&self) -> String {
        print::print(&self.values)
    }

    /// Whether UserSigs are made with the secret that everyone knows.
    #[must_use]
    pub fn is_for_development(&self) -> bool {
        self.logic.keys.iter().any(|key| key.secret == DEVELOPMENT_SECRET)
    }

    fn of(values: Values) -> Self {
        let reader = Reader(&values);
        let token = reader.text("admin.token");
        let admin = reader.addresses("admin.listen");
        let hosts = reader.texts("admin.hosts").map(str::to_owned);
        let admin_hosts = hosts
            .chain(admin.iter().map(|address| address.ip().to_string()))
            .collect();
        Self {
            terminals: reader.addresses("terminals.listen"),
            http: reader.addresses("http.listen"),
            admin,
            admin_token: (!token.is_empty()).then(|| Token(token.to_owned())),
            admin_hosts,
            administrators: reader.users("app.administrators"),
            shards: ShardsWanted {
                count: reader.small("shards.count"),
                connections_max: reader.small("shards.connections_max"),
            },
            accepts_per_second_max: u32::try_from(reader.number("terminals.accepts_per_second_max"))
                .expect("bounded by its kind"),
            heartbeat_delay_max: Duration::from_millis(reader.number("shards.heartbeat_delay_max_ms")),
            pin: if reader.switch("shards.pin") {
                Pin::Yes
            } else {
                Pin::No
            },
            logic: reader.logic(),
            stop_within: reader.seconds("node.stop_deadline_s"),
            log_level: reader.text("log.level").to_owned(),
            log_format: if reader.text("log.format") == "json" {
                LogFormat::Json
            } else {
                LogFormat::Text
            },
            trouble: Trouble {
                delay: Duration::from_millis(reader.number("testing.registry_delay_ms")),
                fail_every: reader.number("testing.registry_fail_every"),
            },
            values,
        }
    }

    /// What no setting can know of itself.
    fn check(&self, problems: &mut Vec<Problem>) {
        let foreign = |addresses: &[SocketAddr]| {
            addresses
                .iter()
                .find(|address| !address.ip().is_loopback())
                .map(ToString::to_string)
        };
        let open = foreign(&self.terminals).or_else(|| foreign(&self.http));
        if let Some(address) = open.filter(|_| self.is_for_development()) {
            let found =
                format!("the development secret, which everyone knows, while {address} is not loopback");
            problems.push(Problem::new(
                "usersig.keys",
                found,
                "set your app's own secret key, and app.sdk_app_id",
            ));
        }
        if let Some(address) = foreign(&self.admin).filter(|_| self.admin_token.is_none()) {
            let remedy = "set admin.token, or listen on loopback";
            problems.push(Problem::new(
                "admin.listen",
                format!("{address} without a token"),
                remedy,
            ));
        }
        self.check_addresses(problems);
        self.check_times(problems);
    }

    fn check_addresses(&self, problems: &mut Vec<Problem>) {
        let lists = [
            ("terminals.listen", &self.terminals),
            ("http.listen", &self.http),
            ("admin.listen", &self.admin),
        ];
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for (key, address) in lists
            .iter()
            .flat_map(|(key, list)| list.iter().map(move |address| (*key, *address)))
        {
            if let Some((other, _)) = seen
                .iter()
                .find(|(_, known)| *known == address && address.port() != 0)
            {
                let found = format!("{address}, which {other} has too");
                problems.push(Problem::new(
                    key,
                    found,
                    "give each listener an address of its own",
                ));
            }
            seen.push((key, address));
        }
    }

    fn check_times(&self, problems: &mut Vec<Problem>) {
        let timeouts = self.logic.heartbeat_timeout;
        let interval = self.logic.heartbeat_interval;
        for (class, timeout) in [
            ("mobile", timeouts.mobile),
            ("desktop", timeouts.desktop),
            ("web", timeouts.web),
        ] {
            if timeout <= interval {
                let found = format!(
                    "{} s, while terminals beat every {} s",
                    timeout.as_secs(),
                    interval.as_secs()
                );
                let remedy = "give it more than presence.heartbeat_interval_s: three times that is usual";
                problems.push(Problem::new(
                    format!("presence.heartbeat_timeout_{class}_s"),
                    found,
                    remedy,
                ));
            }
        }
    }
}

/// Takes values out in the types that the table promises.
struct Reader<'a>(&'a Values);

impl<'a> Reader<'a> {
    fn value(&self, key: &str) -> &'a Value {
        self.0.get(key).expect("every setting has a value")
    }

    fn number(&self, key: &str) -> u64 {
        let number = self
            .value(key)
            .as_integer()
            .and_then(|number| u64::try_from(number).ok());
        number.expect("its kind is a number, none of them negative")
    }

    fn small<T: TryFrom<u64>>(&self, key: &str) -> T {
        T::try_from(self.number(key))
            .ok()
            .expect("its bounds are those of its type")
    }

    fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.number(key))
    }

    fn switch(&self, key: &str) -> bool {
        self.value(key).as_bool().expect("its kind is a switch")
    }

    fn text(&self, key: &str) -> &'a str {
        self.value(key).as_str().expect("its kind is a text")
    }

    fn list(&self, key: &str) -> &'a [Value] {
        self.value(key).as_array().expect("its kind is a list")
    }

    fn texts(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.list(key)
            .iter()
            .map(|text| text.as_str().expect("its kind is a list of texts"))
    }

    fn addresses(&self, key: &str) -> Vec<SocketAddr> {
        self.texts(key)
            .map(|text| text.parse().expect("its kind is a list of addresses"))
            .collect()
    }

    fn users(&self, key: &str) -> Vec<UserId> {
        self.texts(key)
            .map(|text| UserId::new(text.as_bytes()).expect("its kind is a list of UserIDs"))
            .collect()
    }

    fn keys(&self) -> Vec<Key> {
        let keys = self.list("usersig.keys").iter().map(|key| Key {
            secret: key["secret"].as_str().expect("its kind is a key").to_owned(),
            not_after_s: key.get("not_after").and_then(table::not_after_s),
        });
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            vec![Key {
                secret: DEVELOPMENT_SECRET.to_owned(),
                not_after_s: None,
            }]
        } else {
            keys
        }
    }

    fn logic(&self) -> Settings {
        let instances = Platform::ALL
            .map(|platform| self.small(&format!("presence.instances_{}", platform.name().to_lowercase())));
        Settings {
            sdk_app_id: self.number("app.sdk_app_id"),
            keys: self.keys(),
            policy: match self.text("presence.policy") {
                "dual" => Policy::Dual,
                "triple" => Policy::Triple,
                "multi" => Policy::Multi,
                _ => Policy::Single,
            },
            conflict: match self.text("presence.conflict") {
                "oldest-wins" => Conflict::OldestWins,
                _ => Conflict::NewestWins,
            },
            instances,
            web_close: match self.text("presence.web_close") {
                "at-once" => WebClose::AtOnce,
                _ => WebClose::TimeOut,
            },
            heartbeat_interval: self.seconds("presence.heartbeat_interval_s"),
            heartbeat_timeout: TimeoutByClass {
                mobile: self.seconds("presence.heartbeat_timeout_mobile_s"),
                desktop: self.seconds("presence.heartbeat_timeout_desktop_s"),
                web: self.seconds("presence.heartbeat_timeout_web_s"),
            },
            push_online: Duration::from_secs(self.number("presence.push_online_days") * 86_400),
            login_deadline: self.seconds("terminals.login_deadline_s"),
            retry_after: Duration::from_millis(self.number("terminals.retry_after_ms")),
            ..Settings::default()
        }
    }
}
