//! The notes of logic as lines of the log: fields, not prose. Decides nothing about them.

use std::net::IpAddr;

use crate::base::ids::ShardId;
use crate::logic::note::Note;
use crate::protocol::verdict::Code;

/// Writes a note down.
pub(super) fn log(shard: ShardId, note: &Note) {
    let connection = note
        .connection
        .map(|key| format!("{}.{}", key.slot, key.generation));
    let address = note.address.map(|address| IpAddr::from(address).to_canonical());
    let code = note.code.map(Code::name);
    tracing::debug!(
        shard = shard.0,
        connection,
        address = address.map(display),
        user = note.user.as_ref().map(display),
        platform = note.device.map(|device| device.platform.name()),
        instance = note.device.map(|device| device.instance.get()),
        code,
        "{}",
        note.what.name()
    );
}
