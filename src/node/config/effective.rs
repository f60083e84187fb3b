//! The effective configuration: everything that a node goes by, read once and checked as a whole.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::filter::LevelFilter;

use super::choices;
use super::clusters;
use super::layers::{self, Sources};
use super::listeners::{self, TerminalListener};
use super::parts::{
    CallbackConfig, CertificateFiles, ClusterConfig, CoreDumps, LogFormat, Pin, RegistryConfig,
    SharedStoreConfig, StoreKind, TerminalTls,
};
use super::print;
use super::problem::Problem;
use super::reader::Reader;
use super::setting::TakesEffect;
use super::shards::ShardsWanted;
use super::table;
use super::values::Values;
use crate::base::ids::UserId;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::logic::settings::Settings;
use crate::protocol::usersig;
use crate::services::registry::FaultInjection;

/// Everything that a node goes by. Shown, as for debugging, without its secrets.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Where terminals connect, and how.
    pub terminals: Vec<TerminalListener>,
    /// The networks of proxies that say whom they speak for.
    pub proxy_trusted: Vec<IpNet>,
    /// How they speak TLS.
    pub terminals_tls: TerminalTls,
    /// Where the app's backend asks.
    pub http: Vec<SocketAddr>,
    /// Its certificates; empty: it speaks plain HTTP.
    pub http_certificates: Vec<CertificateFiles>,
    /// Where the operator looks.
    pub admin: Vec<SocketAddr>,
    /// Its certificates; empty: it speaks plain HTTP.
    pub admin_certificates: Vec<CertificateFiles>,
    /// Where browsers get the client.
    pub web: Vec<SocketAddr>,
    /// Its certificates; empty: it speaks plain HTTP.
    pub web_certificates: Vec<CertificateFiles>,
    /// What the admin listener asks for.
    pub admin_token: Option<Secret>,
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
    /// Where records are kept, and how.
    pub registry: RegistryConfig,
    /// Where the shared store is.
    pub shared_store: SharedStoreConfig,
    /// This node among those of its cluster.
    pub cluster: ClusterConfig,
    /// How the app's backend is told of changes.
    pub callback: CallbackConfig,
    /// How long a start waits for each thing that an earlier gateway still has.
    pub startup_wait: Duration,
    /// How long a clean stop may take.
    pub stop_within: Duration,
    /// Whether the process's memory may be written to a file, or looked into.
    pub core_dumps: CoreDumps,
    /// How much is logged of what the gateway itself says.
    pub log_level: LevelFilter,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Difficulties that a test asks for.
    pub trouble: FaultInjection,
    pub(super) values: Values,
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
        let (values, problems) = layers::gather(sources);
        Self::of(values).checked(problems)
    }

    /// The configuration, if there is no problem beside those that were found before.
    fn checked(self, mut problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        self.check(&mut problems);
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }

    /// The effective configuration as commented TOML, without secrets.
    #[must_use]
    pub fn print(&self) -> String {
        print::print(&self.values)
    }

    /// What `self` becomes by a reload to `other`: its values, but for those that wait for a restart.
    ///
    /// # Errors
    /// What is wrong with that mixture.
    pub fn reloaded(&self, other: &Self) -> Result<Self, Vec<Problem>> {
        let mut values = other.values.clone();
        for setting in table::settings().filter(|setting| setting.takes_effect == TakesEffect::AtRestart) {
            values.copy(&self.values, setting.key);
        }
        Self::of(values).checked(Vec::new())
    }

    /// Whether UserSigs are made with the secret that everyone knows.
    #[must_use]
    pub fn is_for_development(&self) -> bool {
        self.logic
            .keys
            .iter()
            .any(|key| key.secret.expose() == usersig::DEVELOPMENT_SECRET)
    }

    /// Whether every key has ended at `now`, so that nobody can log in or ask.
    #[must_use]
    pub fn takes_no_usersig(&self, now: Timestamp) -> bool {
        !self.logic.keys.iter().any(|key| key.counts(now))
    }

    fn of(values: Values) -> Self {
        let reader = Reader(&values);
        let admin = reader.addresses("admin.listen");
        let hosts = reader.texts("admin.hosts").map(str::to_owned);
        let admin_hosts = hosts
            .chain(admin.iter().map(|address| address.ip().to_string()))
            .collect();
        Self {
            terminals: TerminalListener::all(&reader),
            proxy_trusted: reader.networks("terminals.proxy_trusted"),
            terminals_tls: reader.terminals_tls(),
            http: reader.addresses("http.listen"),
            http_certificates: reader.certificates("http.tls.certificates"),
            admin,
            admin_certificates: reader.certificates("admin.tls.certificates"),
            web: reader.addresses("web.listen"),
            web_certificates: reader.certificates("web.tls.certificates"),
            admin_token: reader.token("admin.token"),
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
            registry: reader.registry(),
            shared_store: reader.shared_store(),
            cluster: reader.cluster(),
            callback: reader.callback(),
            startup_wait: reader.seconds("node.start_patience_s"),
            stop_within: reader.seconds("node.stop_deadline_s"),
            core_dumps: if reader.switch("node.core_dumps") {
                CoreDumps::Allowed
            } else {
                CoreDumps::None
            },
            log_level: reader.choice("log.level", &choices::LOG_LEVEL),
            log_format: reader.choice("log.format", &choices::LOG_FORMAT),
            trouble: FaultInjection {
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
        let terminals: Vec<_> = self.terminals.iter().map(|listener| listener.address).collect();
        let open = foreign(&terminals).or_else(|| foreign(&self.http));
        if let Some(address) = open.filter(|_| self.is_for_development()) {
            let found =
                format!("the development secret, which everyone knows, while {address} is not loopback");
            problems.push(Problem::new(
                "usersig.keys",
                found,
                "set your app's own secret key, and app.sdk_app_id",
            ));
        }
        if let Some(address) = foreign(&self.admin).filter(|_| self.has_no_token()) {
            let remedy = "set admin.token or admin.token_file, or listen on loopback";
            problems.push(Problem::new(
                "admin.listen",
                format!("{address} without a token"),
                remedy,
            ));
        }
        if self.callback.url.is_some() && self.registry.store == StoreKind::Memory {
            let found =
                "an address, while registry.store is \"memory\": callbacks would be lost with the process";
            let remedy = "set registry.store = \"embedded\", or callback.url = \"\"";
            problems.push(Problem::new("callback.url", found, remedy));
        }
        let of_cluster = (&self.shared_store, &self.cluster);
        problems.extend(clusters::problems(
            self.registry.store,
            of_cluster,
            self.logic.restart_grace,
        ));
        problems.extend(listeners::problems(&Reader(&self.values), &self.terminals));
        self.check_addresses(problems);
        self.check_times(problems);
    }

    /// A token whose file cannot be read is told by itself.
    fn has_no_token(&self) -> bool {
        self.admin_token.is_none() && self.values["admin.token_file"].as_str() == Some("")
    }

    fn check_addresses(&self, problems: &mut Vec<Problem>) {
        let terminals = self.terminals.iter();
        let terminals = terminals.map(|listener| (&*listener.setting, listener.address));
        let others = [
            ("http.listen", &self.http),
            ("admin.listen", &self.admin),
            ("web.listen", &self.web),
            ("cluster.listen", &self.cluster.listen),
        ];
        let others = others.into_iter();
        let others = others.flat_map(|(key, list)| list.iter().map(move |address| (key, *address)));
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for (key, address) in terminals.chain(others) {
            if let Some((other, _)) = seen
                .iter()
                .find(|(_, known)| *known == address && address.port() != 0)
            {
                let found = format!("{address}, which {other} has too");
                let remedy = "give each listener an address of its own";
                problems.push(Problem::new(key, found, remedy));
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
