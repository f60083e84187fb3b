//! Limits of one address: connections, and logins that fail. Counted by each shard for itself, and only while a limit is
//! set; an address is what its prefix says. Knows no user.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use crate::base::limits::{ADDRESSES_MAX, ADDRESSES_SWEEP_MS, FAILED_LOGINS_WINDOW_MS};
use crate::base::time::Instant;
use crate::logic::context::Context;
use crate::logic::settings::AddressLimits;

/// The part of an address that the limits look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Prefix(u128);

impl Prefix {
    fn of(address: Ipv6Addr, limits: &AddressLimits) -> Self {
        let bits = match address.to_ipv4_mapped() {
            Some(_) => 96 + u32::from(limits.ipv4_prefix_bits),
            None => u32::from(limits.ipv6_prefix_bits),
        };
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        Self(address.to_bits() & mask)
    }
}

/// What is counted of one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct AddressCount {
    connections: u32,
    /// Since [`AddressCount::since`].
    failed: u32,
    since: Instant,
}

impl AddressCount {
    fn failed(&self, now: Instant) -> u32 {
        let passed = now.0.saturating_sub(self.since.0) >= FAILED_LOGINS_WINDOW_MS;
        if passed { 0 } else { self.failed }
    }

    fn matters(&self, now: Instant) -> bool {
        self.connections > 0 || self.failed(now) > 0
    }
}

/// Whether a connection was counted for its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtAddress {
    No,
    Counted,
}

/// Which limit an address has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressLimit {
    Connections,
    FailedLogins,
}

/// The prefixes that something is counted of, at most [`ADDRESSES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Addresses {
    counted: HashMap<Prefix, AddressCount>,
    /// When those that do not matter any more were thrown out last.
    swept_at: Instant,
}

impl Addresses {
    /// The entry of a prefix; `None` if as many as may be are counted.
    fn entry(&mut self, now: Instant, prefix: Prefix) -> Option<&mut AddressCount> {
        let full = self.counted.len() >= ADDRESSES_MAX && !self.counted.contains_key(&prefix);
        if full && !self.sweep(now) {
            return None;
        }
        Some(self.counted.entry(prefix).or_default())
    }

    /// Throws out what does not matter any more, at most once in a while. Says whether there is room then.
    fn sweep(&mut self, now: Instant) -> bool {
        if now.0 >= self.swept_at.0 + ADDRESSES_SWEEP_MS {
            self.swept_at = now;
            self.counted.retain(|_, counted| counted.matters(now));
        }
        self.counted.len() < ADDRESSES_MAX
    }

    fn reached(&self, now: Instant, prefix: Prefix, limits: &AddressLimits) -> Option<AddressLimit> {
        let counted = self.counted.get(&prefix)?;
        let at = |limit: u32, count: u32| limit > 0 && count >= limit;
        if at(limits.failed_logins_max, counted.failed(now)) {
            Some(AddressLimit::FailedLogins)
        } else if at(limits.connections_max, counted.connections) {
            Some(AddressLimit::Connections)
        } else {
            None
        }
    }

    /// One connection more. Says whether it was counted.
    fn add(&mut self, now: Instant, prefix: Prefix) -> AtAddress {
        match self.entry(now, prefix) {
            Some(counted) => {
                counted.connections += 1;
                AtAddress::Counted
            }
            None => AtAddress::No,
        }
    }

    fn remove(&mut self, prefix: Prefix) {
        let counted = self.counted.get_mut(&prefix);
        let counted = counted.expect("a counted connection is counted until it leaves");
        counted.connections -= 1;
        if counted.connections == 0 && counted.failed == 0 {
            self.counted.remove(&prefix);
        }
    }

    fn add_failed(&mut self, now: Instant, prefix: Prefix) {
        if let Some(counted) = self.entry(now, prefix) {
            if counted.failed(now) == 0 {
                (counted.failed, counted.since) = (0, now);
            }
            counted.failed = counted.failed.saturating_add(1);
        }
    }
}

/// What the shard asks, while a limit is set.
impl Addresses {
    /// Counts a connection that came, from outside or from another shard. `None`: it may not stay.
    pub(super) fn enter(&mut self, context: &mut Context, address: Ipv6Addr) -> Option<AtAddress> {
        let limits = context.settings.addresses;
        if limits.are_off() {
            return Some(AtAddress::No);
        }
        let prefix = Prefix::of(address, &limits);
        if let Some(reached) = self.reached(context.now.instant, prefix, &limits) {
            count_refusal(context, reached);
            return None;
        }
        if limits.connections_max == 0 {
            return Some(AtAddress::No);
        }
        let at_address = self.add(context.now.instant, prefix);
        if at_address == AtAddress::No {
            context.counters.addresses_full += 1;
        }
        self.count(context);
        Some(at_address)
    }

    /// Whether logins from this address are looked at. One connection may not try again and again.
    pub(super) fn may_log_in(&self, context: &mut Context, address: Ipv6Addr) -> bool {
        let limits = context.settings.addresses;
        if limits.failed_logins_max == 0 {
            return true;
        }
        let prefix = Prefix::of(address, &limits);
        let refused = self.reached(context.now.instant, prefix, &limits) == Some(AddressLimit::FailedLogins);
        if refused {
            count_refusal(context, AddressLimit::FailedLogins);
        }
        !refused
    }

    /// A login from this address was refused for its UserSig.
    pub(super) fn fail(&mut self, context: &mut Context, address: Ipv6Addr) {
        let limits = context.settings.addresses;
        if limits.failed_logins_max > 0 {
            self.add_failed(context.now.instant, Prefix::of(address, &limits));
            self.count(context);
        }
    }

    /// A connection is gone, or on its way to another shard.
    pub(super) fn leave(&mut self, context: &mut Context, address: Ipv6Addr, at_address: AtAddress) {
        if at_address == AtAddress::Counted {
            // The prefixes' lengths are those of the start.
            self.remove(Prefix::of(address, &context.settings.addresses));
            self.count(context);
        }
    }

    fn count(&self, context: &mut Context) {
        context.counters.addresses_now = self.counted.len() as u64;
    }
}

fn count_refusal(context: &mut Context, reached: AddressLimit) {
    match reached {
        AddressLimit::FailedLogins => context.counters.address_refusals_failed += 1,
        AddressLimit::Connections => context.counters.address_refusals += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::settings::Settings;
    use crate::logic::tests::harness;

    const LIMITS: AddressLimits = AddressLimits {
        connections_max: 2,
        failed_logins_max: 3,
        ipv4_prefix_bits: 32,
        ipv6_prefix_bits: 64,
    };

    fn prefix(text: &str, limits: &AddressLimits) -> Prefix {
        let address: std::net::IpAddr = text.parse().unwrap();
        let address = match address {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
            std::net::IpAddr::V6(address) => address,
        };
        Prefix::of(address, limits)
    }

    fn check(one: &str, other: &str, (ipv4, ipv6): (u8, u8), same: bool) {
        let limits = AddressLimits {
            ipv4_prefix_bits: ipv4,
            ipv6_prefix_bits: ipv6,
            ..LIMITS
        };
        assert_eq!(
            prefix(one, &limits) == prefix(other, &limits),
            same,
            "{one} {other}"
        );
    }

    #[test]
    fn an_address_is_its_prefix() {
        check("192.0.2.1", "192.0.2.2", (32, 64), false);
        check("192.0.2.1", "192.0.2.2", (30, 64), true);
        check("192.0.2.1", "198.51.100.1", (0, 0), true);
        check("2001:db8::1", "2001:db8::ffff:1", (32, 64), true);
        check("2001:db8::1", "2001:db8:0:1::1", (32, 64), false);
        check("2001:db8::1", "2001:db8::2", (32, 128), false);
        // No prefix of IPv4 reaches an address of IPv6.
        check("192.0.2.1", "2001:db8::1", (0, 1), false);
    }

    #[test]
    fn connections_are_limited_and_forgotten() {
        let (mut addresses, here) = (Addresses::default(), prefix("192.0.2.1", &LIMITS));
        for _ in 0..2 {
            assert_eq!(addresses.reached(Instant(0), here, &LIMITS), None);
            assert_eq!(addresses.add(Instant(0), here), AtAddress::Counted);
        }
        assert_eq!(
            addresses.reached(Instant(0), here, &LIMITS),
            Some(AddressLimit::Connections)
        );
        addresses.remove(here);
        assert_eq!(addresses.reached(Instant(0), here, &LIMITS), None);
        addresses.remove(here);
        assert!(addresses.counted.is_empty());
    }

    #[test]
    fn failed_logins_are_limited_for_a_minute() {
        let (mut addresses, here) = (Addresses::default(), prefix("192.0.2.1", &LIMITS));
        (0..3).for_each(|second| addresses.add_failed(Instant(second * 1_000), here));
        assert_eq!(
            addresses.reached(Instant(59_999), here, &LIMITS),
            Some(AddressLimit::FailedLogins)
        );
        assert_eq!(addresses.reached(Instant(60_000), here, &LIMITS), None);
        addresses.add_failed(Instant(70_000), here);
        assert_eq!(addresses.counted[&here].failed, 1);
    }

    #[test]
    fn a_full_table_counts_no_more_until_something_does_not_matter() {
        let mut addresses = Addresses::default();
        let place = |number: usize| Prefix((number as u128) << 64);
        let now = Instant(1_000_000);
        (0..ADDRESSES_MAX - 1).for_each(|number| addresses.add_failed(now, place(number)));
        assert_eq!(addresses.add(now, place(ADDRESSES_MAX)), AtAddress::Counted);
        assert_eq!(addresses.add(now, place(ADDRESSES_MAX + 1)), AtAddress::No);
        assert_eq!(addresses.add(now, place(ADDRESSES_MAX)), AtAddress::Counted);
        addresses.add_failed(now, place(ADDRESSES_MAX + 1));
        assert_eq!(addresses.counted.len(), ADDRESSES_MAX);
        let later = Instant(now.0 + FAILED_LOGINS_WINDOW_MS);
        assert_eq!(addresses.add(later, place(ADDRESSES_MAX + 1)), AtAddress::Counted);
        assert_eq!(addresses.counted.len(), 2);
    }

    #[test]
    fn nothing_is_limited_unless_it_is_set() {
        let off = AddressLimits::default();
        assert!(off.are_off());
        let (mut addresses, here) = (Addresses::default(), prefix("192.0.2.1", &off));
        (0..100).for_each(|_| addresses.add_failed(Instant(0), here));
        assert_eq!(addresses.reached(Instant(0), here, &off), None);
    }

    fn context(addresses: AddressLimits) -> Context {
        harness::context(Settings {
            addresses,
            ..Settings::default()
        })
    }

    #[test]
    fn what_the_limits_refuse_is_counted() {
        let (mut context, mut addresses) = (context(LIMITS), Addresses::default());
        let [here, there] = [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED];
        let mut enter = |context: &mut Context| addresses.enter(context, here);
        let entered = [(); 4].map(|()| enter(&mut context));
        assert_eq!(
            entered,
            [Some(AtAddress::Counted), Some(AtAddress::Counted), None, None]
        );
        assert_eq!(
            (context.counters.address_refusals, context.counters.addresses_now),
            (2, 1)
        );
        addresses.leave(&mut context, here, AtAddress::Counted);
        addresses.leave(&mut context, here, AtAddress::Counted);
        assert_eq!(context.counters.addresses_now, 0);
        for _ in 0..3 {
            assert!(addresses.may_log_in(&mut context, there));
            addresses.fail(&mut context, there);
        }
        assert!(!addresses.may_log_in(&mut context, there));
        assert_eq!(addresses.enter(&mut context, there), None);
        assert_eq!(
            (
                context.counters.address_refusals_failed,
                context.counters.addresses_now
            ),
            (2, 1)
        );
    }

    #[test]
    fn failed_logins_are_not_counted_without_a_limit() {
        let mut context = context(AddressLimits {
            failed_logins_max: 0,
            ..LIMITS
        });
        let mut addresses = Addresses::default();
        addresses.fail(&mut context, Ipv6Addr::LOCALHOST);
        assert!(addresses.counted.is_empty());
    }

    #[test]
    fn connections_that_find_the_table_full_are_counted_as_such() {
        let (mut context, mut addresses) = (context(LIMITS), Addresses::default());
        (1..ADDRESSES_MAX).for_each(|number| addresses.add_failed(Instant(0), Prefix(number as u128)));
        let entered = [1, 2, 3].map(|network: u128| {
            let address = Ipv6Addr::from_bits(network << 64);
            addresses.enter(&mut context, address)
        });
        assert_eq!(
            entered,
            [Some(AtAddress::Counted), Some(AtAddress::No), Some(AtAddress::No)]
        );
        assert_eq!(context.counters.addresses_full, 2);
    }
}
