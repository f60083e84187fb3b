//! What Holdfast is measured beside: a plain epoll server that speaks the same protocol, as a competent engineer would
//! write it in a day. A thread a core with its own SO_REUSEPORT listener, blocking `epoll_wait`, one `read` and one
//! `write` a packet. It checks the same UserSig and keeps a presence entry per connection; it has no policy, no registry
//! and no timers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::logic::usersig::{Key, Verifier};
use holdfast::logic::wire::frame::{self, Next};
use holdfast::logic::wire::packet::{HEARTBEAT_ANSWER, Incoming, encode, read};
use holdfast::logic::wire::proto::{self, response};
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketType, sockopt};

const FRAME_BYTES_MAX: usize = 4_096;
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    user: Option<UserId>,
    partial: Vec<u8>,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    present: HashMap<UserId, usize>,
    verifier: Verifier,
    app: (u64, Vec<Key>),
    clock: Clock,
}

/// Serves for ever on `threads` threads. Says `ready` when it listens.
pub fn serve(address: SocketAddr, threads: usize, sdk_app_id: u64, secret: &str) {
    let listeners: Vec<TcpListener> = (0..threads).map(|_| listen(address)).collect();
    println!("ready");
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let keys = vec![Key {
                secret: secret.to_owned(),
                not_after_s: None,
            }];
            std::thread::spawn(move || Server::new(listener, (sdk_app_id, keys)).run())
        })
        .collect();
    for thread in threads {
        thread.join().expect("the server runs until it is killed");
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_reuseport(&socket, true).expect("SO_REUSEPORT");
    sockopt::set_tcp_nodelay(&socket, true).expect("TCP_NODELAY");
    rustix::net::bind(&socket, &address).expect("a free address");
    rustix::net::listen(&socket, 4_096).expect("a listener");
    rustix::io::ioctl_fionbio(&socket, true).expect("a listener that does not block");
    TcpListener::from(socket)
}

impl Server {
    fn new(listener: TcpListener, app: (u64, Vec<Key>)) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            epoll::EventFlags::IN,
        )
        .expect("added");
        Self {
            epoll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            present: HashMap::new(),
            verifier: Verifier::default(),
            app,
            clock: Clock::start(),
        }
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(1_024);
        loop {
            events.clear();
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => panic!("epoll_wait: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    connection => self.serve(usize::try_from(connection).expect("an index")),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream
                .set_nonblocking(true)
                .expect("a socket that does not block");
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN).expect("added");
            self.connections[place] = Some(Connection {
                stream,
                user: None,
                partial: Vec::new(),
            });
        }
    }

    fn serve(&mut self, place: usize) {
        let Some(connection) = &mut self.connections[place] else {
            return;
        };
        let mut bytes = [0; FRAME_BYTES_MAX];
        let count = match connection.stream.read(&mut bytes) {
            Ok(0) => return self.close(place),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => return self.close(place),
        };
        let mut whole = std::mem::take(&mut connection.partial);
        let bytes = if whole.is_empty() {
            &bytes[..count]
        } else {
            whole.extend_from_slice(&bytes[..count]);
            &whole
        };
        let mut rest = bytes;
        loop {
            match frame::next(rest, FRAME_BYTES_MAX) {
                Next::Packet(packet, behind) => {
                    let Ok((incoming, _)) = read(packet) else {
                        return self.close(place);
                    };
                    if !self.answer(place, incoming) {
                        return self.close(place);
                    }
                    rest = behind;
                }
                Next::Incomplete => break,
                Next::TooLarge | Next::Malformed => return self.close(place),
            }
        }
        if !rest.is_empty()
            && let Some(connection) = &mut self.connections[place]
        {
            connection.partial = rest.to_vec();
        }
    }

    /// Answers one packet. Says whether the connection goes on.
    fn answer(&mut self, place: usize, incoming: Incoming) -> bool {
        let connection = self.connections[place]
            .as_mut()
            .expect("a connection that sent a packet");
        match incoming {
            Incoming::Heartbeat => {
                connection.user.is_some() && connection.stream.write_all(HEARTBEAT_ANSWER).is_ok()
            }
            Incoming::Login(login) => {
                let Ok(user) = UserId::new(login.user_id.as_bytes()) else {
                    return false;
                };
                let app = (self.app.0, &*self.app.1);
                let now = self.clock.now();
                if self
                    .verifier
                    .verify(now.wall, app, &user, &login.user_sig)
                    .is_err()
                {
                    return false;
                }
                connection.user = Some(user);
                self.present.insert(user, place);
                let answer = proto::LoginAnswer {
                    verdict: Some(proto::Verdict::of(proto::Code::Ok)),
                    protocol: 1,
                    session: 1,
                    heartbeat_interval_ms: 120_000,
                    heartbeat_timeout_ms: 400_000,
                    server_time_ms: now.wall.0,
                    ..Default::default()
                };
                let response = proto::Response {
                    packet: Some(response::Packet::LoginAnswer(answer)),
                };
                connection.stream.write_all(&encode(&response)).is_ok()
            }
            Incoming::Logout | Incoming::Background(_) | Incoming::Unknown => false,
        }
    }

    fn close(&mut self, place: usize) {
        let connection = self.connections[place].take().expect("a connection to close");
        if let Some(user) = connection.user
            && self.present.get(&user) == Some(&place)
        {
            self.present.remove(&user);
        }
        self.free.push(place);
    }
}
