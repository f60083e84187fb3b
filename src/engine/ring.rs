//! The ring of one shard: submits, waits, reaps, and owns what is in the kernel's hands. Never frees memory that
//! the kernel may still use, and never decides what to do next.
//!
//! Accepting is done by a batch of one-shot accepts, each with room for the peer's address, and not by one multishot
//! accept that is followed by a question for the address: `cargo bench --bench accept` runs both side by side. What
//! decides is not only the CPU: one-shot accepts never take more connections than were asked for, so that a table
//! close to full loses none, while a multishot accept takes a whole backlog between two looks at the table.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, types};

use super::completion::{Completion, ConnectionEvent, KernelRefusal, ReceiveEnd, SendEnd, Unread};
use super::enter_result::{Entered, RingFault, entered};
use super::memory::RingMemory;
use super::token::{MoveToken, OperationToken};
use crate::base::ids::ConnKey;
use crate::base::limits::{COMPLETIONS_PER_ROUND_MAX, RECEIVE_BUFFER_BYTES};

/// How long a ring that waits leaves a kernel alone that lacks memory: as long as the shortest sleep of a shard with little to do.
const MEMORY_AGAIN: Duration = Duration::from_millis(1);

/// Where other rings send sockets to. Holding one keeps the ring's descriptor from meaning another file.
#[derive(Debug, Clone)]
pub struct RingAddress(Arc<OwnedFd>);

/// One io_uring and all memory that its operations use. It never leaves the thread that enabled it: the kernel
/// refuses all others.
pub struct Ring {
    /// Before `memory`, so that it is closed first.
    pub(super) ring: IoUring,
    pub(super) memory: ManuallyDrop<RingMemory>,
    /// Operations in the kernel's hands that use `memory`.
    using_memory: u32,
    /// What the submission queue had no room for.
    unsubmitted: VecDeque<Entry>,
    /// How often more completions were there than the ring holds.
    overflows: u64,
    fault: Option<RingFault>,
    event: OwnedFd,
    pub(super) listeners: Vec<OwnedFd>,
    /// Kept as long as a move may name one.
    pub(super) others: Vec<RingAddress>,
    of_one_thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("using_memory", &self.using_memory)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// An enabled ring of the calling thread.
    pub(super) fn new(
        ring: IoUring,
        memory: RingMemory,
        event: OwnedFd,
        listeners: Vec<OwnedFd>,
        others: Vec<RingAddress>,
    ) -> Self {
        let mut ring = Self {
            ring,
            memory: ManuallyDrop::new(memory),
            using_memory: 0,
            unsubmitted: VecDeque::new(),
            overflows: 0,
            fault: None,
            event,
            listeners,
            others,
            of_one_thread: PhantomData,
        };
        ring.arm_wake();
        ring
    }

    /// Hands all operations to the kernel, and lets it finish what it put off, without waiting. Each time that it is entered
    /// the kernel finishes some 20 of those: it is entered until none is left, or there is enough for a round.
    pub fn submit(&mut self) {
        // Whoever does not wait comes back anyway, and a fault is kept.
        let _ = self.submit_all();
    }

    /// As [`Ring::submit`]. Gives what the last entering came to.
    fn submit_all(&mut self) -> Entered {
        let mut last = Entered::Well;
        loop {
            let (empty, taskrun, overflow) = {
                let queue = self.ring.submission();
                (queue.is_empty(), queue.taskrun(), queue.cq_overflow())
            };
            self.overflows += u64::from(overflow);
            let before = self.ring.completion().len();
            if !empty || taskrun || overflow {
                let result = self.ring.submit();
                last = self.take(&result);
            }
            let after = self.ring.completion().len();
            // The flag may stay up when nothing is left.
            if taskrun && before < after && after < COMPLETIONS_PER_ROUND_MAX {
                continue;
            }
            // Without room in the queue the kernel takes nothing now: it lacks memory, or completions must be reaped first.
            if self.unsubmitted.is_empty() || !self.refill() {
                return last;
            }
        }
    }

    /// Hands all operations to the kernel, and leaves put off what it put off: for the rounds of a turn, in which a straggler
    /// would cost as much as all that came before it. What ends at once is there to be reaped all the same.
    pub fn hand_in(&mut self) {
        let count = self.ring.submission().len();
        if count > 0 {
            let count = u32::try_from(count).expect("a queue has fewer than 2^32 entries");
            // SAFETY: it gets no argument that the kernel could read. What the entries use lives until their ends: see
            // `push_using_memory`.
            let result = unsafe { self.ring.submitter().enter::<libc::sigset_t>(count, 0, 0, None) };
            self.take(&result);
        }
        if !self.unsubmitted.is_empty() && self.refill() {
            self.submit();
        }
    }

    /// As [`Ring::submit`], but waits until there is a completion, or `timeout` has passed.
    pub fn submit_and_wait(&mut self, timeout: Option<Duration>) {
        let entered = if self.unsubmitted.is_empty() {
            self.enter_and_wait(timeout)
        } else {
            self.submit_all()
        };
        if entered == Entered::LacksMemory {
            // It would be asked again at once, by a thread that has nothing else to do.
            std::thread::sleep(MEMORY_AGAIN);
        }
    }

    fn enter_and_wait(&mut self, timeout: Option<Duration>) -> Entered {
        let time = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(time) = &time {
            args = args.timespec(time);
        }
        let result = self.ring.submitter().submit_with_args(1, &args);
        self.take(&result)
    }

    /// Takes note of what entering came to.
    pub(crate) fn take(&mut self, result: &io::Result<usize>) -> Entered {
        let entered = entered(result);
        if entered == Entered::Lost {
            self.fault = Some(RingFault::CompletionsLost);
        }
        entered
    }

    /// Why the ring cannot go on, if so. The kernel counts what it lost, and says so to who waits for completions alone.
    #[must_use]
    pub fn fault(&mut self) -> Option<RingFault> {
        let lost = self.ring.completion().overflow() > 0;
        self.fault.or(lost.then_some(RingFault::CompletionsLost))
    }

    /// Moves completions into `out` until it has `count_max` or there are no more.
    pub fn reap(&mut self, out: &mut Vec<Completion>, count_max: usize) {
        while out.len() < count_max {
            let Some(entry) = self.ring.completion().next() else {
                return;
            };
            out.extend(self.understand(&entry));
        }
    }

    /// Whether a completion can be reaped without entering the kernel.
    #[must_use]
    pub fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// How often completions did not fit into the ring, and how many operations the kernel has not taken.
    #[must_use]
    pub fn pressure(&self) -> (u64, u64) {
        (self.overflows, self.unsubmitted.len() as u64)
    }

    /// Puts an operation that uses nothing of our memory, or only what lives for ever, into the queue.
    pub(super) fn push(&mut self, entry: Entry, token: OperationToken) {
        let entry = entry.user_data(token.pack());
        // SAFETY: `push_using_memory` adds those entries that use memory, and says why it lives.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        if pushed.is_err() {
            self.unsubmitted.push_back(entry);
            self.submit();
        }
    }

    /// Puts an operation that uses `memory` into the queue. The memory is kept, and not freed on drop, until its
    /// completion was reaped.
    pub(super) fn push_using_memory(&mut self, entry: Entry, token: OperationToken) {
        self.using_memory += 1;
        self.push(entry, token);
    }

    /// Keeps `bytes` for a send, and gives the address that they have until its end.
    pub(super) fn keep(&mut self, key: ConnKey, bytes: Vec<u8>) -> *const u8 {
        let address = bytes.as_ptr();
        let earlier = self.memory.sends.insert(key, bytes);
        assert!(earlier.is_none(), "a connection has one send in flight");
        address
    }

    /// Whether `count` operations can be pushed so that they go to the kernel together; makes room if need be.
    pub(super) fn has_room(&mut self, count: usize) -> bool {
        let room = |ring: &mut Self| {
            let queue = ring.ring.submission();
            ring.unsubmitted.is_empty() && queue.capacity() - queue.len() >= count
        };
        if room(self) {
            return true;
        }
        self.submit();
        room(self)
    }

    fn refill(&mut self) -> bool {
        let mut queue = self.ring.submission();
        let before = self.unsubmitted.len();
        while let Some(entry) = self.unsubmitted.front() {
            // SAFETY: as in `push`.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            self.unsubmitted.pop_front();
        }
        self.unsubmitted.len() < before
    }

    /// Every wake ends in one completion: edge-triggered, so that the eventfd is never read.
    fn arm_wake(&mut self) {
        let event = types::Fd(self.event.as_raw_fd());
        self.push(
            opcode::PollAdd::new(event, libc::POLLIN as u32)
                .multi(true)
                .build(),
            OperationToken::Wake,
        );
    }

    fn understand(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let (result, flags) = (entry.result(), entry.flags());
        let (key, event) = match OperationToken::unpack(entry.user_data()) {
            OperationToken::Accept(number) => {
                self.using_memory -= 1;
                return Some(self.memory.accepts.ended(number, result));
            }
            OperationToken::Moved(token) => return Some(arrived(token, result)),
            OperationToken::Ignored => return None,
            OperationToken::Wake => {
                if !cqueue::more(flags) {
                    self.arm_wake();
                }
                return None;
            }
            OperationToken::Receive(key) => {
                self.using_memory -= 1;
                (key, ConnectionEvent::Received(self.receive_end(result, flags)))
            }
            OperationToken::Poll(key) => (key, ConnectionEvent::Polled),
            OperationToken::SendConstant(key) => {
                // A short send has no errno: the kernel took what it had room for.
                let refusal = count_of(result).err().unwrap_or(KernelRefusal::FULL);
                (key, ConnectionEvent::ConstantNotSent(refusal))
            }
            OperationToken::Send(key) => (key, ConnectionEvent::Sent(self.send_end(key, result))),
            OperationToken::Close(key) => (key, ConnectionEvent::Closed),
            OperationToken::Move(key) => (key, ConnectionEvent::Left(count_of(result).map(|_| ()))),
            OperationToken::Connect(key) => {
                self.using_memory -= 1;
                self.memory.connects.remove(&key);
                (key, ConnectionEvent::Connected(count_of(result).map(|_| ())))
            }
        };
        Some(Completion::Of(key, event))
    }

    fn send_end(&mut self, key: ConnKey, result: i32) -> SendEnd {
        self.using_memory -= 1;
        let bytes = self.memory.sends.remove(&key);
        SendEnd {
            bytes: bytes.expect("kept until this completion"),
            sent: count_of(result),
        }
    }

    fn receive_end(&self, result: i32, flags: u32) -> ReceiveEnd {
        let buffer = cqueue::buffer_select(flags);
        match (result, buffer) {
            (1.., Some(number)) => {
                let is_full = result.unsigned_abs() as usize == RECEIVE_BUFFER_BYTES;
                ReceiveEnd::Bytes {
                    buffer: self.memory.buffers.filled(number, result.unsigned_abs()),
                    unread: match is_full || cqueue::sock_nonempty(flags) {
                        true => Unread::Perhaps,
                        false => Unread::Nothing,
                    },
                }
            }
            (0, None) => ReceiveEnd::End,
            (0, Some(number)) => ReceiveEnd::EndWith(self.memory.buffers.filled(number, 0)),
            _ => match -result {
                libc::EAGAIN => ReceiveEnd::Nothing,
                libc::ENOBUFS => ReceiveEnd::NoBuffer,
                libc::ECANCELED => ReceiveEnd::Cancelled,
                _ => ReceiveEnd::End,
            },
        }
    }
}

fn arrived(token: MoveToken, result: i32) -> Completion {
    let slot =
        u32::try_from(result).expect("the kernel tells the target only of sockets that it has put there");
    Completion::Arrived(token, slot)
}

fn count_of(result: i32) -> Result<usize, KernelRefusal> {
    usize::try_from(result).map_err(|_| KernelRefusal(-result))
}

impl RingAddress {
    pub(super) fn new(ring: OwnedFd) -> Self {
        Self(Arc::new(ring))
    }

    pub(super) fn fd(&self) -> types::Fd {
        types::Fd(self.0.as_raw_fd())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel ends what is in its hands after the ring was closed, at a time that it does not tell. A shard
        // that ends in order has joined everything, and then nothing is left behind.
        if self.using_memory == 0 {
            // SAFETY: it is not used again. Nothing in the kernel's hands names this memory: receives, sends and accepts
            // are counted, and the buffer ring is read by receives alone.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
