//! One ring of the model: its queue, what is armed, what has completed, its table and its buffers. It holds the books; what an
//! operation comes to is decided in `model`.

use std::collections::{BTreeSet, VecDeque};

use crate::base::ids::ConnKey;
use crate::engine::completion::{ConnectionEvent, ReceiveEnd};
use crate::engine::kernel::{Kernel, Operation, ReceiveMode};
use crate::engine::token::MoveToken;

/// A filled buffer.
#[derive(Debug)]
pub(crate) struct FilledBuffer {
    number: u16,
    pub(crate) bytes: Vec<u8>,
}

/// What can be in the kernel's hands once for each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Receive,
    Poll,
    Send,
    Close,
    Move,
    Connect,
}

/// An operation that waits.
#[derive(Debug)]
pub(crate) enum Armed {
    Receive(ReceiveMode),
    Poll,
    Send {
        bytes: Vec<u8>,
        start: usize,
        sent: usize,
    },
    Connect,
}

impl Armed {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Receive(_) => Kind::Receive,
            Self::Poll => Kind::Poll,
            Self::Send { .. } => Kind::Send,
            Self::Connect => Kind::Connect,
        }
    }
}

/// What can be reaped.
#[derive(Debug)]
pub(crate) enum Done {
    Accepted(u32),
    Arrived(MoveToken, u32),
    Of(ConnKey, ConnectionEvent<FilledBuffer>),
}

/// A slot with a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) socket: usize,
    /// Whose it is, once an operation has named it.
    generation: Option<u32>,
    /// Nobody was told of it.
    pub(crate) is_untold: bool,
}

#[derive(Debug)]
pub(crate) struct ModelRing {
    pub(crate) queued: VecDeque<(ConnKey, Operation)>,
    pub(crate) armed: Vec<(ConnKey, Armed)>,
    pub(crate) done: Vec<Done>,
    in_flight: BTreeSet<(ConnKey, Kind)>,
    pub(crate) slots: Vec<Option<Held>>,
    free_buffers: Vec<u16>,
    buffers: u16,
    /// Bytes of one buffer.
    pub(crate) buffer_bytes: usize,
}

impl Kernel for ModelRing {
    type Buffer = FilledBuffer;

    fn begin(&mut self, key: ConnKey, operation: Operation) {
        self.queued.push_back((key, operation));
    }

    fn bytes<'a>(&'a self, buffer: &'a FilledBuffer) -> &'a [u8] {
        &buffer.bytes
    }

    fn recycle(&mut self, buffer: FilledBuffer) {
        assert!(
            !self.free_buffers.contains(&buffer.number),
            "a buffer came back twice"
        );
        self.free_buffers.push(buffer.number);
    }
}

impl ModelRing {
    pub(crate) fn new(slots: usize, buffers: u16, buffer_bytes: usize) -> Self {
        Self {
            queued: VecDeque::new(),
            armed: Vec::new(),
            done: Vec::new(),
            in_flight: BTreeSet::new(),
            slots: vec![None; slots],
            free_buffers: (0..buffers).collect(),
            buffers,
            buffer_bytes,
        }
    }

    /// Puts a socket into the first free slot.
    pub(crate) fn hold(&mut self, socket: usize) -> Option<u32> {
        let slot = self.slots.iter().position(Option::is_none)?;
        let slot = u32::try_from(slot).expect("few slots");
        self.hold_at(slot, socket);
        Some(slot)
    }

    pub(crate) fn hold_at(&mut self, slot: u32, socket: usize) {
        let place = &mut self.slots[slot as usize];
        assert!(place.is_none(), "slot {slot} has a socket");
        *place = Some(Held {
            socket,
            generation: None,
            is_untold: false,
        });
    }

    /// The socket that an operation names.
    pub(crate) fn socket(&mut self, key: ConnKey) -> usize {
        assert!(
            !self.is_in_flight(key, Kind::Close),
            "{key:?} is used after its close"
        );
        let held = self.slots[key.slot as usize].as_mut();
        let held = held.unwrap_or_else(|| panic!("{key:?} is used after its close"));
        let generation = *held.generation.get_or_insert(key.generation);
        assert_eq!(generation, key.generation, "{key:?} is used after its close");
        held.socket
    }

    pub(crate) fn is_in_flight(&self, key: ConnKey, kind: Kind) -> bool {
        self.in_flight.contains(&(key, kind))
    }

    /// What is in the kernel's hands for a connection, or was not reaped.
    pub(crate) fn all_in_flight(&self, key: ConnKey) -> Vec<Kind> {
        let all = self.in_flight.iter().filter(|(of, _)| *of == key);
        all.map(|(_, kind)| *kind).collect()
    }

    pub(crate) fn count(&mut self, key: ConnKey, kind: Kind) {
        assert!(
            self.in_flight.insert((key, kind)),
            "two of {kind:?} at once for {key:?}"
        );
        let excluded = self.is_in_flight(key, Kind::Move) && self.all_in_flight(key).len() > 1;
        assert!(
            !excluded,
            "{key:?} moves, and {:?} is armed",
            self.all_in_flight(key)
        );
    }

    pub(crate) fn arm(&mut self, key: ConnKey, armed: Armed) {
        self.count(key, armed.kind());
        self.armed.push((key, armed));
    }

    pub(crate) fn end(&mut self, key: ConnKey, event: ConnectionEvent<FilledBuffer>) {
        self.done.push(Done::Of(key, event));
    }

    /// Something was reaped.
    pub(crate) fn reaped(&mut self, key: ConnKey, event: &ConnectionEvent<FilledBuffer>) {
        let kind = match event {
            ConnectionEvent::Received(_) => Kind::Receive,
            ConnectionEvent::Polled => Kind::Poll,
            ConnectionEvent::Sent(_) => Kind::Send,
            ConnectionEvent::Closed => Kind::Close,
            ConnectionEvent::Left(_) => Kind::Move,
            ConnectionEvent::Connected(_) => Kind::Connect,
            ConnectionEvent::ConstantNotSent(_) => return,
        };
        assert!(self.in_flight.remove(&(key, kind)), "the model told an end twice");
    }

    /// Fills a buffer, if there is one.
    pub(crate) fn fill(&mut self, bytes: Vec<u8>) -> Option<FilledBuffer> {
        let number = self.free_buffers.pop()?;
        Some(FilledBuffer { number, bytes })
    }

    pub(crate) fn has_buffer(&self) -> bool {
        !self.free_buffers.is_empty()
    }

    /// Everything was given back, joined and closed.
    pub(crate) fn check_end(&self) {
        let leaks: Vec<&Held> = self
            .slots
            .iter()
            .flatten()
            .filter(|held| !held.is_untold)
            .collect();
        assert!(leaks.is_empty(), "never closed: {leaks:?}");
        assert!(self.in_flight.is_empty(), "never joined: {:?}", self.in_flight);
        assert_eq!(
            self.free_buffers.len(),
            usize::from(self.buffers),
            "buffers never came back"
        );
    }
}

/// Whether a receive gave its owner nothing to read.
pub(crate) fn is_empty(end: &ReceiveEnd<FilledBuffer>) -> bool {
    matches!(
        end,
        ReceiveEnd::Nothing | ReceiveEnd::End | ReceiveEnd::EndWith(_)
    )
}
