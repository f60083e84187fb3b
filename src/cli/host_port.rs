//! Where a command looks for the gateway, and what it says if the gateway is not there, or if something else answers. It sends
//! nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::outcome::CommandFault;

/// Which of the gateway's listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Terminals,
    Rest,
    Admin,
}

impl Listener {
    /// The setting that names its addresses.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Terminals => "terminals.listen",
            Self::Rest => "http.listen",
            Self::Admin => "admin.listen",
        }
    }

    /// How to look elsewhere for it.
    fn remedy(self) -> String {
        let setting = self.setting();
        let everywhere =
            format!("give the gateway's own --config FILE, or --set '{setting}=[\"HOST:PORT\"]'");
        match self {
            Self::Terminals => format!("name {setting} with --address HOST:PORT, or {everywhere}"),
            Self::Rest | Self::Admin => everywhere,
        }
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// To know something.
    Query,
    /// To change something.
    Change,
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Where a listener with this address is found from the same host: one at all addresses is also at loopback's.
    pub(super) fn of(address: SocketAddr) -> Self {
        let host: IpAddr = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        Self {
            host: host.to_string(),
            port: address.port(),
        }
    }

    /// The host, by name or address, without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Connects, to the first of the host's addresses that takes it, within `within_max`.
    pub(super) async fn connect(&self, within_max: Duration) -> io::Result<TcpStream> {
        let found = TcpStream::connect((self.host.as_str(), self.port));
        match tokio::time::timeout(within_max, found).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Nothing could be connected to there.
    pub(super) fn unreached(&self, listener: Listener, error: &io::Error) -> CommandFault {
        let what = if error.kind() == io::ErrorKind::ConnectionRefused {
            format!("nobody listens at {self}")
        } else if error.kind() == io::ErrorKind::TimedOut {
            format!("{self} does not answer (a firewall?)")
        } else if error.raw_os_error().is_none() {
            // What the system says of connections has a number; what it says of names has none.
            format!("{self} has no address: {error}")
        } else {
            format!("{self} cannot be reached: {error}")
        };
        let remedy = listener.remedy();
        CommandFault::Unreached(format!(
            "{what}; is the gateway running? If it is elsewhere, {remedy}"
        ))
    }

    /// Something else than this listener answers there.
    pub(super) fn mistaken(&self, listener: Listener, what: &str) -> CommandFault {
        let (setting, remedy) = (listener.setting(), listener.remedy());
        CommandFault::Unreached(format!("{self} is not the gateway's {setting}: {what}; {remedy}"))
    }

    /// It took the request, and there is no answer.
    pub(super) fn unanswered(&self, listener: Listener, purpose: RequestKind, what: &str) -> CommandFault {
        let unknown = match purpose {
            RequestKind::Query => "",
            RequestKind::Change => "; whether the request was carried out, or still is, is not known",
        };
        let setting = listener.setting();
        CommandFault::Lost(format!(
            "{self} took the request and {what}{unknown}. If this goes on, it may not be the gateway's {setting}"
        ))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "take HOST:PORT, as in localhost:9001, 192.0.2.7:9001 or [::1]:9001";
        let (host, port) = text.rsplit_once(':').ok_or(form)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| form)?.to_string(),
            None if host.contains(':') && text.parse::<Ipv6Addr>().is_ok() => {
                return Err(format!("an IPv6 address is in brackets, as in [{host}]:{port}"));
            }
            None if host.is_empty() || host.contains([':', '/', '@', '[', ']']) => {
                return Err(form.to_owned());
            }
            None => host.to_owned(),
        };
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if port > 0 && is_number => Ok(Self { host, port }),
            _ => Err("a port is a number from 1 to 65535".to_owned()),
        }
    }
}

/// What a server speaks that begins like this, if it is known and not the gateway's protocol.
pub(super) fn foreign_protocol(bytes: &[u8]) -> Option<&'static str> {
    const ALERT: &[u8] = &[21, 3];
    if bytes.starts_with(b"HTTP/") {
        Some("it speaks HTTP, as http.listen, admin.listen and listeners for --websocket do")
    } else if bytes.starts_with(ALERT) {
        Some("it speaks TLS, as listeners for --tls do")
    } else if bytes.starts_with(b"SSH-") {
        Some("it speaks SSH")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_or_an_address_with_a_port() {
        let check = |text: &str, expected: Result<&str, &str>| match (text.parse::<HostPort>(), expected) {
            (Ok(place), Ok(expected)) => assert_eq!(place.to_string(), expected, "{text}"),
            (Err(fault), Err(expected)) => assert!(fault.contains(expected), "{text}: {fault}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        };
        for good in [
            "localhost:9001",
            "192.0.2.7:1",
            "[::1]:65535",
            "gateway.example.org:9001",
        ] {
            check(good, Ok(good));
        }
        check("[0:0::1]:9001", Ok("[::1]:9001"));
        for bad in [
            "",
            "localhost",
            "http://localhost:9001",
            ":9001",
            "a:b:9001",
            "[x]:9001",
            "u@h:9001",
        ] {
            check(bad, Err("HOST:PORT"));
        }
        check("::1:9001", Err("[::1]:9001"));
        for port in ["0", "65536", "99999", "+80", "8o", "", "-1"] {
            check(&format!("localhost:{port}"), Err("1 to 65535"));
        }
    }

    #[test]
    fn a_listener_at_all_addresses_is_found_at_loopback() {
        let check = |address: &str, expected: &str| {
            assert_eq!(HostPort::of(address.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:9001", "127.0.0.1:9001");
        check("[::]:9001", "[::1]:9001");
        check("192.0.2.7:9001", "192.0.2.7:9001");
    }

    #[test]
    fn what_answers_is_known_by_its_first_bytes() {
        assert!(
            foreign_protocol(b"HTTP/1.1 400 Bad Request")
                .unwrap()
                .contains("HTTP")
        );
        assert!(foreign_protocol(&[21, 3, 3, 0, 2]).unwrap().contains("TLS"));
        assert_eq!(foreign_protocol(b""), None);
        assert_eq!(foreign_protocol(&[2, 18, 0]), None);
    }
}
