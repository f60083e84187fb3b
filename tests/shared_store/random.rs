//! Random calls to a real server and to a model in memory: they must always come to the same, and leave the same behind.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::base::ids::{PartitionId, UserId};
use super::model::{Kind, ModelPartition, ModelStore};
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::*;
use super::shared_store::client::RedisStore;
use super::shared_store::keys::PartitionKey;
use super::shared_store::outbox::{KeptStep, LateMember, StepGroup};
use super::shared_store::outcome::{Confirmation, Fence};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::Connection;

/// How many sequences of calls a run tries, and how long each is at most.
const SEQUENCES: u32 = 100;
const CALLS_MAX: usize = 60;

/// A call, with numbers that are only now and then what the store expects. Those that say "off" are added to what it does expect.
#[derive(Debug, Clone)]
enum Call {
    Claim {
        owner: u8,
        seen_off: i8,
        new_off: i8,
        own_format: bool,
    },
    Release {
        fence_off: i8,
        next: u8,
    },
    Commit {
        fence_off: i8,
        first_off: i8,
        count: u32,
        residents: Vec<u8>,
        others: Vec<u8>,
        gone: Vec<u8>,
    },
    Steps {
        fence_off: i8,
        number_off: i8,
        steps: Vec<KeptStep>,
    },
    Prune {
        fence_off: i8,
        back: u64,
    },
    Accept {
        fence_off: i8,
        off: i8,
    },
    Node(NodeCall),
    /// The last commit or group of steps once more.
    Again,
    Look,
}

#[derive(Debug, Clone)]
enum NodeCall {
    Join {
        node: u8,
        seen: Option<(u64, u64)>,
    },
    NodeBeat {
        node: u8,
        incarnation: u64,
        beat: u64,
        state: NodeState,
    },
    Bury {
        node: u8,
        incarnation: u64,
        beat: u64,
    },
    Leave {
        node: u8,
        incarnation: u64,
    },
    Publish {
        partition: u16,
        epoch: u64,
        owner: u8,
    },
}

/// Mostly nothing, seldom a little more or less.
fn off() -> impl Strategy<Value = i8> {
    prop_oneof![8 => Just(0_i8), 1 => -3_i8..0, 1 => 1_i8..3]
}

fn some_users() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_set(0_u8..12, 0..4).prop_map(|users| users.into_iter().collect())
}

fn step() -> impl Strategy<Value = KeptStep> {
    let late = || {
        (1_u64..6, 0_u8..3).prop_map(|(place, user)| LateMember {
            place,
            user: name(user),
        })
    };
    prop_oneof![
        (0_u64..100).prop_map(KeptStep::Cursor),
        late().prop_map(KeptStep::Late),
        late().prop_map(KeptStep::Done),
        (0_u8..3, 0_u64..9).prop_map(|(user, at)| KeptStep::Schedule(name(user), at, vec![at as u8])),
        (0_u8..3).prop_map(|user| KeptStep::Unschedule(name(user))),
        (1_u64..6, 0_u8..2).prop_map(|(place, text)| KeptStep::Bury(place, vec![place as u8, text])),
        (1_u64..6).prop_map(KeptStep::Unbury),
    ]
}

fn node_call() -> impl Strategy<Value = NodeCall> {
    let state = prop_oneof![
        Just(NodeState::Up),
        Just(NodeState::Draining),
        Just(NodeState::Restarting)
    ];
    let seen = || (1_u64..5, 0_u64..4);
    prop_oneof![
        (0_u8..2, prop::option::of(seen())).prop_map(|(node, seen)| NodeCall::Join { node, seen }),
        (0_u8..2, seen(), state).prop_map(|(node, (incarnation, beat), state)| NodeCall::NodeBeat {
            node,
            incarnation,
            beat,
            state
        }),
        (0_u8..2, seen()).prop_map(|(node, (incarnation, beat))| NodeCall::Bury {
            node,
            incarnation,
            beat
        }),
        (0_u8..2, 1_u64..5).prop_map(|(node, incarnation)| NodeCall::Leave { node, incarnation }),
        (0_u16..4, 1_u64..5, 0_u8..3).prop_map(|(partition, epoch, owner)| NodeCall::Publish {
            partition,
            epoch,
            owner
        }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let commit = (off(), off(), 0_u32..5, some_users(), some_users(), some_users()).prop_map(
        |(fence_off, first_off, count, residents, others, gone)| Call::Commit {
            fence_off,
            first_off,
            count,
            others: others
                .into_iter()
                .filter(|user| !residents.contains(user))
                .collect(),
            residents,
            gone,
        },
    );
    let steps =
        (off(), off(), prop::collection::vec(step(), 0..5)).prop_map(|(fence_off, number_off, steps)| {
            Call::Steps {
                fence_off,
                number_off,
                steps,
            }
        });
    prop_oneof![
        3 => (0_u8..3, off(), 0_i8..3, prop::bool::weighted(0.9)).prop_map(
            |(owner, seen_off, new_off, own_format)| Call::Claim { owner, seen_off, new_off, own_format }),
        1 => (off(), 0_u8..3).prop_map(|(fence_off, next)| Call::Release { fence_off, next }),
        9 => commit,
        5 => steps,
        1 => (off(), 0_u64..12).prop_map(|(fence_off, back)| Call::Prune { fence_off, back }),
        1 => (off(), off()).prop_map(|(fence_off, off)| Call::Accept { fence_off, off }),
        3 => node_call().prop_map(Call::Node),
        2 => Just(Call::Again),
        1 => Just(Call::Look),
    ]
}

fn name(number: u8) -> UserId {
    user(&format!("user{number}"))
}

/// Nobody is an owner, too: a release may name nobody.
fn owner(number: u8) -> String {
    if number == 0 {
        String::new()
    } else {
        format!("n{number}.{number}")
    }
}

fn moved(number: u64, off: i8) -> u64 {
    number.saturating_add_signed(i64::from(off))
}

const P: PartitionId = PartitionId(5);

struct Both<'a> {
    link: &'a mut Connection,
    store: &'a mut RedisStore,
    model: ModelStore,
    last_batch: Option<Batch>,
    last_group: Option<StepGroup>,
}

/// The same call to both; what came of it must be the same.
macro_rules! same {
    ($both:expr, $name:ident($($argument:expr),*)) => {
        prop_assert_eq!($both.store.$name($($argument),*), $both.model.$name($($argument),*))
    };
}

impl Both<'_> {
    fn partition(&self) -> ModelPartition {
        self.model.partitions.get(&P).cloned().unwrap_or_default()
    }

    fn fence(&self, off: i8) -> Fence {
        let fence = self.partition().fence();
        Fence {
            epoch: moved(fence.epoch, off),
            ..fence
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let places = self.partition().places;
        match call {
            Call::Claim {
                owner: number,
                seen_off,
                new_off,
                own_format,
            } => {
                let seen = self.fence(*seen_off);
                let epoch = moved(self.fence(0).epoch, *new_off);
                let mut claim = claim(P, super::samples::fence(&owner(*number), epoch), seen);
                if !own_format {
                    claim.format = "other".to_owned();
                }
                same!(self, claim(&claim));
            }
            Call::Release { fence_off, next } => {
                same!(self, release(P, &self.fence(*fence_off), &owner(*next)))
            }
            Call::Commit {
                fence_off,
                first_off,
                count,
                residents,
                others,
                gone,
            } => {
                let records = |users: &[u8]| {
                    users
                        .iter()
                        .map(|user| (name(*user), places.seq.to_string().into_bytes()))
                        .collect()
                };
                let first = moved(places.seq + 1, *first_off).max(1);
                let batch = Batch {
                    residents: records(residents),
                    others: records(others),
                    gone: gone.iter().copied().map(name).collect(),
                    ..batch(P, &self.fence(*fence_off), first, *count)
                };
                same!(self, commit(std::slice::from_ref(&batch)));
                self.last_batch = Some(batch);
            }
            Call::Steps {
                fence_off,
                number_off,
                steps,
            } => {
                let group = StepGroup {
                    partition: P,
                    fence: self.fence(*fence_off),
                    number: moved(places.steps + 1, *number_off),
                    steps: steps.clone(),
                };
                same!(self, steps(&group, Confirmation::Wanted));
                self.last_group = Some(group);
            }
            Call::Prune { fence_off, back } => {
                let keep_from = (places.seq + 2).saturating_sub(*back);
                same!(self, prune(P, &self.fence(*fence_off), keep_from));
            }
            Call::Accept { fence_off, off } => {
                same!(
                    self,
                    accept_loss(P, &self.fence(*fence_off), moved(places.seq, *off))
                );
            }
            Call::Node(call) => self.node_call(call)?,
            Call::Again => {
                if let Some(batch) = self.last_batch.clone() {
                    same!(self, commit(std::slice::from_ref(&batch)));
                }
                if let Some(group) = self.last_group.clone() {
                    same!(self, steps(&group, Confirmation::Wanted));
                }
            }
            Call::Look => same!(self, look(P)),
        }
        Ok(())
    }

    fn node_call(&mut self, call: &NodeCall) -> Result<(), TestCaseError> {
        let row = |incarnation, beat, state| NodeEntry {
            incarnation,
            beat,
            state,
            says: format!("beat {beat}").into_bytes(),
        };
        match call {
            NodeCall::Join { node, seen } => {
                let seen = seen.map(|(incarnation, beat)| row(incarnation, beat, NodeState::Up));
                same!(self, join(&owner(node + 1), seen.as_ref(), b"joined"));
            }
            NodeCall::NodeBeat {
                node,
                incarnation,
                beat,
                state,
            } => {
                let beat = NodeBeat {
                    node: owner(node + 1).into(),
                    row: row(*incarnation, *beat, *state),
                };
                let mut told = self.store.beat(&beat).unwrap();
                if let Beaten::Alive { nodes, .. } = &mut told.answer {
                    nodes.sort_by(|one, other| one.0.cmp(&other.0));
                }
                prop_assert_eq!(told, self.model.beat(&beat).unwrap());
            }
            NodeCall::Bury {
                node,
                incarnation,
                beat,
            } => {
                same!(
                    self,
                    bury(&owner(node + 1), &row(*incarnation, *beat, NodeState::Up))
                );
            }
            NodeCall::Leave { node, incarnation } => same!(self, leave(&owner(node + 1), *incarnation)),
            NodeCall::Publish {
                partition,
                epoch,
                owner: number,
            } => {
                same!(
                    self,
                    publish(
                        PartitionId(*partition),
                        &super::samples::fence(&owner(*number), *epoch)
                    )
                );
            }
        }
        Ok(())
    }

    /// What lies in the server's keys is what the model has.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let kept = self.partition();
        let link = RefCell::new(&mut *self.link);
        let ask = |words: &[&str]| {
            redis::cmd(words[0])
                .arg(&words[1..])
                .query::<redis::Value>(*link.borrow_mut())
                .unwrap()
        };
        let hash = |kept| -> BTreeMap<Vec<u8>, Vec<u8>> {
            redis::from_redis_value(ask(&["HGETALL", &key(P, kept)])).unwrap()
        };
        let of = |wanted: Kind| -> BTreeMap<Vec<u8>, Vec<u8>> {
            let users = kept.users.iter().filter(|(_, (kind, _))| *kind == wanted);
            users
                .map(|(user, (_, record))| (user.as_bytes().to_vec(), record.clone()))
                .collect()
        };
        prop_assert_eq!(hash(PartitionKey::Residents), of(Kind::Resident));
        prop_assert_eq!(hash(PartitionKey::Others), of(Kind::Other));
        let scores = |kept| -> Vec<(Vec<u8>, u64)> {
            redis::from_redis_value(ask(&["ZRANGE", &key(P, kept), "0", "-1", "WITHSCORES"])).unwrap()
        };
        let turns: BTreeMap<_, _> = scores(PartitionKey::Turns).into_iter().collect();
        let records = hash(PartitionKey::Schedules);
        let schedules = |(user, at): (Vec<u8>, u64)| {
            let record = records.get(&user).cloned().unwrap_or_default();
            (UserId::new(&user).unwrap(), (at, record))
        };
        prop_assert_eq!(turns.len(), records.len());
        prop_assert_eq!(
            turns.into_iter().map(schedules).collect::<BTreeMap<_, _>>(),
            kept.schedules
        );
        // Both orders of late callbacks: by place, and by user, then place.
        let by_place: Vec<_> = scores(PartitionKey::LateByPlace)
            .into_iter()
            .map(|(member, place)| (place, UserId::new(&member[8..]).unwrap()))
            .collect();
        let expected: Vec<_> = kept.late.keys().map(|late| (late.place, late.user)).collect();
        prop_assert_eq!(by_place, expected);
        let by_user: Vec<_> = scores(PartitionKey::LateByUser)
            .into_iter()
            .map(|(member, _)| {
                let (user, place) = member.split_at(32);
                let user: Vec<u8> = user.iter().copied().filter(|byte| *byte != 0).collect();
                (
                    UserId::new(&user).unwrap(),
                    u64::from_be_bytes(place.try_into().unwrap()),
                )
            })
            .collect();
        let mut expected: Vec<_> = kept.late.keys().map(|late| (late.user, late.place)).collect();
        expected.sort();
        prop_assert_eq!(by_user, expected);
        let dead: Vec<_> = scores(PartitionKey::Dead)
            .into_iter()
            .map(|(record, place)| (place, record))
            .collect();
        prop_assert_eq!(dead, kept.dead.into_iter().collect::<Vec<_>>());
        same!(self, stream(P, 0, 10_000));
        same!(self, outbox_counts(P));
        for place in 0..8 {
            same!(self, stream(P, place, 2));
            same!(self, batches(P, &[place, place + 3]));
            same!(self, turns(P, place, place + 2, 2));
            same!(self, late(P, place, 2));
            same!(self, dead(P, place, 2));
            same!(self, turn(P, &name(place as u8)));
            same!(self, late_of(P, &name(place as u8 % 3), place / 2, 2));
        }
        same!(self, look(P));
        let mut nodes = self.store.nodes().unwrap();
        nodes.sort_by(|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(nodes, self.model.nodes().unwrap());
        same!(self, map());
        let users: Vec<_> = (0..12).map(name).collect();
        let wanted = [(P, users)];
        same!(self, load(&wanted));
        Ok(())
    }
}

#[test]
fn whatever_is_called_comes_to_what_the_model_says() {
    let server = RedisServer::start(&[]);
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    };
    let calls = prop::collection::vec(call(), 1..CALLS_MAX);
    let link = RefCell::new(server.connect());
    let store = RefCell::new(store(&[server.url()], 0));
    let run = |calls: Vec<Call>| {
        let mut link = link.borrow_mut();
        let () = redis::cmd("FLUSHALL").query(&mut link).unwrap();
        let mut both = Both {
            link: &mut link,
            store: &mut store.borrow_mut(),
            model: ModelStore::default(),
            last_batch: None,
            last_group: None,
        };
        for call in &calls {
            both.call(call)?;
        }
        both.compare()
    };
    TestRunner::new(config)
        .run(&calls, run)
        .unwrap_or_else(|failure| panic!("{failure}"));
}
