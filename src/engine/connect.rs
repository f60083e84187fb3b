//! Connecting out: a socket in a slot of the caller's choice, bound to a source address, connected. A gateway never
//! does it; a load generator does nothing else. It chooses no slot and no address.

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::{DestinationSlot, Fixed};

use std::net::SocketAddrV4;

use super::memory::ConnectEnds;
use super::ring::Ring;
use super::token::OperationToken;
use crate::base::ids::ConnKey;

/// Operations of one connect: the socket, its two options, its source address, and the connect itself.
const CHAIN: usize = 5;

/// The first kernel that can bind a direct descriptor.
pub const KERNEL_OLDEST: &str = "6.11";

/// The socket's options, each switched on: `IP_BIND_ADDRESS_NO_PORT` has the port chosen at the connect, when the target is
/// known, so that sources do not run out of ports that other targets use; `TCP_NODELAY` sends the login although the end of a
/// TLS handshake before it is not acknowledged yet.
const OPTIONS: [(libc::c_int, libc::c_int); 2] = [
    (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
];

/// Switches an option on.
static ON: libc::c_int = 1;

impl Ring {
    /// Whether a connect can be begun. If not, the kernel takes no more operations: reap, and try again.
    #[must_use]
    pub fn may_connect(&mut self) -> bool {
        self.has_room(CHAIN)
    }

    /// Connects the socket that it makes in `key.slot`, which must be free.
    ///
    /// # Panics
    /// If that connection is being made already, or [`Ring::may_connect`] would have said no: the chain may not be cut in two by
    /// a full queue, since what a link does not reach runs at once.
    pub(super) fn connect(&mut self, key: ConnKey, source: SocketAddrV4, target: SocketAddrV4) {
        assert!(self.may_connect(), "its caller asked");
        let ends = Box::new(ConnectEnds {
            source: sockaddr(source),
            target: sockaddr(target),
        });
        let (from, to) = (&raw const ends.source, &raw const ends.target);
        let earlier = self.memory.connects.insert(key, ends);
        assert!(earlier.is_none(), "a connection is made once");
        let slot = DestinationSlot::try_from_slot_target(key.slot).expect("slots have 20 bits");
        let length = u32::try_from(size_of::<libc::sockaddr_in>()).expect("16");
        let on = u32::try_from(size_of_val(&ON)).expect("4");
        let fixed = Fixed(key.slot);
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0)
            .file_index(Some(slot))
            .build();
        let [no_port, no_delay] = OPTIONS.map(|(level, option)| {
            let (level, option) = (level.unsigned_abs(), option.unsigned_abs());
            opcode::SetSockOpt::new(fixed, level, option, (&raw const ON).cast(), on).build()
        });
        let bind = opcode::Bind::new(fixed, from.cast(), length).build();
        // One completion a chain: that of the step that failed, or else that of the last.
        for step in [socket, no_port, no_delay, bind] {
            self.push(
                step.flags(Flags::IO_LINK | Flags::SKIP_SUCCESS),
                OperationToken::Connect(key),
            );
        }
        let connect = opcode::Connect::new(fixed, to.cast(), length).build();
        self.push_using_memory(connect, OperationToken::Connect(key));
    }
}

fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("2"),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}
