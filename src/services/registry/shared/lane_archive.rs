//! What readers of the registry see of a lane in the shared store. Writes nothing.

use std::collections::{HashSet, VecDeque};

use crate::base::ids::{ChangeNumber, UserId};
use crate::logic::record::UserRecord;
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::shared::lane::SharedLane;
use crate::services::registry::shared::listed_names::{ListedNames, NameGathering};
use crate::services::shared_store::calls::{LOAD_USERS_MAX, RecordHash, SharedStore};

impl<S: SharedStore + Send> Archive for SharedLane<S> {
    fn store_id(&self) -> u64 {
        self.source().store_id
    }

    fn last(&self) -> Position {
        self.confirmed()
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        if after >= self.last() || count_max == 0 {
            return Ok(Vec::new());
        }
        self.stretch(after, count_max)
    }

    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        let known = self.records(&[*user])?.pop().flatten();
        let mut place = known.map_or(Position(0), |known| known.last);
        // Of a long history only as much is kept as is asked for.
        let mut page = VecDeque::new();
        while place > Position(0) {
            let Some(link) = self.link_of(user, place)? else {
                break;
            };
            let number = link.recorded.change.number;
            if number <= after {
                break;
            }
            let before = link.before;
            if before >= place {
                return Err(codec::Damage("change").into());
            }
            if place <= self.last() {
                page.push_front(link.placed(place));
                page.truncate(count_max);
            }
            if number == after.next() {
                break;
            }
            place = before;
        }
        Ok(page.into())
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        let (mut page, mut after) = (Vec::new(), after.copied());
        while page.len() < count_max {
            let names = self.names_behind(after, count_max - page.len())?;
            let Some(last) = names.last() else {
                break;
            };
            after = Some(*last);
            for (user, known) in names.iter().zip(self.records(&names)?) {
                let registered = known.filter(|known| known.record.registered);
                page.extend(registered.map(|known| (*user, known.record)));
            }
        }
        Ok(page)
    }

    fn residents(&self, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        let mut taken = HashSet::new();
        self.scan(RecordHash::Residents, |user, record| {
            if taken.insert(user) {
                take(user, codec::decode_user(record)?.record);
            }
            Ok(())
        })
    }
}

impl<S: SharedStore> SharedLane<S> {
    /// Records of at most [`LOAD_USERS_MAX`] users, in their order.
    fn records(&self, users: &[UserId]) -> Result<Vec<Option<StoredRecord>>, ReadError> {
        let partition = self.source().partition;
        let wanted = [(partition, users.to_vec())];
        let loaded = self.call(|store| store.load(&wanted).pop().expect("one was asked for"))?;
        let loaded = loaded.answer.records.into_iter();
        let decoded = loaded.map(|known| known.map(|(_, record)| codec::decode_user(&record)).transpose());
        Ok(decoded.collect::<Result<_, _>>()?)
    }

    /// The change of this user at this place, unless it is pruned.
    fn link_of(&self, user: &UserId, place: Position) -> Result<Option<ChainedChange>, ReadError> {
        let link = self.changes_at(&[place.0])?.pop().flatten();
        match link {
            // The record came of a master that was deposed.
            Some(link) if link.recorded.user != *user => Err(ReadError::Store(format!(
                "the change at {} is not of {user}",
                place.0
            ))),
            link => Ok(link),
        }
    }

    /// At most so many names of users behind `after`, in their order; none if there are no others. One who goes from one hash to the
    /// other meanwhile may be missing: the change that brought that about is in the stream.
    fn names_behind(&self, after: Option<UserId>, count_max: usize) -> Result<Vec<UserId>, ReadError> {
        let mut listed = self.names.lock().expect("nobody panics while listing");
        if listed.behind(after.as_ref()).is_none() {
            let mut gathering = NameGathering::behind(after);
            for hash in [RecordHash::Residents, RecordHash::Others] {
                self.scan(hash, |user, _| {
                    gathering.add(user);
                    Ok(())
                })?;
            }
            *listed = gathering.finish();
        }
        let rest = listed.rest(after.as_ref());
        let names = rest[..rest.len().min(count_max).min(LOAD_USERS_MAX)].to_vec();
        if names.is_empty() {
            *listed = ListedNames::default();
        }
        Ok(names)
    }
}
