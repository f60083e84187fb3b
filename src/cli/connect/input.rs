//! What a person types or a script writes, line by line. It obeys none of it.

use std::io::{self, BufRead, IsTerminal, Read};

use tokio::sync::mpsc;

/// The longest line that is looked at, in bytes: many times the longest command.
const LINE_BYTES_MAX: u64 = 256;

/// Lines that are read ahead. Whoever writes more waits, as for any program.
const AHEAD_MAX: usize = 16;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Background(bool),
    /// Whether messages are to be acknowledged.
    Acks(bool),
    Logout,
    Quit,
    /// An empty one: yes, go on.
    Enter,
    /// No command: what it is instead.
    Mistyped(String),
}

impl Line {
    fn of(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self::Mistyped("a line that is not UTF-8".to_owned());
        };
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "" => Self::Enter,
            "/background on" => Self::Background(true),
            "/background off" | "/foreground" => Self::Background(false),
            "/ack on" => Self::Acks(true),
            "/ack off" => Self::Acks(false),
            "/logout" => Self::Logout,
            "/quit" | "/exit" => Self::Quit,
            _ => Self::Mistyped(format!("{text:?}")),
        }
    }
}

/// Who writes the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// A person at a terminal, who can be asked.
    Person,
    /// A pipe or a file, whose lines were written whatever comes.
    Script,
}

/// The lines that are still to come.
pub(super) struct LineInput {
    pub(super) writer: Writer,
    lines: mpsc::Receiver<Line>,
}

impl LineInput {
    /// Standard input. Reading blocks, so a thread does it; it ends with the process.
    pub(super) fn standard() -> Self {
        let writer = match io::stdin().is_terminal() {
            true => Writer::Person,
            false => Writer::Script,
        };
        let (sender, lines) = mpsc::channel(AHEAD_MAX);
        std::thread::spawn(move || {
            read_all(&mut io::stdin().lock(), writer, |line| {
                sender.blocking_send(line).is_ok()
            });
        });
        Self::new(writer, lines)
    }

    /// The lines that come from `lines`.
    pub(super) fn new(writer: Writer, lines: mpsc::Receiver<Line>) -> Self {
        Self { writer, lines }
    }

    /// Waits for the next line. LineInput that is over gives none.
    pub(super) async fn next(&mut self) -> Line {
        match self.lines.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }
}

/// Gives each line to `take`, for as long as it wants more. The end of input is `/quit`, but not of an input that had no
/// line, such as /dev/null, which is what programs in the background are given.
fn read_all(input: &mut impl BufRead, writer: Writer, mut take: impl FnMut(Line) -> bool) {
    let mut is_quit_at_end = writer == Writer::Person;
    // LineInput that fails is at its end: its terminal is gone.
    while let Ok(Some(line)) = read_line(input) {
        is_quit_at_end = true;
        if !take(line) {
            return;
        }
    }
    if is_quit_at_end {
        take(Line::Quit);
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
        let what = format!("a line of {LINE_BYTES_MAX} bytes or more");
        return Ok(Some(Line::Mistyped(what)));
    }
    Ok(Some(Line::of(&line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(writer: Writer, mut bytes: &[u8], expected: &[Line]) {
        let mut seen = Vec::new();
        read_all(&mut bytes, writer, |line| {
            seen.push(line);
            true
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_are_commands() {
        let check = |text: &str, expected| assert_eq!(Line::of(text.as_bytes()), expected, "{text}");
        check("/background on", Line::Background(true));
        check(" /background off\n", Line::Background(false));
        check("/ack on", Line::Acks(true));
        check("/ACK off", Line::Acks(false));
        check("/logout", Line::Logout);
        check("/quit", Line::Quit);
        check("", Line::Enter);
        check("/LOGOUT\r\n", Line::Logout);
        check("/Background On", Line::Background(true));
        for bad in ["hello", "/background", "/background maybe", "/logout now"] {
            check(bad, Line::Mistyped(format!("{bad:?}")));
        }
    }

    #[test]
    fn the_end_of_input_is_quit_unless_there_was_none() {
        check(Writer::Script, b"/logout\n", &[Line::Logout, Line::Quit]);
        check(Writer::Script, b"/logout", &[Line::Logout, Line::Quit]);
        check(Writer::Script, b"", &[]);
        check(Writer::Person, b"", &[Line::Quit]);
    }

    #[test]
    fn bytes_that_are_not_utf_8_end_no_input() {
        let lines = [
            Line::Mistyped("a line that is not UTF-8".to_owned()),
            Line::Logout,
            Line::Quit,
        ];
        check(Writer::Script, b"\xff\n/logout\n", &lines);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_as_a_whole() {
        let most = usize::try_from(LINE_BYTES_MAX).unwrap();
        for length in [most - 1, most, most + 1, 10 * most] {
            let text = format!("{}\n/logout\n", "x".repeat(length));
            let what = match length < most {
                true => format!("{:?}", "x".repeat(length)),
                false => format!("a line of {LINE_BYTES_MAX} bytes or more"),
            };
            check(
                Writer::Script,
                text.as_bytes(),
                &[Line::Mistyped(what), Line::Logout, Line::Quit],
            );
        }
    }
}
