//! Who owns a partition, as the store keeps it: a token that changes with every owner, so that a store can refuse whatever names
//! another one. Plain data.

use sha2::{Digest, Sha256};

use crate::base::ids::{Epoch, NodeId};

/// One life of a node. The store counts them, so that none has the number of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// A node in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Which node.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// Tells one holder of a node's lock file from another: made of the host's boot, and of the file. Who holds the file and finds this
/// site on record knows that the process before it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site(pub u64);

impl Site {
    /// The site of a host's boot, by its id, and of a lock file, by what tells it from all others of the host.
    #[must_use]
    pub fn of(boot: &str, lock_file: &str) -> Self {
        let digest = Sha256::digest(format!("{boot}\0{lock_file}"));
        let first = digest.first_chunk().expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// A partition's owner and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Token {
    /// Nobody, before the first claim and after a release to nobody.
    pub owner: Option<Owner>,
    /// Never falls, and rises with every owner.
    pub epoch: Epoch,
}

impl Token {
    /// The token of the owner after this one.
    #[must_use]
    pub fn passed_to(self, owner: Option<Owner>) -> Self {
        Self {
            owner,
            epoch: self.epoch.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_or_another_lock_file_is_another_site() {
        let site = Site::of("boot", "8:1:77");
        assert_eq!(site, Site::of("boot", "8:1:77"));
        assert_ne!(site, Site::of("boot", "8:1:78"));
        assert_ne!(site, Site::of("later boot", "8:1:77"));
    }
}
