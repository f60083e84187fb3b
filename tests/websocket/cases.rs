//! The cases of the Autobahn testsuite for servers, groups 1 to 7 and 10: what is sent, and what must come of it. Sends nothing.

mod closes;
mod fragments;
mod frames;
mod texts;

use crate::case::Case;

/// All of them, in the testsuite's order.
pub(crate) fn all() -> Vec<Case> {
    let groups = [
        frames::messages,
        frames::pings,
        frames::reserved_bits,
        frames::opcodes,
        fragments::fragments,
        texts::texts,
        closes::closes,
        fragments::many_fragments,
    ];
    groups.into_iter().flat_map(|group| group()).collect()
}
