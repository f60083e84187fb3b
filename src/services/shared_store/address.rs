//! Where a server is, and how URLs name it. Connects nowhere.

use std::fmt;

use crate::base::secret::Secret;
use redis::{ConnectionAddr, IntoConnectionInfo};

/// A server of the shared store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddress {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl ServerAddress {
    /// Reads `host:port`, as servers name each other. An empty host is the one that `near` has.
    pub(crate) fn read(text: &str, near: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self::of(host, port.parse().ok()?, near)
    }

    /// The same from its parts. A server that does not know its own host says nothing, or `?`.
    pub(crate) fn of(host: &str, port: u16, near: &Self) -> Option<Self> {
        let host = if matches!(host, "" | "?") {
            &near.host
        } else {
            host
        };
        (port != 0).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// `redis://`
    Plain,
    /// `rediss://`
    Tls,
}

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreUrl {
    pub(crate) address: ServerAddress,
    pub(crate) security: Security,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
}

impl StoreUrl {
    /// Reads a URL. Errors say what would do, and never show the password.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let info = text.into_connection_info();
        let info = info.map_err(|_| "is no URL like redis://host:6379 or rediss://host:6379".to_owned())?;
        let (security, host, port) = read_place(info.addr())?;
        if info.redis_settings().db() != 0 {
            return Err("names a database, but a cluster has only database 0: leave it out".to_owned());
        }
        let redis = info.redis_settings();
        Ok(Self {
            address: ServerAddress { host, port },
            security,
            user: redis.username().map(str::to_owned),
            password: redis.password().map(Secret::from),
        })
    }
}

fn read_place(address: &ConnectionAddr) -> Result<(Security, String, u16), String> {
    if let ConnectionAddr::Tcp(host, port) = address {
        return Ok((Security::Plain, host.clone(), *port));
    }
    let ConnectionAddr::TcpTls {
        host, port, insecure, ..
    } = address
    else {
        return Err("names a Unix socket, which other nodes cannot reach: give host and port".to_owned());
    };
    if *insecure {
        return Err("has #insecure, but certificates are always checked: name them in tls.ca".to_owned());
    }
    Ok((Security::Tls, host.clone(), *port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ServerAddress, security, user, password.
    type Parts = (&'static str, Security, Option<&'static str>, Option<&'static str>);

    fn check(url: &str, expected: Result<Parts, &str>) {
        let read = StoreUrl::read(url);
        match (&read, expected) {
            (Ok(read), Ok((address, security, user, password))) => {
                assert_eq!(read.address.to_string(), address, "{url}");
                assert_eq!(read.security, security, "{url}");
                assert_eq!(read.user.as_deref(), user, "{url}");
                assert_eq!(read.password.as_ref().map(Secret::expose), password, "{url}");
            }
            (Err(said), Err(word)) => {
                assert!(said.contains(word), "{url}: {said}");
                assert!(!said.contains("geheim"), "{said}");
            }
            (Ok(_), Err(_)) => panic!("{url} was taken"),
            (Err(said), Ok(_)) => panic!("{url}: {said}"),
        }
    }

    #[test]
    fn urls_say_where_and_how() {
        check("redis://a", Ok(("a:6379", Security::Plain, None, None)));
        check("redis://a:7000/", Ok(("a:7000", Security::Plain, None, None)));
        check("valkeys://a:7000", Ok(("a:7000", Security::Tls, None, None)));
        check(
            "redis://[::1]:7000",
            Ok(("[::1]:7000", Security::Plain, None, None)),
        );
        let both = Ok(("a:1", Security::Tls, Some("u"), Some("p@")));
        check("rediss://u:p%40@a:1", both);
        check("redis://:p@a:1", Ok(("a:1", Security::Plain, None, Some("p"))));
    }

    #[test]
    fn bad_urls_are_explained() {
        check("a:6379", Err("redis://host"));
        check("http://u:geheim@a", Err("redis://host"));
        check("redis://u:geheim@", Err("redis://host"));
        check("redis://a:99999", Err("redis://host"));
        check("redis://a:1/3", Err("database"));
        check("rediss://u:geheim@a:1/#insecure", Err("tls.ca"));
        check("unix:///run/redis.sock", Err("Unix socket"));
    }

    #[test]
    fn servers_name_each_other() {
        let near = ServerAddress {
            host: "near".to_owned(),
            port: 1,
        };
        let read = |text| ServerAddress::read(text, &near).map(|address| address.to_string());
        assert_eq!(read("10.0.0.1:7000"), Some("10.0.0.1:7000".to_owned()));
        assert_eq!(read("::1:7000"), Some("[::1]:7000".to_owned()));
        assert_eq!(read("[::1]:7000"), Some("[::1]:7000".to_owned()));
        assert_eq!(read(":7000"), Some("near:7000".to_owned()));
        assert_eq!(read("?:7000"), Some("near:7000".to_owned()));
        for bad in ["", "a", "a:", "a:0", "a:99999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
