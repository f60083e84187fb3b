//! The tenure of one partition: from the claim to the hand-over. Pure: an answer comes in, the next stage comes out. Each stage asks for
//! one thing at a time, and all that is asked may be asked twice.
//!
//! ```text
//!  Claiming ──claimed──> Loading ──loaded──> Confirming ──looked, mine──> Open ──settle──> Settling ──settled──> Releasing ──> gone
//!     │                   ^  ^ └<──looked, more changes──┘     │           ^ │                │                      │
//!   taken                 │  │                                 │           │ fenced <──fenced─┴───────fenced─────────┘
//!     v                   │  │                      looked, behind         │ v
//!  Verifying ──looked, mine┘  │                                v           └─┤ Doubted ──looked, rolled back──> Reclaiming ──┐
//!     └──looked, another's──> gone                          Behind           │    ^                                │ taken    │
//!                                                              └──accepted──>┘    └────────────────────────────────┘  claimed:
//!                                                                                                                     Open
//! ```
//! From `Verifying`, `Confirming` and `Doubted` a look that shows another owner ends the tenure. From `Open` a desk that finds confirmed
//! changes lost leads to `Behind` too. The operator leads from there to `Accepting`, and the store's answer to `Loading`.

use crate::services::cluster::act::PartitionRequest;
use crate::services::cluster::event::PartitionNews;
use crate::services::cluster::token::{Owner, Token};

/// Where a partition is on its way into this node's hands, or out of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenure {
    /// The claim is with the store.
    Claiming { expected: Token },
    /// The claim was refused; perhaps an earlier one of the same had counted.
    Verifying,
    /// Residents are on their way to the shards.
    Loading,
    /// They are there, as far as this position; is it still this node's?
    Confirming { position: u64 },
    /// The store lacks what was confirmed. Nothing is decided until the operator says so.
    Behind { position: u64, witnessed: u64 },
    /// The operator has said so: the store is asked to go on behind this position, so that no place is given twice.
    Accepting { last: u64 },
    /// Users log in.
    Open,
    /// A commit was refused: has another node the partition, has the store lost the claim, or did a former master answer?
    Doubted,
    /// The store has lost the claim. It is claimed again, and the users stay.
    Reclaiming { expected: Token },
    /// The shards finish what is in flight.
    Settling { then: AfterSettling },
    /// The hand-over is with the store.
    Releasing { to: Token },
}

/// What follows once nothing is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterSettling {
    /// Another node gets it.
    Release,
    /// It stays this node's, for its next life.
    Keep,
}

/// What an answer may need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// The highest position that a peer has seen confirmed.
    pub(super) witnessed: u64,
    /// Who is to have the partition next.
    pub(super) heir: Option<Owner>,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStage {
    /// Nothing: it does not belong to this stage.
    Nothing,
    /// The same is asked again, after a while.
    Again,
    /// This stage, under this token.
    Stage(Token, Tenure),
    /// It is over. What the store has is known, or the claim stays for the next life.
    Over(Option<Token>),
}

impl Tenure {
    /// What it asks for, if it waits for an answer.
    pub(super) fn request(self) -> Option<PartitionRequest> {
        match self {
            Self::Claiming { expected } | Self::Reclaiming { expected } => {
                Some(PartitionRequest::Claim { expected })
            }
            Self::Verifying | Self::Confirming { .. } | Self::Doubted => Some(PartitionRequest::Look),
            Self::Loading => Some(PartitionRequest::Load),
            Self::Settling { .. } => Some(PartitionRequest::Settle),
            Self::Releasing { to } => Some(PartitionRequest::Release { to }),
            Self::Accepting { last } => Some(PartitionRequest::AcceptLoss { last }),
            Self::Behind { .. } | Self::Open => None,
        }
    }

    /// Whether it is on its way in.
    pub(super) fn is_adoption(self) -> bool {
        matches!(
            self,
            Self::Claiming { .. }
                | Self::Verifying
                | Self::Loading
                | Self::Confirming { .. }
                | Self::Accepting { .. }
        )
    }

    /// Whether it is on its way out.
    pub(super) fn is_release(self) -> bool {
        matches!(self, Self::Settling { .. } | Self::Releasing { .. })
    }

    /// The table. `token` is what this node has, or hopes to have.
    pub(super) fn on(self, token: Token, news: PartitionNews, around: Surroundings) -> NextStage {
        use PartitionNews as News;
        let stage = |tenure| NextStage::Stage(token, tenure);
        match (self, news) {
            (Self::Claiming { .. }, News::Claimed) => stage(Self::Loading),
            (Self::Claiming { .. }, News::Taken) => stage(Self::Verifying),
            (Self::Loading, News::Loaded { position }) => stage(Self::Confirming { position }),
            (
                Self::Verifying | Self::Confirming { .. } | Self::Doubted,
                News::Looked {
                    token: found,
                    position,
                },
            ) => self.looked(token, found, position, around.witnessed),
            (
                Self::Open
                | Self::Settling {
                    then: AfterSettling::Release,
                },
                News::Behind { position, confirmed },
            ) => stage(Self::Behind {
                position,
                witnessed: confirmed,
            }),
            (
                Self::Settling {
                    then: AfterSettling::Keep,
                },
                News::Behind { .. },
            ) => NextStage::Over(None),
            (Self::Behind { position, witnessed }, News::LossAccepted) => stage(Self::Accepting {
                last: position.max(witnessed),
            }),
            // Whose the partition is, the look shows that follows.
            (Self::Accepting { .. }, News::WentOn | News::Fenced) => stage(Self::Loading),
            (Self::Reclaiming { .. }, News::Claimed) => stage(Self::Open),
            (Self::Reclaiming { .. }, News::Taken)
            | (Self::Open | Self::Settling { .. } | Self::Releasing { .. }, News::Fenced) => {
                stage(Self::Doubted)
            }
            (Self::Settling { then }, News::Settled) => match then {
                AfterSettling::Release => stage(Self::Releasing {
                    to: token.passed_to(around.heir),
                }),
                AfterSettling::Keep => NextStage::Over(None),
            },
            (Self::Releasing { to }, News::Released) => NextStage::Over(Some(to)),
            (_, News::Failed) if self.request().is_some() => NextStage::Again,
            (
                _,
                News::Claimed
                | News::Taken
                | News::Loaded { .. }
                | News::Looked { .. }
                | News::Settled
                | News::Released
                | News::Fenced
                | News::Failed
                | News::LossAccepted
                | News::Behind { .. }
                | News::WentOn,
            ) => NextStage::Nothing,
        }
    }

    /// The present master was asked, and the answer vouched for.
    fn looked(self, token: Token, found: Token, position: u64, witnessed: u64) -> NextStage {
        if found != token {
            // The store may have lost the claim of a partition whose users are here; others begin anew.
            let rolled_back = self == Self::Doubted && found.epoch < token.epoch;
            return if rolled_back {
                let again = Token {
                    epoch: token.epoch.next(),
                    ..token
                };
                NextStage::Stage(again, Self::Reclaiming { expected: found })
            } else {
                NextStage::Over(Some(found))
            };
        }
        let next = match self {
            Self::Verifying => Self::Loading,
            Self::Confirming { position: loaded } if loaded != position => Self::Loading,
            Self::Confirming { .. } if position < witnessed => Self::Behind { position, witnessed },
            Self::Confirming { .. }
            | Self::Doubted
            | Self::Claiming { .. }
            | Self::Loading
            | Self::Behind { .. }
            | Self::Accepting { .. }
            | Self::Open
            | Self::Reclaiming { .. }
            | Self::Settling { .. }
            | Self::Releasing { .. } => Self::Open,
        };
        NextStage::Stage(token, next)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::base::ids::{Epoch, NodeId};
    use crate::services::cluster::token::Incarnation;

    fn token(node: u16, epoch: u64) -> Token {
        Token {
            owner: Some(Owner {
                node: NodeId(node),
                incarnation: Incarnation(u64::from(node) * 10),
            }),
            epoch: Epoch(epoch),
        }
    }

    fn told(token: Token) -> String {
        let owner = token
            .owner
            .map_or("nobody".to_owned(), |owner| format!("node {}", owner.node.0));
        format!("({owner}, {})", token.epoch.0)
    }

    fn told_tenure(tenure: Tenure) -> String {
        match tenure {
            Tenure::Claiming { expected } => format!("Claiming over {}", told(expected)),
            Tenure::Reclaiming { expected } => format!("Reclaiming over {}", told(expected)),
            Tenure::Releasing { to } => format!("Releasing to {}", told(to)),
            Tenure::Settling { then } => format!("Settling, then {then:?}"),
            Tenure::Confirming { position } => format!("Confirming {position}"),
            Tenure::Behind { position, witnessed } => format!("Behind, {position} of {witnessed}"),
            Tenure::Accepting { last } => format!("Accepting up to {last}"),
            Tenure::Verifying | Tenure::Loading | Tenure::Open | Tenure::Doubted => format!("{tenure:?}"),
        }
    }

    fn told_news(news: PartitionNews) -> String {
        match news {
            PartitionNews::Looked { token, position } => format!("Looked {} at {position}", told(token)),
            PartitionNews::Loaded { position } => format!("Loaded {position}"),
            PartitionNews::Claimed
            | PartitionNews::Taken
            | PartitionNews::Settled
            | PartitionNews::Released
            | PartitionNews::Fenced
            | PartitionNews::Failed
            | PartitionNews::LossAccepted
            | PartitionNews::WentOn => format!("{news:?}"),
            PartitionNews::Behind { position, confirmed } => format!("Behind, {position} of {confirmed}"),
        }
    }

    fn told_next(mine: Token, next: NextStage) -> String {
        match next {
            NextStage::Nothing => "-".to_owned(),
            NextStage::Again => "ask again".to_owned(),
            NextStage::Stage(token, tenure) if token == mine => told_tenure(tenure),
            NextStage::Stage(token, tenure) => format!("{} as {}", told_tenure(tenure), told(token)),
            NextStage::Over(Some(found)) => format!("over: {}", told(found)),
            NextStage::Over(None) => "over: kept".to_owned(),
        }
    }

    /// Node 1 holds the partition with epoch 5; a peer has seen position 40 confirmed.
    #[test]
    fn the_whole_table() {
        let mine = token(1, 5);
        let stages = [
            Tenure::Claiming {
                expected: token(2, 4),
            },
            Tenure::Verifying,
            Tenure::Loading,
            Tenure::Confirming { position: 40 },
            Tenure::Confirming { position: 39 },
            Tenure::Behind {
                position: 39,
                witnessed: 40,
            },
            Tenure::Accepting { last: 40 },
            Tenure::Open,
            Tenure::Doubted,
            Tenure::Reclaiming {
                expected: token(2, 4),
            },
            Tenure::Settling {
                then: AfterSettling::Release,
            },
            Tenure::Settling {
                then: AfterSettling::Keep,
            },
            Tenure::Releasing { to: token(3, 6) },
        ];
        let looked = |token, position| PartitionNews::Looked { token, position };
        let all_news = [
            PartitionNews::Claimed,
            PartitionNews::Taken,
            PartitionNews::Loaded { position: 40 },
            looked(mine, 40),
            looked(mine, 39),
            looked(token(2, 4), 40),
            looked(token(3, 6), 40),
            PartitionNews::Settled,
            PartitionNews::Released,
            PartitionNews::Fenced,
            PartitionNews::Failed,
            PartitionNews::LossAccepted,
            PartitionNews::Behind {
                position: 38,
                confirmed: 41,
            },
            PartitionNews::WentOn,
        ];
        let around = Surroundings {
            witnessed: 40,
            heir: token(3, 6).owner,
        };
        let mut table = String::new();
        for stage in stages {
            for news in all_news {
                let next = told_next(mine, stage.on(mine, news, around));
                let (stage, news) = (told_tenure(stage), told_news(news));
                writeln!(table, "{stage:<28} {news:<26} {next}").expect("a string takes all");
            }
        }
        insta::assert_snapshot!(table);
    }
}
