//! Which of two kicks counts, by their seconds: clocks can be wrong. Knows no user.

/// A kick that was recorded so many seconds ahead of a later one was made by a wrong clock.
const KICK_AHEAD_S_MAX: u64 = 86_400;

/// 2026-01-01T00:00:00Z: before it there was no gateway. A kick that is dated earlier was made by a wrong clock, such as that of a
/// host that boots in 1970 and has not heard the time yet.
const KICK_EARLIEST_S: u64 = 1_767_225_600;

/// The kick second that counts, of that on record and that of another kick; 0: none. The later one, since clocks are set
/// back by a little all the time; but a kick that a wrong clock dated far ahead, and that shuts its user out until then, is
/// replaced by the next, unless it is that one's date that cannot be: what a kick ended would be good again.
#[must_use]
pub(super) fn later_kick(known_s: u64, another_s: u64) -> u64 {
    if another_s >= KICK_EARLIEST_S && known_s > another_s.saturating_add(KICK_AHEAD_S_MAX) {
        another_s
    } else {
        known_s.max(another_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kick_of_a_wrong_clock_is_replaced_by_the_next() {
        assert_eq!(later_kick(0, 0), 0);
        assert_eq!(later_kick(100, 0), 100);
        assert_eq!(later_kick(100, 70), 100);
        assert_eq!(later_kick(100, 170), 170);
        let another = KICK_EARLIEST_S + 70;
        let ahead = another + KICK_AHEAD_S_MAX;
        assert_eq!(later_kick(ahead, another), ahead);
        assert_eq!(later_kick(ahead + 1, another), another);
    }

    #[test]
    fn a_kick_dated_before_there_were_gateways_brings_no_usersig_back() {
        let correct = KICK_EARLIEST_S + 30_000_000;
        for impossible in [1, 60, KICK_EARLIEST_S - 1] {
            assert_eq!(later_kick(correct, impossible), correct, "{impossible}");
        }
    }
}
