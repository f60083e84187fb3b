//! How often one user may log in: as often at once as in a minute, and from then on evenly.

use crate::base::ids::UserId;
use crate::protocol::native::proto::Code;
use crate::sim::terminal::Login;

use super::Model;
use super::login::Fate;
use super::user::Event;

/// Microseconds of a minute: tokens may come back several in a millisecond.
const MINUTE_US: u64 = 60_000_000;

impl Model {
    /// How long a user has to wait for its next login, in milliseconds.
    pub(crate) fn login_wait_ms(&self, id: UserId) -> u64 {
        let (limit, now) = (
            u64::from(self.settings.logins_per_user_max),
            self.now.instant.0 * 1_000,
        );
        if limit == 0 {
            return 0;
        }
        let back_at = self.back_at(id);
        let away = back_at.iter().filter(|back| **back > now).count() as u64;
        if away < limit {
            return 0;
        }
        let next = back_at.iter().find(|back| **back > now).expect("some are away");
        (next - now).div_ceil(1_000)
    }

    /// When each token that was taken is back: those that were taken before it are, and a part of a minute has passed.
    fn back_at(&self, id: UserId) -> Vec<u64> {
        let part = MINUTE_US / u64::from(self.settings.logins_per_user_max.max(1));
        let mut back_at: Vec<u64> = Vec::new();
        for taken in self.taken.get(&id).into_iter().flatten() {
            let last = back_at.last().copied().unwrap_or(0);
            back_at.push(last.max(*taken) + part);
        }
        back_at
    }

    /// Whether this login is one too many.
    pub(super) fn is_over_rate(&self, login: &Login) -> bool {
        let wait = self.login_wait_ms(login.user);
        wait > 0 && !matches!(self.fate(login), Fate::KeepsSession)
    }

    pub(super) fn event_is_over_rate(&self, event: &Event) -> bool {
        matches!(event, Event::Login(_, login, _) if self.is_over_rate(login))
    }

    /// A login was recorded.
    pub(super) fn note_login(&mut self, id: UserId) {
        let at = self.now.instant.0 * 1_000;
        let all_back = self.back_at(id).last().is_none_or(|back| *back <= at);
        let taken = self.taken.entry(id).or_default();
        if all_back {
            taken.clear();
        }
        taken.push(at);
    }

    /// A login was refused for what it asked for. A UserSig that was ended takes nothing from its user.
    pub(super) fn note_refused(&mut self, id: UserId, code: Code) {
        if code != Code::UsersigKicked {
            self.note_login(id);
        }
    }
}
