//! The slots of one listener's connections, and who gives way when all are taken: first those who have not shown who they
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

use crate::services::http::limits::Limits;

/// What counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(u128);

impl ClientNetwork {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// The slots of one listener.
pub(crate) struct ConnectionSlots {
    limits: Limits,
    count_max: usize,
    taken: Cell<usize>,
    /// Those of them that were told to give way.
    leaving: Cell<usize>,
    /// How many ever were.
    gave_way: Cell<u64>,
    /// Times that the system had no room for one more connection.
    accept_failures: Cell<u64>,
    /// Numbers the entries of the groups.
    latest: Cell<u64>,
    groups: RefCell<SlotGroups>,
    /// Somebody left, or can give way.
    news: Notify,
}

/// Who can give way.
#[derive(Default)]
struct SlotGroups {
    unproven: NetworkGroup,
    idle: NetworkGroup,
}

/// Slots by their networks, and of each network by their age.
#[derive(Default)]
struct NetworkGroup(HashMap<ClientNetwork, BTreeMap<u64, Rc<SlotEntry>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotGroup {
    Unproven,
    Idle,
}

/// What the others know of a slot.
struct SlotEntry {
    network: ClientNetwork,
    /// The group that it is in, and its number there.
    entry: Cell<Option<(SlotGroup, u64)>>,
    is_leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionPhase {
    /// No request has come yet.
    Fresh,
    /// A request is worked on.
    Busy,
    /// Its answer is on its way.
    Answered,
    /// It was taken, and the next request has not come.
    Idle,
}

/// One connection's slot. It is free again when this is dropped.
pub(crate) struct ConnectionSlot {
    slots: Rc<ConnectionSlots>,
    entry: Rc<SlotEntry>,
    phase: Cell<ConnectionPhase>,
    /// Counts the phases so far.
    step: Cell<u64>,
    is_proven: Cell<bool>,
}

impl ConnectionSlots {
    pub(crate) fn new(limits: Limits, count_max: usize) -> Rc<Self> {
        Rc::new(Self {
            limits,
            count_max,
            taken: Cell::new(0),
            leaving: Cell::new(0),
            gave_way: Cell::new(0),
            accept_failures: Cell::new(0),
            latest: Cell::new(0),
            groups: RefCell::default(),
            news: Notify::new(),
        })
    }

    pub(crate) fn taken_now(&self) -> usize {
        self.taken.get()
    }

    /// How many connections have given way to others.
    pub(crate) fn gave_way(&self) -> u64 {
        self.gave_way.get()
    }

    /// A slot for a connection from `address`, as soon as there is one: another connection gives way if it can.
    pub(crate) async fn enter(self: &Rc<Self>, address: IpAddr) -> ConnectionSlot {
        loop {
            if self.taken.get() < self.count_max {
                self.taken.set(self.taken.get() + 1);
                return ConnectionSlot::new(self, ClientNetwork::of(address));
            }
            let news = self.news.notified();
            if self.leaving.get() == 0 {
                self.make_one_give_way();
            }
            news.await;
        }
    }

    /// How often the system had no room for one more connection.
    pub(crate) fn accept_failures(&self) -> u64 {
        self.accept_failures.get()
    }

    /// The system has no room for one more connection: another one makes room, if it can.
    pub(crate) fn accept_failed(&self) {
        self.accept_failures.set(self.accept_failures.get() + 1);
        self.make_one_give_way();
    }

    /// Ends a connection, if there is one that can give way.
    fn make_one_give_way(&self) {
        let mut groups = self.groups.borrow_mut();
        let next = groups.unproven.next().or_else(|| groups.idle.next());
        let Some(entry) = next else { return };
        groups.leave(&entry);
        entry.is_leaving.set(true);
        self.leaving.set(self.leaving.get() + 1);
        self.gave_way.set(self.gave_way.get() + 1);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }

    fn number(&self) -> u64 {
        self.latest.set(self.latest.get() + 1);
        self.latest.get()
    }
}

impl SlotGroups {
    fn of(&mut self, kind: SlotGroup) -> &mut NetworkGroup {
        match kind {
            SlotGroup::Unproven => &mut self.unproven,
            SlotGroup::Idle => &mut self.idle,
        }
    }

    fn enter(&mut self, entry: &Rc<SlotEntry>, kind: SlotGroup, number: u64) {
        let network = self.of(kind).0.entry(entry.network).or_default();
        network.insert(number, Rc::clone(entry));
        entry.entry.set(Some((kind, number)));
    }

    fn leave(&mut self, entry: &SlotEntry) {
        let Some((kind, number)) = entry.entry.take() else {
            return;
        };
        let networks = &mut self.of(kind).0;
        let network = networks.get_mut(&entry.network);
        let network = network.expect("who has an entry is in the group");
        network.remove(&number);
        if network.is_empty() {
            networks.remove(&entry.network);
        }
    }
}

impl NetworkGroup {
    /// The oldest of the network that has most.
    fn next(&self) -> Option<Rc<SlotEntry>> {
        let first = |network: &BTreeMap<u64, Rc<SlotEntry>>| network.keys().next().copied();
        let networks = self.0.values();
        let largest = networks.max_by_key(|network| (network.len(), Reverse(first(network))))?;
        largest.values().next().cloned()
    }
}

impl ConnectionSlot {
    fn new(slots: &Rc<ConnectionSlots>, network: ClientNetwork) -> Self {
        let slot = Self {
            slots: Rc::clone(slots),
            entry: Rc::new(SlotEntry {
                network,
                entry: Cell::new(None),
                is_leaving: Cell::new(false),
                waker: RefCell::new(None),
            }),
            phase: Cell::new(ConnectionPhase::Fresh),
            step: Cell::new(0),
            is_proven: Cell::new(false),
        };
        slot.regroup();
        slot
    }

    /// A request has come.
    pub(crate) fn asked(&self) {
        self.go_on(ConnectionPhase::Busy);
    }

    /// Whoever sent it was let in.
    pub(crate) fn proven(&self) {
        self.is_proven.set(true);
        self.regroup();
    }

    /// Its answer is ready.
    pub(crate) fn answered(&self) {
        self.go_on(ConnectionPhase::Answered);
    }

    /// All that was to be sent was taken.
    pub(crate) fn flushed(&self) {
        if self.phase.get() == ConnectionPhase::Answered {
            self.go_on(ConnectionPhase::Idle);
        }
    }

    /// Which phase it is in, counted.
    pub(crate) fn step(&self) -> u64 {
        self.step.get()
    }

    /// How long this phase may take before the connection ends. A request that is worked on has limits of its own.
    pub(crate) fn phase_max(&self) -> Option<Duration> {
        let limits = &self.slots.limits;
        let phase_max = match self.phase.get() {
            ConnectionPhase::Fresh => limits.head_read_max,
            ConnectionPhase::Busy => return None,
            ConnectionPhase::Answered => limits.answer_taken_max,
            ConnectionPhase::Idle if self.is_proven.get() => limits.idle_max,
            ConnectionPhase::Idle => limits.head_read_max,
        };
        Some(phase_max)
    }

    /// Is ready when this connection has to give way.
    pub(crate) fn poll_leaving(&self, context: &Context<'_>) -> Poll<()> {
        if self.entry.is_leaving.get() {
            return Poll::Ready(());
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn go_on(&self, phase: ConnectionPhase) {
        self.phase.set(phase);
        self.step.set(self.step.get() + 1);
        self.regroup();
    }

    /// Moves it into the group that it belongs to now.
    fn regroup(&self) {
        let kind = match self.phase.get() {
            _ if self.entry.is_leaving.get() => None,
            _ if !self.is_proven.get() => Some(SlotGroup::Unproven),
            ConnectionPhase::Fresh | ConnectionPhase::Idle => Some(SlotGroup::Idle),
            ConnectionPhase::Busy | ConnectionPhase::Answered => None,
        };
        let known = self.entry.entry.get().map(|(kind, _)| kind);
        if kind == known {
            return;
        }
        let mut groups = self.slots.groups.borrow_mut();
        groups.leave(&self.entry);
        if let Some(kind) = kind {
            groups.enter(&self.entry, kind, self.slots.number());
            self.slots.news.notify_waiters();
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let slots = &self.slots;
        slots.groups.borrow_mut().leave(&self.entry);
        slots.taken.set(slots.taken.get() - 1);
        if self.entry.is_leaving.get() {
            slots.leaving.set(slots.leaving.get() - 1);
        }
        slots.news.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    async fn fill(slots: &Rc<ConnectionSlots>, addresses: &[u8]) -> Vec<ConnectionSlot> {
        let mut taken = Vec::new();
        for last in addresses {
            taken.push(slots.enter(address(*last)).await);
        }
        taken
    }

    fn leaving(taken: &[ConnectionSlot]) -> Vec<usize> {
        let numbered = taken.iter().enumerate();
        let leaving = numbered.filter(|(_, slot)| slot.entry.is_leaving.get());
        leaving.map(|(number, _)| number).collect()
    }

    /// Who gives way, one after the other, until nobody can.
    fn check(slots: &ConnectionSlots, taken: &[ConnectionSlot], expected: &[usize]) {
        let mut order = Vec::new();
        loop {
            let before = leaving(taken);
            slots.make_one_give_way();
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
        let slots = ConnectionSlots::new(Limits::default(), 9);
        let taken = fill(&slots, &[1, 2, 1, 3, 1]).await;
        check(&slots, &taken, &[0, 2, 1, 3, 4]);
    }

    #[tokio::test]
    async fn who_was_let_in_gives_way_last_and_never_within_a_request() {
        let slots = ConnectionSlots::new(Limits::default(), 9);
        let taken = fill(&slots, &[1, 1, 1, 2]).await;
        for slot in &taken[..3] {
            slot.asked();
        }
        taken[0].proven();
        taken[1].proven();
        taken[0].answered();
        taken[0].flushed();
        // Number 1 is within its request, number 2 too but was not let in, and number 3 has said nothing.
        check(&slots, &taken, &[2, 3, 0]);
    }

    #[tokio::test]
    async fn a_newcomer_waits_until_someone_can_give_way() {
        let slots = ConnectionSlots::new(Limits::default(), 1);
        let mut taken = fill(&slots, &[1]).await;
        taken[0].asked();
        taken[0].proven();
        let mut newcomer = Box::pin(slots.enter(address(2)));
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
        assert_eq!(ClientNetwork::of(mapped.into()), ClientNetwork::of(address(1)));
        assert_ne!(ClientNetwork::of(address(1)), ClientNetwork::of(address(2)));
        let v6 = |text: &str| ClientNetwork::of(text.parse::<Ipv6Addr>().unwrap().into());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
    }
}
