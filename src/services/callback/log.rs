//! What the operator is told of callbacks, in few words: that the receiver counts as down and why, that it is back, and that
//! callbacks were given up. Names the receiver by its host, never by its whole URL. Decides nothing.

use std::time::Duration;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::callback::receiver::ReceiverUrl;
use crate::services::registry::outbox::Dead;

/// Callbacks that are given up are told at most so often: a receiver that was away for a day gives up thousands a second.
const DEAD_TOLD_EVERY: Duration = Duration::from_secs(60);

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LogLine {
    Down { fault: String },
    Back { down_for: Duration, waiting: u64 },
    Dead { count: u64, user: UserId, fault: String },
}

/// Knows what was told.
#[derive(Debug, Default)]
pub(super) struct CallbackLog {
    host: Option<String>,
    down_since: Option<Timestamp>,
    /// Given up since it was told last, and the last of them.
    dead: Option<(u64, UserId, String)>,
    dead_told_at: Option<Timestamp>,
}

impl CallbackLog {
    pub(super) fn new(url: Option<&ReceiverUrl>) -> Self {
        let mut log = Self::default();
        log.follow(url);
        log
    }

    /// Callbacks go there from now on. Whether another one was down is its own affair.
    pub(super) fn follow(&mut self, url: Option<&ReceiverUrl>) {
        self.host = url.map(|url| url.host().to_owned());
        self.down_since = None;
    }

    /// After an attempt: why it failed, if the receiver counts as down; `None` if it counts as up.
    pub(super) fn receiver(&mut self, now: Timestamp, down: Option<&str>, waiting: impl FnOnce() -> u64) {
        let line = self.judge(now, down, waiting);
        self.tell(line);
    }

    fn judge(
        &mut self,
        now: Timestamp,
        down: Option<&str>,
        waiting: impl FnOnce() -> u64,
    ) -> Option<LogLine> {
        match (down, self.down_since) {
            (Some(fault), None) => {
                self.down_since = Some(now);
                let fault = fault.to_owned();
                Some(LogLine::Down { fault })
            }
            (None, Some(since)) => {
                self.down_since = None;
                Some(LogLine::Back {
                    down_for: Duration::from_millis(now.0.saturating_sub(since.0)),
                    waiting: waiting(),
                })
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// A callback was given up.
    pub(super) fn buried(&mut self, dead: &Dead) {
        let count = self.dead.as_ref().map_or(0, |(count, ..)| *count);
        self.dead = Some((count + 1, dead.placed.recorded.user, dead.fault.clone()));
    }

    /// Says what has waited long enough.
    pub(super) fn tell_due(&mut self, now: Timestamp) {
        let line = self.dead_to_tell(now);
        self.tell(line);
    }

    fn dead_to_tell(&mut self, now: Timestamp) -> Option<LogLine> {
        let told = self.dead_told_at;
        if told.is_some_and(|told| now.0 < told.0 + millis(DEAD_TOLD_EVERY)) {
            return None;
        }
        let (count, user, fault) = self.dead.take()?;
        self.dead_told_at = Some(now);
        Some(LogLine::Dead { count, user, fault })
    }

    fn tell(&self, line: Option<LogLine>) {
        let host = self.host.as_deref().unwrap_or("none");
        match line {
            None => {}
            Some(LogLine::Down { fault }) => {
                tracing::warn!(
                    host,
                    fault,
                    "the callback receiver is down: callbacks wait in the store"
                );
            }
            Some(LogLine::Back { down_for, waiting }) => {
                let down_s = down_for.as_secs();
                tracing::info!(host, down_s, waiting, "the callback receiver is back");
            }
            Some(LogLine::Dead { count, user, fault }) => {
                tracing::warn!(host, count, last_user = %user, last_fault = fault, "callbacks were given up: see `holdfast callbacks list`");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform};
    use crate::logic::record::{Change, ChangeKind, RecordedChange};
    use crate::services::registry::archive::{Placed, Position};

    #[test]
    fn a_receiver_that_goes_and_comes_back_is_told_once_each() {
        let mut log = CallbackLog::new(Some(
            &ReceiverUrl::read("https://backend.example/secret-path").unwrap(),
        ));
        assert_eq!(log.host.as_deref(), Some("backend.example"));
        let mut see = |at, down| log.judge(Timestamp(at), down, || 7);
        assert_eq!(see(1_000, None), None);
        let fault = "connection refused".to_owned();
        assert_eq!(
            see(2_000, Some(&fault)),
            Some(LogLine::Down { fault: fault.clone() })
        );
        assert_eq!(see(3_000, Some("no answer")), None);
        let back = LogLine::Back {
            down_for: Duration::from_secs(20),
            waiting: 7,
        };
        assert_eq!(see(22_000, None), Some(back));
        assert_eq!(see(23_000, None), None);
    }

    fn dead(user: UserId) -> Dead {
        let change = Change {
            number: ChangeNumber(1),
            at: Timestamp(1),
            device: DeviceId {
                platform: Platform::Android,
                instance: InstanceId::MIN,
            },
            kind: ChangeKind::Logout,
            address: None,
        };
        let recorded = RecordedChange {
            user,
            change,
            session: ChangeNumber(1),
            previous: None,
        };
        Dead {
            placed: Placed {
                position: Position(1),
                recorded,
            },
            attempts: 1,
            at: Timestamp(1),
            fault: "no".to_owned(),
        }
    }

    #[test]
    fn what_is_given_up_is_told_at_once_and_then_together() {
        let mut log = CallbackLog::default();
        let user = UserId::new(b"alice").unwrap();
        let mut bury = |at: u64, count: u64| {
            for _ in 0..count {
                log.buried(&dead(user));
            }
            log.dead_to_tell(Timestamp(at))
        };
        let told = |count| {
            let fault = "no".to_owned();
            Some(LogLine::Dead { count, user, fault })
        };
        assert_eq!(bury(5, 0), None);
        assert_eq!(bury(5, 1), told(1));
        assert_eq!(bury(6, 40), None);
        assert_eq!(bury(60_004, 2), None);
        assert_eq!(bury(60_005, 0), told(42));
        assert_eq!(bury(900_000, 0), None);
    }
}
