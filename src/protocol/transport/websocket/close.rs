//! How a WebSocket ends: codes of close frames, and what a close frame says. Closes nothing.

/// Why a WebSocket ends: RFC 6455, section 7.4, and IANA's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// Done.
    pub const NORMAL: Self = Self(1000);
    /// The gateway stops, or a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// A frame or a sequence of frames that the protocol does not have.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that the receiver does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A text that is no UTF-8.
    pub const INVALID_TEXT: Self = Self(1007);
    /// Against the receiver's rules, for a reason that has no code of its own.
    pub const POLICY: Self = Self(1008);
    /// A message that has more bytes than the receiver takes.
    pub const TOO_LARGE: Self = Self(1009);

    /// A code that a peer has sent; `None` if none may send it. 1005, 1006 and 1015 say that there was none.
    #[must_use]
    pub fn received(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// As it travels.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A mistake of the peer, as its close frame tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFault {
    /// What kind of mistake.
    pub code: CloseCode,
    /// The mistake in a few words.
    pub reason: &'static str,
}

impl FrameFault {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL_ERROR,
            reason,
        }
    }
}

/// The code in a close frame's payload; `None` if the peer gives no reason. Fails at half a code, a code that none may send,
/// and a text that is no UTF-8.
pub(super) fn read_close(payload: &[u8]) -> Result<Option<CloseCode>, FrameFault> {
    let Some((code, text)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(FrameFault::protocol("half a close code")),
        };
    };
    let code = CloseCode::received(u16::from_be_bytes(*code));
    let code = code.ok_or(FrameFault::protocol("a close code that none may send"))?;
    std::str::from_utf8(text).map_err(|_| FrameFault {
        code: CloseCode::INVALID_TEXT,
        reason: "the reason of a close is no UTF-8",
    })?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &[u8], expected: Result<Option<u16>, CloseCode>) {
        let read = read_close(payload).map(|code| code.map(CloseCode::number));
        assert_eq!(read.map_err(|fault| fault.code), expected, "{payload:?}");
    }

    #[test]
    fn a_close_has_no_code_or_one_that_may_be_sent() {
        check(&[], Ok(None));
        check(&[3], Err(CloseCode::PROTOCOL_ERROR));
        check(&[3, 0xe8], Ok(Some(1000)));
        check(b"\x03\xe9bye", Ok(Some(1001)));
        check(&[3, 0xed], Err(CloseCode::PROTOCOL_ERROR));
        check(&[3, 0xe8, 0xff], Err(CloseCode::INVALID_TEXT));
        for (first, last, may_be_sent) in [
            (0, 999, false),
            (1000, 1003, true),
            (1004, 1006, false),
            (1007, 1014, true),
            (1015, 2999, false),
            (3000, 4999, true),
            (5000, u16::MAX, false),
        ] {
            for code in first..=last {
                assert_eq!(CloseCode::received(code).is_some(), may_be_sent, "{code}");
            }
        }
    }
}
