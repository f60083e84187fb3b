//! Which peers are heard, and whether they have the shared store. Decides what a node without the shared store has to think: whether it alone is
//! cut off, or the shared store is down for all.

use std::collections::BTreeMap;

use crate::base::ids::NodeId;
use crate::base::time::Instant;
use crate::services::cluster::event::Contact;
use crate::services::cluster::settings::PEER_SILENCE_MAX;

/// What a node that has no contact with the shared store makes of its peers' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutageVerdict {
    /// Others have the shared store, or had it for long enough to bury this node, or none of them can be reached.
    CutOff,
    /// None of those that can be reached has it, nor had it for that long; or there is no other node.
    StoreDown,
}

/// The last word of each peer.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<NodeId, PeerWord>);

#[derive(Debug, Clone, Copy)]
struct PeerWord {
    at: Instant,
    contact: Contact,
    /// When it last had the shared store, by this node's clock.
    had: Option<Instant>,
}

impl Peers {
    pub(super) fn hear(&mut self, now: Instant, from: NodeId, contact: Contact) {
        let had = match (contact, self.word(now, from)) {
            (Contact::Held, _) => Some(now),
            // While it says so without a break, it is the same time; and two clocks run apart.
            (Contact::Lost { .. }, Some(before)) if before.contact != Contact::Held => before.had,
            (Contact::Lost { had }, _) => had.map(|ago| now.before(ago)),
        };
        self.0.insert(
            from,
            PeerWord {
                at: now,
                contact,
                had,
            },
        );
    }

    fn word(&self, now: Instant, node: NodeId) -> Option<PeerWord> {
        let word = *self.0.get(&node)?;
        (now.since(word.at) <= PEER_SILENCE_MAX).then_some(word)
    }

    pub(super) fn is_reachable(&self, now: Instant, node: NodeId) -> bool {
        self.word(now, node).is_some()
    }

    /// What a node has to think of it whose lease ended at `lapse`, where `others` are all others that live as far as is known.
    pub(super) fn verdict(
        &self,
        now: Instant,
        lapse: Instant,
        others: impl Iterator<Item = NodeId>,
    ) -> OutageVerdict {
        let words: Vec<Option<PeerWord>> = others.map(|node| self.word(now, node)).collect();
        let heard = || words.iter().flatten();
        let could_bury = |word: &PeerWord| word.contact == Contact::Held || word.had >= Some(lapse);
        if words.is_empty() || (heard().count() > 0 && !heard().any(could_bury)) {
            OutageVerdict::StoreDown
        } else {
            OutageVerdict::CutOff
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Instant = Instant(20_000);
    const LAPSE: Instant = Instant(15_000);

    fn verdict(at: Instant, said: [Option<Contact>; 2]) -> OutageVerdict {
        let mut peers = Peers::default();
        for (node, contact) in (1..).map(NodeId).zip(said) {
            if let Some(contact) = contact {
                peers.hear(NOW, node, contact);
            }
        }
        peers.verdict(at, LAPSE, [NodeId(1), NodeId(2)].into_iter())
    }

    #[test]
    fn the_verdict_by_what_two_others_say() {
        use Contact::Held;
        let had = |ms| Contact::Lost {
            had: Some(Duration::from_millis(ms)),
        };
        let never = Contact::Lost { had: None };
        let cases = [
            ([Some(Held), Some(never)], OutageVerdict::CutOff),
            ([None, Some(Held)], OutageVerdict::CutOff),
            ([None, None], OutageVerdict::CutOff),
            ([Some(never), Some(had(5_001))], OutageVerdict::StoreDown),
            ([None, Some(never)], OutageVerdict::StoreDown),
            // It had the shared store when this node could be buried.
            ([Some(never), Some(had(5_000))], OutageVerdict::CutOff),
        ];
        for (said, expected) in cases {
            assert_eq!(verdict(NOW.after(PEER_SILENCE_MAX), said), expected, "{said:?}");
            let later = Instant(NOW.after(PEER_SILENCE_MAX).0 + 1);
            assert_eq!(verdict(later, said), OutageVerdict::CutOff);
        }
        assert_eq!(
            Peers::default().verdict(NOW, LAPSE, [].into_iter()),
            OutageVerdict::StoreDown
        );
    }

    #[test]
    fn clocks_that_run_apart_do_not_make_an_outage_look_shorter() {
        let mut peers = Peers::default();
        // The peer's clock runs at half the rate of this one.
        for second in 0..60 {
            let had = Some(Duration::from_millis(6_000 + second * 500));
            peers.hear(Instant(20_000 + second * 1_000), NodeId(1), Contact::Lost { had });
        }
        let now = Instant(79_000);
        assert_eq!(
            peers.verdict(now, LAPSE, [NodeId(1)].into_iter()),
            OutageVerdict::StoreDown
        );
    }
}
