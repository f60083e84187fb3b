//! Frames to messages, wherever the bytes are cut: RFC 6455, sections 5.4 and 5.5. A payload is passed on as it comes and never
//! kept; what is kept is a header, or a control frame, that is not complete. Answers nothing, and never looks into a message.

use super::close::{CloseCode, FrameFault, read_close};
use super::frame::{FrameHeader, FrameSender, Opcode, mask};

/// What a message is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8, which the decoder does not check.
    Text,
    /// Any bytes.
    Binary,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// A message begins.
    Begins(MessageKind),
    /// Some bytes of the message that has begun.
    Payload(&'a [u8]),
    /// The message is complete.
    Ends,
    /// A ping, with what its pong must carry.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
}

/// Why nothing more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramesEnd {
    /// The peer has closed, and may have said why.
    Closed(Option<CloseCode>),
    /// The peer has made a mistake.
    Fault(FrameFault),
}

impl From<FrameFault> for FramesEnd {
    fn from(fault: FrameFault) -> Self {
        Self::Fault(fault)
    }
}

/// What a decoder goes by; the same at each read.
#[derive(Debug, Clone, Copy)]
pub struct FrameRules {
    /// Whose frames come.
    pub sender: FrameSender,
    /// Bytes of a message as it travels: payload, and the headers of its frames. So empty frames come to an end, too.
    pub message_bytes_max: u64,
}

/// Reads one peer's frames. Between two messages it keeps nothing.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<FrameDecoder>() == 8);

const _: () = assert!(size_of::<Partial>() <= 64);

/// What a decoder knows in the middle of a message or a frame.
#[derive(Debug, Default, PartialEq)]
struct Partial {
    /// The first bytes of a header, or of a control frame.
    unread: Vec<u8>,
    /// The data frame whose payload comes.
    frame: Option<DataFrame>,
    /// The bytes so far of the message that has begun.
    message: Option<u64>,
}

#[derive(Debug, PartialEq)]
struct DataFrame {
    left: u64,
    /// Its first byte is for the next byte of the payload.
    mask: [u8; 4],
    is_last: bool,
}

impl FrameDecoder {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.partial.is_none()
    }

    /// Reads bytes, takes their masks away in place, and tells what came, in order. Whoever is told may find fault with it.
    /// After an end nothing more may be read.
    pub fn read(&mut self, mut bytes: &mut [u8], rules: FrameRules, tell: Tell<'_>) -> Result<(), FramesEnd> {
        let mut partial = self
            .partial
            .take()
            .map_or_else(Partial::default, |partial| *partial);
        while !bytes.is_empty() {
            bytes = partial.step(bytes, rules, tell)?;
        }
        if partial != Partial::default() {
            self.partial = Some(Box::new(partial));
        }
        Ok(())
    }
}

type Tell<'a> = &'a mut dyn FnMut(FrameEvent<'_>) -> Result<(), FrameFault>;

impl Partial {
    /// Reads some bytes, and gives the others.
    fn step<'a>(
        &mut self,
        bytes: &'a mut [u8],
        rules: FrameRules,
        tell: Tell<'_>,
    ) -> Result<&'a mut [u8], FramesEnd> {
        if let Some(frame) = &mut self.frame {
            let length = usize::try_from(frame.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (payload, behind) = bytes.split_at_mut(length);
            mask(payload, frame.mask);
            frame.mask.rotate_left(length % 4);
            frame.left -= length as u64;
            tell(FrameEvent::Payload(payload))?;
            self.end_frame(tell)?;
            return Ok(behind);
        }
        if !self.unread.is_empty() {
            let (first, behind) = bytes.split_at_mut(1);
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(first);
            if self.begin_frame(&mut unread, rules, tell)? == 0 {
                self.unread = unread;
            }
            return Ok(behind);
        }
        match self.begin_frame(bytes, rules, tell)? {
            0 => {
                self.unread = bytes.to_vec();
                Ok(&mut [])
            }
            length => Ok(&mut bytes[length..]),
        }
    }

    /// Reads a header, or a whole control frame. Gives how many bytes that took: none if there are too few.
    fn begin_frame(
        &mut self,
        bytes: &mut [u8],
        rules: FrameRules,
        tell: Tell<'_>,
    ) -> Result<usize, FramesEnd> {
        let Some((header, length)) = FrameHeader::read(bytes, rules.sender)? else {
            return Ok(0);
        };
        // A control frame is read when it is whole, a data frame as it comes.
        let end = match header.opcode.is_control() {
            true => length + usize::try_from(header.length).expect("a control frame is short"),
            false => length,
        };
        let Some(frame) = bytes.get_mut(..end) else {
            return Ok(0);
        };
        let payload = &mut frame[length..];
        mask(payload, header.mask);
        match header.opcode {
            Opcode::Continuation => self.begin_data(None, header, length, rules, tell)?,
            Opcode::Text => self.begin_data(Some(MessageKind::Text), header, length, rules, tell)?,
            Opcode::Binary => self.begin_data(Some(MessageKind::Binary), header, length, rules, tell)?,
            Opcode::Close => return Err(FramesEnd::Closed(read_close(payload)?)),
            Opcode::Ping => tell(FrameEvent::Ping(payload))?,
            Opcode::Pong => tell(FrameEvent::Pong)?,
        }
        Ok(end)
    }

    /// Begins a data frame: the first one of a message of some kind, or a further one.
    fn begin_data(
        &mut self,
        kind: Option<MessageKind>,
        header: FrameHeader,
        header_bytes: usize,
        rules: FrameRules,
        tell: Tell<'_>,
    ) -> Result<(), FrameFault> {
        let before = match (kind, self.message) {
            (Some(_), Some(_)) => return Err(FrameFault::protocol("a message inside of another")),
            (None, None) => return Err(FrameFault::protocol("there is no message to continue")),
            (Some(kind), None) => {
                tell(FrameEvent::Begins(kind))?;
                0
            }
            (None, Some(before)) => before,
        };
        let so_far = before + header_bytes as u64 + header.length;
        if so_far > rules.message_bytes_max {
            return Err(FrameFault {
                code: CloseCode::TOO_LARGE,
                reason: "the message is too large",
            });
        }
        self.message = Some(so_far);
        self.frame = Some(DataFrame {
            left: header.length,
            mask: header.mask,
            is_last: header.is_last,
        });
        self.end_frame(tell)
    }

    /// Ends the data frame if all of its payload has come, and with the last one the message.
    fn end_frame(&mut self, tell: Tell<'_>) -> Result<(), FrameFault> {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else {
            return Ok(());
        };
        if frame.is_last {
            self.message = None;
            tell(FrameEvent::Ends)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
