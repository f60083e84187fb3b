//! A socket with its peer: what each wrote and read, and how the peer left. A byte that is missing, doubled or out of
//! place shows.

use crate::base::limits::{DISCARDED_BUFFERS_MAX, OUTBOUND_BYTES_MAX};
use crate::engine::completion::KernelRefusal;

/// What the peer does with the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Lives,
    /// It has said that it sends nothing more.
    HalfClosed,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) peer: Peer,
    /// What the peer wrote.
    written: Vec<u8>,
    /// Of that, what receives took.
    taken: usize,
    /// Of that, what the owner was given.
    told: usize,
    /// What the owner wants sent.
    pub(crate) wanted: Vec<u8>,
    /// A transport wraps what the owner sends: nobody knows its bytes before the kernel has them.
    pub(crate) is_wrapped: bool,
    /// Of that, what the kernel took.
    pub(crate) accepted: usize,
    /// Of that, what the peer has read.
    peer_read: usize,
    /// Unread bytes that the kernel keeps for the peer.
    room: usize,
    pub(crate) is_aborted: bool,
    /// It was reset before it moved.
    pub(crate) is_reset_by_move: bool,
    /// A receive or a send has found the end.
    pub(crate) is_end_seen: bool,
    /// A constant did not go out whole. What is sent before that is known comes behind a gap; then the link is reset.
    pub(crate) is_cut: bool,
    /// The last receive found nothing.
    pub(crate) is_found_empty: bool,
    /// Buffers that the owner was not given.
    pub(crate) discarded: usize,
    /// Tables that hold it.
    pub(crate) holders: usize,
}

impl Socket {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            peer: Peer::Lives,
            written: Vec::new(),
            taken: 0,
            told: 0,
            wanted: Vec::new(),
            is_wrapped: false,
            accepted: 0,
            peer_read: 0,
            room,
            is_aborted: false,
            is_reset_by_move: false,
            is_end_seen: false,
            is_cut: false,
            is_found_empty: false,
            discarded: 0,
            holders: 1,
        }
    }

    pub(crate) fn peer_writes(&mut self, bytes: impl IntoIterator<Item = u8>) {
        if self.peer == Peer::Lives && !self.is_aborted {
            self.written.extend(bytes);
        }
    }

    /// Bytes that the peer wrote.
    pub(crate) fn written(&self) -> usize {
        self.written.len()
    }

    /// The kernel is asked to send bytes, not for the second time.
    pub(crate) fn is_to_send(&mut self, bytes: &[u8]) {
        if self.is_wrapped {
            self.wanted.extend_from_slice(bytes);
        }
    }

    /// The peer reads so many bytes, or as many as are there.
    pub(crate) fn peer_reads(&mut self, count_max: usize) -> &[u8] {
        let before = self.peer_read;
        self.peer_read = self.accepted.min(before + count_max);
        &self.wanted[before..self.peer_read]
    }

    /// Bytes that the peer can read.
    pub(crate) fn unread_by_peer(&self) -> usize {
        self.accepted - self.peer_read
    }

    /// Whether something can be sent, or is refused.
    pub(crate) fn takes_more(&self) -> bool {
        self.is_aborted || self.peer == Peer::Reset || self.unread_by_peer() < self.room
    }

    /// Whether the peer reads less than it is sent: a constant did not go out whole, or more waits than an owner keeps.
    pub(crate) fn reads_slowly(&self) -> bool {
        self.is_cut || self.wanted.len() - self.accepted > OUTBOUND_BYTES_MAX
    }

    /// The peer says that it sends nothing more, or resets.
    pub(crate) fn peer_leaves(&mut self, how: Peer) {
        match (self.peer, how) {
            (Peer::Lives, _) | (Peer::HalfClosed, Peer::Reset) => self.peer = how,
            (Peer::HalfClosed | Peer::Reset, _) => {}
        }
    }

    /// Bytes that can be received.
    pub(crate) fn unread(&self) -> usize {
        if self.is_aborted {
            0
        } else {
            self.written.len() - self.taken
        }
    }

    /// Nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_aborted || self.peer != Peer::Lives
    }

    pub(crate) fn receive(&mut self, count_max: usize) -> Vec<u8> {
        let count = self.unread().min(count_max);
        self.taken += count;
        self.written[self.taken - count..self.taken].to_vec()
    }

    /// The owner is given bytes.
    pub(crate) fn tell(&mut self, bytes: &[u8]) {
        assert_eq!(self.discarded, 0, "bytes after some that were thrown away");
        self.told += bytes.len();
        let expected = &self.written[self.told - bytes.len()..self.told];
        assert_eq!(bytes, expected, "received bytes are missing or out of order");
    }

    /// Bytes that the owner was given.
    pub(crate) fn told(&self) -> usize {
        self.told
    }

    /// All that was received was given to the owner.
    pub(crate) fn is_told(&self) -> bool {
        self.told == self.written.len()
    }

    /// How many of `bytes` go out now.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room - self.unread_by_peer());
        let wanted = self.wanted.get(self.accepted..self.accepted + count);
        let is_right = self.is_cut || wanted == Some(&bytes[..count]);
        assert!(is_right, "sent bytes are missing or out of order");
        self.accepted += count;
        count
    }

    /// Why nothing can be sent, if so.
    pub(crate) fn refusal(&self, random: &mut fastrand::Rng) -> Option<KernelRefusal> {
        let is_gone = self.is_aborted || self.peer == Peer::Reset;
        let errno = if random.bool() {
            libc::EPIPE
        } else {
            libc::ECONNRESET
        };
        is_gone.then_some(KernelRefusal(errno))
    }

    /// Its last holder lets go of it.
    pub(crate) fn check_close(&self) {
        if self.is_aborted || self.is_end_seen || self.peer != Peer::Lives {
            return;
        }
        let is_sent = self.is_cut || self.accepted == self.wanted.len();
        assert!(is_sent, "closed before all was sent");
        let is_read = self.is_found_empty || self.discarded >= usize::from(DISCARDED_BUFFERS_MAX);
        assert!(
            is_read,
            "closed with unread bytes: that resets, and destroys what was sent"
        );
    }
}
