//! The model of the kernel: carries out what rings were asked, late and in any order, with every end that the real one has; and
//! checks what that one would not forgive.

use crate::base::ids::ConnKey;
use crate::engine::completion::{ConnectionEvent, KernelRefusal, ReceiveEnd, SendEnd, Unread};
use crate::engine::kernel::{Cancel, Operation, ReceiveMode};
use crate::engine::token::MoveToken;
use crate::kernel::ring::{Armed, Done, FilledBuffer, Held, Kind, ModelRing, is_empty};
use crate::kernel::socket::{Peer, Socket};

pub(crate) struct Model {
    pub(crate) random: fastrand::Rng,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) rings: Vec<ModelRing>,
    /// Of so many moves one finds no room, and one arrives untold.
    move_fails_one_in: u32,
}

/// The byte at this place of what a peer writes.
fn byte_at(place: usize) -> u8 {
    (place * 31 % 251) as u8
}

impl Model {
    pub(crate) fn new(random: fastrand::Rng, rings: Vec<ModelRing>, move_fails_one_in: u32) -> Self {
        Self {
            random,
            sockets: Vec::new(),
            rings,
            move_fails_one_in,
        }
    }

    pub(crate) fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(0..one_in) == 0
    }

    /// A socket that keeps some bytes for a peer that does not read.
    fn new_socket(&mut self) -> usize {
        let room = self.some_room();
        self.sockets.push(Socket::new(room));
        self.sockets.len() - 1
    }

    pub(crate) fn some_room(&mut self) -> usize {
        if self.chance(4) {
            self.random.usize(4..16)
        } else {
            self.random.usize(16..600)
        }
    }

    /// Somebody connects to a ring, and is accepted if its table has room. Gives its socket, which keeps `room` bytes for a peer
    /// that does not read.
    pub(crate) fn accept(&mut self, ring: usize, room: usize) -> Option<usize> {
        let socket = self.sockets.len();
        let slot = self.rings[ring].hold(socket)?;
        self.sockets.push(Socket::new(room));
        self.rings[ring].done.push(Done::Accepted(slot));
        Some(socket)
    }

    /// All rings are gone, and with them all that was under way. The peers of all sockets learn it.
    pub(crate) fn crash(&mut self, rings: Vec<ModelRing>) {
        self.rings = rings;
        self.sockets
            .iter_mut()
            .for_each(|socket| socket.is_aborted = true);
    }

    /// The socket of a connection, for its owner.
    pub(crate) fn socket_of(&mut self, ring: usize, slot: u32) -> usize {
        self.rings[ring].slots[slot as usize]
            .expect("just told of")
            .socket
    }

    /// Takes all that a ring has queued, in order.
    pub(crate) fn submit(&mut self, ring: usize) {
        while let Some((key, operation)) = self.rings[ring].queued.pop_front() {
            self.issue(ring, key, operation);
        }
    }

    fn issue(&mut self, ring: usize, key: ConnKey, operation: Operation) {
        if let Operation::Connect { .. } = operation {
            let socket = self.new_socket();
            self.rings[ring].hold_at(key.slot, socket);
            self.rings[ring].socket(key);
            return self.rings[ring].arm(key, Armed::Connect);
        }
        if let Operation::Cancel(what) = operation {
            // What it names may have ended already, and its slot be another's.
            return self.cancel(ring, key, what);
        }
        let socket = self.rings[ring].socket(key);
        match operation {
            Operation::Receive(mode) => self.arm(ring, key, Armed::Receive(mode)),
            Operation::Poll => self.arm(ring, key, Armed::Poll),
            Operation::SendConstant(bytes) => self.send_constant(ring, key, bytes),
            Operation::Send { bytes, start } => {
                assert!(start < bytes.len(), "an empty send");
                if start == 0 {
                    self.sockets[socket].is_to_send(&bytes);
                }
                let sent = 0;
                self.arm(ring, key, Armed::Send { bytes, start, sent });
            }
            Operation::Abort => self.sockets[socket].is_aborted = true,
            Operation::Close => self.close(ring, key, socket),
            Operation::Move(target, token) => self.move_to(ring, key, (usize::from(target.0), token)),
            Operation::Connect { .. } | Operation::Cancel(_) => unreachable!("see above"),
        }
    }

    fn arm(&mut self, ring: usize, key: ConnKey, armed: Armed) {
        let is_at_once = matches!(armed, Armed::Receive(ReceiveMode::DontWait));
        self.rings[ring].arm(key, armed);
        if is_at_once || self.random.bool() {
            self.attempt(ring, self.rings[ring].armed.len() - 1);
        }
    }

    fn send_constant(&mut self, ring: usize, key: ConnKey, bytes: &[u8]) {
        let socket = self.rings[ring].socket(key);
        let is_sending = self.rings[ring].is_in_flight(key, Kind::Send);
        assert!(!is_sending, "two sends at once for {key:?}");
        let socket = &mut self.sockets[socket];
        socket.is_to_send(bytes);
        let refusal = socket.refusal(&mut self.random);
        let refusal = refusal.or_else(|| {
            let is_short = socket.send(bytes) < bytes.len();
            socket.is_cut |= is_short;
            is_short.then_some(KernelRefusal::FULL)
        });
        if let Some(refusal) = refusal {
            self.rings[ring].end(key, ConnectionEvent::ConstantNotSent(refusal));
        }
    }

    fn close(&mut self, ring: usize, key: ConnKey, socket: usize) {
        let armed = self.rings[ring].all_in_flight(key);
        assert!(
            armed.is_empty(),
            "{key:?} is closed with {armed:?} in flight: the socket leaks"
        );
        self.rings[ring].count(key, Kind::Close);
        self.rings[ring].slots[key.slot as usize] = None;
        self.rings[ring].end(key, ConnectionEvent::Closed);
        let socket = &mut self.sockets[socket];
        socket.holders -= 1;
        if socket.holders == 0 {
            socket.check_close();
        }
    }

    fn move_to(&mut self, ring: usize, key: ConnKey, (target, token): (usize, MoveToken)) {
        let socket = self.rings[ring].socket(key);
        self.rings[ring].count(key, Kind::Move);
        let slot = if self.chance(self.move_fails_one_in) {
            None
        } else {
            self.rings[target].hold(socket)
        };
        let result = match slot {
            None => Err(KernelRefusal(libc::ENFILE)),
            Some(slot) => {
                self.sockets[socket].holders += 1;
                if self.chance(self.move_fails_one_in) {
                    let held = self.rings[target].slots[slot as usize].as_mut();
                    held.expect("just put there").is_untold = true;
                    Err(KernelRefusal::UNTOLD)
                } else {
                    self.rings[target].done.push(Done::Arrived(token, slot));
                    Ok(())
                }
            }
        };
        self.rings[ring].end(key, ConnectionEvent::Left(result));
    }

    fn cancel(&mut self, ring: usize, key: ConnKey, what: Cancel) {
        let kind = match what {
            Cancel::Receive => Kind::Receive,
            Cancel::Poll => Kind::Poll,
            Cancel::Send => Kind::Send,
        };
        let is_it = |(of, armed): &(ConnKey, Armed)| *of == key && armed.kind() == kind;
        let Some(place) = self.rings[ring].armed.iter().position(is_it) else {
            return;
        };
        if self.random.bool() && self.attempt(ring, place) {
            return;
        }
        let (_, armed) = self.rings[ring].armed.swap_remove(place);
        let event = match armed {
            Armed::Receive(_) => ConnectionEvent::Received(ReceiveEnd::Cancelled),
            Armed::Poll => ConnectionEvent::Polled,
            Armed::Send { bytes, sent, .. } => {
                let sent = if sent > 0 {
                    Ok(sent)
                } else {
                    Err(KernelRefusal(libc::ECANCELED))
                };
                ConnectionEvent::Sent(SendEnd { bytes, sent })
            }
            Armed::Connect => unreachable!("nobody cancels a connect"),
        };
        self.rings[ring].end(key, event);
    }

    /// Whether an armed operation can go on.
    pub(crate) fn is_ready(&self, ring: usize, place: usize) -> bool {
        let (key, armed) = &self.rings[ring].armed[place];
        let held = self.rings[ring].slots[key.slot as usize].expect("what is armed has a socket");
        let socket = &self.sockets[held.socket];
        match armed {
            Armed::Receive(ReceiveMode::Wait) | Armed::Poll => socket.unread() > 0 || socket.has_ended(),
            Armed::Send { .. } => socket.takes_more(),
            Armed::Receive(ReceiveMode::DontWait) | Armed::Connect => true,
        }
    }

    /// Tries to end an armed operation. Whether it did.
    pub(crate) fn attempt(&mut self, ring: usize, place: usize) -> bool {
        let (key, mut armed) = self.rings[ring].armed.swap_remove(place);
        let socket = self.rings[ring].socket(key);
        let event = match &mut armed {
            Armed::Receive(mode) => self.receive(ring, socket, *mode).map(ConnectionEvent::Received),
            Armed::Poll => {
                let socket = &self.sockets[socket];
                (socket.unread() > 0 || socket.has_ended()).then_some(ConnectionEvent::Polled)
            }
            Armed::Send { bytes, start, sent } => self.send(socket, bytes, *start, sent),
            Armed::Connect => Some(self.connect(socket)),
        };
        let has_ended = event.is_some();
        match event {
            Some(event) => self.rings[ring].end(key, event),
            None => {
                let all = &mut self.rings[ring].armed;
                all.push((key, armed));
                let last = all.len() - 1;
                all.swap(place, last);
            }
        }
        has_ended
    }

    fn receive(&mut self, ring: usize, socket: usize, mode: ReceiveMode) -> Option<ReceiveEnd<FilledBuffer>> {
        let (unread, has_ended) = (self.sockets[socket].unread(), self.sockets[socket].has_ended());
        let end = if unread == 0 && !has_ended {
            match mode {
                // With no buffer left it fails though nothing has come.
                ReceiveMode::Wait if !self.rings[ring].has_buffer() && self.random.bool() => {
                    ReceiveEnd::NoBuffer
                }
                ReceiveMode::Wait => return None,
                ReceiveMode::DontWait => ReceiveEnd::Nothing,
            }
        } else if !self.rings[ring].has_buffer() {
            ReceiveEnd::NoBuffer
        } else if unread == 0 {
            self.sockets[socket].is_end_seen = true;
            match self.random.bool() {
                true => ReceiveEnd::End,
                false => ReceiveEnd::EndWith(self.rings[ring].fill(Vec::new()).expect("there is one")),
            }
        } else {
            let bytes = self.sockets[socket].receive(self.rings[ring].buffer_bytes);
            let is_sure = bytes.len() == self.rings[ring].buffer_bytes;
            let unread = if is_sure || self.random.bool() {
                Unread::Perhaps
            } else {
                Unread::Nothing
            };
            let buffer = self.rings[ring].fill(bytes).expect("there is one");
            ReceiveEnd::Bytes { buffer, unread }
        };
        self.sockets[socket].is_found_empty = is_empty(&end);
        Some(end)
    }

    fn send(
        &mut self,
        socket: usize,
        bytes: &mut Vec<u8>,
        start: usize,
        sent: &mut usize,
    ) -> Option<ConnectionEvent<FilledBuffer>> {
        let socket = &mut self.sockets[socket];
        let refusal = socket.refusal(&mut self.random);
        let result = match refusal {
            Some(_) if *sent > 0 => Ok(*sent),
            Some(refusal) => Err(refusal),
            None => {
                *sent += socket.send(&bytes[start + *sent..]);
                let is_short = *sent > 0 && self.random.u8(0..4) == 0;
                if start + *sent < bytes.len() && !is_short {
                    return None;
                }
                Ok(*sent)
            }
        };
        let bytes = std::mem::take(bytes);
        Some(ConnectionEvent::Sent(SendEnd { bytes, sent: result }))
    }

    fn connect(&mut self, socket: usize) -> ConnectionEvent<FilledBuffer> {
        let result = match self.chance(5) {
            true => Err(KernelRefusal(libc::ECONNREFUSED)),
            false => Ok(()),
        };
        self.sockets[socket].is_end_seen = result.is_err();
        ConnectionEvent::Connected(result)
    }

    /// A peer does something.
    pub(crate) fn peer_acts(&mut self) {
        if self.sockets.is_empty() {
            return;
        }
        let chosen = self.random.usize(0..self.sockets.len());
        let count = self.random.usize(1..40);
        let socket = &mut self.sockets[chosen];
        match self.random.u8(0..24) {
            0..10 => {
                let end = socket.written();
                socket.peer_writes((end..end + count).map(byte_at));
            }
            10..22 => _ = socket.peer_reads(count * 8),
            _ => self.peer_leaves(),
        }
    }

    /// Some peer says that it sends nothing more, or resets.
    pub(crate) fn peer_leaves(&mut self) {
        let how = if self.random.bool() {
            Peer::Reset
        } else {
            Peer::HalfClosed
        };
        if let Some(socket) = self.random.choice(&mut self.sockets) {
            socket.peer_leaves(how);
        }
    }

    /// Slots whose sockets nobody was told of: these must have been reset.
    pub(crate) fn check_untold(&self) {
        let untold = |held: &&Held| held.is_untold && !self.sockets[held.socket].is_aborted;
        let all = self.rings.iter().flat_map(|ring| ring.slots.iter().flatten());
        let left: Vec<&Held> = all.filter(untold).collect();
        assert!(
            left.is_empty(),
            "sockets that nobody can close were not reset: {left:?}"
        );
    }
}
