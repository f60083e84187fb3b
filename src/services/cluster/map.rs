//! Who owns what, as far as this node has heard. A later epoch takes the place of an earlier one, whoever tells it first.

use crate::base::ids::{Epoch, PartitionId};
use crate::services::cluster::token::Token;

/// The last known token of every partition.
#[derive(Debug)]
pub(super) struct PartitionMap(Vec<Known>);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    token: Token,
    /// The highest epoch ever heard of: a store that lost a claim shows a lower one.
    highest: Epoch,
}

impl PartitionMap {
    pub(super) fn new(partitions: u16) -> Self {
        Self(vec![Known::default(); usize::from(partitions)])
    }

    pub(super) fn token(&self, partition: PartitionId) -> Token {
        self.0
            .get(usize::from(partition.0))
            .copied()
            .unwrap_or_default()
            .token
    }

    /// The token with which `self` would follow the present one: its epoch is above all that was heard of.
    pub(super) fn before_next(&self, partition: PartitionId) -> Token {
        let known = self.0.get(usize::from(partition.0)).copied().unwrap_or_default();
        Token {
            epoch: known.highest,
            ..known.token
        }
    }

    /// Somebody tells a token.
    pub(super) fn hear(&mut self, partition: PartitionId, token: Token) {
        if let Some(known) = self.0.get_mut(usize::from(partition.0))
            && token.epoch > known.token.epoch
        {
            known.token = token;
            known.highest = known.highest.max(token.epoch);
        }
    }

    /// This is what the store has, vouched for.
    pub(super) fn correct(&mut self, partition: PartitionId, token: Token) {
        if let Some(known) = self.0.get_mut(usize::from(partition.0)) {
            known.token = token;
            known.highest = known.highest.max(token.epoch);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (PartitionId, Token)> {
        (0..).map(PartitionId).zip(self.0.iter().map(|known| known.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_not_believed_but_from_the_store_itself() {
        let mut map = PartitionMap::new(1);
        let partition = PartitionId(0);
        let token = |epoch| Token {
            owner: None,
            epoch: Epoch(epoch),
        };
        map.hear(partition, token(5));
        map.hear(partition, token(4));
        assert_eq!(map.token(partition), token(5));
        map.correct(partition, token(3));
        assert_eq!(map.token(partition), token(3));
        assert_eq!(map.before_next(partition).passed_to(None), token(6));
        map.hear(PartitionId(1), token(9));
        assert_eq!(map.token(PartitionId(1)), Token::default());
    }
}
