//! What a process does with what it has to do: the membership's acts, and the model of the shards, the desk and the gate around it.

use super::process::{Back, Part, Presence, Todo, Why};
use super::shared_store::{Op, Reply};
use super::world::{Happening, World};
use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::services::cluster::act::{Alarm, MemberAct, MemberEnding, PartitionRequest};
use crate::services::cluster::event::{
    BeatAnswer, BuryAnswer, DepartAnswer, JoinAnswer, MemberEvent, PartitionNews, SurveyAnswer,
};
use crate::services::cluster::token::Token;
use crate::services::shared_store::calls::NodeState;

impl World {
    pub(super) fn carry_out(&mut self, slot: usize, life: u32, todo: Todo) {
        match todo {
            Todo::MemberEvent(event) => self.handle(slot, life, event),
            Todo::MemberAct(act) => self.act(slot, life, act),
            Todo::Answer(back, reply) => self.answered(slot, life, back, reply),
            Todo::Login(login) => self.login(slot, life, login),
            Todo::Query { partition, floor } => {
                let kept = None;
                self.gather(slot, life, partition, floor, kept);
            }
            Todo::Leave {
                partition,
                gathered,
                turn,
            } => self.leave(slot, life, partition, gathered, turn),
            Todo::LinkEnd { user, wish } => self.link_end(slot, life, user, wish),
            Todo::CommitAgain(partition) => self.send_commit(slot, life, partition),
        }
    }

    pub(super) fn handle(&mut self, slot: usize, life: u32, event: MemberEvent) {
        let is_tick = event == MemberEvent::Tick;
        let now = self.clock(slot);
        let is_traced = self.trace
            && !is_tick
            && !matches!(event, MemberEvent::Heard { .. } | MemberEvent::Witnessed { .. });
        let Some(process) = self.process(slot, life) else {
            return;
        };
        if is_tick {
            process.tick_waits = false;
        }
        if let MemberEvent::Joined(JoinAnswer::Joined(incarnation)) = event {
            process.incarnation = Some(incarnation);
        }
        let told = is_traced.then(|| shortened(&format!("{event:?}")));
        let mut acts = Vec::new();
        process.membership.handle(now, event, &mut acts);
        for act in acts.into_iter().rev() {
            process.todo.push_front(Todo::MemberAct(act));
        }
        if let Some(told) = told {
            println!("{} slot {slot}.{life} <- {told}", self.now);
        }
        if is_tick {
            self.give_up(slot, life, now);
            self.check_owners();
        }
    }

    pub(super) fn act(&mut self, slot: usize, life: u32, act: MemberAct) {
        if self.trace && !matches!(act, MemberAct::Lease(_)) {
            println!(
                "{} slot {slot}.{life} -> {}",
                self.now,
                shortened(&format!("{act:?}"))
            );
        }
        match act {
            MemberAct::Survey => self.request(slot, life, Op::Survey, Back::Survey),
            MemberAct::Join { over } => {
                let (node, site) = (self.slots[slot].node, self.slots[slot].site);
                self.request(slot, life, Op::Join { node, site, over }, Back::Join);
            }
            MemberAct::Beat {
                owner,
                number,
                state,
                unreachable,
            } => {
                if state == NodeState::Isolated {
                    self.history.counts.isolated += 1;
                }
                let op = Op::Beat {
                    owner,
                    number,
                    state,
                    unreachable,
                };
                self.request(slot, life, op, Back::Beat { owner, number });
            }
            MemberAct::Bury(row) => self.request(slot, life, Op::Bury(row), Back::Bury(row)),
            MemberAct::Depart { owner, state } => {
                self.request(slot, life, Op::Depart { owner, state }, Back::Depart(owner));
            }
            MemberAct::Publish { partition, token } => {
                self.request(slot, life, Op::Publish { partition, token }, Back::Nobody);
                for to in 0..self.slots.len() {
                    self.write_to(slot, to, MemberEvent::Told { partition, token });
                }
            }
            MemberAct::Ask {
                partition,
                token,
                request,
            } => self.ask(slot, life, (partition, token), request),
            MemberAct::Lease(lease) => {
                if let Some(process) = self.process(slot, life) {
                    process.lease = lease;
                }
            }
            MemberAct::Open {
                partition,
                grace_ends,
                epoch,
            } => self.open(slot, life, (partition, epoch), grace_ends),
            MemberAct::Resume { partition, epoch } => self.resume(slot, life, partition, epoch),
            MemberAct::Drop(partition) => self.drop_part(slot, life, partition),
            MemberAct::SendAway { until } => self.send_away(slot, life, until),
            MemberAct::Alarm(alarm) => self.alarm(alarm),
            MemberAct::End(ending) => self.end(slot, life, ending),
        }
    }

    fn send_away(&mut self, slot: usize, life: u32, until: Instant) {
        self.history.counts.sent_away += 1;
        self.check_sent_away(slot, life);
        let within = until.0.saturating_sub(self.clock(slot).0);
        if let Some(process) = self.process(slot, life) {
            process.parts.clear();
            process.incarnation = None;
        }
        self.close_links(slot, life, within);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.history.counts.alarms += 1;
        if !self.expects_loss {
            self.history
                .fail(self.now, &format!("an alarm without a reason: {alarm:?}"));
        }
    }

    pub(super) fn end(&mut self, slot: usize, life: u32, ending: MemberEnding) {
        let counts = &mut self.history.counts;
        match ending {
            MemberEnding::Drained => counts.drained += 1,
            MemberEnding::Stopped => counts.stopped += 1,
            MemberEnding::NameTaken => counts.name_taken += 1,
        }
        if self.process(slot, life).is_some() {
            self.kill(slot);
            let wait = self.random.u64(500..5_000);
            self.after(wait, Happening::Start { slot });
        }
    }

    pub(super) fn ask(
        &mut self,
        slot: usize,
        life: u32,
        (partition, token): (PartitionId, Token),
        request: PartitionRequest,
    ) {
        let back = Back::Partition { partition, token };
        let op = match request {
            PartitionRequest::Claim { expected } => Op::Claim {
                partition,
                expected,
                token,
            },
            PartitionRequest::Load => Op::Load(partition),
            PartitionRequest::Look => Op::Look(partition),
            PartitionRequest::Release { to } => Op::Release { partition, token, to },
            PartitionRequest::AcceptLoss { last } => Op::AcceptLoss {
                partition,
                token,
                last,
            },
            PartitionRequest::Settle => return self.settle(slot, life, partition),
        };
        self.request(slot, life, op, back);
    }

    pub(super) fn answered(&mut self, slot: usize, life: u32, back: Back, reply: Option<Reply>) {
        let event = match back {
            Back::Survey => MemberEvent::Surveyed(match reply {
                Some(Reply::NodeTable(table)) => SurveyAnswer::Known(table),
                _ => SurveyAnswer::Failed,
            }),
            Back::Join => MemberEvent::Joined(match reply {
                Some(Reply::Joined(incarnation)) => JoinAnswer::Joined(incarnation),
                Some(Reply::Occupied) => JoinAnswer::Occupied,
                _ => JoinAnswer::Failed,
            }),
            Back::Beat { owner, number } => MemberEvent::Beaten {
                owner,
                number,
                answer: match reply {
                    Some(Reply::Counted(table)) => BeatAnswer::Counted(table),
                    Some(Reply::Dead) => BeatAnswer::Dead,
                    Some(Reply::Stranger) => BeatAnswer::Stranger,
                    _ => BeatAnswer::Failed,
                },
            },
            Back::Bury(row) => MemberEvent::Buried {
                row,
                answer: match reply {
                    Some(Reply::Buried) => BuryAnswer::Dead,
                    Some(Reply::Alive) => BuryAnswer::Alive,
                    _ => BuryAnswer::Failed,
                },
            },
            Back::Depart(owner) => MemberEvent::Departed {
                owner,
                answer: match reply {
                    Some(Reply::Done) => DepartAnswer::Done,
                    _ => DepartAnswer::Failed,
                },
            },
            Back::Partition { partition, token } => MemberEvent::Partition {
                partition,
                token,
                news: self.news(slot, life, (partition, token), reply),
            },
            Back::Commit {
                partition,
                token,
                position,
            } => return self.committed(slot, life, (partition, token, position), reply),
            Back::Vouch { partition, token } => return self.vouched(slot, life, (partition, token), reply),
            Back::Nobody => return,
        };
        self.handle(slot, life, event);
    }

    pub(super) fn news(
        &mut self,
        slot: usize,
        life: u32,
        (partition, token): (PartitionId, Token),
        reply: Option<Reply>,
    ) -> PartitionNews {
        match reply {
            Some(Reply::Claimed) => PartitionNews::Claimed,
            Some(Reply::Taken) => PartitionNews::Taken,
            Some(Reply::Released) => PartitionNews::Released,
            Some(Reply::Fenced) => PartitionNews::Fenced,
            Some(Reply::WentOn) => PartitionNews::WentOn,
            Some(Reply::Looked { token, position }) => PartitionNews::Looked { token, position },
            Some(Reply::Loaded { position, online }) => {
                let mut part = Part::new(token);
                part.position = position;
                let away = Presence::Away {
                    due: Instant(u64::MAX),
                    why: Why::Grace,
                };
                part.users = online.into_iter().map(|user| (user, away)).collect();
                if let Some(process) = self.process(slot, life) {
                    process.parts.insert(partition, part);
                }
                PartitionNews::Loaded { position }
            }
            _ => PartitionNews::Failed,
        }
    }

    /// The desk's, the shards' and the gate's news.
    pub(super) fn tell(
        &mut self,
        slot: usize,
        life: u32,
        (partition, token): (PartitionId, Token),
        news: PartitionNews,
    ) {
        let event = MemberEvent::Partition {
            partition,
            token,
            news,
        };
        self.handle(slot, life, event);
    }

    pub(super) fn part(&mut self, slot: usize, life: u32, partition: PartitionId) -> Option<&mut Part> {
        self.process(slot, life)?.parts.get_mut(&partition)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(260).collect()
}
