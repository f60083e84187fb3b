//! Where terminals connect and how each listener speaks, and what is wrong with that beyond single settings. Opens nothing.

use std::fmt;
use std::net::SocketAddr;

use toml::Value;

use super::choices::{DIALECT, PROXY, TRANSPORT};
use super::entries::{place, said};
use super::problem::Problem;
use super::reader::Reader;
use super::table::LISTENER;
use crate::protocol::dialect::Dialect;
use crate::protocol::transport::Transport;
use crate::protocol::transport::proxy::ProxyMode;

const LIST: &str = "terminals.listener";

/// Where terminals connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalListener {
    /// What it is called in the configuration: `terminals.listen`, or `terminals.listener[2]`.
    pub setting: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// What packets travel in.
    pub transport: Transport,
    /// Whether that travels in TLS.
    pub tls: bool,
    /// Which header of the PROXY protocol comes first.
    pub proxy: ProxyMode,
    /// What the packets are.
    pub dialect: Dialect,
    /// The path that a request for an upgrade names.
    pub path: String,
    /// The web pages that may connect; empty: all.
    pub origins: Vec<String>,
}

impl TerminalListener {
    /// All of them: those by plain TCP first.
    pub(super) fn all(reader: &Reader<'_>) -> Vec<Self> {
        let plain = reader.addresses("terminals.listen").into_iter();
        let plain = plain.map(|address| {
            let entry = toml::Table::from_iter([("address".to_owned(), address.to_string().into())]);
            Self::of("terminals.listen".to_owned(), &entry.into())
        });
        let listed = reader.list(LIST).iter().enumerate();
        plain
            .chain(listed.map(|(index, entry)| Self::of(place(LIST, index), entry)))
            .collect()
    }

    fn of(setting: String, entry: &Value) -> Self {
        let value = |name| said(&LISTENER, entry, name);
        let text = |name| value(name).as_str().expect("its kind is a text").to_owned();
        let origins = value("origins").try_into();
        Self {
            setting,
            address: text("address").parse().expect("its kind is an address"),
            transport: TRANSPORT.meaning(&text("transport")),
            tls: value("tls").as_bool().expect("its kind is a switch"),
            proxy: PROXY.meaning(&text("proxy")),
            dialect: DIALECT.meaning(&text("dialect")),
            path: text("path"),
            origins: origins.expect("its kind is a list of texts"),
        }
    }

    /// Whether it takes bare packets, as the simplest terminals send them.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.transport == Transport::Tcp && !self.tls && self.proxy == ProxyMode::Off
    }
}

/// With how it speaks, unless that is plain TCP.
impl fmt::Display for TerminalListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        let websocket = (self.transport == Transport::WebSocket).then_some("WebSocket");
        let proxy = match self.proxy {
            ProxyMode::Off => None,
            ProxyMode::V1 => Some("PROXY v1"),
            ProxyMode::V2 => Some("PROXY v2"),
            ProxyMode::Any => Some("PROXY"),
        };
        let how = [websocket, self.tls.then_some("TLS"), proxy];
        let how: Vec<_> = how.into_iter().flatten().collect();
        if how.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", how.join(", "))
        }
    }
}

/// What is wrong with the listeners in the light of other settings.
pub(super) fn problems(reader: &Reader<'_>, listeners: &[TerminalListener]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if listeners.is_empty() {
        let remedy = "give one of the two a listener";
        problems.push(Problem::new(
            "terminals.listen",
            format!("[], and {LIST} is empty, too"),
            remedy,
        ));
    }
    let entries = reader.list(LIST);
    let listed = listeners.iter().skip(listeners.len() - entries.len());
    for (listener, entry) in listed.zip(entries) {
        let place = &listener.setting;
        let of_websocket = ["path", "origins"]
            .into_iter()
            .filter(|name| entry.get(name).is_some());
        for name in of_websocket.filter(|_| listener.transport == Transport::Tcp) {
            problems.push(Problem::new(
                format!("{place}.{name}"),
                "what only a WebSocket has, while transport is \"tcp\"",
                "set transport = \"websocket\", or leave it out",
            ));
        }
        if listener.tls && reader.list("terminals.tls.certificates").is_empty() {
            problems.push(Problem::new(
                format!("{place}.tls"),
                "TLS, while terminals.tls.certificates is empty",
                "set terminals.tls.certificates, or tls = false",
            ));
        }
        if listener.proxy != ProxyMode::Off && reader.list("terminals.proxy_trusted").is_empty() {
            problems.push(Problem::new(
                format!("{place}.proxy"),
                "a proxy, while terminals.proxy_trusted is empty: nobody could connect",
                "set terminals.proxy_trusted to the proxies' networks, or proxy = \"off\"",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, with_file};
    use crate::node::config::Sources;

    /// What is said of a file.
    fn check(file: &str, expected: &[&str]) {
        let problems = with_file(file, Sources::default()).err().unwrap_or_default();
        assert_eq!(problems.len(), expected.len(), "{file}: {problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn listeners_are_tables_of_a_file_beside_the_short_way() {
        let file = "[terminals]
proxy_trusted = [\"10.0.0.0/8\", \"192.0.2.1\"]
[[terminals.listener]]
address = \"127.0.0.1:9443\"
transport = \"websocket\"
path = \"/terminals\"
origins = [\"https://app.example\"]
[[terminals.listener]]
address = \"[::1]:9444\"
proxy = \"v2\"
[presence]
policy = \"dual\"
";
        let config = with_file(file, Sources::default()).unwrap();
        let shown: Vec<_> = config.terminals.iter().map(ToString::to_string).collect();
        let expected = [
            "127.0.0.1:9001",
            "[::1]:9001",
            "127.0.0.1:9443 (WebSocket)",
            "[::1]:9444 (PROXY v2)",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            config
                .terminals
                .iter()
                .map(|one| one.is_plain())
                .collect::<Vec<_>>(),
            [true, true, false, false]
        );
        let web = &config.terminals[2];
        assert_eq!(
            (&*web.path, &web.origins[..]),
            ("/terminals", &["https://app.example".to_owned()][..])
        );
        assert_eq!(config.terminals[3].path, "/", "the usual one");
        let trusted: Vec<_> = config.proxy_trusted.iter().map(ToString::to_string).collect();
        assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.1/32"]);
        let again = with_file(&config.print(), Sources::default()).unwrap();
        assert_eq!(again, config, "what is printed can be read");
    }

    #[test]
    fn listeners_come_from_the_command_line_too() {
        let config = read(&[
            "terminals.listen=[]",
            "terminals.listener=[{address=\"127.0.0.1:1\"}]",
        ])
        .unwrap();
        assert_eq!(config.terminals.len(), 1);
        assert_eq!(config.terminals[0].setting, "terminals.listener[1]");
    }

    #[test]
    fn each_problem_names_the_entry_and_its_field() {
        let good = "[[terminals.listener]]\naddress = \"127.0.0.1:1\"\n";
        let with = |second: &str| format!("{good}[[terminals.listener]]\n{second}\n");
        check(&with("address = \"127.0.0.1:2\""), &[]);
        check(
            &with(""),
            &["terminals.listener[2].address: found nothing; it takes an address"],
        );
        check(
            &with("address = 1"),
            &["terminals.listener[2].address: found 1; it takes an address"],
        );
        check(
            &with("address = \"127.0.0.1:2\"\ntransport = \"quic\"\ntls = \"yes\""),
            &[
                "terminals.listener[2].transport: found \"quic\"; it takes \"tcp\" or \"websocket\"",
                "terminals.listener[2].tls: found \"yes\"; it takes true or false",
            ],
        );
        check(
            &with("address = \"127.0.0.1:2\"\ntransprot = \"tcp\""),
            &[
                "terminals.listener[2].transprot: found a setting that does not exist; did you mean transport? An entry has address, ",
            ],
        );
        check(
            &with("address = \"127.0.0.1:2\"\npath = \"/\""),
            &["terminals.listener[2].path: found what only a WebSocket has, while transport is \"tcp\"; set"],
        );
        check(
            &with("address = \"127.0.0.1:2\"\ntls = true"),
            &["terminals.listener[2].tls: found TLS, while terminals.tls.certificates is empty; set"],
        );
        check(
            &with("address = \"127.0.0.1:2\"\nproxy = \"any\""),
            &["terminals.listener[2].proxy: found a proxy, while terminals.proxy_trusted is empty"],
        );
        check(
            "terminals.listener = 1",
            &["terminals.listener: found 1; it takes a list of tables, each with address ("],
        );
        check(
            "terminals.listener = [1]",
            &["terminals.listener[1]: found 1; it takes a table with address, "],
        );
        check(
            "terminals.listen = []",
            &["terminals.listen: found [], and terminals.listener is empty, too"],
        );
    }

    #[test]
    fn no_two_listeners_have_one_address() {
        for other in ["terminals.listen", "http.listen", "admin.listen"] {
            let config = read(&[]).unwrap();
            let address = match other {
                "terminals.listen" => config.terminals[0].address,
                "http.listen" => config.http[0],
                _ => config.admin[0],
            };
            let listener = format!("terminals.listener=[{{address=\"{address}\"}}]");
            let problems = read(&[&listener]).unwrap_err();
            let expected = if other == "terminals.listen" {
                format!("terminals.listener[1]: found {address}, which terminals.listen has too")
            } else {
                format!("{other}: found {address}, which terminals.listener[1] has too")
            };
            assert!(
                problems.len() == 1 && problems[0].starts_with(&expected),
                "{problems:?}"
            );
        }
        let twice = "{address=\"127.0.0.1:1\"}, {address=\"127.0.0.1:1\"}";
        let problems = read(&[&format!("terminals.listener=[{twice}]")]).unwrap_err();
        assert!(
            problems[0].starts_with("terminals.listener[2]: found 127.0.0.1:1, which terminals.listener[1]")
        );
    }

    #[test]
    fn the_development_secret_keeps_every_listener_on_loopback() {
        let open = "terminals.listener=[{address=\"0.0.0.0:1\"}]";
        assert!(read(&[open]).unwrap_err()[0].starts_with("usersig.keys"));
    }
}
