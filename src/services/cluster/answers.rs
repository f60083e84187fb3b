//! The partitions that this node holds, takes or gives. Carries out what the table of a tenure says; decides nothing.

use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::services::cluster::act::{Alarm, MemberAct};
use crate::services::cluster::event::PartitionNews;
use crate::services::cluster::holdings::Holding;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::settings::RETRY;
use crate::services::cluster::tenure::{NextStage, Surroundings, Tenure};
use crate::services::cluster::token::Token;

impl Membership {
    /// A stage begins with its request.
    pub(super) fn begin(
        &mut self,
        partition: PartitionId,
        token: Token,
        tenure: Tenure,
        acts: &mut Vec<MemberAct>,
    ) {
        self.holdings.set(partition, token, tenure);
        if let Some(request) = tenure.request() {
            acts.push(MemberAct::Ask {
                partition,
                token,
                request,
            });
        }
    }

    pub(super) fn ask_again(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        for (partition, holding) in self.holdings.iter_mut() {
            if holding.again_at.is_some_and(|at| at <= now)
                && let Some(request) = holding.tenure.request()
            {
                holding.again_at = None;
                acts.push(MemberAct::Ask {
                    partition: *partition,
                    token: holding.token,
                    request,
                });
            }
        }
    }

    /// An answer, or what a commit has found. What was asked under another token is of the past.
    pub(super) fn partition_news(
        &mut self,
        now: Instant,
        (partition, token): (PartitionId, Token),
        news: PartitionNews,
        acts: &mut Vec<MemberAct>,
    ) {
        let Some(holding) = self
            .holdings
            .get(partition)
            .filter(|holding| holding.token == token)
        else {
            return;
        };
        let around = Surroundings {
            witnessed: self.witness.position(partition),
            heir: (news == PartitionNews::Settled)
                .then(|| self.heir(now, partition))
                .flatten(),
        };
        match holding.tenure.on(token, news, around) {
            NextStage::Nothing => {}
            NextStage::Again => {
                let again_at = Some(now.after(RETRY));
                self.holdings.put(partition, Holding { again_at, ..holding });
            }
            NextStage::Stage(token, tenure) => {
                self.begin(partition, token, tenure, acts);
                self.entered(now, partition, (holding.tenure, tenure), acts);
            }
            NextStage::Over(found) => self.over(partition, holding, found, acts),
        }
    }

    /// What a stage brings besides its request.
    fn entered(
        &mut self,
        now: Instant,
        partition: PartitionId,
        (before, tenure): (Tenure, Tenure),
        acts: &mut Vec<MemberAct>,
    ) {
        let Some(Holding { token, .. }) = self.holdings.get(partition) else {
            return;
        };
        match (before, tenure) {
            (Tenure::Confirming { .. }, Tenure::Open) => {
                acts.push(MemberAct::Open {
                    partition,
                    epoch: token.epoch,
                    grace_ends: now.after(self.settings.restart_grace),
                });
                self.own(partition, token, acts);
            }
            (_, Tenure::Open) => {
                acts.push(MemberAct::Resume {
                    partition,
                    epoch: token.epoch,
                });
                self.own(partition, token, acts);
            }
            (_, Tenure::Behind { position, witnessed }) => acts.push(MemberAct::Alarm(Alarm::Behind {
                partition,
                stored: position,
                witnessed,
            })),
            (_, _) => {}
        }
    }

    fn own(&mut self, partition: PartitionId, token: Token, acts: &mut Vec<MemberAct>) {
        if self.map.token(partition) != token {
            self.map.correct(partition, token);
            acts.push(MemberAct::Publish { partition, token });
        }
    }

    /// The partition is not this node's.
    fn over(
        &mut self,
        partition: PartitionId,
        holding: Holding,
        found: Option<Token>,
        acts: &mut Vec<MemberAct>,
    ) {
        self.holdings.remove(partition);
        if let Some(found) = found {
            self.map.correct(partition, found);
            acts.push(MemberAct::Publish {
                partition,
                token: found,
            });
        }
        if !matches!(holding.tenure, Tenure::Claiming { .. } | Tenure::Verifying) {
            acts.push(MemberAct::Drop(partition));
        }
    }
}
