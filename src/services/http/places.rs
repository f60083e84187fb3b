//! The places of one listener's connections, and who gives way when all are taken: first those who have not shown who they
//! are, then those who ask nothing, and of these one of the network that has most, the oldest first. So whoever opens
//! connections and says nothing displaces itself. Never ends a request of someone who was let in.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::Notify;

use super::Limits;

/// What counts as one peer: an IPv4 address, or the 64 bits of an IPv6 address that one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(u128);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// The places of one listener.
pub(super) struct Places {
    limits: Limits,
    count_max: usize,
    taken: Cell<usize>,
    /// Those of them that were told to give way.
    leaving: Cell<usize>,
    /// How many ever were.
    gave_way: Cell<u64>,
    /// Numbers the entries of the groups.
    latest: Cell<u64>,
    groups: RefCell<Groups>,
    /// Somebody left, or can give way.
    news: Notify,
}

/// Who can give way.
#[derive(Default)]
struct Groups {
    unproven: Group,
    idle: Group,
}

/// Seats by their networks, and of each network by their age.
#[derive(Default)]
struct Group(HashMap<Network, BTreeMap<u64, Rc<Seat>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unproven,
    Idle,
}

/// What the others know of a place.
struct Seat {
    network: Network,
    /// The group that it is in, and its number there.
    entry: Cell<Option<(Kind, u64)>>,
    is_leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request has come yet.
    Fresh,
    /// A request is worked on.
    Busy,
    /// Its answer is on its way.
    Answered,
    /// It was taken, and the next request has not come.
    Idle,
}

/// One connection's place. It is free again when this is dropped.
pub(super) struct Place {
    places: Rc<Places>,
    seat: Rc<Seat>,
    phase: Cell<Phase>,
    /// Counts the phases so far.
    step: Cell<u64>,
    is_proven: Cell<bool>,
}

impl Places {
    pub(super) fn new(limits: Limits, count_max: usize) -> Rc<Self> {
        Rc::new(Self {
            limits,
            count_max,
            taken: Cell::new(0),
            leaving: Cell::new(0),
            gave_way: Cell::new(0),
            latest: Cell::new(0),
            groups: RefCell::default(),
            news: Notify::new(),
        })
    }

    pub(super) fn taken_now(&self) -> usize {
        self.taken.get()
    }

    /// How many connections have given way to others.
    pub(super) fn gave_way(&self) -> u64 {
        self.gave_way.get()
    }

    /// A place for a connection from `address`, as soon as there is one: another connection gives way if it can.
    pub(super) async fn enter(self: &Rc<Self>, address: IpAddr) -> Place {
        loop {
            if self.taken.get() < self.count_max {
                self.taken.set(self.taken.get() + 1);
                return Place::new(self, Network::of(address));
            }
            let news = self.news.notified();
            if self.leaving.get() == 0 {
                self.make_one_give_way();
            }
            news.await;
        }
    }

    /// Ends a connection, if there is one that can give way.
    pub(super) fn make_one_give_way(&self) {
        let mut groups = self.groups.borrow_mut();
        let next = groups.unproven.next().or_else(|| groups.idle.next());
        let Some(seat) = next else { return };
        groups.leave(&seat);
        seat.is_leaving.set(true);
        self.leaving.set(self.leaving.get() + 1);
        self.gave_way.set(self.gave_way.get() + 1);
        if let Some(waker) = seat.waker.take() {
            waker.wake();
        }
    }

    fn number(&self) -> u64 {
        self.latest.set(self.latest.get() + 1);
        self.latest.get()
    }
}

impl Groups {
    fn of(&mut self, kind: Kind) -> &mut Group {
        match kind {
            Kind::Unproven => &mut self.unproven,
            Kind::Idle => &mut self.idle,
        }
    }

    fn enter(&mut self, seat: &Rc<Seat>, kind: Kind, number: u64) {
        let network = self.of(kind).0.entry(seat.network).or_default();
        network.insert(number, Rc::clone(seat));
        seat.entry.set(Some((kind, number)));
    }

    fn leave(&mut self, seat: &Seat) {
        let Some((kind, number)) = seat.entry.take() else {
            return;
        };
        let networks = &mut self.of(kind).0;
        let network = networks.get_mut(&seat.network);
        let network = network.expect("who has an entry is in the group");
        network.remove(&number);
        if network.is_empty() {
            networks.remove(&seat.network);
        }
    }
}

impl Group {
    /// The oldest of the network that has most.
    fn next(&self) -> Option<Rc<Seat>> {
        let first = |network: &BTreeMap<u64, Rc<Seat>>| network.keys().next().copied();
        let networks = self.0.values();
        let largest = networks.max_by_key(|network| (network.len(), Reverse(first(network))))?;
        largest.values().next().cloned()
    }
}

impl Place {
    fn new(places: &Rc<Places>, network: Network) -> Self {
        let place = Self {
            places: Rc::clone(places),
            seat: Rc::new(Seat {
                network,
                entry: Cell::new(None),
                is_leaving: Cell::new(false),
                waker: RefCell::new(None),
            }),
            phase: Cell::new(Phase::Fresh),
            step: Cell::new(0),
            is_proven: Cell::new(false),
        };
        place.settle();
        place
    }

    /// A request has come.
    pub(super) fn asked(&self) {
        self.go_on(Phase::Busy);
    }

    /// Whoever sent it was let in.
    pub(super) fn proven(&self) {
        self.is_proven.set(true);
        self.settle();
    }

    /// Its answer is ready.
    pub(super) fn answered(&self) {
        self.go_on(Phase::Answered);
    }

    /// All that was to be sent was taken.
    pub(super) fn flushed(&self) {
        if self.phase.get() == Phase::Answered {
            self.go_on(Phase::Idle);
        }
    }

    /// Which phase it is in, counted.
    pub(super) fn step(&self) -> u64 {
        self.step.get()
    }

    /// How long this phase may take before the connection ends. A request that is worked on has limits of its own.
    pub(super) fn patience(&self) -> Option<Duration> {
        let limits = &self.places.limits;
        let patience = match self.phase.get() {
            Phase::Fresh => limits.head_read_max,
            Phase::Busy => return None,
            Phase::Answered => limits.answer_taken_max,
            Phase::Idle if self.is_proven.get() => limits.idle_max,
            Phase::Idle => limits.head_read_max,
        };
        Some(patience)
    }

    /// Is ready when this connection has to give way.
    pub(super) fn poll_leaving(&self, context: &Context<'_>) -> Poll<()> {
        if self.seat.is_leaving.get() {
            return Poll::Ready(());
        }
        let mut waker = self.seat.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn go_on(&self, phase: Phase) {
        self.phase.set(phase);
        self.step.set(self.step.get() + 1);
        self.settle();
    }

    /// Moves it into the group that it belongs to now.
    fn settle(&self) {
        let kind = match self.phase.get() {
            _ if self.seat.is_leaving.get() => None,
            _ if !self.is_proven.get() => Some(Kind::Unproven),
            Phase::Fresh | Phase::Idle => Some(Kind::Idle),
            Phase::Busy | Phase::Answered => None,
        };
        let known = self.seat.entry.get().map(|(kind, _)| kind);
        if kind == known {
            return;
        }
        let mut groups = self.places.groups.borrow_mut();
        groups.leave(&self.seat);
        if let Some(kind) = kind {
            groups.enter(&self.seat, kind, self.places.number());
            self.places.news.notify_waiters();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.places;
        places.groups.borrow_mut().leave(&self.seat);
        places.taken.set(places.taken.get() - 1);
        if self.seat.is_leaving.get() {
            places.leaving.set(places.leaving.get() - 1);
        }
        places.news.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    async fn fill(places: &Rc<Places>, addresses: &[u8]) -> Vec<Place> {
        let mut taken = Vec::new();
        for last in addresses {
            taken.push(places.enter(address(*last)).await);
        }
        taken
    }

    fn leaving(taken: &[Place]) -> Vec<usize> {
        let numbered = taken.iter().enumerate();
        let leaving = numbered.filter(|(_, place)| place.seat.is_leaving.get());
        leaving.map(|(number, _)| number).collect()
    }

    /// Who gives way, one after the other, until nobody can.
    fn check(places: &Places, taken: &[Place], expected: &[usize]) {
        let mut order = Vec::new();
        loop {
            let before = leaving(taken);
            places.make_one_give_way();
            let after = leaving(taken);
            match after.iter().find(|number| !before.contains(number)) {
                Some(number) => order.push(*number),
                None => break,
            }
        }
        assert_eq!(order, expected);
    }

    #[tokio::test]
    async fn the_network_with_most_gives_way_and_of_it_the_oldest() {
        let places = Places::new(Limits::default(), 9);
        let taken = fill(&places, &[1, 2, 1, 3, 1]).await;
        check(&places, &taken, &[0, 2, 1, 3, 4]);
    }

    #[tokio::test]
    async fn who_was_let_in_gives_way_last_and_never_within_a_request() {
        let places = Places::new(Limits::default(), 9);
        let taken = fill(&places, &[1, 1, 1, 2]).await;
        for place in &taken[..3] {
            place.asked();
        }
        taken[0].proven();
        taken[1].proven();
        taken[0].answered();
        taken[0].flushed();
        // Number 1 is within its request, number 2 too but was not let in, and number 3 has said nothing.
        check(&places, &taken, &[2, 3, 0]);
    }

    #[tokio::test]
    async fn a_newcomer_waits_until_someone_can_give_way() {
        let places = Places::new(Limits::default(), 1);
        let mut taken = fill(&places, &[1]).await;
        taken[0].asked();
        taken[0].proven();
        let mut newcomer = Box::pin(places.enter(address(2)));
        let waiting = poll(&mut newcomer);
        assert!(waiting.is_pending());
        taken[0].answered();
        taken[0].flushed();
        assert!(poll(&mut newcomer).is_pending());
        assert_eq!(leaving(&taken), [0]);
        taken.clear();
        assert!(poll(&mut newcomer).is_ready());
    }

    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        let mut context = Context::from_waker(Waker::noop());
        std::pin::Pin::new(future).poll(&mut context)
    }

    #[test]
    fn a_network_is_one_address_or_the_64_bits_of_a_customer() {
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(Network::of(mapped.into()), Network::of(address(1)));
        assert_ne!(Network::of(address(1)), Network::of(address(2)));
        let v6 = |text: &str| Network::of(text.parse::<Ipv6Addr>().unwrap().into());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
    }
}
