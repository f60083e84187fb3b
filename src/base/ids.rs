//! The names of things: users, devices, sessions, connections, shards and nodes. Plain values that never own anything.

use std::fmt;
use std::num::NonZeroU64;

use crate::base::limits::USER_ID_BYTES_MAX;

/// One shard of this node: 0 up to the number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// One connection of one shard. The slot is the connection's direct descriptor in the shard's ring; the
/// generation tells it from earlier connections that had the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey {
    /// Direct descriptor in the ring of the shard.
    pub slot: u32,
    /// Counts the connections of this shard; it wraps.
    pub generation: u32,
}

/// One of the parts into which all users fall, by a hash of their UserIDs. It has one owner. The changes of its users have one
/// order, and are its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// Where there is one partition, all users are in it.
    pub const SOLE: Self = Self(0);
}

/// A gateway of a cluster, whatever process plays it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// Counts the owners of a partition: whoever becomes its owner has a higher one than all before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A user of the one app that the gateway serves: 1 to 32 bytes of printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId([u8; USER_ID_BYTES_MAX]);

impl std::hash::Hash for UserId {
    /// Word by word: several times faster than byte by byte, and a query hashes 500 of them twice.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for word in self.0.as_chunks::<8>().0 {
            state.write_u64(u64::from_le_bytes(*word));
        }
    }
}

/// Why some bytes are not a [`UserId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// Not a single byte.
    #[error("a UserID has at least 1 byte")]
    Empty,
    /// More than [`USER_ID_BYTES_MAX`] bytes.
    #[error("a UserID has at most {USER_ID_BYTES_MAX} bytes")]
    TooLong,
    /// A byte outside 0x20 to 0x7e.
    #[error("a UserID is printable ASCII")]
    NotPrintable,
}

impl UserId {
    /// Takes 1 to 32 bytes of printable ASCII (0x20 to 0x7e).
    ///
    /// # Errors
    /// Says which of the three demands is not met.
    pub fn new(bytes: &[u8]) -> Result<Self, UserIdError> {
        if bytes.is_empty() {
            return Err(UserIdError::Empty);
        }
        if bytes.len() > USER_ID_BYTES_MAX {
            return Err(UserIdError::TooLong);
        }
        let mut padded = [0; USER_ID_BYTES_MAX];
        pad(bytes, &mut padded);
        // All 32 bytes are counted, with no way out in between: that is a few instructions of a vector unit. The zeros
        // behind the name do not count.
        let printable: u8 = padded
            .iter()
            .map(|byte| u8::from((0x20..=0x7e).contains(byte)))
            .sum();
        if usize::from(printable) != bytes.len() {
            return Err(UserIdError::NotPrintable);
        }
        Ok(Self(padded))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a UserId is ASCII by construction")
    }

    /// Whether the name has this byte, which is not 0.
    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.iter().fold(false, |found, own| found | (*own == byte))
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let (low, high) = self.0.split_at(USER_ID_BYTES_MAX / 2);
        // What follows the name is zeros: the highest byte that is not ends it.
        let bytes_of = |half: &[u8]| {
            let half = u128::from_le_bytes(half.try_into().expect("half of 32 bytes"));
            (u128::BITS - half.leading_zeros()).div_ceil(8) as usize
        };
        let length = match bytes_of(high) {
            0 => bytes_of(low),
            more => low.len() + more,
        };
        &self.0[..length]
    }

    /// The shard that owns this user, of `shards` in all. The same for every thread of a process.
    #[must_use]
    pub fn home(&self, shards: u16) -> ShardId {
        use std::hash::BuildHasher;
        let hash = foldhash::quality::FixedState::with_seed(HOME_SEED).hash_one(self);
        ShardId(u16::try_from(hash % u64::from(shards)).expect("a remainder of a u16 is a u16"))
    }

    /// The partition of this user, of `partitions` in all, which are a power of two: the top bits of a hash. Stored data depends on
    /// it, so it is the same on every host and in every version.
    #[must_use]
    pub fn partition(&self, partitions: u16) -> PartitionId {
        let scaled = u128::from(stable_hash(self.as_bytes())) * u128::from(partitions);
        PartitionId(u16::try_from(scaled >> u64::BITS).expect("it is less than a u16"))
    }
}

/// The 64-bit FNV-1a (draft-eastlake-fnv), finished as in splitmix64 (Steele, Lea and Flood 2014): FNV alone leaves names that
/// end alike close together.
fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Copies at most 32 bytes in pieces of a fixed size, which may overlap: each is one instruction, where a copy of any length is
/// a call.
fn pad(bytes: &[u8], padded: &mut [u8; USER_ID_BYTES_MAX]) {
    fn both_ends<const N: usize>(bytes: &[u8], padded: &mut [u8; USER_ID_BYTES_MAX]) -> bool {
        let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else {
            return false;
        };
        padded[..N].copy_from_slice(first);
        padded[bytes.len() - N..bytes.len()].copy_from_slice(last);
        true
    }
    let copied = both_ends::<16>(bytes, padded)
        || both_ends::<8>(bytes, padded)
        || both_ends::<4>(bytes, padded)
        || both_ends::<2>(bytes, padded);
    if !copied && let [only] = bytes {
        padded[0] = *only;
    }
}

/// Keeps the home hash apart from the hash of the user index, so that one does not empty the other's buckets.
const HOME_SEED: u64 = 0x686f_6d65;

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a terminal runs on. Mini programs count as Web. The numbers are those of `gateway.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Platform {
    /// Android phones and tablets.
    Android = 1,
    /// iPhones.
    IPhone = 2,
    /// iPads.
    IPad = 3,
    /// Windows.
    Windows = 4,
    /// Macs.
    Mac = 5,
    /// Linux desktops.
    Linux = 6,
    /// Browsers and mini programs.
    Web = 7,
}

/// What the rules distinguish among platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Android, iPhone, iPad: may be PushOnline.
    Mobile,
    /// Windows, Mac, Linux.
    Desktop,
    /// Web.
    Web,
}

impl Platform {
    /// All seven, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Android,
        Self::IPhone,
        Self::IPad,
        Self::Windows,
        Self::Mac,
        Self::Linux,
        Self::Web,
    ];

    /// The class that the presence rules put this platform in.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Android | Self::IPhone | Self::IPad => Class::Mobile,
            Self::Windows | Self::Mac | Self::Linux => Class::Desktop,
            Self::Web => Class::Web,
        }
    }

    /// Our own name of it, as in the configuration and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Android => "Android",
            Self::IPhone => "iPhone",
            Self::IPad => "iPad",
            Self::Windows => "Windows",
            Self::Mac => "Mac",
            Self::Linux => "Linux",
            Self::Web => "Web",
        }
    }

    /// The name in the `Detail` of a status query (`reference`: Tencent Cloud IM, query_online_status).
    #[must_use]
    pub fn detail_name(self) -> &'static str {
        match self {
            Self::Windows | Self::Linux => "PC",
            Self::Android | Self::IPhone | Self::IPad | Self::Mac | Self::Web => self.name(),
        }
    }
}

/// One installation of the app: random at install, not 0.
pub type InstanceId = NonZeroU64;

/// One terminal of a user. It outlives its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// What it runs on.
    pub platform: Platform,
    /// Which installation it is.
    pub instance: InstanceId,
}

/// A change of a user: 1, 2, 3 … without a gap. 0 is the state before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ChangeNumber(pub u64);

impl ChangeNumber {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A session is named by the change of the login that began it, so it is never used again.
pub type SessionId = ChangeNumber;

/// One status query, kick or inspection on its way between the HTTP server and a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&str, UserIdError>) {
        assert_eq!(
            UserId::new(bytes).as_ref().map(UserId::as_str),
            expected.as_ref().copied()
        );
    }

    #[test]
    fn user_ids_have_1_to_32_printable_bytes() {
        check(b"alice", Ok("alice"));
        check(b"", Err(UserIdError::Empty));
        check(&[b'x'; 32], Ok(&"x".repeat(32)));
        check(&[b'x'; 16], Ok(&"x".repeat(16)));
        check(&[b'x'; 17], Ok(&"x".repeat(17)));
        check(&[b'x'; 33], Err(UserIdError::TooLong));
        check(b"a\0b", Err(UserIdError::NotPrintable));
        check("é".as_bytes(), Err(UserIdError::NotPrintable));
        check(b"a b~", Ok("a b~"));
    }

    #[test]
    fn names_of_every_length_are_kept_whole() {
        let name: Vec<u8> = (0x21..=0x7e).collect();
        for length in 1..=USER_ID_BYTES_MAX {
            let user = UserId::new(&name[..length]).unwrap();
            assert_eq!(user.as_bytes(), &name[..length]);
        }
    }

    #[test]
    fn homes_are_spread_and_within_the_shards() {
        let mut counts = [0_u32; 7];
        for number in 0..7_000 {
            let user = UserId::new(format!("user-{number}").as_bytes()).unwrap();
            counts[usize::from(user.home(7).0)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn partitions_are_the_top_bits_of_a_hash_that_never_changes() {
        // Reckoned by another program; stored data depends on them.
        let known: [(&[u8], u64); 6] = [
            (b"a", 0x02c0_bdbf_4814_20f8),
            (b"alice", 0xc5d1_556d_6677_4a5c),
            (b"user-1", 0xc499_b5f8_a721_df58),
            (b"user-2", 0x4fb3_8f41_4590_a87b),
            (b"0123456789abcdef0123456789abcdef", 0xd22b_7c84_089d_8009),
            (b"a b~", 0x404b_301d_55da_df74),
        ];
        for (name, hash) in known {
            let user = UserId::new(name).unwrap();
            assert_eq!(user.partition(1), PartitionId::SOLE, "{user}");
            for bits in 1..16 {
                let expected = u16::try_from(hash >> (64 - bits)).unwrap();
                assert_eq!(
                    user.partition(1 << bits),
                    PartitionId(expected),
                    "{user} of {bits} bits"
                );
            }
        }
    }

    #[test]
    fn partitions_are_even() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000 {
            let user = UserId::new(format!("user-{number}").as_bytes()).unwrap();
            counts[usize::from(user.partition(16).0)] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
    }
}
