//! What a case is, and the few words that the lists of cases are made of. Sends nothing.

use crate::wire::{Seen, frame};

/// One case.
pub(crate) struct Case {
    /// As the testsuite numbers it.
    pub(crate) id: String,
    /// What is sent, in words.
    pub(crate) sends: String,
    pub(crate) steps: Vec<Step>,
    /// What must come, but for the close.
    pub(crate) seen: Vec<Seen>,
    pub(crate) end: End,
    /// Whether the result is the same where no message is taken and echoed.
    pub(crate) without_echo: bool,
    /// The testsuite lets any outcome pass, and tells it.
    pub(crate) is_informational: bool,
}

/// What the case does next.
pub(crate) enum Step {
    /// Sends a frame, or a part of one.
    Send(Vec<u8>),
    /// Waits until so much has been seen.
    Await(usize),
}

/// How the case ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The client closes with 1000 once it has seen everything, and is answered with the same.
    ByClient,
    /// A close that was sent is answered with one of these; `None`: without a code.
    Answered(Vec<Option<u16>>),
    /// The endpoint finds fault, with one of these codes.
    Failed(Vec<u16>),
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

pub(crate) const NORMAL: u16 = 1000;
pub(crate) const PROTOCOL_ERROR: u16 = 1002;
pub(crate) const INVALID_TEXT: u16 = 1007;

pub(crate) const HELLO: &[u8] = b"Hello, world!";
pub(crate) const NOT_UTF8: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

/// A case that is echoed and closed by the client.
pub(crate) fn case(id: impl Into<String>, sends: impl Into<String>, frames: Vec<Vec<u8>>) -> Case {
    Case {
        id: id.into(),
        sends: sends.into(),
        steps: frames.into_iter().map(Step::Send).collect(),
        seen: Vec::new(),
        end: End::ByClient,
        without_echo: false,
        is_informational: false,
    }
}

impl Case {
    pub(crate) fn sees(mut self, seen: Vec<Seen>) -> Self {
        self.seen = seen;
        self
    }

    pub(crate) fn ends(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn fails(self) -> Self {
        self.ends(End::Failed(vec![PROTOCOL_ERROR]))
    }

    pub(crate) fn without_echo(mut self) -> Self {
        self.without_echo = true;
        self
    }

    pub(crate) fn informational(mut self) -> Self {
        self.is_informational = true;
        self
    }
}

pub(crate) fn text(payload: &[u8]) -> Seen {
    Seen::Text(payload.to_vec())
}

pub(crate) fn pong(payload: &[u8]) -> Seen {
    Seen::Pong(payload.to_vec())
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}
