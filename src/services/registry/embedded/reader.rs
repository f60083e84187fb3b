//! The readers' side of an embedded store: shared by all threads that may block. Shows only what is durable, and stays
//! usable, as far as the disk allows, while the store is closed and opened again.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use tokio::sync::watch;

use crate::base::ids::{ChangeNumber, UserId};
use crate::logic::record::UserRecord;
use crate::services::registry::archive::{Archive, Placed, Position, ReadError, ResumeAfter};
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::embedded::check::TableCheck;
use crate::services::registry::embedded::errors::{WriteError, undecodable, unread, unreadable};
use crate::services::registry::embedded::files::{CURSOR_KEY, Files};
use crate::services::registry::embedded::settings::StoreLocation;
use crate::services::registry::embedded::{late, tidy};
use crate::services::registry::health::RegistryHealth;

/// The files of a store, with what everyone asks of them.
pub struct StoreReader {
    place: StoreLocation,
    id: u64,
    /// `None` while the store could not be opened again.
    files: RwLock<Option<Files>>,
    pub(super) news: watch::Sender<Position>,
    pub(super) late_count: AtomicU64,
    pub(super) dead_count: AtomicU64,
    /// Before this time, in Unix milliseconds, nobody is scheduled; `u64::MAX`: nobody at all. What was scheduled and is done leaves marks in the
    /// database for a while, and reading past them all each time would cost more the more there were. Only the
    /// callback service's own thread schedules and looks, so nothing comes in between.
    pub(super) schedule_from: AtomicU64,
    /// Before this place nothing is late; `u64::MAX`: nothing at all. It is there for the same reason, and safe by the same.
    pub(super) late_from: AtomicU64,
    /// No durable change behind this place owes a callback. It is set before the changes up to it are published, so that who
    /// has nobody to tell of them need not read them.
    owing_to: AtomicU64,
    /// A write beside the registry's own failed: the database takes no more until it is opened again.
    pub(super) failed: AtomicBool,
    /// Something was read that is not what was written. The registry looks for it in its next rest.
    pub(super) damaged: AtomicBool,
    /// Up to here the loss of changes that may have owed a callback was told.
    told_lost_to: AtomicU64,
    pub(super) health: RegistryHealth,
    /// Steps of the outbox are taken one after the other, so that each counts what it found.
    pub(super) taking: Mutex<()>,
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl StoreReader {
    pub(super) fn new(place: StoreLocation, files: Files, last: Position) -> Result<Self, ReadError> {
        let (late, dead) = late::counts(&files)?;
        Ok(Self {
            place,
            id: files.id,
            files: RwLock::new(Some(files)),
            news: watch::Sender::new(last),
            late_count: AtomicU64::new(late),
            dead_count: AtomicU64::new(dead),
            schedule_from: AtomicU64::new(0),
            late_from: AtomicU64::new(0),
            owing_to: AtomicU64::new(last.0),
            failed: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            told_lost_to: AtomicU64::new(0),
            health: RegistryHealth::default(),
            taking: Mutex::new(()),
        })
    }

    /// Works with the open files.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Files) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let files = self.files.read().expect("nobody panics with the files in hand");
        let files = files
            .as_ref()
            .ok_or_else(|| unreadable("it could not be opened again"))?;
        work(files).inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &ReadError) {
        match error {
            ReadError::Damaged(_) => {
                self.health.met_damage();
                self.damaged.store(true, Ordering::Release);
            }
            ReadError::Lost(_) => self.health.met_damage(),
            ReadError::Store(_) | ReadError::Hole(_) | ReadError::Pruned(_) => {}
        }
    }

    /// Changes up to this place, which is behind `from`, are lost, and with them the callbacks that they may have owed.
    pub(super) fn lost(&self, from: Position, to: Position) {
        if self.told_lost_to.fetch_max(to.0, Ordering::AcqRel) < to.0 {
            self.health.lost_changes(to.0 - from.0);
            let (first, last) = (from.0 + 1, to.0);
            tracing::warn!(
                first,
                last,
                "changes are lost by damage: nobody can be told of them"
            );
        }
    }

    /// Closes the files, opens them again when what they need is sound, and has them put in order before anyone sees them. If that fails they stay
    /// closed until the next time.
    pub(super) fn reopen(
        &self,
        look: TableCheck,
        put_in_order: impl FnOnce(&Files) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut files = self.files.write().expect("nobody panics with the files in hand");
        drop(files.take());
        let opened = Files::open(&self.place, look).map_err(WriteError::of)?;
        put_in_order(&opened)?;
        tidy::tidy(&opened).map_err(WriteError::of)?;
        let (late, dead) = late::counts(&opened).map_err(WriteError::of)?;
        self.late_count.store(late, Ordering::Release);
        self.dead_count.store(dead, Ordering::Release);
        self.schedule_from.store(0, Ordering::Release);
        self.late_from.store(0, Ordering::Release);
        if look == TableCheck::AtAll {
            // What was met before was found by this look.
            self.damaged.store(false, Ordering::Release);
        }
        *files = Some(opened);
        Ok(())
    }

    /// Something is damaged, and is still there after all damaged tables were replaced.
    fn not_mended(&self, text: &str) -> ReadError {
        let path = self.place.path.display();
        unreadable(format_args!(
            "a table of `users` in {path} cannot be read: {text}; `holdfast store verify --path {path}` looks at all of them"
        ))
    }

    /// The change at this place owes a callback.
    pub(super) fn owes(&self, place: Position) {
        self.owing_to.fetch_max(place.0, Ordering::AcqRel);
    }

    /// Whether there may be a change behind this place that owes a callback.
    pub(super) fn may_owe_behind(&self, place: Position) -> bool {
        place.0 < self.owing_to.load(Ordering::Acquire)
    }

    /// All changes up to this place are durable.
    pub(super) fn publish(&self, last: Position) {
        self.news.send_if_modified(|known| {
            let newer = *known < last;
            *known = (*known).max(last);
            newer
        });
    }

    /// The place from which on nothing is missing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn oldest(&self) -> Result<Position, ReadError> {
        self.with(Files::pruned)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.with(|files| Ok(files.memory_bytes())).unwrap_or(0)
    }

    /// Up to where nobody needs the changes any more but for their age. A late callback is written before the cursor that
    /// leaves it behind, and read after it here.
    pub(super) fn prunable(&self) -> Result<Position, ReadError> {
        let cursor = self.with(|files| Ok(Position(files.number(CURSOR_KEY)?.unwrap_or(0))))?;
        let first_late = self.with(late::first_late)?;
        Ok(first_late.map_or(cursor, |late| cursor.min(Position(late.0 - 1))))
    }
}

impl Archive for StoreReader {
    fn store_id(&self) -> u64 {
        self.id
    }

    fn last(&self) -> Position {
        *self.news.borrow()
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        let last = self.last();
        self.with(|files| {
            let pruned = files.pruned()?;
            if after < pruned {
                return Err(ReadError::Pruned(pruned));
            }
            if after >= last {
                return Ok(Vec::new());
            }
            let changes = files.changes_behind(after, last, count_max);
            // What was pruned while this was read is missing in it. It was noted before it went.
            match files.pruned()? {
                pruned if after < pruned => Err(ReadError::Pruned(pruned)),
                _ => changes,
            }
        })
    }

    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        self.with(|files| {
            let mut place = files.user(user)?.map_or(Position(0), |known| known.last);
            let pruned = files.pruned()?;
            // Of a long history only as much is kept as is asked for.
            let mut page = VecDeque::new();
            let mut oldest: Option<ChangeNumber> = None;
            while place > pruned {
                let link = match (files.change(place), &oldest) {
                    (Ok(Some(link)), _) => link,
                    // One that is pruned at this moment.
                    (Ok(None), _) if place <= files.pruned()? => break,
                    (Ok(None) | Err(ReadError::Lost(_)), Some(oldest)) => {
                        return Err(ReadError::Hole(ResumeAfter::Number(ChangeNumber(oldest.0 - 1))));
                    }
                    (Ok(None), None) => return Err(ReadError::Lost(format!("the newest change of {user}"))),
                    (Err(error), _) => return Err(error),
                };
                let number = link.recorded.change.number;
                if number <= after {
                    break;
                }
                let before = link.before;
                if before >= place {
                    return Err(undecodable(format!(
                        "the change at {} follows no earlier one",
                        place.0
                    )));
                }
                if place <= self.last() {
                    page.push_front(link.placed(place));
                    page.truncate(count_max);
                }
                if number == after.next() {
                    break;
                }
                oldest = Some(number);
                place = before;
            }
            Ok(page.into())
        })
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        self.with(|files| {
            // The smallest key behind a UserID is the UserID and a zero.
            let start = after.map_or(Vec::new(), |user| [user.as_str().as_bytes(), &[0]].concat());
            let lack = files.holes.next_users(after);
            let end = lack.as_ref().map_or(Bound::Unbounded, |lack| {
                Bound::Excluded(lack.from.clone().max(start.clone()))
            });
            let all = files.users.range((Bound::Included(start), end)).map(user_record);
            let registered =
                all.filter(|known| known.as_ref().map_or(true, |(_, known)| known.record.registered));
            let page = registered.take(count_max);
            let page = page.map(|known| known.map(|(user, known)| (user, known.record)));
            let page: Vec<_> = page.collect::<Result<_, _>>()?;
            match lack {
                Some(lack) if page.is_empty() => Err(match lack.behind {
                    Some(behind) => ReadError::Hole(ResumeAfter::User(behind)),
                    None => ReadError::Lost("the rest of the users".to_owned()),
                }),
                Some(_) | None => Ok(page),
            }
        })
    }

    fn residents(&self, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        let (mut walk, mut mended_at) = (Walk::default(), None);
        while let Err(error) = self.with(|files| walk.go_on(files, take)) {
            let ReadError::Damaged(text) = error else {
                return Err(error);
            };
            if mended_at.as_ref() == Some(&walk.start) {
                return Err(self.not_mended(&text));
            }
            mended_at = Some(walk.start.clone());
            self.reopen(TableCheck::AtAll, |_| Ok(())).map_err(unreadable)?;
        }
        walk.tell_lost();
        Ok(())
    }
}

/// A walk along all users, which can be interrupted.
#[derive(Default)]
struct Walk {
    /// The first key that was not looked at yet.
    start: Vec<u8>,
    /// Users whose newest record is lost.
    lost: u64,
}

impl Walk {
    fn go_on(&mut self, files: &Files, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        for guard in files.users.range(self.start.clone()..) {
            let (name, bytes) = guard.into_inner().map_err(unread)?;
            match files.trusted_user(&name, &bytes) {
                Ok((user, known)) if !known.record.devices.is_empty() => take(user, known.record),
                Ok(_) => {}
                Err(ReadError::Lost(_)) => self.lost += 1,
                Err(error) => return Err(error),
            }
            self.start.clear();
            self.start.extend_from_slice(&name);
            self.start.push(0);
        }
        Ok(())
    }

    fn tell_lost(&self) {
        if self.lost > 0 {
            let lost = self.lost;
            tracing::warn!(
                lost,
                "the newest records of users are lost by damage: they are not restored"
            );
        }
    }
}

fn user_record(guard: fjall::Guard) -> Result<(UserId, StoredRecord), ReadError> {
    let (name, bytes) = guard.into_inner().map_err(unread)?;
    let user = UserId::new(&name).map_err(undecodable)?;
    Ok((user, codec::decode_user(&bytes)?))
}
