//! Room in an inbox, by classes: who wants to put something there takes a credit of its class first, and whoever takes it out
//! gives the credit back. So one class cannot use up the room of another, and new work is refused where it comes in. Carries
//! nothing itself.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A class of what comes into one inbox.
pub trait CreditClass: Copy + 'static {
    /// All of them, in the order of their numbers.
    const ALL: &[Self];

    /// Its number, counted from 0.
    fn number(self) -> usize;

    /// How many of it may be on the way at once.
    fn limit(self) -> usize;
}

/// The credits of one inbox that are taken, by class.
#[derive(Debug)]
pub struct Credits {
    taken: Box<[AtomicUsize]>,
}

/// No credit of the class is given any more.
const CLOSED: usize = usize::MAX;

impl Credits {
    /// All are free.
    #[must_use]
    pub fn new<C: CreditClass>() -> Self {
        Self {
            taken: C::ALL.iter().map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Takes a credit, if there is one.
    #[must_use]
    pub fn take<C: CreditClass>(&self, class: C) -> bool {
        let more = |taken| (taken < class.limit()).then(|| taken + 1);
        self.taken[class.number()]
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Gives back one that was taken.
    pub fn give_back<C: CreditClass>(&self, class: C) {
        self.taken[class.number()].fetch_sub(1, Ordering::AcqRel);
    }

    /// Gives no more credits of this class, unless one is taken. Says whether it is closed.
    #[must_use]
    pub fn close<C: CreditClass>(&self, class: C) -> bool {
        let closed =
            self.taken[class.number()].compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Relaxed);
        closed.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Class {
        Few,
        Many,
    }

    impl CreditClass for Class {
        const ALL: &[Self] = &[Self::Few, Self::Many];

        fn number(self) -> usize {
            self as usize
        }

        fn limit(self) -> usize {
            match self {
                Self::Few => 2,
                Self::Many => 5,
            }
        }
    }

    #[test]
    fn a_class_that_is_used_up_takes_nothing_from_another() {
        let credits = Credits::new::<Class>();
        let taken = |class, tries: usize| (0..tries).filter(|_| credits.take(class)).count();
        assert_eq!((taken(Class::Few, 9), taken(Class::Many, 9)), (2, 5));
        credits.give_back(Class::Few);
        assert_eq!((taken(Class::Few, 9), taken(Class::Many, 9)), (1, 0));
    }

    #[test]
    fn a_class_closes_only_when_nothing_of_it_is_on_the_way() {
        let credits = Credits::new::<Class>();
        assert!(credits.take(Class::Few));
        assert!(!credits.close(Class::Few));
        credits.give_back(Class::Few);
        assert!(credits.close(Class::Few));
        assert!(!credits.take(Class::Few));
        assert!(credits.take(Class::Many));
    }
}
