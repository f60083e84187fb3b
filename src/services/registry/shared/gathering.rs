//! Requests of the HTTP server whose users are of several partitions: what has come of each part. Asks nobody itself.

use hashbrown::HashMap;

use crate::base::ids::{RequestId, UserId};
use crate::logic::delivery::{Delivery, RegistryError, ToHttp};
use crate::logic::record::UserRecord;
use crate::logic::user_status::{UserStatus, UserStatuses};

/// Names a request whose parts are under way.
pub(super) type GatheringId = u64;

/// A request.
#[derive(Debug)]
pub(super) enum GatheredRequest {
    /// Statuses of users whom no shard holds.
    Complete(UserStatuses),
    /// Which of these accounts exist, or existed before they were imported.
    Accounts(Vec<UserId>),
}

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartAnswer {
    /// Its users, each with the record that they have, or had before an import.
    Records(Vec<(UserId, Option<UserRecord>)>),
    /// Its users are not known now.
    Unavailable,
}

/// All requests with parts under way.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    open: HashMap<GatheringId, Gathering>,
    last: GatheringId,
}

#[derive(Debug)]
struct Gathering {
    request: RequestId,
    gathered: GatheredRequest,
    found: HashMap<UserId, Option<UserRecord>>,
    parts: usize,
    failed: bool,
}

impl Gatherings {
    /// A request in so many parts, of which some users are known already.
    pub(super) fn begin(
        &mut self,
        request: RequestId,
        gathered: GatheredRequest,
        found: HashMap<UserId, Option<UserRecord>>,
        parts: usize,
    ) -> GatheringId {
        self.last += 1;
        let gathering = Gathering {
            request,
            gathered,
            found,
            parts,
            failed: false,
        };
        self.open.insert(self.last, gathering);
        self.last
    }

    /// Something came of a part. Gives the answer, if it was the last.
    pub(super) fn add(&mut self, id: GatheringId, answer: PartAnswer) -> Option<Delivery> {
        let gathering = self.open.get_mut(&id).expect("a part is answered once");
        gathering.parts -= 1;
        match answer {
            // Of an account that is named twice the first counts.
            PartAnswer::Records(records) => records.into_iter().for_each(|(user, record)| {
                gathering.found.entry(user).or_insert(record);
            }),
            PartAnswer::Unavailable => gathering.failed = true,
        }
        self.finish(id)
    }

    /// The answer, if no part is missing.
    pub(super) fn finish(&mut self, id: GatheringId) -> Option<Delivery> {
        let is_whole = self.open.get(&id).is_some_and(|gathering| gathering.parts == 0);
        let gathering = is_whole.then(|| self.open.remove(&id))?;
        gathering.map(Gathering::answer)
    }
}

impl Gathering {
    fn answer(self) -> Delivery {
        let found = &self.found;
        let registered =
            |record: &Option<UserRecord>| record.as_ref().is_some_and(|record| record.registered);
        let reply = match self.gathered {
            GatheredRequest::Complete(mut statuses) => {
                statuses.resolve(|user| match found.get(user) {
                    None => UserStatus::Unavailable,
                    Some(Some(record)) if record.registered => UserStatus::of_record(record),
                    Some(_) => UserStatus::UnknownAccount,
                });
                ToHttp::Statuses(self.request, statuses)
            }
            GatheredRequest::Accounts(_) if self.failed => {
                ToHttp::Accounts(self.request, Err(RegistryError::Unavailable))
            }
            GatheredRequest::Accounts(users) => {
                let existed = users.iter().map(|user| found.get(user).is_some_and(registered));
                ToHttp::Accounts(self.request, Ok(existed.collect()))
            }
        };
        reply.into()
    }
}
