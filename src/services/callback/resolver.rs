//! The addresses behind the receiver's name. A name is asked for on a thread of its own, one question at a time, and the
//! answer is remembered: so a name that resolves slowly keeps nobody waiting who has an address, and a system that never answers
//! keeps neither a pool of threads busy nor the end of the process. Knows no port, and connects nowhere.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::watch;
use tower_service::Service;

use crate::base::time::{Clock, Instant};

/// How long addresses count before the name is asked for again; the old ones count on until there are new ones. The
/// system does not tell how long an answer is good; this is as long as careful clients take.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// Asks the system. It may block for as long as it likes.
type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What is known of one name: a service has one receiver at a time.
#[derive(Clone)]
pub(super) struct Resolver(Arc<ResolverShared>);

struct ResolverShared {
    lookup: Box<Lookup>,
    fresh_for: Duration,
    clock: Mutex<Clock>,
    known: watch::Sender<ResolvedName>,
}

#[derive(Default)]
struct ResolvedName {
    name: String,
    addresses: Vec<SocketAddr>,
    /// Of the last answer, if it was none.
    fault: Option<String>,
    answered_at: Option<Instant>,
    is_asked: bool,
}

impl ResolvedName {
    /// Whether nobody has to wait.
    fn is_settled(&self) -> bool {
        !self.addresses.is_empty() || !self.is_asked
    }

    fn is_fresh(&self, now: Instant, fresh_for: Duration) -> bool {
        let answered_at = self.answered_at.filter(|_| !self.addresses.is_empty());
        answered_at.is_some_and(|at| now < at.after(fresh_for))
    }
}

impl Resolver {
    /// Of the system.
    pub(super) fn of_system(clock: Clock) -> Self {
        let lookup = |name: &str| (name, 0).to_socket_addrs().map(Iterator::collect);
        Self::new(Box::new(lookup), FRESH_FOR, clock)
    }

    fn new(lookup: Box<Lookup>, fresh_for: Duration, clock: Clock) -> Self {
        Self(Arc::new(ResolverShared {
            lookup,
            fresh_for,
            clock: Mutex::new(clock),
            known: watch::Sender::default(),
        }))
    }

    async fn addresses(self, name: Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        let mut answers = self.0.known.subscribe();
        self.ask(name.as_str());
        let known = answers.wait_for(|known| known.name != name.as_str() || known.is_settled());
        let known = known.await.map_err(io::Error::other)?;
        if known.name == name.as_str() && !known.addresses.is_empty() {
            return Ok(known.addresses.clone().into_iter());
        }
        let fault = known.fault.as_deref().unwrap_or("it has no address");
        Err(io::Error::other(format!(
            "the name {} cannot be resolved: {fault}",
            name.as_str()
        )))
    }

    /// Begins to ask, unless that is under way or not needed.
    fn ask(&self, name: &str) {
        let now = self.now();
        let begins = self.0.known.send_if_modified(|known| {
            if known.name != name {
                *known = ResolvedName {
                    name: name.to_owned(),
                    ..ResolvedName::default()
                };
            }
            let begins = !known.is_asked && !known.is_fresh(now, self.0.fresh_for);
            known.is_asked |= begins;
            begins
        });
        if begins {
            let (resolver, name) = (self.clone(), name.to_owned());
            let asking = std::thread::Builder::new().name("resolver".to_owned());
            let started = asking.spawn({
                let name = name.clone();
                move || resolver.answer(&name, (resolver.0.lookup)(&name))
            });
            if let Err(error) = started {
                self.answer(&name, Err(error));
            }
        }
    }

    fn answer(&self, name: &str, answer: io::Result<Vec<SocketAddr>>) {
        let now = self.now();
        self.0.known.send_modify(|known| {
            if known.name != name {
                return;
            }
            known.is_asked = false;
            known.answered_at = Some(now);
            known.fault = answer.as_ref().err().map(ToString::to_string);
            // The last addresses are better than none.
            if let Ok(addresses) = answer {
                known.addresses = addresses;
            }
        });
    }

    fn now(&self) -> Instant {
        let mut clock = self.0.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.now().instant
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().addresses(name))
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use super::*;

    type Answer = io::Result<Vec<SocketAddr>>;

    /// A system that answers when the test says what.
    fn held(fresh_for: Duration) -> (Resolver, Receiver<String>, Sender<Answer>) {
        let (asked, questions) = unbounded();
        let (answers, answer) = unbounded();
        let lookup = move |name: &str| {
            asked.send(name.to_owned()).unwrap();
            answer.recv().unwrap()
        };
        (
            Resolver::new(Box::new(lookup), fresh_for, Clock::start()),
            questions,
            answers,
        )
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(future)
    }

    async fn ask(resolver: &Resolver, name: &str) -> Option<Vec<SocketAddr>> {
        let addresses = resolver.clone().addresses(name.parse().unwrap()).await;
        addresses.ok().map(Iterator::collect)
    }

    fn address(number: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, number], 0))]
    }

    #[test]
    fn all_who_wait_for_a_slow_name_wait_for_one_answer() {
        let (resolver, questions, answers) = held(FRESH_FOR);
        block_on(async {
            let answer_late = async {
                tokio::task::yield_now().await;
                answers.send(Ok(address(1))).unwrap();
            };
            let both = tokio::join!(ask(&resolver, "slow"), ask(&resolver, "slow"), answer_late);
            assert_eq!((both.0, both.1), (Some(address(1)), Some(address(1))));
            assert_eq!(ask(&resolver, "slow").await, Some(address(1)), "it is remembered");
        });
        assert_eq!(questions.try_iter().count(), 1);
    }

    #[test]
    fn who_has_an_address_waits_for_no_other_and_keeps_it_when_there_is_none() {
        let (resolver, questions, answers) = held(Duration::ZERO);
        answers.send(Ok(address(1))).unwrap();
        block_on(async {
            assert_eq!(ask(&resolver, "a").await, Some(address(1)));
            // Nobody answers this time.
            assert_eq!(ask(&resolver, "a").await, Some(address(1)));
            let mut changes = resolver.0.known.subscribe();
            answers.send(Err(io::Error::other("no such name"))).unwrap();
            changes.wait_for(|known| known.fault.is_some()).await.unwrap();
            assert_eq!(ask(&resolver, "a").await, Some(address(1)));
            answers.send(Ok(address(2))).unwrap();
            changes
                .wait_for(|known| known.addresses == address(2))
                .await
                .unwrap();
            answers.send(Ok(address(2))).unwrap();
            assert_eq!(ask(&resolver, "a").await, Some(address(2)));
        });
        assert!(questions.iter().take(3).all(|name| name == "a"));
    }

    #[test]
    fn a_name_without_an_address_is_a_fault_that_names_it_and_is_asked_again() {
        let (resolver, _questions, answers) = held(FRESH_FOR);
        block_on(async {
            answers.send(Err(io::Error::other("no such name"))).unwrap();
            let fault = resolver
                .clone()
                .addresses("gone".parse().unwrap())
                .await
                .unwrap_err();
            assert_eq!(
                fault.to_string(),
                "the name gone cannot be resolved: no such name"
            );
            answers.send(Ok(Vec::new())).unwrap();
            assert_eq!(ask(&resolver, "gone").await, None);
            answers.send(Ok(address(3))).unwrap();
            assert_eq!(ask(&resolver, "gone").await, Some(address(3)));
            answers.send(Ok(address(4))).unwrap();
            assert_eq!(
                ask(&resolver, "other").await,
                Some(address(4)),
                "of another name nothing is known"
            );
        });
    }
}
