//! The border of logic, as plain data: what can happen to a shard, and what a shard can ask for. Decides nothing.

use std::net::Ipv6Addr;

use crate::base::ids::{ConnKey, DeviceId, SessionId, ShardId, UserId};
use crate::logic::delivery::{Delivery, ToShard};
use crate::logic::trace::TraceEvent;
use crate::protocol::outgoing::Outgoing;
use crate::protocol::stack::ProtocolStack;
use crate::protocol::transport::ending::CloseReason;

/// What can happen to a shard. Time passing is `ShardState::expire`.
///
/// The shard keeps this order for a connection: `Opened`, `ProxyOpened` or `Arrived` first, then any number of `Received` and
/// `Alive`, then at most one `Closed`. Before the first bytes of a proxy comes `ClientKnown`. After an [`Effect::Close`] or a
/// successful [`Effect::Move`] nothing of that connection comes.
#[derive(Debug)]
pub enum Input<'a> {
    /// A terminal connected to this shard.
    Opened(ConnKey, Peer),
    /// A proxy connected, or what may be one: whom it speaks for is not known yet.
    ProxyOpened(ConnKey, Peer),
    /// The connection of a proxy is this client's, or its own.
    ClientKnown(ConnKey, Ipv6Addr),
    /// A connection was handed over by the shard that accepted it, with its login.
    Arrived(ConnKey, Box<Arrival>),
    /// Bytes of the dialect came, at least one.
    Received(ConnKey, &'a [u8]),
    /// The terminal has shown that it lives, by something that has no bytes of the dialect.
    Alive(ConnKey),
    /// The terminal does without the transport that its listener wants; what it is sent from now on goes as it is.
    TransportSkipped(ConnKey),
    /// The link ended, by the peer or by the shard.
    Closed(ConnKey, LinkLoss),
    /// An [`Effect::Move`] could not be made; the connection is still here.
    Stayed(ConnKey),
    /// A request, a reply or a notice came from another thread.
    Delivered(ToShard),
}

/// What a shard is asked to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put a packet's bytes, as the dialect has them, on the connection's way out; or what tells its peer that this is the
    /// wrong listener.
    Send(ConnKey, Outgoing),
    /// The connection is at its user's home: it stays here, and may idle.
    Stay(ConnKey),
    /// Hand the connection to another shard; this one has forgotten it unless [`Input::Stayed`] comes.
    Move(ConnKey, ShardId, Box<Arrival>),
    /// Send what is on its way out, then close, for this reason. Logic has forgotten the connection.
    Close(ConnKey, CloseReason),
    /// Carry a request, a reply or a notice to another thread. Room for it is given: a shard never has more than its share of
    /// requests in flight, and whoever asked has kept room for the reply.
    Deliver(Delivery),
    /// Tell the operator, who asked for it.
    Trace(Box<TraceEvent>),
}

/// Why a link ended. The rules make no difference; counters and traces do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLoss {
    /// The peer closed or reset it, or the network did.
    Peer,
    /// The peer did not read what it was sent.
    SlowReader,
    /// The peer's bytes are against the rules of its transport.
    Mistake,
}

/// The far end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Of the client, once it is known that a proxy speaks for one. An IPv4 address is kept in its IPv4-mapped form.
    pub address: Ipv6Addr,
    /// How it speaks, as the listener says that it came in by.
    pub stack: ProtocolStack,
}

/// A login whose UserSig was verified, on its way to the user's home with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where it comes from.
    pub peer: Peer,
    /// What it asks for.
    pub login: LoginRequest,
    /// What was kept of it: bytes of the dialect that came behind the login.
    pub kept: Vec<u8>,
}

/// A login in the gateway's own words: every field is within its bounds and the UserSig is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// Who.
    pub user: UserId,
    /// From which terminal.
    pub device: DeviceId,
    /// The session to resume; `None` when the person logs in afresh.
    pub session: Option<SessionId>,
    /// Unix seconds at which the UserSig was made.
    pub signed_at_s: u64,
    /// At most 32 bytes of printable ASCII.
    pub sdk_version: String,
    /// At most 32 bytes of printable ASCII.
    pub app_version: String,
    /// The app is in the background.
    pub background: bool,
    /// Whether it can be sent to another node.
    pub redirects: Redirects,
    /// Whether it can be sent messages.
    pub messages: MessageSupport,
}

/// What a terminal does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSupport {
    /// It knows nothing of them.
    None,
    /// It takes them.
    Taken,
    /// It takes them, and acknowledges those that want it.
    Acked,
}

/// Whether a terminal goes where a login's answer sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// It connects there.
    Followed,
    /// It knows nothing of them.
    Unknown,
}
