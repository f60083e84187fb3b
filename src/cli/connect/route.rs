//! How a terminal reaches the gateway: where, by TLS or not, by WebSocket or not. What was typed becomes what is meant. Opens no
//! socket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::cli::host_port::HostPort;
use crate::cli::outcome::CommandFault;
use crate::cli::tls;
use crate::node::config::{Config, TerminalListener};
use crate::protocol::transport::Transport;
use crate::protocol::transport::proxy::ProxyMode;

/// Where the gateway is, and how it is spoken to, as typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct RouteArguments {
    /// Where the gateway listens for WebSocket: wss://HOST:PORT/PATH, or ws:// without TLS.
    #[arg(value_name = "URL", conflicts_with_all = ["address", "tls", "websocket", "path"])]
    pub(super) url: Option<WebSocketUrl>,
    /// Where the gateway listens, by name or address; the first listener of the configuration that speaks so if not given.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: Option<HostPort>,
    /// Speaks TLS.
    #[arg(long)]
    pub(super) tls: bool,
    /// A PEM file with the certificates that vouch for the gateway's, instead of those of the system.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) ca: Option<PathBuf>,
    /// Takes any certificate: nobody knows who answers, and who reads along.
    #[arg(long)]
    pub(super) insecure: bool,
    /// Speaks WebSocket.
    #[arg(long)]
    pub(super) websocket: bool,
    /// The path of the WebSocket; that of the configuration's listener, or /, if not given.
    #[arg(long, requires = "websocket", value_parser = path)]
    pub(super) path: Option<String>,
}

/// `wss://HOST:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebSocketUrl {
    place: HostPort,
    tls: bool,
    path: String,
}

/// The way to the gateway.
pub(super) struct GatewayRoute {
    pub(super) place: HostPort,
    pub(super) tls: Option<TlsRoute>,
    /// The path, if it is a WebSocket.
    pub(super) websocket: Option<String>,
}

/// How TLS is spoken.
pub(super) struct TlsRoute {
    pub(super) config: Arc<ClientConfig>,
    /// Whose certificate it has to be.
    pub(super) name: ServerName<'static>,
}

impl GatewayRoute {
    /// What was meant. Fails with a [`CommandFault`].
    pub(super) fn of(typed: &RouteArguments, config: &Config) -> Result<Self, CommandFault> {
        let url = match (&typed.url, &typed.address) {
            (Some(url), _) => (url.place.clone(), url.tls, Some(url.path.clone())),
            (None, Some(place)) => {
                let path = typed.path.clone().unwrap_or_else(|| "/".to_owned());
                (place.clone(), typed.tls, typed.websocket.then_some(path))
            }
            (None, None) => {
                let listener = listener(typed, config)?;
                let path = typed.path.clone().unwrap_or_else(|| listener.path.clone());
                let websocket = listener.transport == Transport::WebSocket;
                (
                    HostPort::of(listener.address),
                    listener.tls,
                    websocket.then_some(path),
                )
            }
        };
        let (place, tls, websocket) = url;
        if !tls && (typed.ca.is_some() || typed.insecure) {
            let what = "--ca and --insecure are about certificates: they go with --tls, or with wss://";
            return Err(CommandFault::Usage(what.to_owned()));
        }
        let tls = tls.then(|| TlsRoute::of(typed, &place)).transpose()?;
        Ok(Self {
            place,
            tls,
            websocket,
        })
    }

    /// What it may mean that the other end has ended the connection, where no gateway was met before.
    pub(super) fn ended(&self) -> &'static str {
        if self.tls.is_none() && self.websocket.is_none() {
            "it ended the connection, as a listener for --tls does at once"
        } else {
            "it ended the connection"
        }
    }

    /// The way to an address that a gateway has named, in which all else is as in this one: a host and a port, or for a WebSocket a
    /// URL of the same scheme. `None` if it is no such address.
    pub(super) fn leading_to(&self, address: &str) -> Option<Self> {
        let (place, websocket) = match &self.websocket {
            None => (address.parse().ok()?, None),
            Some(_) => {
                let url: WebSocketUrl = address.parse().ok()?;
                let is_alike = url.tls == self.tls.is_some();
                is_alike.then_some((url.place, Some(url.path)))?
            }
        };
        let tls = match &self.tls {
            None => None,
            Some(tls) => Some(tls.for_host(&place).ok()?),
        };
        Some(Self {
            place,
            tls,
            websocket,
        })
    }
}

/// The listener that terminals go to where nothing was asked for; `None` if all are behind proxies.
pub(in crate::cli) fn usual_listener(config: &Config) -> Option<&TerminalListener> {
    listener(&RouteArguments::default(), config).ok()
}

/// The first listener without a proxy that speaks as was asked for; before others one that takes bare packets.
fn listener<'a>(typed: &RouteArguments, config: &'a Config) -> Result<&'a TerminalListener, CommandFault> {
    let speaks = |listener: &&TerminalListener| {
        listener.proxy == ProxyMode::Off
            && listener.tls >= typed.tls
            && (listener.transport == Transport::WebSocket) >= typed.websocket
    };
    let mut fit = config.terminals.iter().filter(speaks);
    let plain = fit.clone().find(|listener| listener.is_plain());
    plain.or_else(|| fit.next()).ok_or_else(|| {
        let what = "no listener of the configuration speaks so without a proxy: name one with --address HOST:PORT, \
                    or give the gateway's own --config FILE";
        CommandFault::Usage(what.to_owned())
    })
}

impl TlsRoute {
    fn of(typed: &RouteArguments, place: &HostPort) -> Result<Self, CommandFault> {
        let config = tls::config(typed.ca.as_deref());
        let mut config = config.map_err(|error| CommandFault::Usage(format!("--ca: {error}")))?;
        if typed.insecure {
            tls::take_any(&mut config);
        }
        let name = name_of(place)?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// The same for another host, whose certificate it has to be.
    fn for_host(&self, place: &HostPort) -> Result<Self, CommandFault> {
        Ok(Self {
            config: Arc::clone(&self.config),
            name: name_of(place)?,
        })
    }
}

fn name_of(place: &HostPort) -> Result<ServerName<'static>, CommandFault> {
    let name = ServerName::try_from(place.host().to_owned());
    name.map_err(|_| CommandFault::Usage(format!("{place}: no certificate has such a name")))
}

impl fmt::Display for GatewayRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match (&self.websocket, &self.tls) {
            (Some(path), Some(_)) => write!(f, "wss://{place}{path}"),
            (Some(path), None) => write!(f, "ws://{place}{path}"),
            (None, Some(_)) => write!(f, "{place}, by TLS"),
            (None, None) => write!(f, "{place}"),
        }
    }
}

impl FromStr for WebSocketUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "take wss://HOST:PORT/PATH, as in wss://gateway.example:9443/ (ws:// without TLS), or --address HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        let (tls, port) = match scheme {
            "wss" => (true, 443),
            "ws" => (false, 80),
            _ => return Err(form.to_owned()),
        };
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = place
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        let place = if has_port {
            place.parse()?
        } else {
            format!("{place}:{port}").parse()?
        };
        Ok(Self {
            place,
            tls,
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                self::path(path)?
            },
        })
    }
}

/// What a request may name.
fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("a path begins with / and has no spaces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::Sources;

    /// The way that is meant where the configuration has these listeners beside none of the short way.
    fn meant(typed: &RouteArguments, listeners: &str) -> Result<String, String> {
        let overrides = [
            "terminals.listen=[]",
            "terminals.proxy_trusted=[\"10.0.0.0/8\"]",
            &format!("terminals.listener=[{listeners}]"),
        ];
        let sources = Sources {
            overrides: overrides.map(str::to_owned).to_vec(),
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap();
        let route = GatewayRoute::of(typed, &config);
        route
            .map(|route| route.to_string())
            .map_err(|fault| fault.to_string())
    }

    const PROXIED: &str = "{address=\"127.0.0.1:1\", proxy=\"any\"}";
    const WEB: &str = "{address=\"127.0.0.1:2\", transport=\"websocket\", path=\"/gate\"}";
    const PLAIN: &str = "{address=\"127.0.0.1:3\"}";

    #[test]
    fn a_terminal_looks_for_a_listener_that_speaks_as_it_does_and_for_plain_tcp_first() {
        let all = [PROXIED, WEB, PLAIN].join(", ");
        let check = |websocket: bool, listeners: &str, expected: &str| {
            let typed = RouteArguments {
                websocket,
                ..RouteArguments::default()
            };
            assert_eq!(meant(&typed, listeners).as_deref(), Ok(expected));
        };
        check(false, &all, "127.0.0.1:3");
        check(true, &all, "ws://127.0.0.1:2/gate");
        check(false, &[PROXIED, WEB].join(", "), "ws://127.0.0.1:2/gate");
        for (tls, listeners) in [(true, &*all), (false, PROXIED)] {
            let typed = RouteArguments {
                tls,
                ..RouteArguments::default()
            };
            let told = meant(&typed, listeners).unwrap_err();
            assert!(told.contains("no listener of the configuration"), "{told}");
        }
    }

    #[test]
    fn a_url_says_all_of_it() {
        let check = |url: &str, expected: &str| {
            let typed = RouteArguments {
                url: Some(url.parse().unwrap()),
                ..RouteArguments::default()
            };
            assert_eq!(meant(&typed, PLAIN).as_deref(), Ok(expected));
        };
        check("ws://localhost", "ws://localhost:80/");
        check("wss://[::1]/gate?x=1", "wss://[::1]:443/gate?x=1");
        check("wss://gateway.example:9443/", "wss://gateway.example:9443/");
        for bad in [
            "localhost:9001",
            "https://localhost/",
            "ws://",
            "ws://localhost/a b",
            "wss://localhost:0/",
        ] {
            assert!(bad.parse::<WebSocketUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_about_certificates_goes_with_tls() {
        let typed = RouteArguments {
            insecure: true,
            ..RouteArguments::default()
        };
        assert!(meant(&typed, PLAIN).unwrap_err().contains("--tls"));
        let typed = RouteArguments {
            ca: Some("/no/such/file".into()),
            url: Some("wss://localhost/".parse().unwrap()),
            ..RouteArguments::default()
        };
        assert!(meant(&typed, PLAIN).unwrap_err().contains("/no/such/file"));
    }
}
