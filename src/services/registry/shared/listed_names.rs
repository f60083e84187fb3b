//! Names of users in their order, out of a store that has none: as many as fit, from where a listing stands. A listing of many users
//! reads all names of the partition once for each of these stretches, and not for each page. Asks the store for nothing itself.

use std::collections::BTreeSet;

use crate::base::ids::UserId;

/// Names that are kept of a partition: 512 KiB.
const NAMES_MAX: usize = 16_384;

/// A stretch of a listing.
#[derive(Debug, Default)]
pub(super) struct ListedNames {
    after: Option<UserId>,
    names: Vec<UserId>,
    reach: Reach,
}

/// What lies behind the last name that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reach {
    /// Perhaps others.
    #[default]
    Cut,
    /// None.
    End,
}

impl ListedNames {
    /// The names behind `after`, if they are known. A listing that begins wants to know of all that are there by then.
    pub(super) fn behind(&self, after: Option<&UserId>) -> Option<&[UserId]> {
        let after = after?;
        let rest = self.rest(Some(after));
        let known = self.after.is_none_or(|start| start <= *after);
        (known && (self.reach == Reach::End || !rest.is_empty())).then_some(rest)
    }

    /// The names that are kept behind `after`.
    pub(super) fn rest(&self, after: Option<&UserId>) -> &[UserId] {
        let from = after.map_or(0, |after| self.names.partition_point(|name| name <= after));
        &self.names[from..]
    }
}

/// Gathers the first names behind one, whatever order they come in, and however often.
#[derive(Debug)]
pub(super) struct NameGathering {
    after: Option<UserId>,
    names: BTreeSet<UserId>,
    max: usize,
    reach: Reach,
}

impl NameGathering {
    pub(super) fn behind(after: Option<UserId>) -> Self {
        Self::new(after, NAMES_MAX)
    }

    fn new(after: Option<UserId>, max: usize) -> Self {
        Self {
            after,
            names: BTreeSet::new(),
            max,
            reach: Reach::End,
        }
    }

    pub(super) fn add(&mut self, name: UserId) {
        if self.after.is_some_and(|after| name <= after) {
            return;
        }
        self.names.insert(name);
        if self.names.len() > self.max {
            self.names.pop_last();
            self.reach = Reach::Cut;
        }
    }

    pub(super) fn finish(self) -> ListedNames {
        ListedNames {
            after: self.after,
            names: self.names.into_iter().collect(),
            reach: self.reach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> UserId {
        UserId::new(format!("user-{number:03}").as_bytes()).unwrap()
    }

    fn gathered(after: Option<usize>) -> ListedNames {
        let mut gathering = NameGathering::new(after.map(name), 10);
        (0..30)
            .rev()
            .chain(5..8)
            .for_each(|number| gathering.add(name(number)));
        gathering.finish()
    }

    #[test]
    fn the_first_names_behind_one_are_kept() {
        let check = |after, asked, expected: Option<(usize, usize)>| {
            let kept = gathered(after);
            let names = kept.behind(Some(&name(asked)));
            let expected = expected.map(|(from, to)| (from..to).map(name).collect::<Vec<_>>());
            assert_eq!(names.map(<[_]>::to_vec), expected, "{after:?} {asked}");
        };
        check(None, 0, Some((1, 10)));
        check(None, 8, Some((9, 10)));
        check(None, 9, None);
        check(Some(9), 9, Some((10, 20)));
        check(Some(9), 8, None);
        check(Some(9), 12, Some((13, 20)));
        check(Some(19), 19, Some((20, 30)));
        check(Some(19), 29, Some((30, 30)));
        check(Some(25), 25, Some((26, 30)));
        assert_eq!(gathered(None).behind(None), None, "a listing that begins");
    }
}
