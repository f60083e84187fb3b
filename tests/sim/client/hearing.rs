//! What a terminal makes of the gateway's bytes. No byte may come that no gateway sends.

use std::io::Read;

use rustls::{ClientConnection, Error};

use crate::protocol::transport::websocket::client::answer;
use crate::protocol::transport::websocket::decoder::{FrameDecoder, FrameEvent, FrameRules, FramesEnd};
use crate::protocol::transport::websocket::frame::FrameSender;

use super::{Client, Farewell, Frames};

/// Frames of the gateway.
const RULES: FrameRules = FrameRules {
    sender: FrameSender::Server,
    message_bytes_max: 1 << 20,
};

/// What came of bytes.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) packets: Vec<u8>,
    /// To be sent.
    pub(crate) answer: Vec<u8>,
}

impl Client {
    /// Bytes of the gateway came.
    ///
    /// # Errors
    /// If no gateway may send them.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Came, String> {
        let (mut came, mut content) = (Came::default(), Vec::new());
        match &mut self.tls {
            None => content.extend_from_slice(bytes),
            Some(tls) => decrypt(tls, bytes, &mut content, &mut self.heard)?,
        }
        let has_keys = self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking());
        if has_keys && self.shaken_at.is_none() && self.end.is_none() {
            self.end_handshake(&mut came.answer);
        }
        if self.end.is_none() {
            self.put_records(&mut came.answer);
        }
        if !content.is_empty() {
            self.unframe(content, &mut came)?;
        }
        Ok(came)
    }

    fn unframe(&mut self, mut content: Vec<u8>, came: &mut Came) -> Result<(), String> {
        match &mut self.frames {
            Frames::Without => came.packets.append(&mut content),
            Frames::Open(_) => self.read_frames(&mut content, came)?,
            Frames::Closed => return Err("bytes behind its last frame".to_owned()),
            // Of the answer.
            Frames::Refused => {}
            Frames::Asked(key, bytes) => {
                bytes.append(&mut content);
                match answer(bytes, key) {
                    Ok(None) => {}
                    Ok(Some(length)) => {
                        let mut behind = bytes.split_off(length);
                        self.frames = Frames::Open(FrameDecoder::default());
                        self.read_frames(&mut behind, came)?;
                        if self.is_open() {
                            self.say_unsaid(&mut came.answer);
                        }
                    }
                    Err(why) => {
                        let status = bytes.get(9..12).map(String::from_utf8_lossy);
                        let status = status.and_then(|status| status.parse().ok());
                        self.heard.http = Some(status.ok_or(why)?);
                        self.frames = Frames::Refused;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_frames(&mut self, content: &mut [u8], came: &mut Came) -> Result<(), String> {
        let Frames::Open(decoder) = &mut self.frames else {
            return Ok(());
        };
        let (mut pongs, mut wrong) = (0, None);
        let read = decoder.read(content, RULES, &mut |event| {
            match event {
                FrameEvent::Payload(payload) => came.packets.extend_from_slice(payload),
                FrameEvent::Pong => pongs += 1,
                FrameEvent::Begins(_) | FrameEvent::Ends => {}
                FrameEvent::Ping(_) => wrong = Some("a ping of a gateway"),
            }
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(FramesEnd::Closed(code)) => {
                self.heard.code = Some(code.ok_or("a close without a code")?.number());
                self.frames = Frames::Closed;
            }
            Err(FramesEnd::Fault(fault)) => wrong = Some(fault.reason),
        }
        let pongs_due = self.pongs_due.checked_sub(pongs);
        self.pongs_due = pongs_due.ok_or("a pong that nobody asked for")?;
        wrong.map_or(Ok(()), |wrong| Err(wrong.to_owned()))
    }
}

fn decrypt(
    tls: &mut ClientConnection,
    mut bytes: &[u8],
    content: &mut Vec<u8>,
    heard: &mut Farewell,
) -> Result<(), String> {
    while !bytes.is_empty() {
        if heard.close_notify || heard.alert {
            return Err("bytes behind the end of TLS".to_owned());
        }
        tls.read_tls(&mut bytes).map_err(|error| error.to_string())?;
        match tls.process_new_packets() {
            Ok(state) => heard.close_notify = state.peer_has_closed(),
            Err(Error::AlertReceived(_)) => heard.alert = true,
            Err(error) => return Err(error.to_string()),
        }
        // It ends where there is no more, or no more yet.
        let _ = tls.reader().read_to_end(content);
    }
    Ok(())
}
