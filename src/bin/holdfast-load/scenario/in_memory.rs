//! The server's side of rustls' handshakes in memory, as the yardstick of what a login by TLS may cost: the certificate, cipher and
//! provider are those of the gateway that is started here. No sockets.

use std::sync::Arc;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::certificate::OwnCertificate;
use crate::generator::transport::HOST;
use crate::process;

/// Handshakes of a batch. They go on side by side, so that time is taken for many at once.
const BATCH: usize = 200;

/// Flights of a client: its hello, its finish, and what it has to say to the ticket.
const FLIGHTS: usize = 3;

/// Clients that come, once with nothing and once with a ticket.
pub(super) struct InMemory {
    server: Arc<ServerConfig>,
    /// Each keeps the tickets of its own.
    clients: Vec<Arc<ClientConfig>>,
}

/// Both ends of a connection.
struct Ends {
    client: ClientConnection,
    server: Option<ServerConnection>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl InMemory {
    pub(super) fn new() -> anyhow::Result<Self> {
        let own = OwnCertificate::get()?;
        let chain = vec![CertificateDer::from_pem_slice(own.chain.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes())?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..default_provider()
        });
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13])?.with_no_client_auth();
        let mut server = builder.with_single_cert(chain.clone(), key)?;
        server.ticketer = Ticketer::new()?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 1;
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone())?;
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let client = builder.with_root_certificates(roots).with_no_client_auth();
        let one = || {
            let mut client = client.clone();
            client.resumption = Resumption::in_memory_sessions(1);
            Arc::new(client)
        };
        Ok(Self {
            server: Arc::new(server),
            clients: (0..BATCH).map(|_| one()).collect(),
        })
    }

    /// The server's CPU for a handshake in µs: for a full one, and for one by a ticket.
    pub(super) fn measure(&self) -> anyhow::Result<(f64, f64)> {
        let forgetful: Vec<Arc<ClientConfig>> = self.clients.iter().map(forgetful).collect();
        let full = self.batch(&forgetful)?;
        // They get their tickets.
        self.batch(&self.clients)?;
        Ok((full, self.batch(&self.clients)?))
    }

    fn batch(&self, clients: &[Arc<ClientConfig>]) -> anyhow::Result<f64> {
        let name = ServerName::try_from(HOST).context("it is a name")?;
        let mut all = Vec::new();
        for client in clients {
            all.push(Ends {
                client: ClientConnection::new(Arc::clone(client), name.clone())?,
                server: None,
                to_server: Vec::new(),
                to_client: Vec::new(),
            });
        }
        let mut cpu_ns = 0;
        for _ in 0..FLIGHTS {
            all.iter_mut().try_for_each(Ends::client_speaks)?;
            let before_ns = process::thread_cpu_ns();
            for ends in &mut all {
                ends.server_answers(&self.server)?;
            }
            cpu_ns += process::thread_cpu_ns() - before_ns;
            all.iter_mut().try_for_each(Ends::client_listens)?;
        }
        let unfinished = all.iter().filter(|ends| ends.client.is_handshaking()).count();
        anyhow::ensure!(
            unfinished == 0,
            "{unfinished} handshakes in memory did not come to an end"
        );
        Ok(cpu_ns as f64 / 1e3 / all.len() as f64)
    }
}

fn forgetful(client: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut client = ClientConfig::clone(client);
    client.resumption = Resumption::disabled();
    Arc::new(client)
}

impl Ends {
    fn client_speaks(&mut self) -> anyhow::Result<()> {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.to_server)?;
        }
        Ok(())
    }

    fn server_answers(&mut self, config: &Arc<ServerConfig>) -> anyhow::Result<()> {
        if self.server.is_none() {
            self.server = Some(ServerConnection::new(Arc::clone(config))?);
        }
        let server = self.server.as_mut().context("it was made before")?;
        let mut bytes = &self.to_server[..];
        while !bytes.is_empty() {
            server.read_tls(&mut bytes)?;
            server.process_new_packets()?;
        }
        self.to_server.clear();
        while server.wants_write() {
            server.write_tls(&mut self.to_client)?;
        }
        Ok(())
    }

    fn client_listens(&mut self) -> anyhow::Result<()> {
        let mut bytes = &self.to_client[..];
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes)?;
            self.client.process_new_packets()?;
        }
        self.to_client.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustls::HandshakeKind;

    use super::*;

    #[test]
    fn who_comes_back_has_a_ticket() {
        let both = InMemory::new().unwrap();
        let kind = |client: &Arc<ClientConfig>| {
            let mut ends = Ends {
                client: ClientConnection::new(Arc::clone(client), ServerName::try_from(HOST).unwrap())
                    .unwrap(),
                server: None,
                to_server: Vec::new(),
                to_client: Vec::new(),
            };
            for _ in 0..FLIGHTS {
                ends.client_speaks().unwrap();
                ends.server_answers(&both.server).unwrap();
                ends.client_listens().unwrap();
            }
            ends.client.handshake_kind().unwrap()
        };
        let forgetful = forgetful(&both.clients[0]);
        assert_eq!([(); 2].map(|()| kind(&forgetful)), [HandshakeKind::Full; 2]);
        let kinds = [(); 2].map(|()| kind(&both.clients[0]));
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
        let (full_us, resumed_us) = both.measure().unwrap();
        assert!(full_us > 0.0 && resumed_us > 0.0);
    }
}
