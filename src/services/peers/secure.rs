//! Connections between nodes of one cluster: TLS 1.3 with certificates that nobody vouches for, and on it a proof of the cluster's
//! secret that is bound to that very connection (RFC 9266: a value that both ends of one TLS connection have, and nobody else).
//! Whoever stands in between has two connections, so that neither proof fits the other. Carries no request.

use std::fmt;
use std::io;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::base::ids::NodeId;
use crate::base::secret::Secret;
use crate::services::peers::bodies::{PeerBody, PeerFrame, ProofBody};
use crate::services::peers::frame;
use crate::services::peers::wire;

/// What peers speak. A peer that speaks a later version speaks this one, too.
pub(crate) const PEER_VERSION: u32 = 1;

/// Of the exported value (RFC 9266).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// The name in certificates, which nobody looks at.
const NAME: &str = "holdfast-peer";

/// How this node proves that it belongs to its cluster, and has others prove it.
#[derive(Clone)]
pub struct PeerIdentity {
    /// This node.
    pub node: NodeId,
    /// The cluster's name. Two clusters with one secret are still two.
    cluster: Arc<str>,
    secret: Secret,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerIdentity({:?} of {})", self.node, self.cluster)
    }
}

/// Which end of a connection proves something.
#[derive(Debug, Clone, Copy)]
enum ProvingEnd {
    Client,
    Server,
}

impl PeerIdentity {
    /// That of this node. Its key and certificate are made here, and gone with the process.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn new(node: NodeId, cluster: &str, secret: Secret) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(Arc::clone(&provider))))
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(io::Error::other)?;
        Ok(Self {
            node,
            cluster: cluster.into(),
            secret,
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// Takes a peer's connection, once it has proven that it belongs to the cluster. Gives which node it is.
    ///
    /// # Errors
    /// If the connection fails, or it has not.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(server::TlsStream<TcpStream>, NodeId)> {
        let mut stream = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream).await?;
        let channel = stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None);
        let channel = channel.map_err(io::Error::other)?;
        let peer = self.read_proof(&mut stream, ProvingEnd::Client, &channel).await?;
        frame::write(&mut stream, &self.proof(ProvingEnd::Server, &channel)).await?;
        Ok((stream, peer))
    }

    /// Connects to a peer over a stream, and proves to it that this node belongs to the cluster. Gives which node it is.
    ///
    /// # Errors
    /// If the connection fails, or the peer has not proven the same.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
    ) -> io::Result<(client::TlsStream<TcpStream>, NodeId)> {
        let name = ServerName::try_from(NAME).expect("it is a name");
        let mut stream = TlsConnector::from(Arc::clone(&self.client))
            .connect(name, stream)
            .await?;
        let channel = stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None);
        let channel = channel.map_err(io::Error::other)?;
        frame::write(&mut stream, &self.proof(ProvingEnd::Client, &channel)).await?;
        let peer = self.read_proof(&mut stream, ProvingEnd::Server, &channel).await?;
        Ok((stream, peer))
    }

    fn proof(&self, end: ProvingEnd, channel: &[u8]) -> PeerFrame {
        let proof = self.mac(end, channel, self.node).finalize().into_bytes().to_vec();
        let (version, node) = (PEER_VERSION, u32::from(self.node.0));
        PeerFrame {
            id: 0,
            body: Some(PeerBody::Proof(ProofBody { version, node, proof })),
        }
    }

    async fn read_proof<S>(&self, stream: &mut S, end: ProvingEnd, channel: &[u8]) -> io::Result<NodeId>
    where
        S: tokio::io::AsyncRead + Unpin,
    {
        let bytes = frame::read(stream, frame::UNPROVEN_BYTES_MAX).await?;
        let refused = |text| io::Error::new(io::ErrorKind::PermissionDenied, text);
        // A server that does not believe the client's proof closes.
        let bytes = bytes.ok_or_else(|| refused("the peer has another cluster.secret or cluster.name"))?;
        let Some(PeerBody::Proof(said)) = wire::read(&bytes)?.body else {
            return Err(refused("the peer does not begin with a proof"));
        };
        let node = u16::try_from(said.node)
            .map(NodeId)
            .map_err(|_| refused("the peer has no node number"))?;
        let mac = self.mac(end, channel, node);
        mac.verify_slice(&said.proof)
            .map_err(|_| refused("the peer has another cluster.secret or cluster.name"))?;
        Ok(node)
    }

    fn mac(&self, end: ProvingEnd, channel: &[u8], node: NodeId) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret.expose().as_bytes())
            .expect("a key of any length is taken");
        mac.update(match end {
            ProvingEnd::Client => b"holdfast peer client",
            ProvingEnd::Server => b"holdfast peer server",
        });
        mac.update(channel);
        mac.update(&node.0.to_be_bytes());
        mac.update(self.cluster.as_bytes());
        mac
    }
}

/// Takes any certificate whose key has signed the handshake: who is there is proven by the cluster's secret.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("peers speak TLS 1.3".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SECRET: &str = "a secret of this test's cluster";

    fn identity(node: u16, cluster: &str, secret: &str) -> PeerIdentity {
        PeerIdentity::new(NodeId(node), cluster, secret.into()).unwrap()
    }

    /// Two nodes meet: whom each has found.
    async fn meet(client: PeerIdentity, server: PeerIdentity) -> [Result<NodeId, io::ErrorKind>; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            server
                .accept(stream)
                .await
                .map(|(_, node)| node)
                .map_err(|error| error.kind())
        };
        let connect = async {
            let stream = TcpStream::connect(address).await.unwrap();
            client
                .connect(stream)
                .await
                .map(|(_, node)| node)
                .map_err(|error| error.kind())
        };
        let (accepted, connected) = tokio::join!(accept, connect);
        [connected, accepted]
    }

    #[tokio::test]
    async fn nodes_of_one_cluster_know_each_other_and_nobody_else() {
        let refused = io::ErrorKind::PermissionDenied;
        let same = meet(identity(1, "prod", SECRET), identity(2, "prod", SECRET)).await;
        assert_eq!(same, [Ok(NodeId(2)), Ok(NodeId(1))]);
        let other_secret = meet(identity(1, "prod", SECRET), identity(2, "prod", "another secret")).await;
        assert_eq!(other_secret[1], Err(refused));
        assert!(other_secret[0].is_err());
        let other_cluster = meet(identity(1, "prod", SECRET), identity(2, "staging", SECRET)).await;
        assert_eq!(other_cluster[1], Err(refused));
    }

    /// Somebody in between, who carries each proof over to his other connection.
    #[tokio::test]
    async fn a_proof_is_good_for_its_own_connection_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (node, between) = (
            identity(1, "prod", SECRET),
            identity(9, "prod", "not known to him"),
        );
        let client = async {
            let stream = TcpStream::connect(address).await.unwrap();
            node.connect(stream)
                .await
                .map(|(_, peer)| peer)
                .map_err(|error| error.kind())
        };
        let middle = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::clone(&between.server))
                .accept(stream)
                .await
                .unwrap();
            let proof = frame::read(&mut stream, frame::UNPROVEN_BYTES_MAX)
                .await
                .unwrap()
                .unwrap();
            let honest = identity(2, "prod", SECRET);
            let onward = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let towards = TcpStream::connect(onward.local_addr().unwrap()).await.unwrap();
            let (accepted, ()) = tokio::join!(
                async {
                    honest
                        .accept(onward.accept().await.unwrap().0)
                        .await
                        .map(drop)
                        .map_err(|error| error.kind())
                },
                async {
                    let name = ServerName::try_from(NAME).unwrap();
                    let connector = TlsConnector::from(Arc::clone(&between.client));
                    let mut onward = connector.connect(name, towards).await.unwrap();
                    frame::write(&mut onward, &wire::read(&proof).unwrap())
                        .await
                        .unwrap();
                }
            );
            // He sends the client its own words back, too.
            frame::write(&mut stream, &wire::read(&proof).unwrap())
                .await
                .unwrap();
            accepted
        };
        let (connected, accepted) = tokio::join!(client, middle);
        let refused = io::ErrorKind::PermissionDenied;
        assert_eq!((connected, accepted), (Err(refused), Err(refused)));
    }
}
