//! The ring's operations on real loopback sockets.
#![expect(clippy::wildcard_enum_match_arm, reason = "whatever else comes is a failure")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::buffers::Buffer;
use super::completion::{AcceptEnd, Completion, ConnectionEvent, KernelRefusal, ReceiveEnd, Unread};
use super::enter_result::{Entered, RingFault, entered};
use super::kernel::{Cancel, Kernel, ReceiveMode};
use super::ring::{Ring, RingAddress};
use super::setup::{PreparedRing, Size};
use super::socket::{listener, local_address};
use super::token::MoveToken;
use super::wake::{self, Sleeper, Waker};
use crate::base::ids::{ConnKey, ShardId};

/// A ring with one listener, used by the test's own thread.
struct Bench {
    ring: Ring,
    here: RingAddress,
    address: SocketAddr,
    sleeper: Sleeper,
    waker: Waker,
    generation: u32,
}

const SIZE: Size = Size {
    slots: 8,
    buffers: 4,
    accepts: 4,
};

impl Bench {
    fn new(at: &str, size: Size) -> Self {
        Self::beside(at, size, Vec::new())
    }

    /// A ring that can move sockets to others.
    fn beside(at: &str, size: Size, others: Vec<RingAddress>) -> Self {
        let listener = listener(at.parse().unwrap()).unwrap();
        let address = local_address(&listener).unwrap();
        let (sleeper, waker) = wake::pair().unwrap();
        let ring = PreparedRing::new(size, vec![listener], sleeper.event()).unwrap();
        let here = ring.address().unwrap();
        Self {
            ring: ring.enable(others).unwrap(),
            here,
            address,
            sleeper,
            waker,
            generation: 0,
        }
    }

    /// Waits for the next completion.
    fn next(&mut self) -> Completion {
        let mut out = Vec::new();
        while out.is_empty() {
            self.ring.reap(&mut out, 1);
            if out.is_empty() {
                self.ring.submit_and_wait(None);
            }
        }
        out.pop().unwrap()
    }

    /// All completions that there are without waiting.
    fn rest(&mut self) -> Vec<Completion> {
        let mut out = Vec::new();
        self.ring.submit();
        self.ring.reap(&mut out, 100);
        out
    }

    fn key(&mut self, slot: u32) -> ConnKey {
        self.generation += 1;
        ConnKey {
            slot,
            generation: self.generation,
        }
    }

    fn connect(&mut self) -> (TcpStream, ConnKey) {
        let client = TcpStream::connect(self.address).unwrap();
        self.ring.accept(1);
        let Completion::Accepted { slot, peer, .. } = self.next() else {
            panic!("not accepted");
        };
        assert_eq!(peer, client.local_addr().unwrap());
        let key = self.key(slot);
        (client, key)
    }

    fn receive(&mut self, key: ConnKey, mode: ReceiveMode) -> ReceiveEnd {
        self.ring.receive(key, mode);
        self.received(key)
    }

    fn received(&mut self, key: ConnKey) -> ReceiveEnd {
        match self.next() {
            Completion::Of(of, ConnectionEvent::Received(incoming)) if of == key => incoming,
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, key: ConnKey) {
        self.ring.poll(key);
        match self.next() {
            Completion::Of(of, ConnectionEvent::Polled) if of == key => {}
            other => panic!("{other:?}"),
        }
    }

    fn expect(&mut self, incoming: ReceiveEnd, expected: &[u8]) {
        let buffer = bytes(incoming);
        assert_eq!(self.ring.bytes(&buffer), expected);
        self.ring.recycle(buffer);
    }
}

fn bytes(incoming: ReceiveEnd) -> Buffer {
    match incoming {
        ReceiveEnd::Bytes { buffer, .. } => buffer,
        other => panic!("{other:?}"),
    }
}

fn read(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn bytes_come_and_go_over_both_families() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let mut bench = Bench::new(at, SIZE);
        let (mut client, key) = bench.connect();
        bench.ring.receive(key, ReceiveMode::Wait);
        bench.ring.submit();
        client.write_all(b"hello").unwrap();
        let incoming = bench.received(key);
        bench.expect(incoming, b"hello");

        bench.ring.send_constant(key, b"constant");
        bench.ring.send(key, b"....owned".to_vec(), 4);
        let Completion::Of(_, ConnectionEvent::Sent(end)) = bench.next() else {
            panic!("no end of the send")
        };
        assert_eq!((end.sent, &*end.bytes), (Ok(5), &b"....owned"[..]));
        assert_eq!(read(&mut client, 13), b"constantowned");
        assert!(bench.rest().is_empty(), "a constant that was sent is silent");
    }
}

#[test]
fn a_poll_tells_of_what_comes_and_of_what_was_there_before() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    client.write_all(b"early").unwrap();
    bench.poll(key);
    bench.poll(key);
    let incoming = bench.receive(key, ReceiveMode::DontWait);
    bench.expect(incoming, b"early");
    assert!(matches!(
        bench.receive(key, ReceiveMode::DontWait),
        ReceiveEnd::Nothing
    ));
    bench.ring.poll(key);
    assert!(bench.rest().is_empty(), "it waits");
    client.write_all(b"late").unwrap();
    assert!(matches!(bench.next(), Completion::Of(of, ConnectionEvent::Polled) if of == key));
    assert!(bench.rest().is_empty(), "it tells once");
    let incoming = bench.receive(key, ReceiveMode::DontWait);
    bench.expect(incoming, b"late");
    drop(client);
    bench.poll(key);
    assert!(matches!(
        bench.receive(key, ReceiveMode::DontWait),
        ReceiveEnd::End
    ));
}

#[test]
fn a_long_packet_takes_several_buffers() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    let sent: Vec<u8> = (0..1_200_u32).map(|number| number as u8).collect();
    client.write_all(&sent).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let ReceiveEnd::Bytes { buffer, unread } = bench.receive(key, ReceiveMode::Wait) else {
            panic!("no bytes")
        };
        got.extend_from_slice(bench.ring.bytes(&buffer));
        assert!(unread == Unread::Perhaps || !buffer.is_full());
        bench.ring.recycle(buffer);
    }
    assert_eq!(got, sent);
}

#[test]
fn when_all_buffers_are_taken_the_bytes_wait_in_the_socket() {
    let mut bench = Bench::new("127.0.0.1:0", Size { buffers: 1, ..SIZE });
    let (mut client, key) = bench.connect();
    client.write_all(b"one").unwrap();
    let first = bytes(bench.receive(key, ReceiveMode::Wait));
    client.write_all(b"two").unwrap();
    assert!(matches!(
        bench.receive(key, ReceiveMode::Wait),
        ReceiveEnd::NoBuffer
    ));
    bench.ring.recycle(first);
    let incoming = bench.receive(key, ReceiveMode::Wait);
    bench.expect(incoming, b"two");
}

#[test]
fn a_cancelled_and_joined_connection_closes_with_an_end() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    bench.ring.poll(key);
    bench.ring.receive(key, ReceiveMode::Wait);
    bench.ring.submit();
    bench.ring.cancel(key, Cancel::Poll);
    bench.ring.cancel(key, Cancel::Receive);
    let mut ended = 0;
    while ended < 2 {
        match bench.next() {
            Completion::Of(_, ConnectionEvent::Polled)
            | Completion::Of(_, ConnectionEvent::Received(ReceiveEnd::Cancelled)) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    bench.ring.close(key);
    assert!(matches!(bench.next(), Completion::Of(closed, ConnectionEvent::Closed) if closed == key));
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_abort_resets_at_once_and_ends_all_that_is_armed() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    bench.ring.receive(key, ReceiveMode::Wait);
    bench.ring.poll(key);
    bench.ring.send(key, vec![7; 20_000_000], 0);
    assert!(bench.rest().is_empty(), "all three wait");
    bench.ring.abort(key);
    let (mut received, mut polled, mut sent) = (0, 0, 0);
    while received + polled + sent < 3 {
        match bench.next() {
            Completion::Of(_, ConnectionEvent::Received(ReceiveEnd::End)) => received += 1,
            Completion::Of(_, ConnectionEvent::Polled) => polled += 1,
            Completion::Of(_, ConnectionEvent::Sent(_)) => sent += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((received, polled, sent), (1, 1, 1));
    let end = std::iter::repeat_with(|| client.read(&mut [0; 4_096])).find_map(Result::err);
    assert_eq!(end.unwrap().kind(), ErrorKind::ConnectionReset);
    bench.ring.close(key);
    assert!(matches!(bench.next(), Completion::Of(_, ConnectionEvent::Closed)));
}

#[test]
fn a_peer_that_does_not_read_fails_a_constant_and_holds_up_a_send() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    static MUCH: [u8; 100_000] = [7; 100_000];
    let mut failed = false;
    while !failed {
        bench.ring.send_constant(key, &MUCH);
        failed = bench.rest().iter().any(
            |completion| matches!(completion, Completion::Of(of, ConnectionEvent::ConstantNotSent(KernelRefusal::FULL)) if *of == key),
        );
    }
    bench.ring.send(key, vec![7; 20_000_000], 0);
    assert!(bench.rest().is_empty(), "it waits");
    bench.ring.cancel(key, Cancel::Send);
    let Completion::Of(_, ConnectionEvent::Sent(end)) = bench.next() else {
        panic!("no end of the send")
    };
    assert!(!matches!(end.sent, Ok(sent) if sent == end.bytes.len()));
    let mut bytes = [0; 4096];
    assert!(client.read(&mut bytes).unwrap() > 0);
}

#[test]
fn a_connection_moves_with_what_arrives_in_between() {
    let mut to = Bench::new("127.0.0.1:0", SIZE);
    let mut from = Bench::beside("127.0.0.1:0", SIZE, vec![to.here.clone()]);
    let (mut client, key) = from.connect();
    client.write_all(b"login").unwrap();
    let incoming = from.receive(key, ReceiveMode::Wait);
    from.expect(incoming, b"login");
    let token = MoveToken::new(ShardId(3), key);
    from.ring.move_to(key, ShardId(0), token);
    from.ring.submit();
    client.write_all(b"between").unwrap();
    let Completion::Arrived(arrived, slot) = to.next() else {
        panic!("not arrived")
    };
    assert_eq!(arrived, token);
    assert!(matches!(from.next(), Completion::Of(left, ConnectionEvent::Left(Ok(()))) if left == key));
    from.ring.close(key);
    assert!(matches!(from.next(), Completion::Of(_, ConnectionEvent::Closed)));

    let there = to.key(slot);
    to.poll(there);
    let incoming = to.receive(there, ReceiveMode::DontWait);
    to.expect(incoming, b"between");
    to.ring.send_constant(there, b"welcome");
    to.ring.submit();
    assert_eq!(read(&mut client, 7), b"welcome");
}

#[test]
fn a_move_to_a_full_table_fails_and_leaves_the_connection_here() {
    let mut to = Bench::new("127.0.0.1:0", Size { slots: 1, ..SIZE });
    let mut from = Bench::beside("127.0.0.1:0", SIZE, vec![to.here.clone()]);
    let _other = to.connect();
    let (mut client, key) = from.connect();
    from.ring
        .move_to(key, ShardId(0), MoveToken::new(ShardId(0), key));
    from.ring.submit();
    to.ring.submit_and_wait(Some(Duration::from_millis(20)));
    let left = loop {
        to.ring.submit();
        from.ring.submit_and_wait(Some(Duration::from_millis(1)));
        if let Some(completion) = from.rest().pop() {
            break completion;
        }
    };
    assert!(matches!(left, Completion::Of(_, ConnectionEvent::Left(Err(_)))));
    from.ring.send_constant(key, b"busy");
    from.ring.submit();
    assert_eq!(read(&mut client, 4), b"busy");
}

#[test]
fn one_accept_takes_one_connection_and_a_full_table_loses_it() {
    let mut bench = Bench::new("127.0.0.1:0", Size { slots: 2, ..SIZE });
    let _clients: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(bench.address).unwrap())
        .collect();
    let (_fourth, _) = (TcpStream::connect(bench.address).unwrap(), ());
    bench.ring.accept(1);
    assert!(matches!(bench.next(), Completion::Accepted { .. }));
    assert!(bench.rest().is_empty(), "the others wait in the backlog");
    bench.ring.accept(2);
    let (one, two) = (bench.next(), bench.next());
    assert!(matches!(one, Completion::Accepted { .. }), "{one:?}");
    assert!(
        matches!(two, Completion::NotAccepted(AcceptEnd::NoRoom)),
        "{two:?}"
    );
}

#[test]
fn pending_accepts_can_be_taken_back() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    bench.ring.accept(3);
    bench.ring.submit();
    assert_eq!(bench.ring.accepts_pending(), 3);
    bench.ring.cancel_accepts();
    for _ in 0..3 {
        assert!(matches!(
            bench.next(),
            Completion::NotAccepted(AcceptEnd::Cancelled)
        ));
    }
    assert_eq!(bench.ring.accepts_pending(), 0);
    bench.connect();
}

#[test]
fn more_operations_than_the_queue_holds_all_reach_the_kernel() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let (mut client, key) = bench.connect();
    for _ in 0..5_000 {
        bench.ring.send_constant(key, b"x");
    }
    bench.ring.submit();
    assert_eq!(read(&mut client, 5_000), vec![b'x'; 5_000]);
}

#[test]
fn a_wake_ends_the_wait_every_time() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    for _ in 0..3 {
        let waker = bench.waker.clone();
        let (ring, sleeper) = (&mut bench.ring, &bench.sleeper);
        sleeper.wait_in_ring(
            || true,
            || {
                let sender = std::thread::spawn(move || waker.wake());
                ring.submit_and_wait(None);
                sender.join().unwrap();
            },
        );
        assert!(bench.ring.has_completions());
        assert!(bench.rest().is_empty(), "the shard needs no word of it");
    }
}

#[test]
fn a_thread_that_ends_in_the_middle_of_everything_leaves_no_connection_behind() {
    let mut client = std::thread::spawn(|| {
        let mut bench = Bench::new("127.0.0.1:0", SIZE);
        let (client, key) = bench.connect();
        bench.ring.receive(key, ReceiveMode::Wait);
        bench.ring.poll(key);
        bench.ring.accept(4);
        bench.ring.submit();
        client
    })
    .join()
    .unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
}

/// The ways that a connect can go, each with one completion alone.
#[test]
fn a_connect_has_the_source_and_the_slot_that_it_was_given() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(target) = listener.local_addr().unwrap() else {
        panic!("an IPv4 address");
    };
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    let source = |ip: [u8; 4]| std::net::SocketAddrV4::new(ip.into(), 0);
    let key = ConnKey {
        slot: 5,
        generation: 9,
    };
    assert!(bench.ring.may_connect());
    bench.ring.connect(key, source([127, 9, 8, 7]), target);
    assert!(
        matches!(bench.next(), Completion::Of(connected, ConnectionEvent::Connected(Ok(()))) if connected == key)
    );
    let (mut far_end, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), std::net::IpAddr::from([127, 9, 8, 7]));
    bench.ring.send_constant(key, b"hello");
    bench.ring.submit();
    assert_eq!(read(&mut far_end, 5), b"hello");
    bench.ring.close(key);
    assert!(matches!(bench.next(), Completion::Of(closed, ConnectionEvent::Closed) if closed == key));
    assert_eq!(far_end.read(&mut [0; 1]).unwrap(), 0);

    drop(listener);
    for (ip, errno) in [
        ([127, 0, 0, 1], libc::ECONNREFUSED),
        ([192, 0, 2, 1], libc::EADDRNOTAVAIL),
    ] {
        assert!(bench.ring.may_connect());
        bench.ring.connect(key, source(ip), target);
        let completion = bench.next();
        assert!(
            matches!(completion, Completion::Of(_, ConnectionEvent::Connected(Err(KernelRefusal(seen)))) if seen == errno),
            "{completion:?}"
        );
        assert!(bench.rest().is_empty(), "one completion tells all");
        bench.ring.close(key);
        assert!(matches!(bench.next(), Completion::Of(_, ConnectionEvent::Closed)));
    }
}

#[test]
fn more_connects_than_the_queue_holds_are_all_made_whole() {
    let mut bench = Bench::new("127.0.0.1:0", Size { slots: 1_000, ..SIZE });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(target) = listener.local_addr().unwrap() else {
        panic!("an IPv4 address");
    };
    let source = std::net::SocketAddrV4::new([127, 9, 8, 6].into(), 0);
    for slot in 0..100 {
        // With all the room in the queue taken by others, a chain must not be cut in two.
        (0..37).for_each(|_| {
            bench.ring.abort(ConnKey {
                slot: 999,
                generation: 0,
            })
        });
        let key = ConnKey { slot, generation: 0 };
        assert!(bench.ring.may_connect());
        bench.ring.connect(key, source, target);
    }
    let mut connected = 0;
    while connected < 100 {
        assert!(matches!(
            bench.next(),
            Completion::Of(_, ConnectionEvent::Connected(Ok(())))
        ));
        connected += 1;
    }
}

fn failed(errno: i32) -> std::io::Result<usize> {
    Err(std::io::Error::from_raw_os_error(errno))
}

#[test]
fn each_error_of_entering_has_its_reaction() {
    assert_eq!(entered(&Ok(3)), Entered::Well);
    for (errno, expected) in [
        (libc::EINTR, Entered::Well),
        (libc::ETIME, Entered::Well),
        (libc::EBUSY, Entered::MustReap),
        (libc::EAGAIN, Entered::LacksMemory),
        (libc::ENOMEM, Entered::LacksMemory),
        (libc::EBADR, Entered::Lost),
    ] {
        assert_eq!(entered(&failed(errno)), expected, "{errno}");
    }
}

#[test]
#[should_panic(expected = "entering the ring")]
fn an_error_that_is_our_mistake_is_not_passed_over() {
    let _ = entered(&failed(libc::EBADF));
}

#[test]
fn a_ring_that_lost_completions_is_broken_for_ever_and_others_go_on() {
    let mut bench = Bench::new("127.0.0.1:0", SIZE);
    for errno in [libc::EINTR, libc::ETIME, libc::EBUSY, libc::EAGAIN, libc::ENOMEM] {
        bench.ring.take(&failed(errno));
        assert_eq!(bench.ring.fault(), None, "{errno}");
    }
    let _connected = bench.connect();
    bench.ring.take(&failed(libc::EBADR));
    bench.ring.take(&Ok(1));
    assert_eq!(bench.ring.fault(), Some(RingFault::CompletionsLost));
}
