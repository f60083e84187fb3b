//! The gateway's end of a WebSocket: the request, then what of its frames is for the layer above, and what is to be answered.
//! Texts are not taken. Never learns what a packet is.

use crate::base::limits::FRAME_BYTES_MAX_AFTER_LOGIN;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::protocol::transport::websocket::close::{CloseCode, FrameFault};
use crate::protocol::transport::websocket::decoder::{
    FrameDecoder, FrameEvent, FrameRules, FramesEnd, MessageKind,
};
use crate::protocol::transport::websocket::frame::{FrameSender, Opcode, put_close, put_frame};
use crate::protocol::transport::websocket::upgrade::{UpgradeContext, UpgradeFault, refusal, upgrade};

/// A message as it travels: the largest packet, in some hundred frames. No message of a terminal needs more, and one of empty
/// frames must not go on for ever.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX_AFTER_LOGIN + 4 * 1024;

const RULES: FrameRules = FrameRules {
    sender: FrameSender::Client,
    message_bytes_max: WEBSOCKET_MESSAGE_BYTES_MAX as u64,
};

/// One connection's WebSocket.
#[derive(Debug)]
pub enum WebSocket {
    /// The request is not complete: its bytes so far.
    Upgrading(Vec<u8>),
    /// Frames come.
    Open(FrameDecoder),
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::Upgrading(Vec::new())
    }
}

impl WebSocket {
    /// One that was opened, and rests.
    #[must_use]
    pub fn open() -> Self {
        Self::Open(FrameDecoder::default())
    }

    /// Whether it is as [`Self::open`] makes it: it need not be kept.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Open(decoder) if decoder.is_at_rest())
    }

    /// Takes bytes of the layer below; masks are taken away in place. `context` is there until it is open.
    pub fn receive(&mut self, bytes: &mut [u8], context: Option<UpgradeContext<'_>>, into: &mut Unwrapped) {
        match self {
            Self::Open(decoder) => read_frames(decoder, bytes, into),
            Self::Upgrading(request) => {
                let context = context.expect("kept until the WebSocket is open");
                request.extend_from_slice(bytes);
                match upgrade(request, context) {
                    Ok(None) => {}
                    Ok(Some(granted)) => {
                        into.answer.extend_from_slice(granted.answer.as_bytes());
                        into.client = Some(granted.client);
                        let mut decoder = FrameDecoder::default();
                        read_frames(&mut decoder, &mut request[granted.length..], into);
                        *self = Self::Open(decoder);
                    }
                    Err(fault) => {
                        into.answer.extend_from_slice(&fault.answer());
                        into.end = Some(TransportEnd::Mistake(mistake_of_request(fault)));
                    }
                }
            }
        }
    }

    /// Appends the last words, in the language that the peer speaks at the moment.
    pub fn close(&self, reason: CloseReason, out: &mut Vec<u8>) {
        let code = match reason {
            CloseReason::Normal => CloseCode::NORMAL,
            CloseReason::GoingAway => CloseCode::GOING_AWAY,
            CloseReason::ProtocolError | CloseReason::Mistake(_) => CloseCode::PROTOCOL_ERROR,
            CloseReason::TooLarge => CloseCode::TOO_LARGE,
            CloseReason::Policy => CloseCode::POLICY,
        };
        match self {
            Self::Open(_) => put_close(Some(code), "", out),
            Self::Upgrading(_) => {
                let text = "No WebSocket was asked for in time, or none can be opened at the moment.";
                out.extend_from_slice(refusal("503 Service Unavailable", "", text).as_bytes());
            }
        }
    }
}

/// Each ping is answered, which is less to send than what came. So a flood of them costs its sender more than the gateway, and
/// is bounded as everything is that is sent to a peer that does not read.
fn read_frames(decoder: &mut FrameDecoder, bytes: &mut [u8], into: &mut Unwrapped) {
    let Unwrapped {
        bytes: packets,
        answer,
        alive,
        ..
    } = into;
    let read = decoder.read(bytes, RULES, &mut |event| {
        match event {
            FrameEvent::Begins(MessageKind::Text) => {
                return Err(FrameFault {
                    code: CloseCode::UNSUPPORTED,
                    reason: "only binary messages are taken",
                });
            }
            FrameEvent::Begins(MessageKind::Binary) | FrameEvent::Ends => {}
            FrameEvent::Payload(payload) => packets.extend_from_slice(payload),
            FrameEvent::Ping(payload) => {
                put_frame(Opcode::Pong, payload, answer);
                *alive = true;
            }
            FrameEvent::Pong => *alive = true,
        }
        Ok(())
    });
    match read {
        Ok(()) => {}
        Err(FramesEnd::Closed(code)) => {
            put_close(code, "", answer);
            into.end = Some(TransportEnd::InOrder);
        }
        Err(FramesEnd::Fault(fault)) => {
            put_close(Some(fault.code), fault.reason, answer);
            into.end = Some(TransportEnd::Mistake(mistake_of_frame(fault.code)));
        }
    }
}

fn mistake_of_frame(code: CloseCode) -> TransportMistake {
    match code {
        CloseCode::UNSUPPORTED => TransportMistake::WebSocketText,
        CloseCode::TOO_LARGE => TransportMistake::WebSocketTooLarge,
        _ => TransportMistake::WebSocketFrame,
    }
}

fn mistake_of_request(fault: UpgradeFault) -> TransportMistake {
    match fault {
        UpgradeFault::TlsBytes | UpgradeFault::NotHttp => TransportMistake::NotHttp,
        UpgradeFault::BadRequest
        | UpgradeFault::RequestTooLarge
        | UpgradeFault::WrongPath
        | UpgradeFault::NoUpgrade
        | UpgradeFault::WrongVersion
        | UpgradeFault::WrongOrigin => TransportMistake::Upgrade,
    }
}

#[cfg(test)]
mod tests;
