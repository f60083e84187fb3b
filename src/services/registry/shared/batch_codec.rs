//! How changes that were recorded together are stored: one value, a protobuf message with each change as the embedded store has
//! it. Decoding checks everything: a store can be damaged.

use prost::Message;

use crate::services::registry::codec::{self, ChainedChange, Damage};

#[derive(Clone, PartialEq, Message)]
struct StoredBatch {
    #[prost(bytes = "vec", repeated, tag = "1")]
    changes: Vec<Vec<u8>>,
}

/// The bytes of changes of one lane, in their order.
pub(super) fn encode_batch(links: &[ChainedChange]) -> Vec<u8> {
    let changes = links.iter().map(codec::encode_change).collect();
    StoredBatch { changes }.encode_to_vec()
}

/// Reads what [`encode_batch`] wrote.
pub(super) fn decode_batch(bytes: &[u8]) -> Result<Vec<ChainedChange>, Damage> {
    let stored = StoredBatch::decode(bytes).map_err(|_| Damage("batch"))?;
    stored
        .changes
        .iter()
        .map(|change| codec::decode_change(change))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
    use crate::base::time::Timestamp;
    use crate::logic::record::{Change, ChangeKind, RecordedChange};
    use crate::services::registry::archive::Position;

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let link = |number: u64| ChainedChange {
            recorded: RecordedChange {
                user: UserId::new(b"alice").unwrap(),
                change: Change {
                    number: ChangeNumber(number),
                    at: Timestamp(7),
                    device: DeviceId {
                        platform: Platform::Web,
                        instance: InstanceId::MIN,
                    },
                    kind: ChangeKind::Logout,
                    address: None,
                },
                session: ChangeNumber(1),
                previous: None,
            },
            before: Position(number - 1),
        };
        for length in 0..3 {
            let batch: Vec<_> = (1..=length).map(link).collect();
            assert_eq!(decode_batch(&encode_batch(&batch)), Ok(batch));
        }
        assert_eq!(decode_batch(b"\x0a\x01\xff"), Err(Damage("change")));
        assert_eq!(decode_batch(b"\xff"), Err(Damage("batch")));
    }
}
