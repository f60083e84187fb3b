//! The registry's seam: what a store is asked, and what it owes for it. Keeps nothing itself.

use std::time::Duration;

use crate::base::time::Timestamp;
use crate::logic::delivery::{Delivery, ToRegistry};

/// How often a store may do what nobody asks for.
pub const REST_MS: u64 = 100;

/// How long the end of a user's session stays on record: 7 days, the default of
/// `presence.push_online_days`.
pub const ENDED_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Something that keeps records.
pub trait Store: Send {
    /// Works off a batch at `now`, a time that nobody sets back or forth, and appends one reply for each request, in their order. What was recorded is
    /// durable, as far as the store promises, when this returns.
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, replies: &mut Vec<Delivery>);

    /// Whether [`Store::rest`] has anything to do.
    fn rests(&self) -> bool {
        false
    }

    /// Does what is not asked for by anyone: called about every [`REST_MS`].
    fn rest(&mut self, _now: Timestamp) {}

    /// Makes everything durable, before the process ends.
    fn close(&mut self, _now: Timestamp) {}
}

impl Store for Box<dyn Store> {
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, replies: &mut Vec<Delivery>) {
        (**self).work_off(now, batch, replies);
    }

    fn rests(&self) -> bool {
        (**self).rests()
    }

    fn rest(&mut self, now: Timestamp) {
        (**self).rest(now);
    }

    fn close(&mut self, now: Timestamp) {
        (**self).close(now);
    }
}
