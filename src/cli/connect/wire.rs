//! The bytes of one connection on their way: TCP, TLS, and the frames of WebSocket around packets. Knows no packets.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::route::{GatewayRoute, TlsRoute};
use crate::cli::host_port::foreign_protocol;
use crate::cli::tls::{TlsAdvice, fault_of_tls};
use crate::protocol::transport::websocket::client::{answer, key, put_masked, receive, request};
use crate::protocol::transport::websocket::decoder::{FrameDecoder, FramesEnd};
use crate::protocol::transport::websocket::frame::Opcode;

/// Bytes of an answer to a request for a WebSocket. That of the gateway has some 200.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What is read at once.
const READ_BYTES: usize = 4 * 1024;

/// Where there is no TLS.
const ADVICE: TlsAdvice = TlsAdvice {
    plain: "leave --tls out, or name a listener with TLS",
    untrusted: "name who did with --ca FILE, or take any with --insecure",
};

/// All is done (RFC 6455, 7.4.1).
const CLOSE_NORMAL: u16 = 1_000;

trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// A connection that is ready for packets.
pub(super) struct Wire {
    stream: Box<dyn ByteStream>,
    /// `None`: packets have no frames.
    frames: Option<FrameDecoder>,
    /// What came with frames, and was not read.
    framed: Vec<u8>,
    /// The gateway has sent the frame that is its last.
    closed: bool,
}

impl Wire {
    /// Makes a connection ready. Fails with a text that says why that cannot be.
    pub(super) async fn begin(stream: TcpStream, route: &GatewayRoute) -> Result<Self, String> {
        let stream: Box<dyn ByteStream> = match &route.tls {
            None => Box::new(stream),
            Some(TlsRoute { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let secured = connector.connect(name.clone(), stream).await;
                Box::new(secured.map_err(|error| fault_of_tls(&error, &ADVICE))?)
            }
        };
        let mut wire = Self {
            stream,
            frames: None,
            framed: Vec::new(),
            closed: false,
        };
        if let Some(path) = &route.websocket {
            wire.upgrade(&route.place.to_string(), path).await?;
        }
        Ok(wire)
    }

    async fn upgrade(&mut self, host: &str, path: &str) -> Result<(), String> {
        let broken = |error: io::Error| error.to_string();
        let key = key(random());
        let sent = self.write(request(host, path, &key).as_bytes()).await;
        sent.map_err(broken)?;
        loop {
            // A refusal and its reason come in one piece, and are read in one.
            self.framed.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.framed).await.map_err(broken)? == 0 {
                return Err("it ended the connection where it was asked for a WebSocket".to_owned());
            }
            if !self.framed.starts_with(b"HTTP/")
                && let Some(other) = foreign_protocol(&self.framed)
            {
                return Err(other.to_owned());
            }
            if let Some(length) = answer(&self.framed, &key)? {
                self.framed.drain(..length);
                self.frames = Some(FrameDecoder::default());
                return Ok(());
            }
            if self.framed.len() > ANSWER_BYTES_MAX {
                return Err("its answer to a request for a WebSocket has no end".to_owned());
            }
        }
    }

    /// Sends a packet.
    pub(super) async fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        if self.frames.is_none() {
            return self.write(packet).await;
        }
        let mut frame = Vec::new();
        put_masked(Opcode::Binary, packet, random(), &mut frame);
        self.write(&frame).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Appends what came to `packets`. `false`: nothing more comes. Nothing is lost if it is dropped before its end.
    pub(super) async fn read(&mut self, packets: &mut Vec<u8>) -> io::Result<bool> {
        let into = match self.frames {
            Some(_) => &mut self.framed,
            None => &mut *packets,
        };
        if self.closed {
            return Ok(false);
        }
        if self.frames.is_none() || into.is_empty() {
            match self.stream.read_buf(into).await {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                // TLS that ended without a word: what was said stands.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(frames) = &mut self.frames else {
            return Ok(true);
        };
        let read = receive(frames, &mut self.framed, packets);
        self.framed.clear();
        match read {
            Ok(()) => {}
            Err(FramesEnd::Closed(_)) => self.closed = true,
            Err(FramesEnd::Fault(fault)) => return Err(io::Error::other(fault.reason)),
        }
        Ok(true)
    }

    /// Ends it behind all that was sent.
    pub(super) async fn end(mut self) {
        let mut last = Vec::new();
        if self.frames.is_some() {
            put_masked(Opcode::Close, &CLOSE_NORMAL.to_be_bytes(), random(), &mut last);
        }
        // It may have ended already.
        let _ = self.write(&last).await;
        let _ = self.stream.shutdown().await;
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fastrand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
