//! The provided-buffer ring: small buffers that the kernel picks from when bytes have come, so that no idle
//! connection owns one. Never hands out a buffer that the kernel may still write to.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::base::limits::RECEIVE_BUFFER_BYTES;

/// The kernel wants the ring of entries at the start of a page.
const PAGE_BYTES: usize = 4096;

/// One filled buffer. It must go back with [`Buffers::recycle`]: until then the kernel cannot use it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a buffer that is not recycled is lost to the ring"]
pub struct Buffer {
    number: u16,
    length: u16,
}

impl Buffer {
    /// Whether the bytes that came filled it: then more may wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        usize::from(self.length) == RECEIVE_BUFFER_BYTES
    }
}

/// The memory of all buffers and of the ring of entries that tells the kernel which are free.
#[derive(Debug)]
pub struct Buffers {
    entries: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    count: u16,
    /// Ours: the kernel reads the copy in the first entry.
    tail: u16,
}

// SAFETY: the memory is reached through this value alone, on our side.
unsafe impl Send for Buffers {}

impl Buffers {
    /// All of `count` buffers, free. The kernel demands a power of two up to 32,768.
    #[must_use]
    pub fn new(count: u16) -> Self {
        assert!(
            count.is_power_of_two() && count <= 1 << 15,
            "what the kernel demands"
        );
        let mut buffers = Self {
            entries: allocate(entries_layout(count)).cast(),
            bytes: allocate(bytes_layout(count)),
            count,
            tail: 0,
        };
        for number in 0..count {
            buffers.put(number);
        }
        buffers.publish();
        buffers
    }

    /// Where the ring of entries begins, for its registration.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// How many buffers there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The buffer that a completion names: the kernel has put `length` bytes there and let go of it.
    pub(crate) fn filled(&self, number: u16, length: u32) -> Buffer {
        assert!(number < self.count, "the kernel names buffers that it was given");
        let length = u16::try_from(length).expect("a buffer has fewer than 2^16 bytes");
        assert!(usize::from(length) <= RECEIVE_BUFFER_BYTES);
        Buffer { number, length }
    }

    /// The bytes that came.
    #[must_use]
    pub fn bytes(&self, buffer: &Buffer) -> &[u8] {
        // SAFETY: a `Buffer` exists only between its completion and its recycling, when the kernel does not write
        // there; its number is below the count and its length within the buffer, so the range is ours.
        unsafe {
            let start = self.bytes.add(usize::from(buffer.number) * RECEIVE_BUFFER_BYTES);
            std::slice::from_raw_parts(start.as_ptr(), usize::from(buffer.length))
        }
    }

    /// Gives a buffer back to the kernel.
    pub fn recycle(&mut self, buffer: Buffer) {
        self.put(buffer.number);
        self.publish();
    }

    fn put(&mut self, number: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let start = usize::from(number) * RECEIVE_BUFFER_BYTES;
        // SAFETY: the place is below the count, so within the entries. The kernel reads it only after the tail was
        // published. The fields are set one by one since the first entry also holds the tail.
        unsafe {
            let entry = &mut *self.entries.add(place).as_ptr();
            entry.set_addr(self.bytes.add(start).as_ptr() as u64);
            entry.set_len(u32::try_from(RECEIVE_BUFFER_BYTES).expect("a small number"));
            entry.set_bid(number);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies in the first entry, is aligned to 2 bytes, and is only ever used atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with these layouts. The owner drops this only when no receive is in the kernel's hands.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout(self.count));
            dealloc(self.bytes.as_ptr(), bytes_layout(self.count));
        }
    }
}

fn entries_layout(count: u16) -> Layout {
    let bytes = usize::from(count) * size_of::<BufRingEntry>();
    Layout::from_size_align(bytes, PAGE_BYTES).expect("at most 512 KiB")
}

fn bytes_layout(count: u16) -> Layout {
    let bytes = usize::from(count) * RECEIVE_BUFFER_BYTES;
    Layout::from_size_align(bytes, PAGE_BYTES).expect("at most 16 MiB")
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout has more than zero bytes, since the count is a power of two.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(buffers: &Buffers, place: usize) -> (u64, u32, u16) {
        // SAFETY: the place is below the count, and no kernel knows these entries.
        let entry = unsafe { &*buffers.entries.add(place).as_ptr() };
        (entry.addr(), entry.len(), entry.bid())
    }

    fn tail(buffers: &Buffers) -> u16 {
        // SAFETY: it lies in the first entry, and no kernel knows these entries.
        unsafe { *BufRingEntry::tail(buffers.entries.as_ptr()) }
    }

    #[test]
    fn all_buffers_are_offered_and_do_not_overlap() {
        let buffers = Buffers::new(8);
        assert_eq!(tail(&buffers), 8);
        assert_eq!(buffers.address() % PAGE_BYTES as u64, 0);
        for place in 0..8 {
            let (address, length, number) = entry(&buffers, place);
            assert_eq!(usize::from(number), place);
            assert_eq!(length as usize, RECEIVE_BUFFER_BYTES);
            assert_eq!(
                address,
                entry(&buffers, 0).0 + (place * RECEIVE_BUFFER_BYTES) as u64
            );
        }
    }

    #[test]
    fn recycled_buffers_go_to_the_next_place_and_the_tail_wraps() {
        let mut buffers = Buffers::new(4);
        for turn in 0..70_000_u32 {
            let number = u16::try_from((turn * 3) % 4).unwrap();
            let place = usize::from(tail(&buffers) & 3);
            let buffer = buffers.filled(number, 5);
            assert_eq!(buffers.bytes(&buffer).len(), 5);
            buffers.recycle(buffer);
            assert_eq!(entry(&buffers, place).2, number);
        }
        assert_eq!(tail(&buffers), 4_u16.wrapping_add((70_000_u32 % 65_536) as u16));
    }

    #[test]
    fn a_full_buffer_is_told_from_others() {
        let buffers = Buffers::new(2);
        assert!(
            buffers
                .filled(1, u32::try_from(RECEIVE_BUFFER_BYTES).unwrap())
                .is_full()
        );
        assert!(!buffers.filled(0, 511).is_full());
    }
}
