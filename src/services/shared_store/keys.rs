//! Where things are in the shared store: which hash tag a partition has, and the names of its keys. All keys of a partition lie in one
//! slot, and partitions lie evenly over the slots. Knows nothing of values.

use crate::base::ids::PartitionId;

/// Slots of a Redis or Valkey cluster, as its specification says.
pub const SLOTS: u16 = 16_384;
/// More partitions than this would need more nodes than anyone has.
pub const PARTITIONS_MAX: u16 = 4_096;

/// The slot of a hash tag: CRC-16/XMODEM of its bytes, as the cluster specification says.
#[must_use]
pub fn slot_of(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// What is kept of a partition, each under a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKey {
    /// Owner, epoch, places.
    Meta,
    /// Users with a device that is not Offline.
    Residents,
    /// All other users.
    Others,
    /// Batches of changes.
    Stream,
    /// How late users stand.
    Schedules,
    /// Which late user is due when.
    Turns,
    /// Late callbacks by place.
    LateByPlace,
    /// Late callbacks by user.
    LateByUser,
    /// Dead letters by place.
    Dead,
}

impl PartitionKey {
    fn letter(self) -> char {
        match self {
            Self::Meta => 'm',
            Self::Residents => 'r',
            Self::Others => 'o',
            Self::Stream => 's',
            Self::Schedules => 'l',
            Self::Turns => 'z',
            Self::LateByPlace => 'c',
            Self::LateByUser => 'w',
            Self::Dead => 'd',
        }
    }
}

/// The hash tags of all partitions.
#[derive(Debug, Clone)]
pub struct Tags(Vec<u32>);

impl Tags {
    /// The tags of so many partitions: each is the smallest decimal number in the slot that the partition has.
    ///
    /// # Panics
    /// If `partitions` is no power of two up to [`PARTITIONS_MAX`].
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        assert!(
            partitions.is_power_of_two() && partitions <= PARTITIONS_MAX,
            "a power of two"
        );
        let mut tags = vec![None; usize::from(partitions)];
        let step = SLOTS / partitions;
        let mut missing = partitions;
        for tag in 0_u32.. {
            let slot = slot_of(tag.to_string().as_bytes());
            let found = &mut tags[usize::from(slot / step)];
            if slot.is_multiple_of(step) && found.is_none() {
                *found = Some(tag);
                missing -= 1;
            }
            if missing == 0 {
                break;
            }
        }
        Self(tags.into_iter().flatten().collect())
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.0.len()
    }

    /// The slot of a partition.
    #[must_use]
    pub fn slot(&self, partition: PartitionId) -> u16 {
        partition.0 * (SLOTS / self.0.len() as u16)
    }

    /// The key of what is kept of a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn key(&self, partition: PartitionId, kept: PartitionKey) -> Vec<u8> {
        format!("hf:{{{}}}{}", self.0[usize::from(partition.0)], kept.letter()).into_bytes()
    }
}

/// The keys of what all nodes of a cluster share. They lie in one slot.
#[derive(Debug, Clone)]
pub struct SharedKeys {
    /// The slot.
    pub slot: u16,
    /// What the cluster was founded with.
    pub founding: Vec<u8>,
    /// The last incarnation.
    pub incarnation: Vec<u8>,
    /// Rows of nodes, by name.
    pub nodes: Vec<u8>,
    /// Owners of partitions.
    pub map: Vec<u8>,
}

impl SharedKeys {
    /// Those of the cluster with this name. A name has no braces, since they would end the tag.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = |what| format!("{{hf:{name}}}{what}").into_bytes();
        Self {
            slot: slot_of(format!("hf:{name}").as_bytes()),
            founding: key("conf"),
            incarnation: key("inc"),
            nodes: key("nodes"),
            map: key("map"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_that_of_the_specification() {
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn every_partition_has_a_tag_in_its_slot() {
        for (partitions, largest) in [(1, 0), (256, 69_572), (1_024, 69_572), (4_096, u32::MAX)] {
            let tags = Tags::new(partitions);
            assert_eq!(tags.partitions(), usize::from(partitions));
            for (tag, partition) in tags.0.iter().zip(0..) {
                assert_eq!(
                    slot_of(tag.to_string().as_bytes()),
                    tags.slot(PartitionId(partition))
                );
                assert!(*tag <= largest || partitions == 1, "{tag}");
            }
        }
    }

    #[test]
    fn stored_names_stay_what_they_are() {
        let tags = Tags::new(256);
        let first: Vec<u32> = tags.0.iter().copied().take(4).collect();
        assert_eq!(first, [3_560, 11_423, 40_821, 41_742]);
        assert_eq!(tags.key(PartitionId(1), PartitionKey::Stream), b"hf:{11423}s");
    }
}
