//! From values to what is meant: one typed value at a time. Checks nothing: the table did.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;
use tracing_subscriber::filter::LevelFilter;

use super::choices::{self, Choice};
use super::files::file_key;
use super::parts::{
    CallbackConfig, CertificateFiles, ClusterConfig, RegistryConfig, SharedStoreConfig, TerminalTls,
};
use super::texts::{network, not_after_s};
use super::values::Values;
use crate::base::ids::{NodeId, Platform, UserId};
use crate::base::secret::Secret;
use crate::logic::cluster::home::PublicAddresses;
use crate::logic::record::Callbacks;
use crate::logic::settings::{AddressLimits, ConnectionTrace, Registration, Settings, TimeoutByClass};
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::usersig::{DEVELOPMENT_SECRET, Key};
use crate::services::callback::ReceiverUrl;

/// Takes values out in the types that the table promises.
pub(super) struct Reader<'a>(pub(super) &'a Values);

impl<'a> Reader<'a> {
    fn value(&self, key: &str) -> &'a Value {
        &self.0[key]
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        let number = self
            .value(key)
            .as_integer()
            .and_then(|number| u64::try_from(number).ok());
        number.expect("its kind is a number, none of them negative")
    }

    pub(super) fn small<T: TryFrom<u64>>(&self, key: &str) -> T {
        T::try_from(self.number(key))
            .ok()
            .expect("its bounds are those of its type")
    }

    pub(super) fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.number(key))
    }

    pub(super) fn switch(&self, key: &str) -> bool {
        self.value(key).as_bool().expect("its kind is a switch")
    }

    pub(super) fn text(&self, key: &str) -> &'a str {
        self.value(key).as_str().expect("its kind is a text")
    }

    /// What the word of a setting means.
    pub(super) fn choice<T: Copy>(&self, key: &str, choice: &Choice<T>) -> T {
        choice.meaning(self.text(key))
    }

    pub(super) fn list(&self, key: &str) -> &'a [Value] {
        self.value(key).as_array().expect("its kind is a list")
    }

    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.list(key)
            .iter()
            .map(|text| text.as_str().expect("its kind is a list of texts"))
    }

    pub(super) fn addresses(&self, key: &str) -> Vec<SocketAddr> {
        self.texts(key)
            .map(|text| text.parse().expect("its kind is a list of addresses"))
            .collect()
    }

    pub(super) fn networks(&self, key: &str) -> Vec<IpNet> {
        self.texts(key)
            .map(|text| network(text).expect("its kind is a list of networks"))
            .collect()
    }

    pub(super) fn users(&self, key: &str) -> Vec<UserId> {
        self.texts(key)
            .map(|text| UserId::new(text.as_bytes()).expect("its kind is a list of UserIDs"))
            .collect()
    }

    fn keys(&self) -> Vec<Key> {
        let read = self.0.read("usersig.keys").iter().cloned();
        let keys = self.list("usersig.keys").iter().zip(read);
        let keys = keys.filter_map(|(key, read)| {
            // Without either its file could not be read: then the configuration is not used.
            let secret = key.get("secret").and_then(Value::as_str).map(Secret::from);
            Some(Key {
                secret: secret.or(read)?,
                not_after_s: key.get("not_after").and_then(not_after_s),
            })
        });
        let keys: Vec<_> = keys.collect();
        if self.list("usersig.keys").is_empty() {
            vec![Key {
                secret: DEVELOPMENT_SECRET.into(),
                not_after_s: None,
            }]
        } else {
            keys
        }
    }

    pub(super) fn logic(&self) -> Settings {
        let instances = Platform::ALL
            .map(|platform| self.small(&format!("presence.instances_{}", platform.name().to_lowercase())));
        Settings {
            trace: if self.choice("log.level", &choices::LOG_LEVEL) >= LevelFilter::DEBUG {
                ConnectionTrace::On
            } else {
                ConnectionTrace::Off
            },
            sdk_app_id: self.number("app.sdk_app_id"),
            keys: self.keys(),
            usersig_ahead_max: self.seconds("usersig.ahead_max_s"),
            policy: self.choice("presence.policy", &choices::POLICY),
            conflict: self.choice("presence.conflict", &choices::CONFLICT),
            instances,
            web_close: self.choice("presence.web_close", &choices::WEB_CLOSE),
            heartbeat_interval: self.seconds("presence.heartbeat_interval_s"),
            heartbeat_timeout: TimeoutByClass {
                mobile: self.seconds("presence.heartbeat_timeout_mobile_s"),
                desktop: self.seconds("presence.heartbeat_timeout_desktop_s"),
                web: self.seconds("presence.heartbeat_timeout_web_s"),
            },
            push_online: Duration::from_secs(self.number("presence.push_online_days") * 86_400),
            login_deadline: self.seconds("terminals.login_deadline_s"),
            addresses: AddressLimits {
                connections_max: self.small("limits.connections_per_address_max"),
                failed_logins_max: self.small("limits.failed_logins_per_address_max"),
                ipv4_prefix_bits: self.small("limits.ipv4_prefix_bits"),
                ipv6_prefix_bits: self.small("limits.ipv6_prefix_bits"),
            },
            logins_per_user_max: self.small("limits.logins_per_user_max"),
            message_bytes_max: self.small("limits.message_bytes_max"),
            retry_after: Duration::from_millis(self.number("terminals.retry_after_ms")),
            restart_grace: self.seconds("presence.restart_grace_s"),
            registration: if self.switch("accounts.register_at_login") {
                Registration::AtLogin
            } else {
                Registration::ByImport
            },
            ..Settings::default()
        }
    }

    pub(super) fn token(&self, key: &str) -> Option<Secret> {
        let text = self.text(key);
        if !text.is_empty() {
            return Some(text.into());
        }
        let read = self.0.read(file_key(key)).first()?;
        read.clone()
    }

    /// What a file held that a setting names by itself; `None`: it names none.
    fn file(&self, key: &str) -> Option<Secret> {
        self.0.read(key).first()?.clone()
    }

    pub(super) fn certificates(&self, key: &str) -> Vec<CertificateFiles> {
        let entries = self.list(key).iter();
        let files = self.0.read(key).chunks_exact(2);
        let certificates = entries.zip(files).filter_map(|(entry, files)| {
            let path = |name| {
                entry
                    .get(name)
                    .and_then(Value::as_str)
                    .expect("its kind is a path")
                    .into()
            };
            // Without either a file could not be read: then the configuration is not used.
            let [chain_pem, key_pem] = files else { return None };
            Some(CertificateFiles {
                chain: path("chain"),
                key: path("key"),
                chain_pem: chain_pem.clone()?,
                key_pem: key_pem.clone()?,
            })
        });
        certificates.collect()
    }

    pub(super) fn terminals_tls(&self) -> TerminalTls {
        TerminalTls {
            certificates: self.certificates("terminals.tls.certificates"),
            version_min: self.choice("terminals.tls.min_version", &choices::TLS_VERSION),
            tickets: self.switch("terminals.tls.tickets"),
            ticket_secret: self.token("terminals.tls.ticket_secret"),
            client_ca: self.file("terminals.tls.client_ca_file"),
            keeping: if self.switch("terminals.tls.compact") {
                TlsKeeping::Keys
            } else {
                TlsKeeping::Connection
            },
        }
    }

    pub(super) fn registry(&self) -> RegistryConfig {
        RegistryConfig {
            store: self.choice("registry.store", &choices::STORE),
            path: self.0.path("registry.path"),
            durability: self.choice("registry.durability", &choices::DURABILITY),
            memory_bytes_max: self.number("registry.memory_bytes_max"),
            changes_kept: Duration::from_secs(self.number("changes.keep_days") * 86_400),
            deleted_kept: Duration::from_secs(self.number("accounts.deleted_keep_days") * 86_400),
        }
    }

    /// A text, unless it is empty.
    fn word(&self, key: &str) -> Option<String> {
        Some(self.text(key))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// Where a file is, unless none is named.
    fn file_or_none(&self, key: &str) -> Option<PathBuf> {
        Some(self.0.path(key)).filter(|path| !path.as_os_str().is_empty())
    }

    pub(super) fn shared_store(&self) -> SharedStoreConfig {
        let identity = ["registry.redis.certificate_file", "registry.redis.key_file"];
        let [certificate, key] = identity.map(|key| self.file_or_none(key));
        SharedStoreConfig {
            urls: self.texts("registry.redis.urls").map(str::to_owned).collect(),
            user: self.word("registry.redis.user"),
            password: self.token("registry.redis.password"),
            ca_file: self.file_or_none("registry.redis.ca_file"),
            identity: certificate.zip(key),
            copies: self.small("registry.redis.copies"),
            copies_missing: self.choice("registry.redis.copies_missing", &choices::COPIES_MISSING),
        }
    }

    pub(super) fn cluster(&self) -> ClusterConfig {
        let listen = self.addresses("cluster.listen");
        let public = |key| {
            self.word(key)
                .map(|text| text.parse().expect("its kind is such a text"))
        };
        let first = |addresses: &[SocketAddr]| addresses.first().map(ToString::to_string);
        ClusterConfig {
            name: self.text("cluster.name").to_owned(),
            node: NodeId(self.small("cluster.node")),
            secret: self.token("cluster.secret"),
            peer_address: self.word("cluster.peer_address").or(first(&listen)),
            admin_address: self
                .word("cluster.admin_address")
                .or(first(&self.addresses("admin.listen"))),
            listen,
            public: PublicAddresses {
                tcp: public("cluster.public_tcp"),
                tls: public("cluster.public_tls"),
                websocket: public("cluster.public_websocket"),
                secure_websocket: public("cluster.public_secure_websocket"),
            },
            weight: self.small("cluster.weight"),
            lease: self.seconds("cluster.lease_s"),
            hold: self.seconds("cluster.hold_s"),
        }
    }

    pub(super) fn callback(&self) -> CallbackConfig {
        let url = self.text("callback.url");
        CallbackConfig {
            url: (!url.is_empty()).then(|| ReceiverUrl::read(url).expect("its kind is such a URL")),
            token: self.token("callback.token"),
            parallel: self.small("callback.parallel"),
            connections_max: self.small("callback.connections_max"),
            timeout: Duration::from_millis(self.number("callback.timeout_ms")),
            give_up: Duration::from_secs(self.number("callback.give_up_hours") * 3_600),
            dead_kept: Duration::from_secs(self.number("callback.dead_keep_days") * 86_400),
            sent: match (url.is_empty(), self.switch("callback.expiry")) {
                (true, _) => Callbacks::None,
                (false, false) => Callbacks::Documented,
                (false, true) => Callbacks::All,
            },
            ca_file: self.file_or_none("callback.ca_file"),
        }
    }
}
