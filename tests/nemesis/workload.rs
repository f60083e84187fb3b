//! What all terminals have in common: where they come first, how long they are busy, and how each of them stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use holdfast::protocol::native::proto::Platform;

use crate::device::Device;
use crate::history::{Recorder, Who};

/// Each user has a device of each.
const PLATFORMS: [Platform; 3] = [Platform::Android, Platform::Windows, Platform::Web];

/// What terminals may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everything.
    Busy,
    /// Who is in stays, who lost its link returns, and nobody else comes.
    Quiet,
    /// No more than to say what they know.
    Over,
}

/// How a terminal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is connected, in this session.
    Linked(u64),
    /// It tries to be.
    Coming,
    /// It does not.
    Out,
}

/// What all terminals have in common.
pub struct Workload {
    pub recorder: Arc<Recorder>,
    /// Where terminals come first.
    pub doors: Mutex<Vec<SocketAddr>>,
    /// How many devices leave for good, some at each call.
    pub leaving: AtomicUsize,
    phase: AtomicU8,
    pub secret: String,
    pub standings: Mutex<BTreeMap<Who, Standing>>,
    pub seed: u64,
}

impl Workload {
    pub fn new(recorder: Arc<Recorder>, secret: &str, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            recorder,
            doors: Mutex::default(),
            leaving: AtomicUsize::new(0),
            phase: AtomicU8::new(Phase::Busy as u8),
            secret: secret.to_owned(),
            standings: Mutex::default(),
            seed,
        })
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub fn is_busy(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Busy as u8
    }

    pub fn is_over(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Over as u8
    }

    /// How each terminal stands.
    pub fn standings(&self) -> BTreeMap<Who, Standing> {
        self.standings.lock().unwrap().clone()
    }

    /// How many terminals are connected.
    pub fn linked_count(&self) -> usize {
        let standings = self.standings.lock().unwrap();
        let linked = standings
            .values()
            .filter(|standing| matches!(standing, Standing::Linked(_)));
        linked.count()
    }

    /// All devices of these users, until it is over.
    pub async fn run(self: Arc<Self>, users: usize) {
        let devices = (0..users).flat_map(|user| PLATFORMS.map(|platform| (user, platform)));
        let tasks: Vec<_> = devices
            .enumerate()
            .map(|(number, (user, platform))| {
                let device = Device::new(&self, number, &format!("user-{user}"), platform);
                tokio::spawn(device.live())
            })
            .collect();
        for task in tasks {
            task.await.expect("no terminal panics");
        }
    }
}
