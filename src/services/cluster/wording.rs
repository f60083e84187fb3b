//! Between a member's words and those of the shared store: tokens and fences, nodes and their names. Decides nothing.

use crate::base::ids::{Epoch, NodeId};
use crate::services::cluster::table::RowVersion;
use crate::services::cluster::token::{Incarnation, Owner, Token};
use crate::services::shared_store::calls::{NodeEntry, NodeState};
use crate::services::shared_store::outcome::Fence;

/// How the shared store names a node.
pub(super) fn name_of(node: NodeId) -> String {
    node.0.to_string()
}

/// The node of this name; `None` if no node has such a name.
pub(super) fn node_named(name: &str) -> Option<NodeId> {
    name.parse().ok().map(NodeId)
}

/// How the shared store names an owner; nobody has no name.
pub(super) fn owner_text(owner: Option<Owner>) -> String {
    owner.map_or(String::new(), |owner| {
        format!("{}.{}", owner.node.0, owner.incarnation.0)
    })
}

/// A token as the shared store has it.
pub(super) fn fence_of(token: Token) -> Fence {
    Fence {
        owner: owner_text(token.owner).into(),
        epoch: token.epoch.0,
    }
}

/// A fence as a member reckons with it; `None` if no member has written it.
pub(super) fn token_of(fence: &Fence) -> Option<Token> {
    let owner = match fence.owner.split_once('.') {
        None if fence.owner.is_empty() => None,
        None => return None,
        Some((node, incarnation)) => Some(Owner {
            node: node_named(node)?,
            incarnation: Incarnation(incarnation.parse().ok()?),
        }),
    };
    let epoch = Epoch(fence.epoch);
    Some(Token { owner, epoch })
}

/// A row that is named by what it was. State and words do not count.
pub(super) fn entry_of(row: RowVersion) -> NodeEntry {
    NodeEntry {
        incarnation: row.owner.incarnation.0,
        beat: row.beat,
        state: NodeState::Up,
        says: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_fence_and_back() {
        let owner = Owner {
            node: NodeId(3),
            incarnation: Incarnation(17),
        };
        let check = |owner, text: &str| {
            let epoch = Epoch(9);
            let fence = fence_of(Token { owner, epoch });
            assert_eq!((&*fence.owner, fence.epoch), (text, 9));
            assert_eq!(token_of(&fence), Some(Token { owner, epoch }));
        };
        check(Some(owner), "3.17");
        check(None, "");
        for stranger in ["3", "3.", ".1", "a.1", "70000.1", "3.1.2"] {
            let owner = stranger.into();
            assert_eq!(token_of(&Fence { owner, epoch: 1 }), None, "{stranger}");
        }
    }
}
