//! How transports end: by the terminal, in order or by a mistake, and what the gateway says to that, or by itself.

use crate::protocol::transport::ending::{CloseReason, TransportMistake};

use super::Client;

/// What the gateway's end says before it closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// The status of an answer that grants no WebSocket.
    pub(crate) http: Option<u16>,
    /// The code of a close frame.
    pub(crate) code: Option<u16>,
    pub(crate) close_notify: bool,
    /// An alert that tells of a mistake.
    pub(crate) alert: bool,
}

impl Farewell {
    pub(super) const NONE: Self = Self {
        http: None,
        code: None,
        close_notify: false,
        alert: false,
    };
    pub(super) const ALERT: Self = Self {
        alert: true,
        ..Self::NONE
    };
}

/// How the terminal has ended its transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnEnd {
    /// What it did wrong, if it did.
    pub(crate) mistake: Option<TransportMistake>,
    /// Behind which byte of the socket the gateway may know it, and behind which it must.
    pub(crate) may_at: usize,
    pub(crate) must_at: usize,
    farewell: Farewell,
}

impl Client {
    /// The terminal does something wrong, behind which it says nothing more.
    pub(super) fn mistakes(
        &mut self,
        mistake: TransportMistake,
        wrong: &[u8],
        farewell: Farewell,
        out: &mut Vec<u8>,
    ) {
        let before = self.written;
        self.put_content(wrong, out);
        self.ends(Some(mistake), before, farewell);
    }

    /// A record that nobody could open.
    pub(super) fn forges(&mut self, mistake: TransportMistake, out: &mut Vec<u8>) {
        let before = self.written;
        self.put(&[23, 3, 3, 0, 40], out);
        self.put(&[9; 40], out);
        self.ends(Some(mistake), before, Farewell::ALERT);
    }

    /// What was written since `before` is the terminal's end.
    pub(super) fn ends(&mut self, mistake: Option<TransportMistake>, before: usize, farewell: Farewell) {
        self.end = Some(OwnEnd {
            mistake,
            may_at: before + 1,
            must_at: self.written,
            farewell,
        });
    }

    /// The gateway, which has read so many bytes, has heard of the terminal's own end.
    pub(crate) fn its_end_is_heard(&mut self) {
        self.farewell = self.end.map(|end| end.farewell);
    }

    /// Whether the gateway, which has read so many bytes, may know that the terminal does without TLS. From here on it hears packets.
    pub(crate) fn skips_tls(&mut self, read: usize) -> bool {
        self.its_end_is_heard();
        self.opens_at = Some(0);
        let end = self.end.filter(|end| read >= end.may_at);
        end.is_some_and(|end| end.mistake == Some(TransportMistake::NotTls))
    }

    /// The gateway, which has read so many bytes, closes the connection for a reason of its own.
    pub(crate) fn is_closed(&mut self, read: usize, reason: CloseReason) {
        if self.has_ended(read) {
            return self.its_end_is_heard();
        }
        // In the middle of a mistake it may have seen it, or not.
        if self.end.is_some_and(|end| read >= end.may_at) {
            return;
        }
        let has_tls = self.shaken_at.is_some_and(|at| read >= at);
        let has_frames = self.way.has_frames() && (has_tls || !self.way.has_tls());
        let is_open = self.opens_at.is_some_and(|at| read >= at);
        self.farewell = Some(Farewell {
            http: (has_frames && !is_open).then_some(503),
            code: (has_frames && is_open).then_some(code_of(reason)),
            close_notify: has_tls,
            alert: false,
        });
    }
}

/// RFC 6455, 7.4.1.
fn code_of(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Normal => 1000,
        CloseReason::GoingAway => 1001,
        CloseReason::ProtocolError | CloseReason::Mistake(_) => 1002,
        CloseReason::Policy => 1008,
        CloseReason::TooLarge => 1009,
    }
}
