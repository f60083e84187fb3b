//! Whether those who are sent away because something is full are spread: nobody waits longer than the window allows, and
//! a crowd does not come back as one. Told from what each was told, by shard.

use crate::base::ids::ShardId;
use crate::base::time::{Instant, millis};
use crate::logic::settings::Settings;
use crate::protocol::native::proto::{Code, response};
use crate::sim::checks::{Failure, ensure};

/// The longest window.
const WINDOW_MS_MAX: u64 = 60_000;

/// So many in a row, each of which had a window at least four times as wide as the least one, do not all fall into the least
/// one by chance: that is less likely than one in 10^12.
const STREAK_MAX: u32 = 20;

/// Who is still to come back.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// The second that each was told.
    due: Vec<u64>,
    streak: u32,
}

/// Who is sent away because something that all share is full or fails.
pub(crate) const CROWDED: [Code; 2] = [Code::Busy, Code::NotRecorded];

/// How long a terminal is told to stay away whose login is refused with one of these codes.
pub(crate) fn told_to_wait(packet: &response::Packet, codes: &[Code]) -> Option<u64> {
    let response::Packet::LoginAnswer(answer) = packet else {
        return None;
    };
    let verdict = answer.verdict.as_ref()?;
    codes
        .contains(&verdict.code())
        .then_some(u64::from(verdict.retry_after_ms))
}

impl Crowd {
    /// One more was told to wait.
    pub(crate) fn sent_away(
        &mut self,
        shard: ShardId,
        now: Instant,
        wait: u64,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let second = now.0 / 1_000;
        self.due.retain(|due| *due >= second);
        let one = millis(settings.retry_after);
        let room = settings.capacities.registry_in_flight as u64;
        let most = (millis(settings.restart_grace) / 2).min(WINDOW_MS_MAX);
        let crowd = self.due.len() as u64;
        let window = (one + one * crowd / room)
            .min(most.saturating_sub(one / 2))
            .max(one);
        let bounds = one / 2..=one / 2 + window;
        ensure("crowd", bounds.contains(&wait), || {
            format!("{shard:?}: {wait} ms for one more than {crowd}: {bounds:?}")
        })?;
        self.due.push(second + wait / 1_000);
        if window >= 4 * one && wait <= one / 2 + one {
            self.streak += 1;
        } else if window >= 4 * one {
            self.streak = 0;
        }
        ensure("crowd", self.streak < STREAK_MAX, || {
            format!("{shard:?}: {} in a row are to come back at once", self.streak)
        })
    }
}
