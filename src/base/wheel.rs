//! A timing wheel: one alarm an owner, armed and cancelled in constant time for 8 bytes each. It never knows
//! when exactly an alarm is due: the owner says so each time the alarm's slot comes up.

use crate::base::time::Instant;

/// How coarse the wheel is. An alarm is never early, and late by no more than this.
pub const TICK_MS: u64 = 1_000;

const SLOT_BITS: u32 = 9;
const SLOTS: u64 = 1 << SLOT_BITS;
/// 512 s, 3 days, 4.2 years: the longest deadline is 7 days by default.
const LEVELS: u32 = 3;
const WORDS: usize = (SLOTS / 64) as usize;
const NONE: u32 = u32::MAX;
/// Set in `previous` when what comes before is a slot's head, not another alarm.
const HEAD: u32 = 1 << 31;

#[derive(Debug, Clone, Copy)]
struct Links {
    next: u32,
    /// [`NONE`] when the alarm is not armed.
    previous: u32,
}

/// Alarms under the owners' keys (below 2^31).
#[derive(Debug)]
pub struct Wheel {
    heads: Vec<u32>,
    /// A bit for each slot that is not empty.
    occupied: [[u64; WORDS]; LEVELS as usize],
    links: Vec<Box<[Links; CHUNK]>>,
    /// The last tick that has been worked off.
    tick: u64,
    armed: usize,
}

/// Links come in chunks, so that a growing wheel copies nothing.
const CHUNK: usize = 4_096;

impl Wheel {
    /// A wheel that starts at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let slots = usize::try_from(SLOTS * u64::from(LEVELS)).expect("a small number");
        let occupied = [[0; WORDS]; LEVELS as usize];
        Self {
            heads: vec![NONE; slots],
            occupied,
            links: Vec::new(),
            tick: now.0 / TICK_MS,
            armed: 0,
        }
    }

    /// Arms the alarm of `key` for the first tick at or after `due`, at the earliest the next one. An alarm that was
    /// armed is moved.
    pub fn arm(&mut self, key: u32, due: Instant) {
        self.cancel(key);
        let tick = due.0.div_ceil(TICK_MS).max(self.tick + 1);
        let slot = self.slot_of(tick);
        let first = self.heads[slot];
        let head = HEAD | u32::try_from(slot).expect("fewer than 2^31 slots");
        *self.link(key) = Links {
            next: first,
            previous: head,
        };
        if first != NONE {
            self.link(first).previous = key;
        }
        self.heads[slot] = key;
        let (word, bit) = place(slot);
        *word.of(&mut self.occupied) |= bit;
        self.armed += 1;
    }

    /// Takes the alarm of `key` off the wheel, if it is armed.
    pub fn cancel(&mut self, key: u32) {
        let Links { next, previous } = *self.link(key);
        if previous == NONE {
            return;
        }
        if previous & HEAD == 0 {
            self.link(previous).next = next;
        } else {
            let slot = (previous & !HEAD) as usize;
            self.heads[slot] = next;
            if next == NONE {
                let (word, bit) = place(slot);
                *word.of(&mut self.occupied) &= !bit;
            }
        }
        if next != NONE {
            self.link(next).previous = previous;
        }
        self.link(key).previous = NONE;
        self.armed -= 1;
    }

    /// How many alarms are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.armed
    }

    /// Whether no alarm is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// When a slot with an alarm comes up next; `None` when nothing is armed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_tick().map(|tick| Instant(tick * TICK_MS))
    }

    /// Takes off the next alarm whose slot has come up by `now`. The caller asks again until there is none, and arms
    /// it again if its owner is not due yet.
    pub fn pop(&mut self, now: Instant) -> Option<u32> {
        let last = now.0 / TICK_MS;
        loop {
            if let Some(key) = self.first_due() {
                self.cancel(key);
                return Some(key);
            }
            match self.next_tick() {
                Some(tick) if tick <= last => self.tick = tick,
                Some(_) | None => {
                    self.tick = self.tick.max(last);
                    return None;
                }
            }
        }
    }

    /// The first tick from now on that begins a slot with an alarm, on any level.
    fn next_tick(&self) -> Option<u64> {
        (0..LEVELS)
            .filter_map(|level| {
                let width = SLOTS.pow(level);
                let present = self.tick / width;
                let ahead = next_bit(&self.occupied[level as usize], present % SLOTS)?;
                Some(((present + ahead) * width).max(self.tick))
            })
            .min()
    }

    /// The first alarm in a slot that begins with the present tick, on any level.
    fn first_due(&self) -> Option<u32> {
        for level in 0..LEVELS {
            let width = SLOTS.pow(level);
            if !self.tick.is_multiple_of(width) {
                return None;
            }
            let key = self.heads[index(level, self.tick / width)];
            if key != NONE {
                return Some(key);
            }
        }
        None
    }

    /// The slot that comes up last at or before `tick`, and after the present one.
    fn slot_of(&self, tick: u64) -> usize {
        for level in 0..LEVELS {
            let width = SLOTS.pow(level);
            if tick / width - self.tick / width < SLOTS {
                return index(level, tick / width);
            }
        }
        let width = SLOTS.pow(LEVELS - 1);
        index(LEVELS - 1, self.tick / width + SLOTS - 1)
    }

    fn link(&mut self, key: u32) -> &mut Links {
        let (chunk, offset) = (key as usize / CHUNK, key as usize % CHUNK);
        while self.links.len() <= chunk {
            self.links.push(Box::new(
                [Links {
                    next: NONE,
                    previous: NONE,
                }; CHUNK],
            ));
        }
        &mut self.links[chunk][offset]
    }
}

/// One word of the bits of occupied slots.
struct Word {
    level: usize,
    word: usize,
}

impl Word {
    fn of(self, occupied: &mut [[u64; WORDS]; LEVELS as usize]) -> &mut u64 {
        &mut occupied[self.level][self.word]
    }
}

fn place(slot: usize) -> (Word, u64) {
    let (level, offset) = (slot >> SLOT_BITS, slot & ((1 << SLOT_BITS) - 1));
    (
        Word {
            level,
            word: offset / 64,
        },
        1 << (offset % 64),
    )
}

/// How far behind `start` the first bit is, going round: 0 if `start` itself has one.
fn next_bit(words: &[u64; WORDS], start: u64) -> Option<u64> {
    let start = usize::try_from(start).expect("a slot of a level");
    let first = words[start / 64] >> (start % 64);
    if first != 0 {
        return Some(u64::from(first.trailing_zeros()));
    }
    (1..=WORDS).find_map(|step| {
        let word = words[(start / 64 + step) % WORDS];
        let distance = step * 64 - start % 64;
        (word != 0).then(|| (distance + word.trailing_zeros() as usize) as u64 % SLOTS)
    })
}

fn index(level: u32, slot: u64) -> usize {
    usize::try_from(u64::from(level) * SLOTS + slot % SLOTS).expect("a small number")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Fires each alarm against its own deadline, as owners do.
    fn fire(wheel: &mut Wheel, due: &mut BTreeMap<u32, Instant>, now: Instant) -> Vec<u32> {
        let mut fired = Vec::new();
        while let Some(key) = wheel.pop(now) {
            let at = due[&key];
            if at <= now {
                due.remove(&key);
                fired.push(key);
            } else {
                wheel.arm(key, at);
            }
        }
        fired.sort_unstable();
        fired
    }

    #[test]
    fn is_never_early_and_late_by_at_most_a_tick() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut now = Instant(123_456);
        let mut wheel = Wheel::new(now);
        let mut due = BTreeMap::new();
        for _ in 0..20_000 {
            let key = random.u32(..9_000);
            match random.u8(..10) {
                0..6 => {
                    let spans = [900, 5_000, 400_000, 700_000, 7 * 86_400_000, 20 * 86_400_000];
                    let at = Instant(
                        now.0 + {
                            let span = spans[random.usize(..spans.len())];
                            random.u64(..span)
                        },
                    );
                    wheel.arm(key, at);
                    due.insert(key, at);
                }
                6..8 => {
                    wheel.cancel(key);
                    due.remove(&key);
                }
                _ => {
                    let spans = [100, 1_000, 30_000, 600_000, 3 * 86_400_000];
                    now.0 += {
                        let span = spans[random.usize(..spans.len())];
                        random.u64(..span)
                    };
                    // What must have fired: everything due at the last whole tick.
                    let whole = now.0 / TICK_MS * TICK_MS;
                    let must: Vec<u32> = due
                        .iter()
                        .filter(|(_, at)| at.0 <= whole)
                        .map(|(key, _)| *key)
                        .collect();
                    let fired = fire(&mut wheel, &mut due, now);
                    assert!(must.iter().all(|key| fired.contains(key)), "late at {now:?}");
                }
            }
            assert_eq!(wheel.len(), due.len());
        }
    }

    #[test]
    fn tells_when_to_look_again() {
        let mut wheel = Wheel::new(Instant(0));
        assert_eq!(wheel.next_deadline(), None);
        wheel.arm(3, Instant(10_500));
        assert_eq!(wheel.next_deadline(), Some(Instant(11_000)));
        assert_eq!(wheel.pop(Instant(10_999)), None);
        assert_eq!(wheel.pop(Instant(11_000)), Some(3));
        assert_eq!(wheel.next_deadline(), None);
    }
}
