//! Many terminals in one thread: they log in, beat and leave.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::protocol::native::frame::{self, Next};
use holdfast::protocol::native::proto::{self, Platform, request, response};
use holdfast::protocol::native::{HEARTBEAT, HEARTBEAT_ANSWER, encode};
use holdfast::protocol::usersig;
use prost::Message;
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// Logins that are under way at the same time.
const LOGINS_AT_ONCE: usize = 64;
/// Connections from one source address: so few that a free port is found at once.
const PER_SOURCE: usize = 500;
/// How long the last answers to heartbeats may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// UserSigs, made before anything is measured.
pub struct Signer {
    clock: Clock,
    sdk_app_id: u64,
    secret: String,
    made: HashMap<String, String>,
}

impl Signer {
    pub fn new(sdk_app_id: u64, secret: &str) -> Self {
        Self {
            clock: Clock::start(),
            sdk_app_id,
            secret: secret.to_owned(),
            made: HashMap::new(),
        }
    }

    pub fn sign(&mut self, user: &str) -> String {
        if let Some(sig) = self.made.get(user) {
            return sig.clone();
        }
        let id = UserId::new(user.as_bytes()).expect("a UserID");
        let sig = usersig::sign(self.clock.now().wall, self.sdk_app_id, &self.secret, &id, 86_400);
        self.made.insert(user.to_owned(), sig.clone());
        sig
    }

    /// Drops what was made, so that a million of them do not pile up.
    pub fn forget(&mut self) {
        self.made.clear();
    }

    /// The framed login of the only device of a user.
    pub fn login(&mut self, user: &str) -> Vec<u8> {
        let login = proto::Login {
            protocol: 1,
            user_id: user.to_owned(),
            user_sig: self.sign(user),
            platform: Platform::Android.into(),
            instance: 1,
            sdk_version: "bench/1".to_owned(),
            app_version: "1.0".to_owned(),
            ..Default::default()
        };
        encode(&proto::Request {
            packet: Some(request::Packet::Login(login)),
        })
    }
}

/// Connected, logged-in terminals.
pub struct Crowd {
    pub streams: Vec<TcpStream>,
}

/// Users by number.
pub fn user(number: usize) -> String {
    format!("user-{number:07}")
}

impl Crowd {
    /// Logs in with each of these frames on a connection of its own. Fails if one is refused.
    pub fn log_in(address: SocketAddr, logins: &[Vec<u8>]) -> Self {
        Self::log_in_many(address, logins, LOGINS_AT_ONCE)
    }

    /// The same with this many logins under way at the same time.
    pub fn log_in_many(address: SocketAddr, logins: &[Vec<u8>], at_once: usize) -> Self {
        let mut streams = Vec::with_capacity(logins.len());
        for batch in logins.chunks(at_once) {
            let first = streams.len();
            for login in batch {
                let mut stream = connect(address, streams.len());
                stream.write_all(login).expect("the server reads");
                streams.push(stream);
            }
            for stream in &mut streams[first..] {
                read_login_answer(stream);
            }
        }
        Self { streams }
    }

    /// One heartbeat and its answer on each connection.
    pub fn beat_all(&mut self) {
        for batch in self.streams.chunks_mut(256) {
            for stream in &mut *batch {
                stream.write_all(HEARTBEAT).expect("the server reads");
            }
            batch.iter_mut().for_each(read_heartbeat_answer);
        }
    }

    /// One heartbeat and its answer on one connection.
    pub fn beat_one(&mut self, place: usize) {
        let stream = &mut self.streams[place];
        stream.write_all(HEARTBEAT).expect("the server reads");
        read_heartbeat_answer(stream);
    }

    /// Beats over the connections in turn for a while, with `at_once` heartbeats unanswered, or `per_second` if that
    /// is given. Gives the number of answers.
    pub fn beat(&mut self, pace: Pace, duration: Duration) -> u64 {
        let epoll = self.watch();
        let mut next = 0;
        let mut answers = 0_u64;
        let mut sent = 0_u64;
        // The default slack of 50 µs would bunch what is to be spread.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).expect("a thread may set its slack");
        let start = Instant::now();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1_024);
        while start.elapsed() < duration {
            let want = match pace {
                Pace::AtOnce(at_once) => answers + at_once,
                Pace::PerSecond(rate) => {
                    rate * u64::try_from(start.elapsed().as_micros()).expect("short") / 1_000_000
                }
            };
            while sent < want {
                self.streams[next].write_all(HEARTBEAT).expect("the server reads");
                next = (next + 1) % self.streams.len();
                sent += 1;
            }
            events.clear();
            let patience = rustix::time::Timespec {
                tv_sec: 0,
                tv_nsec: pace.patience_ns(),
            };
            epoll::wait(
                &epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&patience),
            )
            .expect("epoll works");
            for event in &events {
                let place = usize::try_from(event.data.u64()).expect("an index");
                answers += self.take_answers(place);
            }
            if let Pace::PerSecond(rate) = pace {
                let due = start + Duration::from_micros(1_000_000 * (sent + 1) / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        let last_sent = Instant::now();
        let patience = rustix::time::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        while answers < sent {
            assert!(
                last_sent.elapsed() < ANSWERS_WITHIN,
                "{} of {sent} heartbeats are unanswered after {ANSWERS_WITHIN:?}",
                sent - answers
            );
            events.clear();
            epoll::wait(
                &epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&patience),
            )
            .expect("epoll works");
            for event in &events {
                answers += self.take_answers(usize::try_from(event.data.u64()).expect("an index"));
            }
        }
        answers
    }

    fn take_answers(&mut self, place: usize) -> u64 {
        let mut bytes = [0; 3 * 64];
        match self.streams[place].read(&mut bytes) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(count) => {
                assert!(
                    count % 3 == 0 && bytes[..3] == *HEARTBEAT_ANSWER,
                    "whole answers come at once on loopback"
                );
                (count / 3) as u64
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("the server failed: {error}"),
        }
    }

    fn watch(&mut self) -> OwnedFd {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        for (place, stream) in self.streams.iter().enumerate() {
            stream
                .set_nonblocking(true)
                .expect("a socket that does not block");
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&epoll, stream, data, epoll::EventFlags::IN).expect("added");
        }
        epoll
    }

    /// Resets all connections, so that no port stays taken.
    pub fn leave(self) {
        for stream in &self.streams {
            sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("SO_LINGER");
        }
    }
}

/// How fast a crowd beats.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as answers come, with this many under way.
    AtOnce(u64),
    /// At this rate, evenly spread: each by itself, as terminals that know nothing of one another send.
    PerSecond(u64),
}

impl Pace {
    /// How long to wait for answers before the next heartbeat may be due.
    fn patience_ns(self) -> i64 {
        match self {
            Self::AtOnce(_) => 1_000_000,
            Self::PerSecond(_) => 0,
        }
    }
}

fn connect(address: SocketAddr, number: usize) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let last = u8::try_from(1 + number / PER_SOURCE).expect("few source addresses");
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0);
    rustix::net::bind(&socket, &source).expect("a loopback address");
    sockopt::set_tcp_nodelay(&socket, true).expect("TCP_NODELAY");
    rustix::net::connect(&socket, &address).expect("the server listens");
    TcpStream::from(socket)
}

fn read_heartbeat_answer(stream: &mut TcpStream) {
    let mut answer = [0; HEARTBEAT_ANSWER.len()];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(answer, HEARTBEAT_ANSWER);
}

fn read_login_answer(stream: &mut TcpStream) {
    let mut received = Vec::new();
    let mut bytes = [0; 512];
    loop {
        let count = stream.read(&mut bytes).expect("the server answers");
        assert!(
            count > 0,
            "the server closed a connection before its login was answered"
        );
        received.extend_from_slice(&bytes[..count]);
        if let Next::Packet(packet, _) = frame::next(&received, 4_096) {
            let response = proto::Response::decode(packet).expect("a packet");
            let Some(response::Packet::LoginAnswer(answer)) = response.packet else {
                panic!("not a login answer")
            };
            let verdict = answer.verdict.expect("a verdict");
            assert_eq!(verdict.code(), proto::Code::Ok, "{}", verdict.text);
            return;
        }
    }
}
