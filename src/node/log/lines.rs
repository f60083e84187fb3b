//! The lines of the log on their way out. Whoever logs hands a line over and never waits: one thread writes them, and what
//! finds no room is counted. So a pipe that nobody reads, or a disk that is full, holds up nothing but the log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait to be written: some seconds of a busy log at `debug`, for a reader that is as slow as that.
pub(super) const WAITING_BYTES_MAX: usize = 1 << 20;

/// How long the end of the process waits for the last lines. Whoever reads at all reads them in less.
pub(super) const LAST_WORDS_MAX: Duration = Duration::from_millis(200);

/// The way to the thread that writes. Copies share it.
#[derive(Debug, Clone)]
pub struct LogLines {
    commands: Sender<LineCommand>,
    space: Arc<QueueSpace>,
}

#[derive(Debug)]
enum LineCommand {
    Write(Vec<u8>),
    /// Everything before it was written, or lost.
    Tell(Sender<()>),
}

#[derive(Debug)]
struct QueueSpace {
    bytes_max: usize,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl LogLines {
    /// Starts the thread, which writes to `out`. When lines were dropped and there is room again it says how many, by `tell`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(in crate::node) fn start(
        out: impl Write + Send + 'static,
        bytes_max: usize,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, taken) = unbounded();
        let space = Arc::new(QueueSpace {
            bytes_max,
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        });
        let lines = Self {
            commands,
            space: Arc::clone(&space),
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&taken, &space, out, tell))?;
        Ok(lines)
    }

    /// Hands a line over, if there is room for it.
    pub(super) fn put(&self, line: &[u8]) {
        let waiting = self.space.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if waiting + line.len() > self.space.bytes_max {
            self.space.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.space.drop_one();
            return;
        }
        // The thread ends with the process.
        let _ = self.commands.send(LineCommand::Write(line.to_vec()));
    }

    /// LogLines that found no space, or could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.space.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines before are written, for no longer than `within`.
    pub(super) fn flush(&self, within: Duration) {
        let (done, told) = bounded(1);
        let _ = self.commands.send(LineCommand::Tell(done));
        // Whether they are written or not, the process goes on to its end.
        let _ = told.recv_timeout(within);
    }
}

impl QueueSpace {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn is_half_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) <= self.bytes_max / 2
    }
}

fn write(commands: &Receiver<LineCommand>, space: &QueueSpace, mut out: impl Write, tell: impl Fn(u64)) {
    let mut told = 0;
    for command in commands {
        match command {
            LineCommand::Write(line) => {
                let written = out.write_all(&line);
                space.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let dropped = space.dropped.load(Ordering::Relaxed);
                if written.is_err() {
                    space.drop_one();
                } else if dropped > told && space.is_half_empty() {
                    tell(dropped - told);
                    told = dropped;
                }
            }
            LineCommand::Tell(done) => {
                // Who asked may have waited long enough.
                let _ = done.send(());
            }
        }
    }
}

impl Write for &LogLines {
    /// Takes one whole line, as `tracing_subscriber` gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Standard error, also where whoever shares it has made it answer at once.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match io::stderr().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&io::stderr(), PollFlags::OUT)], None)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const FOR_EVER: Duration = Duration::from_secs(3_600);

    /// A log into a pipe that is read when the test says so, and what it told of dropped lines.
    fn into_a_pipe(bytes_max: usize) -> (LogLines, io::PipeReader, Receiver<u64>) {
        let (reader, writer) = io::pipe().unwrap();
        let (tell, told) = unbounded();
        let lines = LogLines::start(writer, bytes_max, move |count| tell.send(count).unwrap()).unwrap();
        (lines, reader, told)
    }

    #[test]
    fn lines_come_in_their_order_and_a_flush_waits_for_them() {
        let (lines, mut reader, _) = into_a_pipe(1_000);
        for line in ["one\n", "two\n"] {
            lines.put(line.as_bytes());
        }
        lines.flush(FOR_EVER);
        let mut seen = [0; 8];
        reader.read_exact(&mut seen).unwrap();
        assert_eq!((&seen, lines.dropped()), (b"one\ntwo\n", 0));
    }

    /// Takes a line when the test lets it.
    struct Gate(Receiver<()>);

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_does_not_wait_for_a_reader_and_what_found_no_room_is_told_once() {
        const LINE: &[u8] = &[b'x'; 1_000];
        let (open, gate) = unbounded();
        let (tell, told) = unbounded();
        let lines = LogLines::start(Gate(gate), 2_000, move |count| tell.send(count).unwrap()).unwrap();
        (0..5).for_each(|_| lines.put(LINE));
        assert_eq!(
            lines.dropped(),
            3,
            "two have space, the one that is being written among them"
        );
        lines.flush(Duration::ZERO);
        assert!(told.is_empty());
        open.send(()).unwrap();
        assert_eq!(told.recv_timeout(FOR_EVER), Ok(3), "there is room again");
        (0..2).for_each(|_| open.send(()).unwrap());
        lines.put(LINE);
        lines.flush(FOR_EVER);
        assert!(told.is_empty(), "told once");
        assert_eq!(lines.dropped(), 3);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_ends_nothing() {
        let (lines, reader, told) = into_a_pipe(1_000);
        drop(reader);
        (0..3).for_each(|_| lines.put(b"lost\n"));
        lines.flush(FOR_EVER);
        assert_eq!((lines.dropped(), told.is_empty()), (3, true));
    }
}
