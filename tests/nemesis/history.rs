//! What happened, as one file: a line of JSON for each operation with its beginning and its end, all by the clock of one process, in
//! microseconds of its time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Statuses by platform, as a query tells them.
pub type Statuses = BTreeMap<String, String>;

/// How a login ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// With this session.
    Ok(u64),
    /// With this code.
    Refused(i32),
    /// It was sent, and there was no answer.
    Unknown,
}

/// The gateway cannot now, and another node has the user. Whoever is told so was perhaps recorded all the same: a node that loses a
/// partition does not know what became of a login that it had sent to the shared store.
const TURNED_AWAY: [i32; 2] = [201, 207];

impl Outcome {
    /// Whether nobody knows if it is on record.
    pub fn is_doubtful(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Refused(code) => TURNED_AWAY.contains(code),
            Self::Ok(_) => false,
        }
    }
}

/// Who ended a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkEnd {
    /// The terminal, on purpose or since nobody answered it.
    Terminal,
    /// The gateway, or its end.
    Gateway,
    /// Nobody: it was up when the history ended.
    Nobody,
}

/// A terminal: a user's device. Each user has one of a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Who {
    pub user: String,
    pub platform: String,
}

/// A device, as the admin listener shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    pub platform: String,
    pub status: String,
    pub session: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Event {
    /// The first line: what the world is like.
    World {
        seed: u64,
        scenario: String,
        grace_us: u64,
        timeout_us: u64,
    },
    Fault {
        name: String,
        heals: bool,
        begin: u64,
        end: u64,
    },
    /// A terminal's login. `asked` is the session that it wants to go on with; 0: a fresh one.
    Login {
        who: Who,
        node: String,
        asked: u64,
        begin: u64,
        end: u64,
        outcome: Outcome,
    },
    Logout {
        who: Who,
        session: u64,
        begin: u64,
        end: u64,
        is_answered: bool,
    },
    /// A link that was up, from its login's answer on. `heard` is when the last thing that the gateway answered was sent.
    Link {
        who: Who,
        session: u64,
        begin: u64,
        end: u64,
        heard: u64,
        ended_by: LinkEnd,
    },
    /// A terminal was told that its session is over.
    ForcedOff { who: Who, session: u64, at: u64 },
    /// A query's answer: `None` for who is unknown.
    Query {
        node: String,
        begin: u64,
        end: u64,
        statuses: BTreeMap<String, Option<Statuses>>,
    },
    Inspect {
        node: String,
        user: String,
        begin: u64,
        end: u64,
        change: u64,
        devices: Vec<Inspected>,
    },
    Callback {
        at: u64,
        user: String,
        change: u64,
        previous: u64,
        session: u64,
        action: String,
        reason: String,
        platform: String,
        kicked: Vec<String>,
    },
    /// All has calmed down: what is asked from here on is what stays.
    Rest { at: u64 },
    /// What a terminal knows of itself at rest: the session in which it is connected.
    Terminal { who: Who, linked: Option<u64> },
    /// A change in the shared store, read at rest, in the order of its lane.
    Change {
        user: String,
        change: u64,
        kind: String,
        platform: String,
        session: u64,
        forced_off: Vec<(String, String)>,
        previous: Option<u64>,
    },
}

/// Writes the file.
pub struct Recorder {
    began: Instant,
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    pub fn new(path: &Path) -> Self {
        Self {
            began: Instant::now(),
            path: path.to_owned(),
            file: Mutex::new(BufWriter::new(File::create(path).unwrap())),
        }
    }

    /// The time, which this process alone has.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    pub fn time_of(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.began).as_micros()).unwrap()
    }

    pub fn record(&self, event: &Event) {
        let line = serde_json::to_string(event).unwrap();
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
    }

    /// Everything, as it is in the file.
    pub fn read(&self) -> Vec<Event> {
        self.file.lock().unwrap().flush().unwrap();
        read(&self.path)
    }
}

/// Reads a history.
pub fn read(path: &Path) -> Vec<Event> {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}
