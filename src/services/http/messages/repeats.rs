//! Requests that may come twice, as whoever got no answer sends them again: the second one gets the answer of the first, and is not
//! carried out. Bounded in number and in time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::base::time::Instant;

/// Answers that are kept. A retry comes within seconds.
const ANSWERS_MAX: usize = 65_536;

/// What they may have in bytes: an answer for 500 users has some 100 KiB, one for a single user 200 B.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was answered to requests, by their names.
#[derive(Default)]
pub(in crate::services::http) struct Repeats(RefCell<KeptAnswers>);

#[derive(Default)]
struct KeptAnswers {
    answers: HashMap<Rc<str>, Option<Rc<[u8]>>>,
    /// In the order in which they are forgotten, for requests of one lifetime.
    order: VecDeque<(Instant, Rc<str>)>,
    bytes: usize,
}

/// What is known of a request.
pub(in crate::services::http) enum Repeat<'a> {
    /// It is the first one.
    First(FirstRequest<'a>),
    /// It is being carried out.
    UnderWay,
    /// It was answered so.
    Answered(Rc<[u8]>),
}

/// A request that is carried out. If it ends without an answer, as when its caller goes, whoever asks again is the first.
pub(in crate::services::http) struct FirstRequest<'a> {
    repeats: &'a Repeats,
    name: Rc<str>,
}

impl Repeats {
    /// A request of this name begins.
    pub(in crate::services::http) fn begin(&self, now: Instant, name: &str) -> Repeat<'_> {
        let mut kept = self.0.borrow_mut();
        kept.expire(now);
        match kept.answers.get(name) {
            Some(Some(answer)) => Repeat::Answered(Rc::clone(answer)),
            Some(None) => Repeat::UnderWay,
            None => {
                let name: Rc<str> = name.into();
                kept.answers.insert(Rc::clone(&name), None);
                Repeat::First(FirstRequest { repeats: self, name })
            }
        }
    }
}

impl FirstRequest<'_> {
    /// It was answered: so is whoever asks again within this time.
    pub(in crate::services::http) fn answered(self, now: Instant, answer: &[u8], within: Duration) {
        let mut kept = self.repeats.0.borrow_mut();
        kept.bytes += answer.len();
        let name = Rc::clone(&self.name);
        kept.answers.insert(Rc::clone(&name), Some(answer.into()));
        kept.order.push_back((now.after(within), name));
        kept.expire(now);
    }
}

impl Drop for FirstRequest<'_> {
    fn drop(&mut self) {
        let mut kept = self.repeats.0.borrow_mut();
        if kept.answers.get(&self.name).is_some_and(Option::is_none) {
            kept.answers.remove(&self.name);
        }
    }
}

impl KeptAnswers {
    fn expire(&mut self, now: Instant) {
        while let Some((due, _)) = self.order.front() {
            let is_too_much = self.order.len() > ANSWERS_MAX || self.bytes > ANSWER_BYTES_MAX;
            if *due > now && !is_too_much {
                return;
            }
            let (_, name) = self.order.pop_front().expect("it has just been there");
            let answer = self.answers.remove(&name).flatten();
            self.bytes -= answer.map_or(0, |answer| answer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(300);

    /// Begins one that is the first, and answers it.
    fn answer(repeats: &Repeats, now: Instant, name: &str, answer: &[u8]) {
        let Repeat::First(first) = repeats.begin(now, name) else {
            panic!("{name} is not the first");
        };
        first.answered(now, answer, WITHIN);
    }

    #[test]
    fn a_repeat_gets_the_answer_of_the_first_until_it_is_forgotten() {
        let repeats = Repeats::default();
        let at = |s: u64| Instant(s * 1_000);
        let first = repeats.begin(at(0), "a");
        assert!(matches!(repeats.begin(at(0), "a"), Repeat::UnderWay));
        drop(first);
        answer(&repeats, at(1), "a", b"done");
        let Repeat::Answered(again) = repeats.begin(at(300), "a") else {
            panic!("it was answered");
        };
        assert_eq!(&*again, b"done");
        assert!(matches!(repeats.begin(at(301), "a"), Repeat::First(_)));
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let repeats = Repeats::default();
        for number in 0..ANSWERS_MAX + 10 {
            answer(&repeats, Instant(0), &number.to_string(), b"12345678");
        }
        assert_eq!(repeats.0.borrow().answers.len(), ANSWERS_MAX);
        assert!(
            matches!(repeats.begin(Instant(0), "9"), Repeat::First(_)),
            "the oldest went"
        );
        let large = vec![0; ANSWER_BYTES_MAX];
        answer(&repeats, Instant(0), "large", &large);
        answer(&repeats, Instant(0), "more", &large);
        let kept = repeats.0.borrow();
        assert_eq!((kept.order.len(), kept.bytes), (1, ANSWER_BYTES_MAX));
    }
}
