//! What nodes say to each other, as protobuf messages. The numbers of the fields are for ever: nodes of two versions run side by
//! side. Reads and checks nothing.

use prost::{Message, Oneof};

/// One frame.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PeerFrame {
    /// Of a request, and of its answer; 0 for what has none.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// `None`: this version does not know it.
    #[prost(
        oneof = "PeerBody",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16"
    )]
    pub(super) body: Option<PeerBody>,
}

/// What is in a frame.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum PeerBody {
    #[prost(message, tag = "2")]
    Proof(ProofBody),
    #[prost(message, tag = "3")]
    Query(UsersBody),
    #[prost(message, tag = "4")]
    Statuses(StatusesBody),
    #[prost(bytes, tag = "5")]
    Kick(Vec<u8>),
    #[prost(message, tag = "6")]
    KickDevice(DeviceBody),
    #[prost(bytes, tag = "7")]
    Delete(Vec<u8>),
    #[prost(uint32, tag = "8")]
    Kicked(u32),
    #[prost(bytes, tag = "9")]
    Inspect(Vec<u8>),
    #[prost(message, tag = "10")]
    Inspected(InspectedBody),
    #[prost(message, tag = "11")]
    Accounts(AccountsBody),
    #[prost(bytes, tag = "12")]
    Existed(Vec<u8>),
    /// The request was not carried out.
    #[prost(bool, tag = "13")]
    Refused(bool),
    /// How the sender stands; it is answered by the same.
    #[prost(message, tag = "14")]
    Exchange(ExchangeBody),
    #[prost(message, tag = "15")]
    Send(SendBody),
    #[prost(message, tag = "16")]
    Sent(SentBody),
}

/// A message and whom it is for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SendBody {
    #[prost(fixed64, tag = "1")]
    pub(super) message: u64,
    #[prost(string, tag = "2")]
    pub(super) from: String,
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) body: Vec<u8>,
    /// Devices are to acknowledge it.
    #[prost(bool, tag = "5")]
    pub(super) ack: bool,
    #[prost(uint64, tag = "6")]
    pub(super) ttl_ms: u64,
    /// Empty: no key.
    #[prost(string, tag = "7")]
    pub(super) collapse: String,
    /// Only to devices that are Online.
    #[prost(bool, tag = "8")]
    pub(super) online_only: bool,
    #[prost(message, repeated, tag = "9")]
    pub(super) targets: Vec<TargetBody>,
    /// What the backend calls it.
    #[prost(string, tag = "10")]
    pub(super) name: String,
    /// How long the answer may wait for acknowledgements.
    #[prost(uint64, tag = "11")]
    pub(super) wait_ms: u64,
}

/// Whom a message is for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TargetBody {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) user: Vec<u8>,
    /// 0: any.
    #[prost(uint32, tag = "2")]
    pub(super) platform: u32,
    /// 0: any.
    #[prost(fixed64, tag = "3")]
    pub(super) instance: u64,
    #[prost(uint64, repeated, tag = "4")]
    pub(super) skip: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) if_change: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) if_session: Option<u64>,
}

/// What became of a message at each target, in their order.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SentBody {
    #[prost(message, repeated, tag = "1")]
    pub(super) targets: Vec<SentTarget>,
}

/// What became of a message at one target.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SentTarget {
    /// Why it was brought to nobody; 0: it was not refused.
    #[prost(uint32, tag = "1")]
    pub(super) refusal: u32,
    #[prost(uint64, tag = "2")]
    pub(super) change: u64,
    #[prost(uint32, tag = "3")]
    pub(super) status: u32,
    #[prost(message, repeated, tag = "4")]
    pub(super) devices: Vec<SentDevice>,
}

/// What became of a message at one device.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SentDevice {
    #[prost(message, required, tag = "1")]
    pub(super) device: DeviceBody,
    #[prost(uint64, tag = "2")]
    pub(super) session: u64,
    #[prost(uint32, tag = "3")]
    pub(super) outcome: u32,
    #[prost(uint64, tag = "4")]
    pub(super) after_ms: u64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) reply: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProofBody {
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
    #[prost(uint32, tag = "2")]
    pub(super) node: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UsersBody {
    /// 0: statuses alone; 1: with devices.
    #[prost(uint32, tag = "1")]
    pub(super) depth: u32,
    /// UserIDs, each behind a byte that says how long it is.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) users: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusesBody {
    /// One byte for each user: [`UNAVAILABLE`] and so on.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) brief: Vec<u8>,
    /// If devices were asked for: those of all users with one, in their order.
    #[prost(message, repeated, tag = "2")]
    pub(super) devices: Vec<UserDevices>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UserDevices {
    #[prost(uint64, tag = "1")]
    pub(super) change: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) devices: Vec<DeviceBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeviceBody {
    #[prost(uint32, tag = "1")]
    pub(super) platform: u32,
    #[prost(fixed64, tag = "2")]
    pub(super) instance: u64,
    #[prost(uint32, tag = "3")]
    pub(super) status: u32,
    /// In a request.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) user: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InspectedBody {
    #[prost(message, optional, tag = "1")]
    pub(super) known: Option<InspectionBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InspectionBody {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) user: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) change: u64,
    #[prost(uint64, tag = "3")]
    pub(super) kicked_at_s: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) devices: Vec<InspectedDevice>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InspectedDevice {
    #[prost(message, required, tag = "1")]
    pub(super) device: DeviceBody,
    #[prost(uint64, tag = "2")]
    pub(super) session: u64,
    #[prost(uint64, tag = "3")]
    pub(super) login_at: u64,
    #[prost(uint64, tag = "4")]
    pub(super) heard_at: u64,
    #[prost(uint64, optional, tag = "5")]
    pub(super) until: Option<u64>,
    #[prost(message, optional, tag = "6")]
    pub(super) link: Option<InspectedLink>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InspectedLink {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) address: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(super) transport: u32,
    #[prost(string, tag = "3")]
    pub(super) sdk_version: String,
    #[prost(string, tag = "4")]
    pub(super) app_version: String,
    #[prost(bool, tag = "5")]
    pub(super) background: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccountsBody {
    /// 0: whether they exist; 1: they do from now on.
    #[prost(uint32, tag = "1")]
    pub(super) ask: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) users: Vec<u8>,
}

/// How a node stands.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExchangeBody {
    /// Whether its lease holds.
    #[prost(bool, tag = "1")]
    pub(super) has_lease: bool,
    /// The incarnation of its life.
    #[prost(uint64, tag = "2")]
    pub(super) incarnation: u64,
    /// What it owns.
    #[prost(message, repeated, tag = "3")]
    pub(super) owned: Vec<OwnedPartition>,
    /// How long ago it has last had the shared store; nothing if it never had.
    #[prost(uint64, optional, tag = "4")]
    pub(super) had_store_ago_ms: Option<u64>,
}

/// A partition, as its owner tells of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OwnedPartition {
    /// Which.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// Under which epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The place of its last confirmed change.
    #[prost(uint64, tag = "3")]
    pub confirmed: u64,
}
