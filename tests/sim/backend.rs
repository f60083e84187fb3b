//! What the app backend asks for.

use crate::base::ids::{DeviceId, RequestId, ShardId, UserId};
use crate::logic::user_status::QueryDepth;
use crate::sim::checks::{self, Failure};
use crate::sim::model::user::Whom;
use crate::sim::world::{Event, World};

impl World {
    /// A new request that concerns one of the users.
    pub(crate) fn request(&mut self) -> (RequestId, UserId, ShardId) {
        let pool = self.random.usize(..self.pools.len());
        let user = self.pools[pool].0;
        self.requests += 1;
        let number = self.requests * self.pools.len() as u64 + pool as u64;
        (RequestId(number), user, user.home(self.shard_count()))
    }

    pub(crate) fn kick(&mut self) -> Result<(), Failure> {
        let (request, user, home) = self.request();
        let whom = match self.random.u8(..4) {
            0 | 1 => Whom::Everyone,
            2 => Whom::Account,
            _ => self.some_device(user).map_or(Whom::Everyone, Whom::Device),
        };
        self.note(|| format!("kick {request:?} of {user}: {whom:?}"));
        self.happen(home, &Event::Kick(request, user, whom))
    }

    fn some_device(&mut self, user: UserId) -> Option<DeviceId> {
        let (_, devices) = self.pools.iter().find(|(known, _)| *known == user)?;
        let devices = devices.clone();
        self.random.choice(devices)
    }

    /// The backend registers an account of which nothing is under way.
    pub(crate) fn import(&mut self) {
        let (_, user, _) = self.request();
        if self.model.is_quiet(user) {
            self.note(|| format!("import of {user}"));
            self.registry.records.entry(user).or_default().registered = true;
            self.model.imported(user);
        }
    }

    pub(crate) fn inspect(&mut self) -> Result<(), Failure> {
        let (request, user, home) = self.request();
        self.happen(home, &Event::Inspect(request, user))
    }

    pub(crate) fn query(&mut self) -> Result<(), Failure> {
        let (request, user, home) = self.request();
        let depth = match request.0 % 2 {
            0 => QueryDepth::Status,
            _ => QueryDepth::Devices,
        };
        self.happen(home, &Event::Query(request, depth, vec![user]))
    }

    pub(crate) fn query_all(&mut self) -> Result<(), Failure> {
        for shard in self.shard_ids() {
            let (request, ..) = self.request();
            let users = self.pools.iter().map(|(user, _)| *user);
            let users: Vec<UserId> = users
                .filter(|user| user.home(self.shard_count()) == shard)
                .collect();
            self.happen(shard, &Event::Query(request, QueryDepth::Status, users.clone()))?;
            let (request, ..) = self.request();
            self.happen(shard, &Event::Query(request, QueryDepth::Devices, users))?;
            let counters = self.shards[usize::from(shard.0)].logic().counters();
            checks::compare_counters(counters, shard, &self.model)?;
            self.check_messages(shard)?;
        }
        Ok(())
    }
}
