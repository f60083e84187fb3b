//! What tests ask of a shared store: claims, batches, users.
#![allow(dead_code, reason = "each test uses a part of it")]

use super::base::ids::{PartitionId, UserId};
use super::shared_store::calls::{Batch, Claim, Claimed, Opaque, Places, SharedStore};
use super::shared_store::client::RedisStore;
use super::shared_store::outbox::{LateMember, StepGroup};
use super::shared_store::outcome::{Confirmation, Fence, Outcome, Vouched};

pub const FORMAT: &str = "1 store";

pub fn fence(owner: &str, epoch: u64) -> Fence {
    Fence {
        owner: owner.into(),
        epoch,
    }
}

pub fn claim(partition: PartitionId, fence: Fence, seen: Fence) -> Claim {
    Claim {
        partition,
        fence,
        seen,
        format: FORMAT.to_owned(),
    }
}

/// Claims a partition that nobody owns, in epoch 1.
pub fn own(store: &mut RedisStore, partition: PartitionId, owner: &str) -> Fence {
    let mine = fence(owner, 1);
    let claimed = store
        .claim(&claim(partition, mine.clone(), Fence::none()))
        .unwrap();
    assert_eq!(claimed.answer, Claimed::Granted(Places::default()));
    mine
}

/// A batch of this many changes, from `first` on, that names its first place in its bytes.
pub fn batch(partition: PartitionId, fence: &Fence, first: u64, count: u32) -> Batch {
    Batch {
        partition,
        fence: fence.clone(),
        first,
        count,
        durable: first - 1,
        latest: 1_000 + first,
        changes: format!("changes {first}+{count}").into_bytes(),
        residents: Vec::new(),
        others: Vec::new(),
        gone: Vec::new(),
    }
}

/// Takes steps; gives the number of the last group.
pub fn take(store: &mut impl SharedStore, group: &StepGroup) -> Outcome<Vouched<u64>> {
    let Vouched { answer, copies } = store.steps(group, Confirmation::Wanted)?;
    Ok(Vouched {
        answer: answer.number,
        copies,
    })
}

pub fn late(name: &str, place: u64) -> LateMember {
    LateMember {
        place,
        user: user(name),
    }
}

pub fn user(name: &str) -> UserId {
    UserId::new(name.as_bytes()).unwrap()
}

pub fn users(names: &[&str], record: &str) -> Vec<(UserId, Opaque)> {
    names
        .iter()
        .map(|name| (user(name), record.as_bytes().to_vec()))
        .collect()
}
