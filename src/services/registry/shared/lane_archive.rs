//! What readers of the registry see of a lane in the shared store. Writes nothing.

use std::collections::{HashSet, VecDeque};

use crate::base::ids::{ChangeNumber, UserId};
use crate::logic::record::UserRecord;
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::shared::lane::SharedLane;
use crate::services::registry::shared::listed_names::{ListedNames, NameGathering};
use crate::services::shared_store::calls::{LOAD_USERS_MAX, RecordHash, SharedStore};
use crate::services::shared_store::outcome::Vouched;

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
        let known = self.records(&[*user])?.answer.pop().flatten();
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
            for (user, known) in names.iter().zip(self.confirmed_records(&names)?) {
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
    /// Records of at most [`LOAD_USERS_MAX`] users, in their order. The last change of one may not be confirmed yet.
    fn records(&self, users: &[UserId]) -> Result<Vouched<Vec<Option<StoredRecord>>>, ReadError> {
        let wanted = [(self.source().partition, users.to_vec())];
        let Vouched { answer, copies } =
            self.call(|store| store.load(&wanted).pop().expect("one for each"))?;
        self.own(&answer.fence)?;
        let records = answer.records.into_iter();
        let decoded = records.map(|known| known.map(|(_, record)| codec::decode_user(&record)).transpose());
        let answer = decoded.collect::<Result<_, _>>()?;
        Ok(Vouched { answer, copies })
    }

    /// The same, of changes that are confirmed, or could be: WAIT vouches for as much.
    fn confirmed_records(&self, users: &[UserId]) -> Result<Vec<Option<StoredRecord>>, ReadError> {
        let Vouched { answer, copies } = self.records(users)?;
        let last = self.confirmed();
        let early = answer.iter().flatten().find(|known| known.last > last);
        match early.filter(|_| copies < self.source().copies) {
            Some(known) => Err(ReadError::Store(format!(
                "the change at {} is not confirmed yet",
                known.last.0
            ))),
            None => Ok(answer),
        }
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
