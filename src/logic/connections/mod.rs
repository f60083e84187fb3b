//! The connections of a shard: sockets' far ends before, during and after a login. Turns what comes by them into what happened
//! to a user, and carries out what users want of them. Never decides about users.

mod session;
mod meaning;
mod addresses;
mod versions;
mod retry_calendar;
mod terminal;
mod login;
mod pipelined;
mod endings;
mod redirects;
mod commands;

use std::collections::{HashMap, VecDeque};

use crate::base::ids::ConnKey;
use crate::base::time::Instant;
use crate::protocol::usersig::Verifier;
use addresses::Addresses;
use retry_calendar::RetryCalendar;
use session::Sessions;
use versions::Versions;

/// The connections of one shard.
#[derive(Debug)]
pub(super) struct Connections {
    sessions: Sessions,
    /// Bytes that are kept of a connection, by its slot: the first part of a packet, or what came behind its login.
    buffered: HashMap<u32, Vec<u8>>,
    /// When each new connection must have logged in, in this order.
    login_deadlines: VecDeque<(Instant, ConnKey)>,
    versions: Versions,
    addresses: Addresses,
    retry_calendar: RetryCalendar,
    verifier: Verifier,
}

impl Connections {
    /// No connection, and room for `connections_max`.
    pub(super) fn new(connections_max: u32) -> Self {
        Self {
            sessions: Sessions::new(connections_max),
            buffered: HashMap::new(),
            login_deadlines: VecDeque::new(),
            versions: Versions::default(),
            addresses: Addresses::default(),
            retry_calendar: RetryCalendar::default(),
            verifier: Verifier::default(),
        }
    }
}

#[cfg(test)]
mod tests;
