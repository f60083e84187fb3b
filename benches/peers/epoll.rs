//! What Holdfast is measured beside: a plain epoll server that speaks the same protocol, as a competent engineer would
//! write it in a day. A thread a core with its own SO_REUSEPORT listener, blocking `epoll_wait`, one `read` and one
//! `write` a packet. It checks the same UserSig and keeps a presence entry per connection; it has no policy, no registry
//! and no timers.

mod protocol;

use std::collections::HashMap;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

use holdfast::base::ids::UserId;
use holdfast::protocol::packet::TerminalPacket;
use protocol::{App, Checker, Effect, FRAME_BYTES_MAX, Partial, Welcome, decide};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketType, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    user: Option<UserId>,
    partial: Partial,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    present: HashMap<UserId, usize>,
    checker: Checker,
    app: App,
}

/// Serves on `threads` threads until this process's parent ends. Says `ready` when it listens.
pub fn serve(address: SocketAddr, threads: usize, sdk_app_id: u64, secret: &str) {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a process may end with its parent");
    let listeners: Vec<TcpListener> = (0..threads).map(|_| listen(address)).collect();
    println!("ready");
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let app = App::new(sdk_app_id, secret);
            std::thread::spawn(move || Server::new(listener, app).run())
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
    fn new(listener: TcpListener, app: App) -> Self {
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
            checker: Checker::new(),
            app,
        }
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(1_024);
        loop {
            events.clear();
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
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
                partial: Partial::default(),
            });
        }
    }

    fn serve(&mut self, place: usize) {
        let Some(connection) = &mut self.connections[place] else {
            return;
        };
        let mut buffer = [const { MaybeUninit::uninit() }; FRAME_BYTES_MAX];
        let received = match rustix::net::recv(&connection.stream, &mut buffer[..], RecvFlags::empty()) {
            Ok(((received, _), 1..)) => received,
            Err(Errno::AGAIN) => return,
            Ok((_, 0)) | Err(_) => return self.close(place),
        };
        let mut partial = std::mem::take(&mut connection.partial);
        match partial.packets(received, |packet| self.answer(place, packet)) {
            ControlFlow::Continue(()) => self.connection(place).partial = partial,
            ControlFlow::Break(()) => self.close(place),
        }
    }

    fn answer(&mut self, place: usize, packet: TerminalPacket) -> ControlFlow<()> {
        let connection = self.connection(place);
        match decide(connection.user.as_ref(), packet) {
            Effect::Send(answer) => send(&mut connection.stream, answer),
            Effect::LogIn(login) => {
                let Some(Welcome { user, answer }) = self.checker.check(&self.app, &login) else {
                    return ControlFlow::Break(());
                };
                self.present.insert(user, place);
                let connection = self.connection(place);
                connection.user = Some(user);
                send(&mut connection.stream, &answer)
            }
            Effect::SendLast(answer) => {
                send(&mut connection.stream, answer)?;
                ControlFlow::Break(())
            }
            Effect::Close => ControlFlow::Break(()),
        }
    }

    fn connection(&mut self, place: usize) -> &mut Connection {
        self.connections[place]
            .as_mut()
            .expect("a connection that sent something")
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

/// An answer fits into any socket whose terminal reads; who does not is closed.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> ControlFlow<()> {
    match stream.write_all(bytes) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
