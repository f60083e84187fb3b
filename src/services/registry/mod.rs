//! The registry's seam: one thread takes [`ToRegistry`] letters in batches, has a [`Store`] work them off, and sends
//! the answers of a batch out together. Never decides anything: what it records was decided by a shard.

pub mod archive;
pub mod embedded;
pub mod memory;
pub mod outbox;
mod vitals;

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::base::histogram::{Counted, Histogram, HistogramView};
use crate::base::ids::ShardId;
use crate::base::limits::{HTTP_IN_FLIGHT_MAX, REGISTRY_IN_FLIGHT_MAX};
use crate::base::time::{Clock, Steady, Timestamp};
use crate::logic::letter::{RegistryError, Standing, ToFront, ToRegistry, ToShard};
use vitals::Pace;
pub use vitals::{Vitals, WELL_AFTER_MS};

/// Letters worked off before their answers go out. Large enough that one durable write serves many changes, small
/// enough that the first of them does not wait long.
pub const BATCH_LETTERS_MAX: usize = 1_024;

/// How often a store may do what nobody asks for.
pub const REST_MS: u64 = 100;
const REST: Duration = Duration::from_millis(REST_MS);

/// How long the end of a user's session stays on record: 7 days, the default of
/// `presence.push_online_days`.
pub const ENDED_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Where answers go. Neither door may block or fail: whoever asked has kept room for the answer.
pub struct Doors {
    /// To a shard's inbox.
    pub shard: Box<dyn Fn(ShardId, ToShard) + Send>,
    /// To the HTTP front's inbox.
    pub front: Box<dyn Fn(ToFront) + Send>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doors")
    }
}

/// One answer on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// For a shard.
    Shard(ShardId, ToShard),
    /// For the HTTP front.
    Front(ToFront),
}

/// Something that keeps records.
pub trait Store: Send {
    /// Works off a batch at `now`, a time that nobody sets back or forth, and appends one answer for each letter, in their order. What was recorded is
    /// durable, as far as the store promises, when this returns.
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Answer>);

    /// Whether [`Store::rest`] has anything to do.
    fn rests(&self) -> bool {
        false
    }

    /// Does what is not asked for by anyone: called about every [`REST_MS`].
    fn rest(&mut self, _now: Timestamp) {}

    /// Makes everything durable, before the process ends.
    fn close(&mut self, _now: Timestamp) {}
}

impl Store for Box<dyn Store> {
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Answer>) {
        (**self).work_off(now, batch, answers);
    }

    fn rests(&self) -> bool {
        (**self).rests()
    }

    fn rest(&mut self, now: Timestamp) {
        (**self).rest(now);
    }

    fn close(&mut self, now: Timestamp) {
        (**self).close(now);
    }
}

/// Difficulties that a test may ask for. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trouble {
    /// How long each batch takes longer.
    pub delay: Duration,
    /// Every so-many-th letter fails; 0: none.
    pub fail_every: u64,
}

/// How the registry's thread keeps up, for everyone.
#[derive(Clone)]
pub struct Workload {
    commit_times: HistogramView,
    /// A door like any other: the registry goes on until it is gone.
    door: Sender<ToRegistry>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workload")
    }
}

impl Workload {
    /// How long commits took: from when the first letter of their batch was taken until the batch was answered.
    #[must_use]
    pub fn commit_times(&self) -> Counted {
        self.commit_times.read()
    }

    /// Letters that were not taken yet.
    #[must_use]
    pub fn waiting_now(&self) -> usize {
        self.door.len()
    }
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    door: Sender<ToRegistry>,
    commit_times: HistogramView,
    thread: JoinHandle<()>,
}

impl Registry {
    /// Starts the registry's thread for `shards` shards.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        store: impl Store + 'static,
        trouble: Trouble,
        shards: u16,
        doors: Doors,
        clock: Clock,
    ) -> io::Result<Self> {
        let (door, inbox) = bounded(room(shards));
        let commit_times = Histogram::default();
        let view = commit_times.view();
        let thread = std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                let desk = Desk {
                    store,
                    trouble: Troublemaker { trouble, letters: 0 },
                    doors,
                    clock,
                    commit_times,
                    pace: Pace::default(),
                };
                desk.run(&inbox);
            })?;
        Ok(Self {
            door,
            commit_times: view,
            thread,
        })
    }

    /// The way in. It has room for all that the shards may have in flight at once.
    #[must_use]
    pub fn door(&self) -> Sender<ToRegistry> {
        self.door.clone()
    }

    /// How it keeps up.
    #[must_use]
    pub fn workload(&self) -> Workload {
        Workload {
            commit_times: self.commit_times.clone(),
            door: self.door(),
        }
    }

    /// Whether its thread has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything was worked off. Returns when the last door, besides this one, is gone.
    ///
    /// # Panics
    /// If the registry's thread did.
    pub fn finish(self) {
        drop(self.door);
        self.thread.join().expect("the registry's thread does not panic");
    }
}

/// Each shard may have so many loads and commits under way, and one completion for each open request of the front. A
/// request that asks the registry itself has one letter, and no completion.
fn room(shards: u16) -> usize {
    (REGISTRY_IN_FLIGHT_MAX + HTTP_IN_FLIGHT_MAX) * usize::from(shards)
}

struct Desk<S> {
    store: S,
    trouble: Troublemaker,
    doors: Doors,
    clock: Clock,
    commit_times: Histogram,
    pace: Pace,
}

impl<S: Store> Desk<S> {
    fn run(mut self, inbox: &Receiver<ToRegistry>) {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        let steady = Steady::from(self.clock.now());
        let mut rested_at = self.clock.now().instant;
        loop {
            let rests_in = REST.saturating_sub(self.clock.now().instant.since(rested_at));
            match self.next(inbox, rests_in) {
                Ok(first) => batch.push(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.store.close(steady.at(self.clock.now())),
            }
            let now = self.clock.now();
            if self.store.rests() && now.instant.since(rested_at) >= REST {
                rested_at = now.instant;
                self.store.rest(steady.at(now));
            }
            if batch.is_empty() {
                self.pace.tell_if_fast(now.instant);
                continue;
            }
            batch.extend(inbox.try_iter().take(BATCH_LETTERS_MAX - 1));
            let commits = batch.iter().filter(|letter| is_commit(letter)).count();
            let mut watch = self.clock.clone();
            watch.now();
            self.trouble.meddle(&mut batch, &mut answers);
            self.store
                .work_off(steady.at(self.clock.now()), &mut batch, &mut answers);
            for answer in answers.drain(..) {
                self.deliver(answer);
            }
            let took = watch.since_now();
            self.pace.note(self.clock.now().instant, took, commits);
            if commits > 0 {
                self.commit_times.record(took, commits as u64);
            }
        }
    }

    fn next(&self, inbox: &Receiver<ToRegistry>, rests_in: Duration) -> Result<ToRegistry, RecvTimeoutError> {
        if self.store.rests() {
            inbox.recv_timeout(rests_in)
        } else {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    fn deliver(&self, answer: Answer) {
        match answer {
            Answer::Shard(shard, letter) => (self.doors.shard)(shard, letter),
            Answer::Front(letter) => (self.doors.front)(letter),
        }
    }
}

fn is_commit(letter: &ToRegistry) -> bool {
    matches!(letter, ToRegistry::Commit(..))
}

/// Makes the trouble that was asked for.
struct Troublemaker {
    trouble: Trouble,
    letters: u64,
}

impl Troublemaker {
    /// Takes those letters out of the batch that shall fail, and lets the delay pass.
    fn meddle(&mut self, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Answer>) {
        if self.trouble.fail_every > 0 {
            for letter in std::mem::take(batch) {
                self.letters += 1;
                if self.letters.is_multiple_of(self.trouble.fail_every) {
                    answers.push(refusal(letter));
                } else {
                    batch.push(letter);
                }
            }
        }
        if !self.trouble.delay.is_zero() {
            std::thread::sleep(self.trouble.delay);
        }
    }
}

/// What is answered to a letter that the registry cannot take now.
#[must_use]
pub fn refusal(letter: ToRegistry) -> Answer {
    match letter {
        ToRegistry::Load(shard, user, _) => Answer::Shard(shard, ToShard::Loaded(user, Err(RegistryError))),
        ToRegistry::Commit(shard, user, _) => {
            Answer::Shard(shard, ToShard::Committed(user, Err(RegistryError)))
        }
        ToRegistry::Accounts(request, ..) => Answer::Front(ToFront::Accounts(request, Err(RegistryError))),
        ToRegistry::Complete(request, mut users) => {
            users.resolve(|_| Standing::Unavailable);
            Answer::Front(ToFront::Statuses(request, users))
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::memory::Memory;
    use super::*;
    use crate::base::ids::UserId;
    use crate::logic::letter::UserKey;

    fn start(trouble: Trouble) -> (Registry, Receiver<(ShardId, ToShard)>) {
        let (sender, answers) = unbounded();
        let doors = Doors {
            shard: Box::new(move |shard, letter| sender.send((shard, letter)).unwrap()),
            front: Box::new(|letter| panic!("nothing was asked for the front: {letter:?}")),
        };
        let registry = Registry::start(Memory::default(), trouble, 2, doors, Clock::start()).unwrap();
        (registry, answers)
    }

    fn load(key: u32) -> ToRegistry {
        ToRegistry::Load(ShardId(1), UserKey(key), UserId::new(b"alice").unwrap())
    }

    #[test]
    fn answers_every_letter_in_order_before_it_finishes() {
        let (registry, answers) = start(Trouble::default());
        let door = registry.door();
        for key in 0..3_000 {
            door.send(load(key)).unwrap();
        }
        drop(door);
        registry.finish();
        let keys: Vec<_> = answers.iter().collect();
        let expected = (0..3_000).map(|key| (ShardId(1), ToShard::Loaded(UserKey(key), Ok(None))));
        assert!(keys.into_iter().eq(expected));
    }

    #[test]
    fn fails_as_often_as_it_was_asked_to() {
        let (registry, answers) = start(Trouble {
            delay: Duration::from_millis(1),
            fail_every: 3,
        });
        let door = registry.door();
        (0..9).for_each(|key| door.send(load(key)).unwrap());
        drop(door);
        registry.finish();
        let failed = answers
            .iter()
            .filter(|(_, letter)| matches!(letter, ToShard::Loaded(_, Err(RegistryError))));
        assert_eq!(failed.count(), 3);
    }
}
