//! A scenario: a world, faults one after the other, peace, and the checker's verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::checker;
use crate::faults::Fault;
use crate::network::Network;
use crate::node::FakeTime;
use crate::world::World;

/// How many terminals leave for good during each step.
const LEAVING: usize = 20;

/// Faults that are there together, and for how long at least.
#[derive(Debug, Clone)]
pub struct Step {
    pub faults: Vec<Fault>,
    pub lasts: Duration,
}

impl Step {
    pub fn new(faults: &[Fault], lasts_s: u64) -> Self {
        Self {
            faults: faults.to_vec(),
            lasts: Duration::from_secs(lasts_s),
        }
    }
}

/// What a scenario showed.
#[derive(Debug, Clone)]
pub struct Report {
    pub name: String,
    pub seed: u64,
    pub steps: usize,
    pub changes: usize,
    pub sights: usize,
    pub violations: Vec<String>,
}

/// Plays a scenario. `None`, and says so, where it cannot be played.
pub fn play(name: &str, seed: u64, steps: &[Step]) -> Option<Report> {
    let clocks = steps.iter().any(|step| step.faults.contains(&Fault::Clocks));
    if clocks && !FakeTime::is_there() {
        println!("skipped: {name} takes libfaketime, of Debian's package faketime");
        return None;
    }
    let Some(network) = Network::new() else {
        println!("skipped: {name} takes ip, unshare, nsenter and the right to make network namespaces");
        return None;
    };
    println!("{name}: seed {seed}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nemesis-{name}-{seed}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let kept = Kept(folder.clone());
    let mut world = World::start(network, &folder, (name, seed), clocks);
    for step in steps {
        world.workload.leaving.fetch_add(LEAVING, Ordering::AcqRel);
        disturb(&mut world, step);
    }
    world.rest();
    world.end();
    let history = world.recorder.read();
    let defects = world.defects();
    drop(world);
    let violations = checker::check(&history);
    let violations = violations.iter().map(ToString::to_string);
    let violations: Vec<String> = defects.into_iter().chain(violations).collect();
    let (changes, sights) = checker::measure(&history);
    let report = Report {
        name: name.to_owned(),
        seed,
        steps: steps.len(),
        changes,
        sights,
        violations,
    };
    println!(
        "{name}: {changes} changes, {sights} sights, {} violations",
        report.violations.len()
    );
    if report.violations.is_empty() {
        kept.drop_all();
    }
    Some(report)
}

/// Has faults, one a moment after the other, heals them, and waits until all is whole again.
fn disturb(world: &mut World, step: &Step) {
    let moment = Duration::from_millis(world.rng.u64(300..2_000));
    let mut done = Vec::new();
    for fault in &step.faults {
        println!("  {fault:?}");
        done.push((*fault, fault.inject(world)));
        std::thread::sleep(moment);
    }
    std::thread::sleep(step.lasts);
    done.sort_by_key(|(_, done)| done.is_taken_back_last());
    for (fault, done) in done {
        fault.heal(world, done);
    }
    world.wait_whole();
}

/// Says where history and logs are, unless nobody needs them.
struct Kept(PathBuf);

impl Kept {
    fn drop_all(self) {
        let _ = fs::remove_dir_all(&self.0);
        std::mem::forget(self);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        println!("history and logs are kept in {}", self.0.display());
    }
}
