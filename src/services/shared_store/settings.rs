//! What a client of the shared store goes by, read from what was typed: once, and with all that is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
};

use crate::base::secret::Secret;
use crate::services::shared_store::address::{Security, ServerAddress, StoreUrl};

/// How long making a connection may take, TLS and password included, unless settings say otherwise.
pub const CONNECT_MS: u64 = 1_000;
/// How long WAIT waits for the copies. A replica confirms within its network's round trip, and with `appendfsync always` its
/// disk's.
pub const WAIT_MS: u64 = 300;
/// How long an answer may take beyond [`WAIT_MS`], unless settings say otherwise: longer than any script, shorter than a failover.
pub const REPLY_MS: u64 = 1_000;

/// What happens while a change has too few copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopiesMissing {
    /// It is not confirmed until it has them.
    Wait,
    /// It is confirmed.
    GoOn,
}

/// As it was typed.
#[derive(Debug, Clone, Copy)]
pub struct TypedRedis<'a> {
    /// StoreServers of the cluster, any some of them; or the master and its replicas.
    pub urls: &'a [String],
    /// Unless the URLs name one.
    pub user: Option<&'a str>,
    /// Unless the URLs name one.
    pub password: Option<&'a Secret>,
    /// Certificates that vouch for the servers, instead of the system's.
    pub ca: Option<&'a Path>,
    /// The client's own certificate and key, if the servers want one.
    pub identity: Option<(&'a Path, &'a Path)>,
    /// How many replicas must have a change.
    pub copies: u16,
    /// What happens while fewer have it.
    pub copies_missing: CopiesMissing,
}

/// What is wrong with what was typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreSettingsError {
    /// Nothing to connect to.
    #[error("no URL is given: name at least one server, as in redis://host:6379")]
    NoUrl,
    /// The URL with this number, counting from 1.
    #[error("URL {0} {1}")]
    Url(usize, String),
    /// Some URLs want TLS.
    #[error("some URLs begin with redis:// and some with rediss://: all servers need the same")]
    MixedSecurity,
    /// Two of them differ.
    #[error("user or password is given more than once, and not the same: all servers need the same")]
    MixedCredentials,
    /// The shared store takes no user without one.
    #[error("a user is given without a password")]
    NoPassword,
    /// They say nothing without TLS.
    #[error("certificates are given, but the URLs begin with redis://: write rediss://")]
    CertificatesWithoutTls,
    /// A file of certificates or keys.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, String),
}

/// What a client of the shared store goes by.
#[derive(Clone)]
pub struct RedisSettings {
    pub(crate) servers: Vec<ServerAddress>,
    /// How many replicas must have a change.
    pub copies: u16,
    /// What happens while fewer have it.
    pub copies_missing: CopiesMissing,
    /// At first [`CONNECT_MS`].
    pub connect_ms: u64,
    /// At first [`REPLY_MS`].
    pub reply_ms: u64,
    credentials: RedisConnectionInfo,
    certificates: Option<TlsCertificates>,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisSettings({:?}, {} copies)", self.servers, self.copies)
    }
}

impl RedisSettings {
    /// Reads them, and the files they name.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(typed: &TypedRedis<'_>) -> Result<Self, StoreSettingsError> {
        let read = |(number, url): (usize, &String)| {
            StoreUrl::read(url).map_err(|error| StoreSettingsError::Url(number, error))
        };
        let urls = (1..).zip(typed.urls).map(read).collect::<Result<Vec<_>, _>>()?;
        let security = urls.first().ok_or(StoreSettingsError::NoUrl)?.security;
        if urls.iter().any(|url| url.security != security) {
            return Err(StoreSettingsError::MixedSecurity);
        }
        let users = urls.iter().map(|url| url.user.as_deref());
        let passwords = urls.iter().map(|url| url.password.as_ref().map(Secret::expose));
        Ok(Self {
            credentials: credentials(
                only(users, typed.user)?,
                only(passwords, typed.password.map(Secret::expose))?,
            )?,
            certificates: certificates(typed, security)?,
            servers: urls.into_iter().map(|url| url.address).collect(),
            copies: typed.copies,
            copies_missing: typed.copies_missing,
            connect_ms: CONNECT_MS,
            reply_ms: REPLY_MS,
        })
    }

    /// How a client of the crate connects to a server.
    pub(crate) fn client(&self, server: &ServerAddress) -> redis::RedisResult<Client> {
        let host = server.host.clone();
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        let info = |address: ConnectionAddr| -> redis::RedisResult<ConnectionInfo> {
            let info = address.into_connection_info()?.set_tcp_settings(tcp);
            Ok(info.set_redis_settings(self.credentials.clone()))
        };
        match &self.certificates {
            None => Client::open(info(ConnectionAddr::Tcp(host, server.port))?),
            Some(certificates) => {
                let address = ConnectionAddr::TcpTls {
                    host,
                    port: server.port,
                    insecure: false,
                    tls_params: None,
                };
                Client::build_with_tls(info(address)?, certificates.clone())
            }
        }
    }

    /// How long the answer to a call may take.
    pub(crate) fn reply_timeout(&self) -> Duration {
        Duration::from_millis(WAIT_MS + self.reply_ms)
    }
}

/// What the URLs or the setting say, if they agree.
fn only<'a>(
    urls: impl Iterator<Item = Option<&'a str>>,
    setting: Option<&'a str>,
) -> Result<Option<&'a str>, StoreSettingsError> {
    let mut given = urls.chain([setting]).flatten();
    let first = given.next();
    if given.any(|other| Some(other) != first) {
        return Err(StoreSettingsError::MixedCredentials);
    }
    Ok(first)
}

fn credentials(
    user: Option<&str>,
    password: Option<&str>,
) -> Result<RedisConnectionInfo, StoreSettingsError> {
    let none = RedisConnectionInfo::default().set_skip_set_lib_name();
    match (user, password) {
        (None, None) => Ok(none),
        (Some(_), None) => Err(StoreSettingsError::NoPassword),
        (None, Some(password)) => Ok(none.set_password(password)),
        (Some(user), Some(password)) => Ok(none.set_username(user).set_password(password)),
    }
}

fn certificates(
    typed: &TypedRedis<'_>,
    security: Security,
) -> Result<Option<TlsCertificates>, StoreSettingsError> {
    if security == Security::Plain {
        let none = typed.ca.is_none() && typed.identity.is_none();
        return none
            .then_some(None)
            .ok_or(StoreSettingsError::CertificatesWithoutTls);
    }
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| StoreSettingsError::File(path.to_owned(), error.to_string()))
    };
    let identity = |(chain, key): (&Path, &Path)| {
        Ok(ClientTlsConfig {
            client_cert: read(chain)?,
            client_key: read(key)?,
        })
    };
    let read = TlsCertificates {
        client_tls: typed.identity.map(identity).transpose()?,
        root_cert: typed.ca.map(read).transpose()?,
    };
    understood(typed, &read)?;
    Ok(Some(read))
}

/// Whether the files hold what they should.
fn understood(typed: &TypedRedis<'_>, read: &TlsCertificates) -> Result<(), StoreSettingsError> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let certificates = |path: &Path, pem: &[u8]| {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        match found {
            Ok(found) if !found.is_empty() => Ok(()),
            Ok(_) => Err(StoreSettingsError::File(
                path.to_owned(),
                "there is no certificate in it".to_owned(),
            )),
            Err(error) => Err(StoreSettingsError::File(path.to_owned(), error.to_string())),
        }
    };
    if let Some((path, pem)) = typed.ca.zip(read.root_cert.as_ref()) {
        certificates(path, pem)?;
    }
    if let Some(((chain, key), own)) = typed.identity.zip(read.client_tls.as_ref()) {
        certificates(chain, &own.client_cert)?;
        let found = PrivateKeyDer::from_pem_slice(&own.client_key);
        found.map_err(|error| StoreSettingsError::File(key.to_owned(), error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(urls: &[&str], user: Option<&str>, ca: Option<&str>, expected: Result<(), StoreSettingsError>) {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let typed = TypedRedis {
            urls: &urls,
            user,
            password: None,
            ca: ca.map(Path::new),
            identity: None,
            copies: 1,
            copies_missing: CopiesMissing::Wait,
        };
        let read = RedisSettings::read(&typed);
        assert_eq!(read.map(|_| ()), expected, "{urls:?}");
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        check(&["redis://a", "redis://:p@b"], None, None, Ok(()));
        check(&["redis://u:p@a", "redis://b"], Some("u"), None, Ok(()));
        check(&[], None, None, Err(StoreSettingsError::NoUrl));
        check(
            &["redis://a", "rediss://b"],
            None,
            None,
            Err(StoreSettingsError::MixedSecurity),
        );
        check(
            &["redis://:p@a", "redis://:q@b"],
            None,
            None,
            Err(StoreSettingsError::MixedCredentials),
        );
        check(
            &["redis://u:p@a"],
            Some("v"),
            None,
            Err(StoreSettingsError::MixedCredentials),
        );
        check(
            &["redis://a"],
            Some("v"),
            None,
            Err(StoreSettingsError::NoPassword),
        );
        check(
            &["redis://a"],
            None,
            Some("ca.pem"),
            Err(StoreSettingsError::CertificatesWithoutTls),
        );
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let text = path.to_str().unwrap().to_owned();
        let missing = std::fs::read(&path).unwrap_err().to_string();
        check(
            &["rediss://a"],
            None,
            Some(&text),
            Err(StoreSettingsError::File(path.clone(), missing)),
        );
        std::fs::write(&path, "nothing").unwrap();
        let empty = "there is no certificate in it".to_owned();
        check(
            &["rediss://a"],
            None,
            Some(&text),
            Err(StoreSettingsError::File(path.clone(), empty)),
        );
    }
}
