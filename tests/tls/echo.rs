//! A small server on loopback over the gateway's end of TLS, for foreign programs: it sends back what it is sent, or answers
//! requests of HTTP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::world::Gateway;
use crate::protocol::transport::ending::TransportEnd;
use crate::protocol::transport::tls::connection::Handshaken;
use crate::protocol::transport::tls::server::TlsServer;

/// What it does with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    /// Sends it back.
    Echo,
    /// Answers each request without a body, and closes behind the first answer.
    Http,
}

/// What became of a connection.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) shaken: Option<Handshaken>,
    pub(super) end: Option<TransportEnd>,
    /// Bytes of content.
    pub(super) bytes: usize,
    /// Steps of the handshake that waited.
    pub(super) steps: usize,
}

/// It serves until the process ends.
pub(super) struct Server {
    pub(super) port: u16,
    served: Receiver<Served>,
}

impl Server {
    pub(super) fn new(server: TlsServer, answering: Answering) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, served) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, tell) = (server.clone(), tell.clone());
                thread::spawn(move || serve(stream.unwrap(), server, answering, &tell));
            }
        });
        Self { port, served }
    }

    /// The next connection that has ended.
    pub(super) fn served(&self) -> Served {
        self.served.recv().unwrap()
    }
}

const HTTP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n";

fn serve(mut stream: TcpStream, server: TlsServer, answering: Answering, tell: &Sender<Served>) {
    let (mut gateway, mut buffer, mut bytes) = (Gateway::new(server), vec![0; 4_096], 0);
    let mut is_done = false;
    while gateway.end.is_none() && !is_done {
        let length = stream.read(&mut buffer).unwrap_or_default();
        if length == 0 {
            break;
        }
        let mut answer = gateway.takes(&buffer[..length]);
        if answering == Answering::Echo {
            bytes += gateway.received.len();
            let content = std::mem::take(&mut gateway.received);
            answer.extend(gateway.sends(&content));
        } else if gateway.received.ends_with(b"\r\n\r\n") || gateway.received.ends_with(b"\n\n") {
            answer.extend(gateway.sends(HTTP));
            is_done = true;
        }
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
    let _ = stream.write_all(&gateway.closes());
    let _ = stream.shutdown(Shutdown::Write);
    // What is still under way is read, so that the last bytes are not lost by a reset.
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
    let _ = tell.send(Served {
        shaken: gateway.shaken,
        end: gateway.end,
        bytes,
        steps: gateway.steps,
    });
}
