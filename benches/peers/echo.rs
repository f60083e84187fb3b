//! The floor that Holdfast's heartbeats are measured beside: a bare echo loop on io_uring, as one writes it who wants
//! nothing but that. A ring and a SO_REUSEPORT listener a thread, multishot accept, direct descriptors, multishot
//! receives into provided buffers, and a send of each buffer that tells only of failure. It knows no packet, no login, no
//! presence and no timer, and never naps: it waits for one completion, and takes what is there.

#![allow(unsafe_code, reason = "a raw ring")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};

use holdfast::engine::setup::slots_max;
use holdfast::engine::socket::listener;
use io_uring::squeue::Flags;
use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

const SUBMISSIONS: u32 = 4_096;
const COMPLETIONS: u32 = 8_192;
/// A power of two. As many arrivals may be on their way back at once.
const BUFFERS: u16 = 4_096;
const BUFFER_BYTES: usize = 512;
const BUFFER_GROUP: u16 = 0;
const PAGE_BYTES: usize = 4_096;

/// What a completion is about: the upper half of its user data. The lower half is the slot.
const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;
const CLOSE: u64 = 4;

/// What a loop tells of itself.
#[derive(PartialEq)]
enum News {
    Ready,
    Ended,
}

/// Tells of a loop's end, in whichever way it ends.
struct LastWord(Sender<News>);

impl Drop for LastWord {
    fn drop(&mut self) {
        // Nobody listens any more if another loop has ended.
        let _ = self.0.send(News::Ended);
    }
}

/// Arguments: where to listen, and how many threads. It ends with its parent, and when one of its loops ends.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, threads] = arguments.as_slice() else {
        return Err("usage: holdfast-peer-echo ADDRESS THREADS".into());
    };
    let (address, threads): (SocketAddr, usize) = (address.parse()?, threads.parse()?);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    raise_descriptors();
    let listeners: Vec<OwnedFd> = (0..threads)
        .map(|_| listener(address))
        .collect::<io::Result<_>>()?;
    let (tell, news) = channel();
    for listener in listeners {
        let tell = tell.clone();
        std::thread::spawn(move || echo(listener, tell));
    }
    let mut first_news = news.iter().take(threads);
    if first_news.any(|news| news == News::Ended) {
        return Err("a loop has no ring".into());
    }
    println!("the echo loop is ready");
    // A loop has nothing else to tell any more.
    let _ = news.recv();
    Err("a loop has ended".into())
}

/// One loop, with its own ring, until it fails.
fn echo(listener: OwnedFd, tell: Sender<News>) {
    let last_word = LastWord(tell);
    let ended = Echo::new(listener).and_then(|echo| {
        // `main` waits for it, or has given up and ends.
        let _ = last_word.0.send(News::Ready);
        echo.run()
    });
    let Err(error) = ended;
    eprintln!("a loop has failed: {error}");
}

/// As many descriptors as the system lets this process have. If it may not, the table is smaller.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

struct Echo {
    ring: IoUring,
    listener: OwnedFd,
    buffers: Buffers,
    completions: Vec<cqueue::Entry>,
    /// Buffers whose bytes a send in the queue still has to copy.
    lent: Vec<u16>,
    /// Connections whose receive ended because no buffer was free.
    starved: Vec<u32>,
}

impl Echo {
    /// On the thread that is to run it.
    fn new(listener: OwnedFd) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(slots_max())?;
        let buffers = Buffers::new();
        // SAFETY: the entries are page-aligned, `BUFFERS` many, and live as long as the process.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )?;
        }
        Ok(Self {
            ring,
            listener,
            buffers,
            completions: Vec::with_capacity(COMPLETIONS as usize),
            lent: Vec::with_capacity(usize::from(BUFFERS)),
            starved: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<Infallible> {
        self.accept()?;
        loop {
            if !tolerable(self.ring.submit_and_wait(1))? {
                continue;
            }
            self.give_back();
            for slot in std::mem::take(&mut self.starved) {
                self.receive(slot)?;
            }
            let mut completions = std::mem::take(&mut self.completions);
            completions.extend(self.ring.completion());
            for completion in completions.drain(..) {
                self.complete(&completion)?;
            }
            self.completions = completions;
        }
    }

    /// Sends neither wait nor are put off, so one that the kernel has taken has copied its bytes.
    fn give_back(&mut self) {
        if self.ring.submission().is_empty() {
            self.lent.drain(..).for_each(|number| self.buffers.put(number));
            self.buffers.publish();
        }
    }

    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let slot = completion.user_data() as u32;
        let result = completion.result();
        let more = cqueue::more(completion.flags());
        match completion.user_data() >> 32 {
            ACCEPT => {
                if let Ok(slot) = u32::try_from(result) {
                    self.receive(slot)?;
                }
                if more { Ok(()) } else { self.accept() }
            }
            RECEIVE => self.received(slot, result, completion),
            SEND => match -result {
                // The receive tells of the end.
                libc::EPIPE | libc::ECONNRESET | libc::ECONNABORTED => Ok(()),
                _ => Err(io::Error::other(format!(
                    "an echo was not sent as a whole: {result}"
                ))),
            },
            _ => Err(io::Error::other(format!("{completion:?} is unexpected"))),
        }
    }

    fn received(&mut self, slot: u32, result: i32, completion: &cqueue::Entry) -> io::Result<()> {
        let buffer = cqueue::buffer_select(completion.flags());
        self.lent.extend(buffer);
        match (u32::try_from(result), buffer) {
            (Ok(length @ 1..), Some(number)) => {
                self.send(slot, number, length)?;
                if cqueue::more(completion.flags()) {
                    Ok(())
                } else {
                    self.receive(slot)
                }
            }
            (Err(_), _) if result == -libc::ENOBUFS => {
                self.starved.push(slot);
                Ok(())
            }
            // The end, in order or not.
            (Ok(_) | Err(_), _) => {
                let entry = opcode::Close::new(Fixed(slot)).build();
                self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(CLOSE << 32))
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).allocate_file_index(true);
        self.push(&entry.build().user_data(ACCEPT << 32))
    }

    fn receive(&mut self, slot: u32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fixed(slot), BUFFER_GROUP).build();
        self.push(&entry.user_data(RECEIVE << 32 | u64::from(slot)))
    }

    fn send(&mut self, slot: u32, number: u16, length: u32) -> io::Result<()> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = opcode::Send::new(Fixed(slot), self.buffers.start(number), length).flags(flags);
        let entry = entry.build().flags(Flags::SKIP_SUCCESS);
        self.push(&entry.user_data(SEND << 32 | u64::from(slot)))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: of our memory only sends use any: a buffer that goes back to the kernel after they have copied it, and
        // that lives as long as the process.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            tolerable(self.ring.submit())?;
        }
        Ok(())
    }
}

/// Whether the kernel took what there was; `false`: it was interrupted, which is no reason to end.
fn tolerable(entered: io::Result<usize>) -> io::Result<bool> {
    match entered {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            // Busy: completions have to be reaped first, and are.
            Some(libc::EBUSY) => Ok(true),
            Some(libc::EINTR | libc::EAGAIN) => Ok(false),
            Some(_) | None => Err(error),
        },
    }
}

/// Provided buffers, and the ring of entries that tells the kernel which are free. They live as long as the process.
struct Buffers {
    entries: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
}

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

impl Buffers {
    /// All of them free.
    fn new() -> Self {
        let pages = (usize::from(BUFFERS) * size_of::<BufRingEntry>()).div_ceil(PAGE_BYTES);
        let entries = vec![Page([0; PAGE_BYTES]); pages].leak();
        let bytes = vec![0; usize::from(BUFFERS) * BUFFER_BYTES].leak();
        let mut buffers = Self {
            entries: entries.as_mut_ptr().cast(),
            bytes: bytes.as_mut_ptr(),
            tail: 0,
        };
        (0..BUFFERS).for_each(|number| buffers.put(number));
        buffers.publish();
        buffers
    }

    fn start(&self, number: u16) -> *mut u8 {
        assert!(number < BUFFERS, "the kernel names buffers that it was given");
        self.bytes.wrapping_add(usize::from(number) * BUFFER_BYTES)
    }

    fn put(&mut self, number: u16) {
        let start = self.start(number);
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the place is below the count. The kernel reads the entry only after the tail was published. The fields
        // are set one by one since the first entry also holds the tail.
        unsafe {
            let entry = &mut *self.entries.add(place);
            entry.set_addr(start as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(number);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies in the first entry, is aligned to 2 bytes, and is only ever used atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
