//! Numbers in fewer than eight bytes, for records of which there are millions. Aligned to one byte, so that a record has no
//! gaps for them.

use std::fmt;
use std::marker::PhantomData;

use crate::base::ids::SessionId;
use crate::base::time::{Instant, Timestamp};

/// What is a number of eight bytes with a meaning.
pub trait Number: Copy {
    /// The number.
    fn to_u64(self) -> u64;
    /// Of the number.
    fn of_u64(number: u64) -> Self;
}

macro_rules! number {
    ($($name:ident),*) => {
        $(impl Number for $name {
            fn to_u64(self) -> u64 {
                self.0
            }

            fn of_u64(number: u64) -> Self {
                Self(number)
            }
        })*
    };
}

number!(SessionId, Instant, Timestamp);

/// A number in `BYTES` bytes, 8 at most. One that is larger than they hold is kept as the largest that they do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packed<T, const BYTES: usize> {
    bytes: [u8; BYTES],
    of: PhantomData<T>,
}

impl<T: Number, const BYTES: usize> Packed<T, BYTES> {
    const LARGEST: u64 = u64::MAX >> (64 - 8 * BYTES);

    /// Packs a number.
    #[must_use]
    pub fn of(number: T) -> Self {
        let all = number.to_u64().min(Self::LARGEST).to_le_bytes();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&all[..BYTES]);
        Self {
            bytes,
            of: PhantomData,
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> T {
        let mut all = [0; 8];
        all[..BYTES].copy_from_slice(&self.bytes);
        T::of_u64(u64::from_le_bytes(all))
    }

    /// Packs another one.
    pub fn set(&mut self, number: T) {
        *self = Self::of(number);
    }
}

impl<T: Number + fmt::Debug, const BYTES: usize> fmt::Debug for Packed<T, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const BYTES: usize>(number: u64, expected: u64) {
        let mut packed = Packed::<_, BYTES>::of(Timestamp(number));
        assert_eq!(packed.get(), Timestamp(expected), "{number} in {BYTES} bytes");
        packed.set(Timestamp(1));
        assert_eq!(packed.get(), Timestamp(1));
    }

    #[test]
    fn a_number_is_what_it_was_or_the_largest_there_is_room_for() {
        for number in [0, 255, 256, 1_700_000_000_123, (1 << 48) - 1] {
            check::<6>(number, number);
            check::<8>(number, number);
        }
        check::<8>(u64::MAX, u64::MAX);
        check::<5>((1 << 40) - 1, (1 << 40) - 1);
        check::<5>(1 << 40, (1 << 40) - 1);
        check::<6>(u64::MAX, (1 << 48) - 1);
        assert_eq!(size_of::<Option<(Packed<Instant, 5>, bool)>>(), 6);
    }
}
