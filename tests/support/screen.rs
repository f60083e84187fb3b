//! A terminal with a screen and a keyboard that a test looks at and types on: a pseudo terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::command::wait_readable;

/// A terminal.
pub struct Screen {
    person: File,
    program: OwnedFd,
    seen: String,
}

impl Screen {
    pub fn new() -> Self {
        let person =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&person).expect("it is ours");
        unlockpt(&person).expect("it is ours");
        let name = ptsname(&person, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program = open(name.as_c_str(), flags, Mode::empty()).expect("it can be opened");
        let size = Winsize {
            ws_row: 40,
            ws_col: 140,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&program, size).expect("it has a size");
        Self {
            person: person.into(),
            program,
            seen: String::new(),
        }
    }

    /// It, as one of a program's streams.
    pub fn stream(&self) -> Stdio {
        self.program.try_clone().expect("a descriptor").into()
    }

    pub fn press(&mut self, keys: &[u8]) {
        self.person.write_all(keys).expect("it takes keys");
    }

    /// What was written so far does not count any more.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Reads until it shows this, and gives all that was written on it.
    pub fn wait_for(&mut self, part: &str) -> &str {
        while !self.seen.contains(part) {
            wait_readable(&self.person);
            self.read();
        }
        &self.seen
    }

    /// All that was written on it by a program that has ended.
    pub fn rest(&mut self) -> &str {
        while can_be_read(&self.person) {
            self.read();
        }
        &self.seen
    }

    fn read(&mut self) {
        let mut bytes = [0; 4_096];
        let count = self.person.read(&mut bytes).expect("a program has it open");
        self.seen += &String::from_utf8_lossy(&bytes[..count]);
    }

    /// Whether it shows what is typed, and gives it to programs line by line.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.program).expect("it is a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

fn can_be_read(person: &File) -> bool {
    let mut fds = [PollFd::new(person, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).expect("it can be polled") > 0
}
