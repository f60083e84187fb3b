//! A lane that a test makes up.

use super::*;
use crate::logic::record::{Change, ChangeKind, RecordedChange, UserRecord};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};

pub(super) const STORE: u64 = 7;

/// Keeps changes behind a place, and the users that a test put there.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) kept: Mutex<Kept>,
    pub(super) reads: std::sync::atomic::AtomicUsize,
}

#[derive(Default)]
pub(super) struct Kept {
    changes: Vec<Placed>,
    pub(super) pruned: u64,
    pub(super) users: BTreeMap<String, UserRecord>,
    pub(super) broken: bool,
}

impl Archive for Shelf {
    fn store_id(&self) -> u64 {
        STORE
    }

    fn last(&self) -> Position {
        let kept = self.kept.lock().unwrap();
        kept.changes
            .last()
            .map_or(Position(kept.pruned), |placed| placed.position)
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        let kept = self.kept.lock().unwrap();
        self.reads.fetch_add(1, Ordering::Relaxed);
        if kept.broken {
            return Err(ReadError::Store("the disk is gone".to_owned()));
        }
        if after.0 < kept.pruned {
            return Err(ReadError::Pruned(Position(kept.pruned)));
        }
        let behind = kept.changes.iter().filter(|placed| placed.position > after);
        Ok(behind.take(count_max).cloned().collect())
    }

    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        let kept = self.kept.lock().unwrap();
        let all = kept.changes.iter().map(|placed| (&placed.recorded, placed));
        let theirs = all.filter(|(change, _)| change.user == *user && change.change.number > after);
        Ok(theirs.take(count_max).map(|(_, placed)| placed.clone()).collect())
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        let kept = self.kept.lock().unwrap();
        let behind = kept
            .users
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after.as_str()));
        Ok(behind
            .take(count_max)
            .map(|(name, record)| (user(name), record.clone()))
            .collect())
    }

    fn residents(&self, _: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        panic!("the HTTP server does not ask this")
    }
}

impl Shelf {
    /// Adds a user's next change.
    pub(super) fn add(&self, name: &str, kind: ChangeKind) -> Position {
        let mut kept = self.kept.lock().unwrap();
        let last = kept
            .changes
            .last()
            .map_or(kept.pruned, |placed| placed.position.0);
        let position = Position(last + 1);
        let earlier = kept
            .changes
            .iter()
            .filter(|placed| placed.recorded.user == user(name));
        let change = Change {
            number: ChangeNumber(earlier.count() as u64 + 1),
            at: Timestamp(1_700_000_000_123),
            device: device(),
            kind,
            address: Some(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        };
        let recorded = RecordedChange {
            user: user(name),
            session: ChangeNumber(1),
            previous: Some(ChangeNumber(0)),
            change,
        };
        kept.changes.push(Placed { position, recorded });
        position
    }
}
