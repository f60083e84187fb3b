//! What the arguments say that packets travel in, and what that means for the gateway and for its terminals. Starts nothing.

use std::net::SocketAddrV4;
use std::path::Path;

use holdfast::protocol::transport::tls::negotiation::TicketWish;

use crate::certificate::{OwnCertificate, Trusted, clients};
use crate::generator::transport::{HOST, TerminalFraming, TerminalTransport};

/// What packets travel in. Without any of it, in TCP alone.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Wrapping {
    /// The terminals speak TLS 1.3. The gateway that is started has a certificate of its own, which they trust; of a running one
    /// they take any.
    #[arg(long, global = true)]
    pub(crate) tls: bool,
    /// They come back with a ticket where they can, which makes the handshake shorter.
    #[arg(long, global = true, requires = "tls")]
    pub(crate) tls_resume: bool,
    /// The terminals speak WebSocket, with --tls within TLS.
    #[arg(long, global = true)]
    pub(crate) websocket: bool,
}

impl Wrapping {
    /// What the names of results end with.
    pub(crate) fn suffix(self) -> String {
        let parts = [
            (self.tls && !self.tls_resume, "-tls"),
            (self.tls_resume, "-tls-resume"),
            (self.websocket, "-websocket"),
        ];
        parts
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, part)| part)
            .collect()
    }

    /// Whether it is TCP alone.
    pub(crate) fn is_plain(self) -> bool {
        !self.tls && !self.websocket
    }

    /// The settings of the gateway's listener for terminals at this address. Its certificate is put into `folder`.
    pub(crate) fn settings(self, address: SocketAddrV4, folder: &Path) -> anyhow::Result<Vec<String>> {
        if self.is_plain() {
            return Ok(vec![format!("terminals.listen=[\"{address}\"]")]);
        }
        let transport = match self.websocket {
            true => "websocket",
            false => "tcp",
        };
        let listener = format!(
            "terminals.listener=[{{address=\"{address}\", transport=\"{transport}\", tls={}}}]",
            self.tls
        );
        let mut settings = vec!["terminals.listen=[]".to_owned(), listener];
        if self.tls {
            let files = OwnCertificate::get()?.write(folder)?;
            settings.push(format!(
                "terminals.tls.certificates=[{{chain={:?}, key={:?}}}]",
                files.chain, files.key
            ));
        }
        Ok(settings)
    }

    /// The setting of a node by which others send terminals to its listener at this address.
    pub(crate) fn public(self, address: SocketAddrV4) -> (&'static str, String) {
        let named = format!("{HOST}:{}", address.port());
        match (self.tls, self.websocket) {
            (false, false) => ("cluster.public_tcp", address.to_string()),
            (true, false) => ("cluster.public_tls", named),
            (false, true) => ("cluster.public_websocket", format!("ws://{named}/")),
            (true, true) => ("cluster.public_secure_websocket", format!("wss://{named}/")),
        }
    }

    /// What terminals speak with a server whose certificate is one of `trusted`.
    pub(crate) fn transport(self, trusted: Trusted) -> anyhow::Result<TerminalTransport> {
        let tickets = match self.tls_resume {
            true => TicketWish::One,
            false => TicketWish::None,
        };
        let tls = self.tls.then(|| clients(trusted, tickets)).transpose()?;
        Ok(TerminalTransport {
            tls: tls.unwrap_or_default(),
            framing: match self.websocket {
                true => TerminalFraming::WebSocket,
                false => TerminalFraming::None,
            },
        })
    }

    /// In words, for the report.
    pub(crate) fn condition(self) -> Option<String> {
        let what = match (self.tls, self.websocket) {
            (false, false) => return None,
            (false, true) => return Some("The terminals speak WebSocket.".to_owned()),
            (true, false) => "TLS 1.3",
            (true, true) => "WebSocket within TLS 1.3",
        };
        let handshakes = match self.tls_resume {
            true => "those that come back have a ticket",
            false => "each handshake is a full one",
        };
        Some(format!(
            "The terminals speak {what}, with AES-128-GCM and a certificate of ECDSA P-256; {handshakes}."
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::generator::home::KnownNodes;

    /// The suffix, and the settings of a listener.
    fn check(wrapping: Wrapping, suffix: &str, expected: &[&str]) {
        assert_eq!(wrapping.suffix(), suffix);
        let folder = tempfile::TempDir::new().unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        let settings = wrapping.settings(address, folder.path()).unwrap();
        assert_eq!(settings.len(), expected.len(), "{settings:?}");
        for (setting, expected) in settings.iter().zip(expected) {
            assert!(setting.starts_with(expected), "{setting}");
        }
        let transport = wrapping.transport(Trusted::Own).unwrap();
        assert_eq!(transport.is_plain(), wrapping.is_plain());
        assert_eq!(transport.tls.is_empty(), !wrapping.tls);
        assert_eq!(wrapping.condition().is_none(), wrapping.is_plain());
        let (setting, public) = wrapping.public(address);
        assert!(setting.starts_with("cluster.public_"), "{setting}");
        let mut nodes = KnownNodes::new(address, transport);
        assert_eq!(nodes.find(&public), Some(0), "terminals go to {public}");
    }

    #[test]
    fn what_was_typed_is_what_both_ends_speak() {
        let plain = Wrapping::default();
        check(plain, "", &["terminals.listen=[\"127.0.0.1:1\"]"]);
        let none = "terminals.listen=[]";
        let websocket = Wrapping {
            websocket: true,
            ..plain
        };
        let listener = "terminals.listener=[{address=\"127.0.0.1:1\", transport=\"websocket\", tls=false}]";
        check(websocket, "-websocket", &[none, listener]);
        let resumed = Wrapping {
            tls: true,
            tls_resume: true,
            ..plain
        };
        let listener = "terminals.listener=[{address=\"127.0.0.1:1\", transport=\"tcp\", tls=true}]";
        let certificates = "terminals.tls.certificates=[{chain=\"/";
        check(resumed, "-tls-resume", &[none, listener, certificates]);
        let both = Wrapping {
            tls: true,
            ..websocket
        };
        let listener = "terminals.listener=[{address=\"127.0.0.1:1\", transport=\"websocket\", tls=true}]";
        check(both, "-tls-websocket", &[none, listener, certificates]);
    }
}
