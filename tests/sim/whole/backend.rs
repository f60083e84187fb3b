//! Backends ask a node for statuses. As the HTTP server does, it asks the home of each user, a shard of its own or another node, and what
//! was gathered leaves if the lease has held since it was asked, by a clock that is read then.

use super::history::Seen;
use super::world::{Happening, Place, World};
use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::cluster::home::Home;
use crate::logic::delivery::{ToHttp, ToShard};
use crate::logic::user_status::{QueryDepth, StatusList, UserStatus};

/// A question, and what was known of those that it is about when it was asked.
pub(super) struct Question {
    pub(super) floors: Vec<(usize, u64)>,
    /// How many of them had an answer.
    pub(super) answered: usize,
}

impl World {
    /// Somebody asks some node for some users.
    pub(super) fn question(&mut self) {
        if self.is_quiet {
            return;
        }
        let wait = self.random.u64(80..400);
        self.after(wait, Happening::Question);
        let host = self.random.usize(0..self.hosts.len());
        let first = self.random.usize(0..self.people.len());
        let count = self.random.usize(1..=4);
        let users = (first..self.people.len()).take(count).collect();
        self.ask_for(host, users);
    }

    /// A node is asked for users. Gives the question's number, if it runs.
    pub(super) fn ask_for(&mut self, host: usize, users: Vec<usize>) -> Option<u64> {
        let place = self.place(host)?;
        let question = self.number();
        let floors = users.iter().map(|user| (*user, self.history.known(*user)));
        let floors = floors.collect();
        let answered = 0;
        self.questions.insert(question, Question { floors, answered });
        let local = false;
        self.soon(Happening::Part {
            question,
            place,
            local,
            users,
        });
        Some(question)
    }

    /// Some node is asked for all.
    pub(super) fn ask_all(&mut self) {
        let host = self.random.usize(0..self.hosts.len());
        self.last_question = self.ask_for(host, (0..self.people.len()).collect());
    }

    /// A process is asked for users, by a backend or, for those at home there alone, by another node.
    pub(super) fn part(&mut self, question: u64, place: Place, local: bool, users: Vec<usize>) {
        let (now, clock) = (self.now, self.clock(place.host).instant);
        let shards = self.plan.shards;
        let Some(process) = self.process(place) else {
            return;
        };
        if process.http_until > now {
            let at = process.http_until;
            return self.at(
                at,
                Happening::Part {
                    question,
                    place,
                    local,
                    users,
                },
            );
        }
        process.asked.entry(question).or_insert(clock);
        let homes = process.member.homes();
        let mut here: Vec<Vec<UserId>> = vec![Vec::new(); usize::from(shards)];
        let mut there: Vec<Vec<usize>> = vec![Vec::new(); self.hosts.len()];
        for user in users {
            let id = self.people[user].id;
            match homes.home(&id) {
                Home::Here(_) => here[usize::from(id.home(shards).0)].push(id),
                Home::There(node) if !local => there[usize::from(node.0 - 1)].push(user),
                Home::There(_) | Home::Nobody => self.history.counts.withheld += 1,
            }
        }
        for (shard, users) in (0..).map(ShardId).zip(here) {
            if !users.is_empty() {
                self.told(|| format!("{place:?} {shard:?} is asked {question}: {users:?}"));
                let query = ToShard::Query(RequestId(question), QueryDepth::Devices, users);
                self.deliver(place, shard, query);
            }
        }
        for (host, users) in there.into_iter().enumerate() {
            if !users.is_empty()
                && self.cut[place.host][host] <= now
                && let Some(place) = self.place(host)
            {
                let local = true;
                self.soon(Happening::Part {
                    question,
                    place,
                    local,
                    users,
                });
            }
        }
    }

    /// A shard or the desk has an answer for the HTTP server, which may stand still before the answer leaves.
    pub(super) fn replied(&mut self, place: Place, reply: ToHttp) {
        let wait = self.random.u64(0..2);
        let reply = Box::new(reply);
        self.after(wait, Happening::Leave { place, reply });
    }

    pub(super) fn leave(&mut self, place: Place, reply: ToHttp) {
        let clock = self.clock(place.host).instant;
        let now = self.now;
        let Some(process) = self.process(place) else {
            return;
        };
        if process.http_until > now {
            let (at, reply) = (process.http_until, Box::new(reply));
            return self.at(at, Happening::Leave { place, reply });
        }
        let ToHttp::Statuses(RequestId(question), statuses) = reply else {
            unreachable!("nobody asks for anything else")
        };
        if !process.member.lease().covers(process.asked[&question], clock) {
            self.history.counts.withheld += 1;
            return;
        }
        let StatusList::Devices(found) = statuses.statuses else {
            unreachable!("devices are asked for")
        };
        for (user, status) in statuses.users.iter().zip(found) {
            self.show(question, user, status);
        }
    }

    fn show(&mut self, question: u64, user: &UserId, status: UserStatus) {
        let at = self.now;
        let person = self.people.iter().position(|person| person.id == *user);
        let person = person.expect("it is one of the world's");
        let known = self.questions.get_mut(&question).expect("it was asked");
        let (_, floor) = *known
            .floors
            .iter()
            .find(|(of, _)| *of == person)
            .expect("it was asked for");
        let (change, devices) = match status {
            UserStatus::Unavailable => {
                self.history.counts.withheld += 1;
                return;
            }
            UserStatus::UnknownAccount => (0, Vec::new()),
            UserStatus::Known { change, devices } => {
                let devices = devices.as_slice().iter();
                let mut devices: Vec<_> = devices.map(|known| (known.device, known.status)).collect();
                devices.sort();
                (change.0, devices)
            }
            UserStatus::Unresolved => return self.fail("nobody has looked a user up"),
        };
        known.answered += 1;
        self.told(|| format!("{question} shows user {person} after {change}, {floor} was known"));
        let seen = Seen {
            at,
            person,
            change,
            devices,
        };
        self.was_seen(floor, seen);
    }
}
