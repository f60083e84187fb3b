//! The version strings of terminals, each kept once. Bounded, since strangers choose them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::limits::VERSIONS_MAX;

/// A kept version string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionId(u16);

/// What is shown for a string that came when the table was full.
const OTHER: &str = "other";
const OTHER_ID: VersionId = VersionId(u16::MAX);

const _: () = assert!(VERSIONS_MAX < u16::MAX as usize);

/// All version strings that a shard has seen, at most [`VERSIONS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Versions {
    ids: HashMap<Arc<str>, VersionId>,
    texts: Vec<Arc<str>>,
}

impl Versions {
    /// Keeps `text`, or finds it.
    pub(super) fn intern(&mut self, text: &str) -> VersionId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        if self.texts.len() == VERSIONS_MAX {
            return OTHER_ID;
        }
        let id = VersionId(u16::try_from(self.texts.len()).expect("VERSIONS_MAX is below 2^16"));
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    /// The text of `id`.
    pub(super) fn text(&self, id: VersionId) -> &str {
        self.texts.get(usize::from(id.0)).map_or(OTHER, |text| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_once_and_no_more_than_the_limit() {
        let mut versions = Versions::default();
        let first = versions.intern("1.0");
        assert_eq!(versions.intern("1.0"), first);
        for number in 0..VERSIONS_MAX {
            versions.intern(&format!("v{number}"));
        }
        let late = versions.intern("too late");
        assert_eq!((versions.text(first), versions.text(late)), ("1.0", "other"));
        assert_eq!(versions.texts.len(), VERSIONS_MAX);
    }
}
