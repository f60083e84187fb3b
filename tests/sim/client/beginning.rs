//! How a connection begins, up to its first packet: mostly as it should.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::protocol::transport::Transport;
use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::websocket::client::{key, request};
use crate::sim::shown::{Group, Link};
use crate::sim::ways::{Between, HOST, Way};

use super::{Client, Farewell, Frames};

/// Of so many beginnings one is wrong.
const WRONG_ONE_IN: u8 = 40;

impl Client {
    /// A new connection. Gives what it begins with.
    pub(crate) fn begin(
        (way, link): (Way, Link),
        tls: &Arc<ClientConfig>,
        random: fastrand::Rng,
    ) -> (Self, Vec<u8>) {
        let is_bare = !way.has_tls() && !way.has_frames();
        let mut client = Self {
            way,
            link,
            random,
            tls: None,
            frames: Frames::Without,
            unsaid: Vec::new(),
            written: 0,
            shaken_at: None,
            opens_at: is_bare.then_some(0),
            end: None,
            heard: Farewell::NONE,
            farewell: None,
            pings: VecDeque::new(),
            pongs_due: 0,
            key_updates: 0,
            said: Vec::new(),
            understood: 0,
        };
        let mut out = Vec::new();
        let header = way.header(link);
        if !header.is_empty() && client.one_in(WRONG_ONE_IN) {
            let wrong = b"PROXY TCP6 nobody at all\r\n";
            if way.transport == Transport::WebSocket {
                client.frames = Frames::Asked(String::new(), Vec::new());
            }
            client.mistakes(TransportMistake::ProxyHeader, wrong, Farewell::NONE, &mut out);
            return (client, out);
        }
        client.put(&header, &mut out);
        match way.has_tls() {
            true => client.shake_hands(tls, &mut out),
            false => client.ask(&mut out),
        }
        (client, out)
    }

    fn shake_hands(&mut self, config: &Arc<ClientConfig>, out: &mut Vec<u8>) {
        if self.one_in(WRONG_ONE_IN) {
            let (wrong, answer) = match self.random.bool() {
                true => (&b"\x03no hello"[..], None),
                false => {
                    self.frames = Frames::Asked(String::new(), Vec::new());
                    (&b"GET / HTTP/1.1\r\n\r\n"[..], Some(400))
                }
            };
            let farewell = Farewell {
                http: answer,
                ..Farewell::NONE
            };
            return self.mistakes(TransportMistake::NotTls, wrong, farewell, out);
        }
        let host = ServerName::try_from(HOST).expect("it is a name");
        let connection = ClientConnection::new(Arc::clone(config), host);
        self.tls = Some(Box::new(connection.expect("rustls takes the configuration")));
        self.put_records(out);
    }

    /// rustls knows the keys, and has its own last words of the handshake to say.
    pub(super) fn end_handshake(&mut self, out: &mut Vec<u8>) {
        if self.one_in(WRONG_ONE_IN) {
            return self.forges(TransportMistake::TlsHandshake, out);
        }
        self.put_records(out);
        self.shaken_at = Some(self.written);
        self.ask(out);
        if self.is_open() {
            self.say_unsaid(out);
        }
    }

    /// TLS is there, or there is none: what follows is the request for a WebSocket, if there is to be one.
    fn ask(&mut self, out: &mut Vec<u8>) {
        if !self.way.has_frames() {
            self.opens_at.get_or_insert(self.written);
            return;
        }
        let key = key(self.random.u128(..).to_ne_bytes());
        self.frames = Frames::Asked(key.clone(), Vec::new());
        if self.one_in(WRONG_ONE_IN) {
            let elsewhere = request(HOST, "/elsewhere", &key);
            let (mistake, wrong, status) = match self.random.bool() {
                true => (TransportMistake::NotHttp, &b"\x03no request"[..], 400),
                false => (TransportMistake::Upgrade, elsewhere.as_bytes(), 404),
            };
            let farewell = Farewell {
                http: Some(status),
                close_notify: self.way.has_tls(),
                ..Farewell::NONE
            };
            return self.mistakes(mistake, wrong, farewell, out);
        }
        let mut asks = request(HOST, "/", &key);
        if self.way.between == Between::Forwarded {
            let client = Group::of(self.link).address(self.link);
            asks.insert_str(asks.len() - 2, &format!("X-Forwarded-For: {client}\r\n"));
        }
        self.put_content(asks.as_bytes(), out);
        self.opens_at = Some(self.written);
    }
}
