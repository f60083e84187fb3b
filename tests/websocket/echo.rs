//! An endpoint that sends every message back, on the codec of the gateway. Texts must be UTF-8, and it says so with the first
//! byte that makes one something else.

use std::net::{IpAddr, Ipv4Addr};

use holdfast::protocol::transport::websocket::close::{CloseCode, FrameFault};
use holdfast::protocol::transport::websocket::decoder::{
    FrameDecoder, FrameEvent, FrameRules, FramesEnd, MessageKind,
};
use holdfast::protocol::transport::websocket::frame::{FrameSender, Opcode, put_close, put_frame};
use holdfast::protocol::transport::websocket::upgrade::{UpgradeContext, UpgradeRules, upgrade};

const RULES: FrameRules = FrameRules {
    sender: FrameSender::Client,
    message_bytes_max: 16 * 1024 * 1024,
};

#[derive(Default)]
pub(crate) struct Echo {
    request: Option<Vec<u8>>,
    decoder: FrameDecoder,
    message: Message,
}

/// The message that is under way.
#[derive(Default)]
struct Message {
    kind: Option<MessageKind>,
    bytes: Vec<u8>,
    /// Of a text: bytes that are UTF-8.
    checked: usize,
}

impl Echo {
    /// One that has not been asked yet.
    pub(crate) fn new() -> Self {
        Self {
            request: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// One that frames come to.
    pub(crate) fn open() -> Self {
        Self::default()
    }

    /// Takes bytes, and gives what is to be sent, and whether that is the last.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut frames = bytes.to_vec();
        let mut out = Vec::new();
        if let Some(mut request) = self.request.take() {
            request.extend_from_slice(bytes);
            let context = UpgradeContext {
                rules: &UpgradeRules::default(),
                peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
                is_trusted: &|_| false,
            };
            match upgrade(&request, context) {
                Ok(None) => {
                    self.request = Some(request);
                    return (out, false);
                }
                Ok(Some(granted)) => {
                    out.extend_from_slice(granted.answer.as_bytes());
                    frames = request.split_off(granted.length);
                }
                Err(fault) => return (fault.answer(), true),
            }
        }
        let message = &mut self.message;
        let read = self.decoder.read(&mut frames, RULES, &mut |event| {
            match event {
                FrameEvent::Ping(payload) => put_frame(Opcode::Pong, payload, &mut out),
                FrameEvent::Pong => {}
                FrameEvent::Begins(kind) => message.kind = Some(kind),
                FrameEvent::Payload(payload) => message.push(payload)?,
                FrameEvent::Ends => message.send_back(&mut out)?,
            }
            Ok(())
        });
        match read {
            Ok(()) => return (out, false),
            Err(FramesEnd::Closed(code)) => put_close(code, "", &mut out),
            Err(FramesEnd::Fault(fault)) => put_close(Some(fault.code), fault.reason, &mut out),
        }
        (out, true)
    }
}

const NOT_UTF8: FrameFault = FrameFault {
    code: CloseCode::INVALID_TEXT,
    reason: "the text is no UTF-8",
};

impl Message {
    fn push(&mut self, payload: &[u8]) -> Result<(), FrameFault> {
        self.bytes.extend_from_slice(payload);
        if self.kind == Some(MessageKind::Text) {
            self.checked += match std::str::from_utf8(&self.bytes[self.checked..]) {
                Ok(text) => text.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => return Err(NOT_UTF8),
            };
        }
        Ok(())
    }

    fn send_back(&mut self, out: &mut Vec<u8>) -> Result<(), FrameFault> {
        let message = std::mem::take(self);
        let opcode = match message.kind.expect("a message has begun") {
            MessageKind::Text if message.checked < message.bytes.len() => return Err(NOT_UTF8),
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        put_frame(opcode, &message.bytes, out);
        Ok(())
    }
}
