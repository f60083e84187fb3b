//! A command that a test starts, waits for with patience, and signals. Ended when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long anything may take. Generous: only a defect makes a test wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

/// A running command.
pub struct Running {
    child: Child,
    pub input: Option<ChildStdin>,
    out: Option<BufReader<ChildStdout>>,
    errors: Option<BufReader<ChildStderr>>,
}

/// Waits until something can be read, or the other end is gone.
pub fn wait_readable(fd: impl std::os::fd::AsFd) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).expect("a short time");
    let ready = poll(&mut fds, Some(&patience)).expect("it can be polled");
    assert!(ready > 0, "nothing has come for {PATIENCE:?}");
}

/// Waits until a process that need not be a child has ended.
pub fn wait_until_gone(process: u32) {
    let pid = Pid::from_raw(process.cast_signed()).expect("a process");
    // None: it has ended already.
    if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) {
        wait_readable(&fd);
    }
}

impl Running {
    /// Starts it, with all its streams piped but those that were set before.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        Self {
            input: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            errors: child.stderr.take().map(BufReader::new),
            child,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// The next line of its output that contains this.
    pub fn line_with(&mut self, part: &str) -> String {
        find(self.out.as_mut().expect("its output is piped"), part)
    }

    /// The next line of its errors that contains this.
    pub fn error_with(&mut self, part: &str) -> String {
        find(self.errors.as_mut().expect("its errors are piped"), part)
    }

    /// Nobody reads its output and errors from here on.
    pub fn close_outputs(&mut self) {
        self.out = None;
        self.errors = None;
    }

    /// Its children.
    pub fn children(&self) -> Vec<u32> {
        let id = self.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("it runs");
        let numbers = text
            .split_whitespace()
            .map(|number| number.parse().expect("a number"));
        numbers.collect()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Said {
        drop(self.input.take());
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        wait_until_gone(self.id());
        let status = self.child.wait().expect("it is a child");
        if let Some(reader) = &mut self.out {
            reader.read_to_end(&mut out).expect("its output can be read");
        }
        if let Some(reader) = &mut self.errors {
            reader.read_to_end(&mut errors).expect("its errors can be read");
        }
        Said {
            code: status.code(),
            out: String::from_utf8_lossy(&out).into_owned(),
            errors: String::from_utf8_lossy(&errors).into_owned(),
        }
    }
}

fn find<R: Read + std::os::fd::AsFd>(reader: &mut BufReader<R>, part: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if reader.buffer().is_empty() {
                wait_readable(reader.get_ref());
            }
            let more = reader.fill_buf().expect("it can be read");
            assert!(!more.is_empty(), "ended without {part:?}:\n{seen}");
            let length = more
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(more.len(), |at| at + 1);
            line.extend_from_slice(&more[..length]);
            reader.consume(length);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(part) {
            return line;
        }
        seen += &line;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command with all its streams piped.
pub fn piped(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end with this as its whole input. Its output has to fit into a pipe.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Said {
    let mut running = Running::start(&mut piped(program, arguments));
    let mut stdin = running.input.take().expect("its input is piped");
    // It may end before it has read all.
    let _ = stdin.write_all(input);
    drop(stdin);
    running.end()
}
