//! Server CPU per accepted connection with the peer's address, in two ways, alternating: a batch of one-shot accepts
//! that each have room for an address, and one multishot accept that is followed by a getsockopt(SO_PEERNAME) for each
//! connection. Raw rings: the loser of the two is nowhere in the engine.

#![allow(unsafe_code, reason = "raw rings")]

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use holdfast::engine::socket::{listener, local_address};
use io_uring::squeue::Entry;
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode};
use rustix::time::{ClockId, clock_gettime};

const CONNECTIONS: usize = 2_000;
const BATCH: usize = 64;
const ROUNDS: usize = 5;

/// Of `linux/io_uring.h`: SOCKET_URING_OP_GETSOCKOPT.
const GETSOCKOPT: u32 = 2;
const SO_PEERNAME: u32 = 28;
/// Where an entry has its `cmd_op`.
const CMD_OP: usize = 8;

type Address = libc::sockaddr_in;
const ADDRESS_BYTES: u32 = size_of::<Address>() as u32;

struct Server {
    ring: IoUring,
    listener: OwnedFd,
    addresses: Vec<Address>,
    lengths: Vec<libc::socklen_t>,
    slots: Vec<u32>,
}

impl Server {
    fn new() -> Self {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(8_192)
            .build(1_024)
            .expect("a ring");
        ring.submitter().register_files_sparse(8_192).expect("a table");
        Self {
            ring,
            listener: listener("127.0.0.1:0".parse().expect("an address")).expect("a listener"),
            // SAFETY: an address of all zeros is one of no family.
            addresses: vec![unsafe { std::mem::zeroed() }; CONNECTIONS],
            lengths: vec![ADDRESS_BYTES; CONNECTIONS],
            slots: Vec::new(),
        }
    }

    fn push(&mut self, entry: &Entry) {
        // SAFETY: the addresses and lengths are never moved and live as long as the ring.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit().expect("submitting");
        }
    }

    fn accept_one(&mut self, number: usize) {
        let (address, length) = (&raw mut self.addresses[number], &raw mut self.lengths[number]);
        let entry = opcode::Accept::new(Fd(self.listener.as_raw_fd()), address.cast(), length)
            .file_index(Some(DestinationSlot::auto_target()));
        self.push(&entry.build().user_data(number as u64));
    }

    fn reap(&mut self) -> VecDeque<cqueue::Entry> {
        self.ring.submit_and_wait(1).expect("waiting");
        self.ring.completion().collect()
    }

    fn one_shot(&mut self) {
        let mut begun = BATCH;
        (0..BATCH).for_each(|number| self.accept_one(number));
        while self.slots.len() < CONNECTIONS {
            for entry in self.reap() {
                self.slots.push(u32::try_from(entry.result()).expect("accepted"));
                if begun < CONNECTIONS {
                    self.accept_one(begun);
                    begun += 1;
                }
            }
        }
    }

    fn multishot(&mut self) {
        const ACCEPT: u64 = u64::MAX;
        let listener = Fd(self.listener.as_raw_fd());
        let accept = opcode::AcceptMulti::new(listener)
            .allocate_file_index(true)
            .build()
            .user_data(ACCEPT);
        self.push(&accept);
        let mut named = 0;
        while named < CONNECTIONS {
            for entry in self.reap() {
                if entry.user_data() != ACCEPT {
                    assert_eq!(entry.result(), ADDRESS_BYTES as i32);
                    named += 1;
                    continue;
                }
                let slot = u32::try_from(entry.result()).expect("accepted");
                let number = self.slots.len();
                self.slots.push(slot);
                let address = &raw mut self.addresses[number];
                let ask = ask_peer_name(slot, address.cast()).user_data(number as u64);
                self.push(&ask);
                if !cqueue::more(entry.flags()) && self.slots.len() < CONNECTIONS {
                    self.push(&accept);
                }
            }
        }
    }
}

/// A getsockopt has the fields of a setsockopt, and another number.
fn ask_peer_name(slot: u32, address: *mut libc::c_void) -> Entry {
    let level = libc::SOL_SOCKET as u32;
    let set = opcode::SetSockOpt::new(Fixed(slot), level, SO_PEERNAME, address, ADDRESS_BYTES).build();
    // SAFETY: an entry is 64 plain bytes.
    unsafe {
        let mut bytes: [u8; 64] = std::mem::transmute(set);
        bytes[CMD_OP..CMD_OP + 4].copy_from_slice(&GETSOCKOPT.to_ne_bytes());
        std::mem::transmute(bytes)
    }
}

fn thread_cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// CPU of this thread, µs per connection, for connections that wait in the backlog.
fn round(accept: fn(&mut Server)) -> f64 {
    let mut server = Server::new();
    let address = local_address(&server.listener).expect("bound");
    let connect = move || {
        (0..CONNECTIONS)
            .map(|_| TcpStream::connect(address).expect("connected"))
            .collect()
    };
    let clients: Vec<TcpStream> = std::thread::spawn(connect).join().expect("connected");
    let before = thread_cpu_ns();
    accept(&mut server);
    let spent = thread_cpu_ns() - before;
    check_addresses(&server, &clients);
    spent as f64 / 1_000.0 / CONNECTIONS as f64
}

/// The addresses are those of the clients, though perhaps in another order.
fn check_addresses(server: &Server, clients: &[TcpStream]) {
    let mut seen: Vec<u16> = server
        .addresses
        .iter()
        .map(|address| u16::from_be(address.sin_port))
        .collect();
    let port = |client: &TcpStream| {
        client
            .local_addr()
            .as_ref()
            .map(SocketAddr::port)
            .expect("connected")
    };
    let mut real: Vec<u16> = clients.iter().map(port).collect();
    seen.sort_unstable();
    real.sort_unstable();
    assert_eq!(seen, real);
}

fn main() {
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        figures[0].push(round(Server::one_shot));
        figures[1].push(round(Server::multishot));
    }
    println!("server CPU per accepted connection with its address, {ROUNDS} rounds of {CONNECTIONS}:");
    for (name, mut figures) in ["one-shot accepts in a batch", "multishot accept + getsockopt"]
        .into_iter()
        .zip(figures)
    {
        figures.sort_by(f64::total_cmp);
        let (least, middle, most) = (figures[0], figures[ROUNDS / 2], figures[ROUNDS - 1]);
        println!("{name}: {middle:.2} µs ({least:.2} to {most:.2})");
    }
}
