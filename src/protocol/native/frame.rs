//! Frames: a packet with its length before it, as a varint. Finds the first frame in some bytes; keeps
//! nothing.

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame's packet, and the bytes behind it.
    Packet(&'a [u8], &'a [u8]),
    /// The first part of a frame that may become whole, or nothing.
    Incomplete,
    /// A frame whose packet has more bytes than the limit.
    TooLarge,
    /// A length that is no varint of at most 5 bytes.
    Malformed,
}

/// Bytes of a varint of 32 bits.
const LENGTH_BYTES_MAX: usize = 5;

/// Finds the first frame of `bytes`. A packet may have at most `limit` bytes.
#[must_use]
pub fn next(bytes: &[u8], limit: usize) -> Next<'_> {
    let mut length = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(LENGTH_BYTES_MAX) {
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let Some(length) = usize::try_from(length).ok().filter(|length| *length <= limit) else {
                return Next::TooLarge;
            };
            let rest = &bytes[place + 1..];
            return match rest.split_at_checked(length) {
                Some((packet, rest)) => Next::Packet(packet, rest),
                None => Next::Incomplete,
            };
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX {
        Next::Incomplete
    } else {
        Next::Malformed
    }
}

/// Puts the length of a packet before it.
pub fn put_length(length: usize, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], limit: usize, expected: Next<'_>) {
        assert_eq!(next(bytes, limit), expected);
    }

    #[test]
    fn finds_the_first_frame() {
        check(&[2, 0x12, 0, 9], 4, Next::Packet(&[0x12, 0], &[9]));
        check(&[0], 4, Next::Packet(&[], &[]));
        check(&[], 4, Next::Incomplete);
        check(&[2, 0x12], 4, Next::Incomplete);
        check(&[5], 4, Next::TooLarge);
        check(&[0x80, 0x80], 4, Next::Incomplete);
        check(&[0xff; 5], 4, Next::Malformed);
        check(&[0xff, 0xff, 0xff, 0xff, 0x7f], 4, Next::TooLarge);
    }

    proptest! {
        #[test]
        fn a_frame_is_found_only_when_it_is_whole(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = Vec::new();
            put_length(packet.len(), &mut bytes);
            bytes.extend_from_slice(&packet);
            for end in 0..bytes.len() {
                prop_assert_eq!(next(&bytes[..end], 600), Next::Incomplete);
            }
            prop_assert_eq!(next(&bytes, 600), Next::Packet(&packet, &[]));
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), limit in 0_usize..50) {
            let _ = next(&bytes, limit);
        }
    }
}
