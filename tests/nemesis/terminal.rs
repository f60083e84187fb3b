//! A connection of a terminal that may break at any moment, speaking the protocol by `gateway.proto`.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast::protocol::native::proto::{self, request, response};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::terminal::frame;

/// A node that does not take a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(2);

/// What came, or did not.
#[derive(Debug)]
pub enum Heard {
    Packet(response::Packet),
    /// The connection is over.
    Closed,
    /// Nothing came in this time.
    Nothing,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// `None` if there is nobody.
    pub async fn open(address: SocketAddr) -> Option<Self> {
        let stream = timeout(CONNECT, TcpStream::connect(address)).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Says whether it could be sent.
    pub async fn send(&mut self, packet: request::Packet) -> bool {
        self.stream.write_all(&frame(packet)).await.is_ok()
    }

    /// Ends it.
    pub async fn close(&mut self) -> std::io::Result<()> {
        self.stream.shutdown().await
    }

    /// The next packet, if it comes within this time.
    pub async fn hear(&mut self, patience: Duration) -> Heard {
        timeout(patience, self.next()).await.unwrap_or(Heard::Nothing)
    }

    /// Nothing is lost if it is given up while it waits.
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(packet) = self.take() {
                return Heard::Packet(packet);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Heard::Closed,
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Option<response::Packet> {
        let mut rest = &self.received[..];
        let length = usize::try_from(prost::encoding::decode_varint(&mut rest).ok()?).unwrap();
        let packet = proto::Response::decode(rest.get(..length)?).expect("the gateway speaks the protocol");
        let used = self.received.len() - rest.len() + length;
        self.received.drain(..used);
        Some(packet.packet.expect("every packet is known"))
    }
}
