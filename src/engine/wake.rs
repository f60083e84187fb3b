//! Waking a shard that waits: before its ring is entered, or in the ring. A batching wait is over before a wake is worth it.
//! Carries only the news that there is something.
//!
//! A sleeper says how it waits, then looks once more whether something came; a sender puts what it sends where the
//! sleeper looks, then reads how it waits. Whatever the order, one of the two sees the other. Only the first sender
//! pays for the wake: it sets the word back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::futex;

const AWAKE: u32 = 0;
const TIMED: u32 = 1;
const IN_RING: u32 = 2;

#[derive(Debug)]
struct SleepWord {
    word: AtomicU32,
    /// The ring polls it edge-triggered, so it is written and never read.
    event: OwnedFd,
}

/// The shard's side.
#[derive(Debug)]
pub struct Sleeper(Arc<SleepWord>);

/// The side of everyone who has something for the shard.
#[derive(Debug, Clone)]
pub struct Waker(Arc<SleepWord>);

/// The two sides of one shard's waits.
///
/// # Errors
/// If there is no descriptor for the eventfd.
pub fn pair() -> io::Result<(Sleeper, Waker)> {
    let shared = Arc::new(SleepWord {
        word: AtomicU32::new(AWAKE),
        event: eventfd(0, EventfdFlags::CLOEXEC)?,
    });
    Ok((Sleeper(Arc::clone(&shared)), Waker(shared)))
}

impl Sleeper {
    /// Waits on the word until a wake comes or `window` has passed, unless `nothing_came` says otherwise.
    pub fn wait_timed(&self, window: Duration, nothing_came: impl FnOnce() -> bool) {
        self.asleep(TIMED, nothing_came, |word| {
            let window = futex::Timespec::try_from(window).expect("a timed wait has a few milliseconds");
            // Every way that this ends is a reason to look around: woken, too late, interrupted, or already woken.
            let _ = futex::wait(word, futex::Flags::PRIVATE, TIMED, Some(&window));
        });
    }

    /// Waits in the ring by calling `wait`, which the eventfd ends, unless `nothing_came` says otherwise.
    pub fn wait_in_ring(&self, nothing_came: impl FnOnce() -> bool, wait: impl FnOnce()) {
        self.asleep(IN_RING, nothing_came, |_| wait());
    }

    /// Waits for `window`, whatever comes: senders find the shard awake, and pay for no wake.
    pub fn wait_batching(&self, window: Duration) {
        debug_assert_eq!(self.0.word.load(Ordering::Relaxed), AWAKE);
        std::thread::sleep(window);
    }

    /// What the ring has to poll.
    #[must_use]
    pub fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    fn asleep(&self, how: u32, nothing_came: impl FnOnce() -> bool, sleep: impl FnOnce(&AtomicU32)) {
        self.0.word.store(how, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if nothing_came() {
            sleep(&self.0.word);
        }
        self.0.word.store(AWAKE, Ordering::SeqCst);
    }
}

impl Waker {
    /// Wakes the shard if it sleeps. Call it after what it is woken for is where the shard looks.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.0.word.load(Ordering::SeqCst) == AWAKE {
            return;
        }
        match self.0.word.swap(AWAKE, Ordering::SeqCst) {
            TIMED => {
                // It fails for no address that is mapped, and this one is.
                let _ = futex::wake(&self.0.word, futex::Flags::PRIVATE, 1);
            }
            IN_RING => {
                // It fails only when 2^64 wakes were not read.
                let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    const ROUNDS: u64 = 20_000;

    /// Long enough that a lost wake ends the test run instead of passing unseen.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// One thread counts up and wakes; the other sleeps until it has seen each number and answers it.
    fn check(sleep: impl Fn(&Sleeper, &dyn Fn() -> bool) + Send + 'static) {
        let (sleeper, waker) = pair().unwrap();
        let (sent, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (there, here) = (Arc::clone(&sent), Arc::clone(&seen));
        let shard = thread::spawn(move || {
            for round in 1..=ROUNDS {
                // It does not look before it sleeps: only the look within the sleep keeps it from sleeping on.
                loop {
                    sleep(&sleeper, &|| there.load(Ordering::Acquire) < round);
                    if there.load(Ordering::Acquire) >= round {
                        break;
                    }
                }
                here.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            sent.store(round, Ordering::Release);
            waker.wake();
            while seen.load(Ordering::Acquire) < round {
                thread::yield_now();
            }
        }
        shard.join().unwrap();
    }

    #[test]
    fn no_wake_of_a_timed_wait_is_lost() {
        check(|sleeper, nothing_came| sleeper.wait_timed(FOR_EVER, nothing_came));
    }

    #[test]
    fn no_wake_of_a_wait_in_the_ring_is_lost() {
        check(|sleeper, nothing_came| {
            sleeper.wait_in_ring(nothing_came, || {
                poll(&mut [PollFd::new(&sleeper.event(), PollFlags::IN)], None).unwrap();
                rustix::io::read(sleeper.event(), &mut [0; 8]).unwrap();
            });
        });
    }

    #[test]
    fn only_the_first_sender_pays() {
        let (sleeper, waker) = pair().unwrap();
        sleeper.wait_in_ring(|| true, || (0..5).for_each(|_| waker.wake()));
        let mut count = [0; 8];
        rustix::io::read(sleeper.event(), &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}
