//! Trace events of connections as lines of the log: fields, not prose. Decides nothing about them.

use std::net::IpAddr;

use crate::base::ids::ShardId;
use crate::logic::trace::TraceEvent;
use crate::protocol::verdict::Code;

/// Writes an event down.
pub(super) fn log(shard: ShardId, event: &TraceEvent) {
    let connection = event
        .connection
        .map(|key| format!("{}.{}", key.slot, key.generation));
    let address = event.address.map(|address| IpAddr::from(address).to_canonical());
    let code = event.code.map(Code::name);
    tracing::debug!(
        shard = shard.0,
        connection,
        address = address.map(display),
        user = event.user.as_ref().map(display),
        platform = event.device.map(|device| device.platform.name()),
        instance = event.device.map(|device| device.instance.get()),
        code,
        "{}",
        event.kind.name()
    );
}
