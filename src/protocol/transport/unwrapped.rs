//! What comes of a socket's bytes in a layer, or in all of them: bytes for the one above, and for the one below. Plain values.

use std::net::IpAddr;

use crate::protocol::transport::ending::TransportEnd;

/// What came of bytes. It is reused, so that nothing is allocated for most of them: all of it is taken before the next bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unwrapped {
    /// For the layer above, in order.
    pub bytes: Vec<u8>,
    /// For the layer below, before anything else goes there: of a handshake, a pong, an alert, a close.
    pub answer: Vec<u8>,
    /// The peer has shown that it lives, by something that has no bytes for the layer above.
    pub alive: bool,
    /// A step waits that takes long: nothing is read before it was done.
    pub step_waits: bool,
    /// The client's address is known, by a proxy's word or because none had one.
    pub client: Option<IpAddr>,
    /// Nothing more is read: the answer is sent, then the link is closed.
    pub end: Option<TransportEnd>,
}

impl Unwrapped {
    /// Makes it as new. Its room stays.
    pub fn clear(&mut self) {
        let Self {
            bytes,
            answer,
            alive,
            step_waits,
            client,
            end,
        } = self;
        bytes.clear();
        answer.clear();
        (*alive, *step_waits, *client, *end) = (false, false, None, None);
    }
}
