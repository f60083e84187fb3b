//! The pending accepts of a ring: each has room of its own for the address of the peer that it will meet. Touches
//! no socket; it keeps the books and the memory.

use std::mem::zeroed;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::completion::{AcceptEnd, Completion};

/// What the kernel writes a peer's address to.
pub(super) struct AddressRoom {
    pub(super) address: libc::sockaddr_storage,
    pub(super) length: libc::socklen_t,
}

/// All rooms, and which accepts are pending.
pub(super) struct Accepts {
    /// Boxed: the kernel knows where they are.
    rooms: Box<[AddressRoom]>,
    pending: Box<[bool]>,
    /// Accepts that are not pending, for each listener.
    idle: Box<[Vec<u32>]>,
}

impl Accepts {
    pub(super) fn new(listeners: usize, accepts_each: u32) -> Self {
        let count = u32::try_from(listeners).expect("a handful") * accepts_each;
        let room = || AddressRoom {
            // SAFETY: an address of all zeros is one of no family.
            address: unsafe { zeroed() },
            length: 0,
        };
        Self {
            rooms: (0..count).map(|_| room()).collect(),
            pending: (0..count).map(|_| false).collect(),
            idle: (0..listeners)
                .map(|listener| (0..count).skip(listener).step_by(listeners).collect())
                .collect(),
        }
    }

    pub(super) fn pending_count(&self) -> u32 {
        let idle: usize = self.idle.iter().map(Vec::len).sum();
        u32::try_from(self.pending.len() - idle).expect("made of u32s")
    }

    pub(super) fn pending_of(&self, listener: usize) -> u32 {
        let each = self.pending.len() / self.idle.len();
        u32::try_from(each - self.idle[listener].len()).expect("made of u32s")
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&*self.pending)
            .filter(|(_, pending)| **pending)
            .map(|(number, _)| number)
    }

    /// Makes one more accept of a listener pending: its number and its room.
    pub(super) fn begin(&mut self, listener: usize) -> Option<(u32, &mut AddressRoom)> {
        let number = self.idle[listener].pop()?;
        let place = number as usize;
        self.pending[place] = true;
        let room = &mut self.rooms[place];
        room.length = u32::try_from(size_of::<libc::sockaddr_storage>()).expect("128");
        Some((number, room))
    }

    pub(super) fn ended(&mut self, number: u32, result: i32) -> Completion {
        self.pending[number as usize] = false;
        let listener = number as usize % self.idle.len();
        self.idle[listener].push(number);
        match u32::try_from(result) {
            Ok(slot) => Completion::Accepted {
                slot,
                peer: address_of(&self.rooms[number as usize].address),
                listener,
            },
            Err(_) => Completion::NotAccepted(end_of(-result)),
        }
    }
}

fn end_of(errno: i32) -> AcceptEnd {
    match errno {
        libc::ECANCELED => AcceptEnd::Cancelled,
        libc::ENFILE | libc::EMFILE | libc::ENOMEM | libc::ENOBUFS => AcceptEnd::NoRoom,
        _ => AcceptEnd::Passing,
    }
}

fn address_of(storage: &libc::sockaddr_storage) -> SocketAddr {
    let start = std::ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is large and aligned enough for every family, holds this.
            let address = unsafe { &*start.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            SocketAddr::from((ip, u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*start.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            SocketAddr::from((ip, u16::from_be(address.sin6_port)))
        }
        family => panic!("listeners are IPv4 or IPv6, not {family}"),
    }
}
