//! The version strings of terminals, each kept once. Bounded, since users choose them; what no connection shows any more
//! makes room. Knows no connection itself.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::limits::{VERSIONS_MAX, VERSIONS_SWEEP_MS};
use crate::base::time::Instant;

/// A kept version string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionId(u16);

impl VersionId {
    /// The empty string, of a connection that has not said more: always there.
    pub(super) const EMPTY: Self = Self(0);

    fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// What is shown for a string that came when the table was full.
const OTHER: &str = "other";
const OTHER_ID: VersionId = VersionId(u16::MAX);

const _: () = assert!(VERSIONS_MAX < u16::MAX as usize);

/// The version strings that a shard's connections show, at most [`VERSIONS_MAX`].
#[derive(Debug)]
pub(super) struct Versions {
    ids: HashMap<Arc<str>, VersionId>,
    /// By their ids.
    texts: Vec<Option<Arc<str>>>,
    /// Places of `texts` that are empty.
    free: Vec<VersionId>,
    /// When those that nobody shows were thrown out last.
    swept_at: Instant,
}

impl Default for Versions {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self {
            ids: HashMap::from([(Arc::clone(&empty), VersionId::EMPTY)]),
            texts: vec![Some(empty)],
            free: Vec::new(),
            swept_at: Instant::default(),
        }
    }
}

impl Versions {
    /// Keeps `text`, or finds it. `shown` are the ids that connections have, should room be needed.
    pub(super) fn intern(
        &mut self,
        now: Instant,
        text: &str,
        shown: impl Iterator<Item = VersionId>,
    ) -> VersionId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        if self.ids.len() == VERSIONS_MAX {
            self.sweep(now, shown);
        }
        let Some(id) = self.room() else {
            return OTHER_ID;
        };
        let text: Arc<str> = text.into();
        self.texts[id.place()] = Some(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    /// A place for one more, if there is one.
    fn room(&mut self) -> Option<VersionId> {
        if self.free.is_empty() && self.texts.len() < VERSIONS_MAX {
            let place = u16::try_from(self.texts.len()).expect("VERSIONS_MAX is below 2^16");
            self.texts.push(None);
            self.free.push(VersionId(place));
        }
        self.free.pop()
    }

    /// Throws out what nobody shows, at most once in a while.
    fn sweep(&mut self, now: Instant, shown: impl Iterator<Item = VersionId>) {
        if now.0 < self.swept_at.0 + VERSIONS_SWEEP_MS {
            return;
        }
        self.swept_at = now;
        let mut is_shown = vec![false; VERSIONS_MAX];
        for id in shown.chain([VersionId::EMPTY]).filter(|id| *id != OTHER_ID) {
            is_shown[id.place()] = true;
        }
        let Self { ids, texts, free, .. } = self;
        ids.retain(|_, id| {
            let stays = is_shown[id.place()];
            if !stays {
                texts[id.place()] = None;
                free.push(*id);
            }
            stays
        });
    }

    /// The text of `id`.
    pub(super) fn text(&self, id: VersionId) -> &str {
        self.texts
            .get(id.place())
            .and_then(Option::as_deref)
            .unwrap_or(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interns a string while these are shown.
    fn intern(versions: &mut Versions, at: u64, text: &str, shown: &[VersionId]) -> VersionId {
        versions.intern(Instant(at), text, shown.iter().copied())
    }

    fn full() -> Versions {
        let mut versions = Versions::default();
        for number in 1..VERSIONS_MAX {
            let id = intern(&mut versions, 0, &format!("v{number}"), &[]);
            assert_eq!(versions.text(id), format!("v{number}"));
        }
        versions
    }

    #[test]
    fn keeps_each_once_and_no_more_than_the_limit() {
        let mut versions = full();
        let all: Vec<_> = (1..VERSIONS_MAX)
            .map(|number| intern(&mut versions, 0, &format!("v{number}"), &[]))
            .collect();
        let late = intern(&mut versions, VERSIONS_SWEEP_MS, "too late", &all);
        assert_eq!((versions.text(all[0]), versions.text(late)), ("v1", "other"));
        assert_eq!(
            (versions.texts.len(), versions.ids.len()),
            (VERSIONS_MAX, VERSIONS_MAX)
        );
    }

    #[test]
    fn what_nobody_shows_makes_room() {
        let mut versions = full();
        let shown = [
            intern(&mut versions, 0, "v7", &[]),
            intern(&mut versions, 0, "too early", &[]),
        ];
        assert_eq!(versions.text(shown[1]), "other", "swept no more often than that");
        let new = intern(&mut versions, VERSIONS_SWEEP_MS, "new", &shown);
        let texts = [shown[0], new, VersionId::EMPTY].map(|id| versions.text(id).to_owned());
        assert_eq!(texts, ["v7", "new", ""]);
        assert_eq!(versions.ids.len(), 3);
        for number in 3..VERSIONS_MAX {
            let id = intern(&mut versions, VERSIONS_SWEEP_MS, &format!("w{number}"), &[]);
            assert_eq!(versions.text(id), format!("w{number}"));
        }
        assert_eq!(
            (versions.texts.len(), versions.ids.len()),
            (VERSIONS_MAX, VERSIONS_MAX)
        );
        assert_eq!(
            versions.text(shown[0]),
            "v7",
            "no id was given to another while it was shown"
        );
    }
}
