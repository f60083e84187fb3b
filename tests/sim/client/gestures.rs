//! What a terminal says of its transport alone, once that is open.

use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::websocket::frame::Opcode;

use super::{Client, Farewell};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gesture {
    Ping,
    KeyUpdate,
    Goodbye,
    Mistake,
}

/// Of one terminal: a gateway takes so many records without content in a row.
const KEY_UPDATES_MAX: u8 = 20;

pub(crate) const PING_BYTES_MAX: usize = 40;

impl Client {
    /// Gives what that is for the socket; nothing where there is no such thing.
    pub(crate) fn gesture(&mut self, gesture: Gesture) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.is_open() {
            return out;
        }
        match gesture {
            Gesture::Ping => self.ping(&mut out),
            Gesture::KeyUpdate => self.update_key(&mut out),
            Gesture::Goodbye => self.say_goodbye(&mut out),
            Gesture::Mistake => self.blunder(&mut out),
        }
        out
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        if self.way.has_frames() {
            let (mut ping, length) = (Vec::new(), self.random.usize(..PING_BYTES_MAX));
            self.frame((Opcode::Ping, true), &[8; PING_BYTES_MAX][..length], &mut ping);
            self.put_content(&ping, out);
            self.pings.push_back(self.written);
            self.pongs_due += 1;
        }
    }

    fn update_key(&mut self, out: &mut Vec<u8>) {
        if let Some(tls) = &mut self.tls
            && self.key_updates < KEY_UPDATES_MAX
        {
            self.key_updates += 1;
            tls.refresh_traffic_keys().expect("the handshake is done");
            self.put_records(out);
        }
    }

    fn say_goodbye(&mut self, out: &mut Vec<u8>) {
        let farewell = Farewell {
            code: self.way.has_frames().then_some(1000),
            close_notify: self.way.has_tls(),
            ..Farewell::NONE
        };
        let before = self.written;
        if self.way.has_frames() {
            let mut close = Vec::new();
            self.frame((Opcode::Close, true), &1000_u16.to_be_bytes(), &mut close);
            self.put_content(&close, out);
            self.ends(None, before, farewell);
        }
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.put_records(out);
        }
        if self.way.has_tls() && self.end.is_none() {
            self.ends(None, before, farewell);
        }
    }

    fn blunder(&mut self, out: &mut Vec<u8>) {
        let has_tls = self.way.has_tls();
        if has_tls && (!self.way.has_frames() || self.random.bool()) {
            return self.forges(TransportMistake::TlsRecord, out);
        }
        let (mistake, wrong, code) = match self.random.u8(..3) {
            _ if !self.way.has_frames() => return,
            0 => (TransportMistake::WebSocketText, &b"\x81\x80mask"[..], 1003),
            1 => (TransportMistake::WebSocketFrame, &b"\x82\0"[..], 1002),
            _ => {
                let header = b"\x82\xff\0\0\0\0\0\x02\0\0mask";
                (TransportMistake::WebSocketTooLarge, &header[..], 1009)
            }
        };
        let farewell = Farewell {
            code: Some(code),
            close_notify: has_tls,
            ..Farewell::NONE
        };
        self.mistakes(mistake, wrong, farewell, out);
    }
}
