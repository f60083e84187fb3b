//! On the way into the cluster: is the name free, does another process of this name live, which life is this? Holds no partition.

use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::act::{MemberAct, MemberEnding};
use crate::services::cluster::event::{JoinAnswer, SurveyAnswer};
use crate::services::cluster::membership::{Beat, Duty, Flight, Member, Membership, Standing};
use crate::services::cluster::settings::{BEAT, RETRY, SEND_AWAY};
use crate::services::cluster::table::{NodeTable, RowVersion};
use crate::services::cluster::token::Owner;
use crate::services::cluster::watch::Watch;

impl Membership {
    /// Asks for the table if that is due.
    pub(super) fn survey(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let (Standing::Surveying(survey) | Standing::Waiting { survey, .. }) = &mut self.standing else {
            return;
        };
        if let Flight::Due(at) = *survey
            && at <= now
        {
            *survey = Flight::Sent(now);
            acts.push(MemberAct::Survey);
        }
    }

    pub(super) fn surveyed(&mut self, now: Instant, answer: SurveyAnswer, acts: &mut Vec<MemberAct>) {
        let (Standing::Surveying(Flight::Sent(sent))
        | Standing::Waiting {
            survey: Flight::Sent(sent),
            ..
        }) = self.standing
        else {
            return;
        };
        match answer {
            SurveyAnswer::Known(table) => {
                self.learn(sent, now, table);
                self.enter(now, acts);
            }
            SurveyAnswer::Failed => self.survey_again(now.after(RETRY)),
        }
    }

    fn survey_again(&mut self, at: Instant) {
        if let Standing::Surveying(survey) | Standing::Waiting { survey, .. } = &mut self.standing {
            *survey = Flight::Due(at);
        }
    }

    /// What the store has told.
    pub(super) fn learn(&mut self, sent: Instant, now: Instant, table: NodeTable) {
        self.watch.answered(sent, now, &table.nodes);
        self.heard_of = Some(sent);
        for (partition, token) in (0..).map(PartitionId).zip(&table.hints) {
            self.map.hear(partition, *token);
        }
        self.nodes = table.nodes;
    }

    /// The table is known: joins, waits, or gives up.
    fn enter(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let node = self.settings.node;
        let row = self.nodes.get(&node);
        let version = row.map(|row| row.version(node));
        let other = row.filter(|row| row.state.beats() && row.site != self.settings.site);
        match (other.and(version), &self.standing) {
            (None, _) => {
                acts.push(MemberAct::Join { over: version });
                self.standing = Standing::Joining { sent: now };
            }
            (Some(row), Standing::Waiting { row: before, .. }) if row != *before => {
                self.end(MemberEnding::NameTaken, acts);
            }
            (Some(row), _) => self.wait(now, row, acts),
        }
    }

    /// Another process has this name on record, elsewhere. It is dead once its beat has stood still as any node's.
    fn wait(&mut self, now: Instant, row: RowVersion, acts: &mut Vec<MemberAct>) {
        self.standing = Standing::Waiting {
            row,
            survey: Flight::Due(now.after(BEAT)),
        };
        if let Some(row) = self.watch.overdue(now, row.owner.node, self.settings.dead, BEAT) {
            acts.push(MemberAct::Bury(row));
        }
    }

    pub(super) fn joined(&mut self, now: Instant, answer: JoinAnswer, acts: &mut Vec<MemberAct>) {
        let Standing::Joining { sent } = self.standing else {
            return;
        };
        match answer {
            JoinAnswer::Joined(incarnation) => {
                let owner = Owner {
                    node: self.settings.node,
                    incarnation,
                };
                self.standing = Standing::Member(Member {
                    owner,
                    joined: now,
                    beat: Beat {
                        number: 0,
                        flight: Flight::Due(now),
                    },
                    contact: sent,
                    lease: Lease::Never,
                    duty: Duty::Serving,
                    verdict: None,
                    unreached_since: None,
                });
                self.beat(now, acts);
            }
            JoinAnswer::Occupied | JoinAnswer::Failed => {
                self.standing = Standing::Surveying(Flight::Due(now.after(RETRY)));
            }
        }
    }

    /// This life is over: all links are sent away, all state is forgotten, and another life begins.
    pub(super) fn begin_anew(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        acts.push(MemberAct::Lease(Lease::Never));
        acts.push(MemberAct::SendAway {
            until: now.after(SEND_AWAY),
        });
        let ending = match self.member().map(|member| member.duty) {
            Some(Duty::Draining) => Some(MemberEnding::Drained),
            Some(Duty::Stopping) => Some(MemberEnding::Stopped),
            Some(Duty::Serving | Duty::Isolated) | None => None,
        };
        self.holdings.clear();
        self.vacant_since.clear();
        self.watch = Watch::new(self.settings.contact_gap_max());
        self.standing = Standing::Surveying(Flight::Due(now));
        if let Some(ending) = ending {
            self.end(ending, acts);
        }
    }
}
