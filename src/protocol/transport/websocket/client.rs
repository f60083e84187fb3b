//! A terminal's end of a WebSocket, for programs that are terminals: the request, whether its answer grants it, and frames with
//! masks. A gateway itself never needs it. Randomness is given.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use httparse::{Response, Status};

use super::accept::accept;
use super::decoder::{FrameDecoder, FrameEvent, FrameRules, FramesEnd};
use super::frame::{FrameHeader, FrameSender, Opcode, mask};
use super::upgrade::{REQUEST_HEADERS_MAX, SUBPROTOCOL};

/// Frames of a gateway. What it sends has a packet's size at most, which its reader bounds.
const RULES: FrameRules = FrameRules {
    sender: FrameSender::Server,
    message_bytes_max: i64::MAX as u64,
};

/// The key of a request. A new one each time, so that no answer is taken for another's.
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    BASE64_STANDARD.encode(random)
}

/// A request for a WebSocket. `host` is what the gateway is known by, with its port if that is not the usual one.
#[must_use]
pub fn request(host: &str, path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// The length of the answer that `bytes` begin with, behind which are frames; `None` if they are only a part of it. Fails, with
/// a text, if it does not grant the request that had this key.
pub fn answer(bytes: &[u8], key: &str) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is no HTTP: {error}")),
    };
    if response.code != Some(101) {
        let code = response.code.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[length..]);
        return Err(format!(
            "no WebSocket, but {code} {}: {}",
            response.reason.unwrap_or_default(),
            text.trim_end()
        ));
    }
    let mut accepted = response
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("sec-websocket-accept"));
    match accepted.next() {
        Some(header) if header.value == accept(key).as_bytes() => Ok(Some(length)),
        _ => Err("the answer is to another request".to_owned()),
    }
}

/// Appends a whole frame. `with` is random, and new each time.
pub fn put_masked(opcode: Opcode, payload: &[u8], with: [u8; 4], out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        is_last: true,
        mask: with,
        length: payload.len() as u64,
    };
    header.put(FrameSender::Client, out);
    let begin = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[begin..], with);
}

/// Reads frames of a gateway: appends the bytes of its packets to `packets`. A gateway sends no pings.
pub fn receive(decoder: &mut FrameDecoder, bytes: &mut [u8], packets: &mut Vec<u8>) -> Result<(), FramesEnd> {
    decoder.read(bytes, RULES, &mut |event| {
        if let FrameEvent::Payload(payload) = event {
            packets.extend_from_slice(payload);
        }
        Ok(())
    })
}
