//! The backend's clients: threads that ask for statuses over connections of their own, all at once, and look at every
//! answer. They know nothing of what goes on meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{anyhow, bail};
use hdrhistogram::Histogram;
use holdfast::base::limits::QUERY_USERS_MAX;
use holdfast::base::time::Stopwatch;

use crate::generator::terminal::Identities;
use crate::generator::workload::{ShownStatus, latencies};
use crate::http::{Answered, AskedDetail, Http};

use super::loaded_server::LoadedServer;

/// What is asked, and whom: users of terminals that are logged in, and stay so.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) http: SocketAddr,
    /// The parameters that make a query the administrator's.
    pub(super) caller: String,
    pub(super) identities: Identities,
    /// The users are those of the first terminals, so many.
    pub(super) connections: u32,
    pub(super) detail: AskedDetail,
}

/// What clients saw.
pub(super) struct Seen {
    pub(super) users: u64,
    pub(super) wrong: u64,
    /// The first wrong one, in words.
    pub(super) told: Option<String>,
    latency_us: Histogram<u64>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            users: 0,
            wrong: 0,
            told: None,
            latency_us: latencies(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.users += other.users;
        self.wrong += other.wrong;
        if self.told.is_none() {
            self.told.clone_from(&other.told);
        }
        Ok(self.latency_us.add(&other.latency_us)?)
    }

    /// A percentile of how long queries took, in milliseconds.
    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        self.latency_us.value_at_percentile(percent) as f64 / 1_000.0
    }
}

impl LoadedServer {
    /// `clients` ask these in turn, each one of them, for a while.
    pub(super) fn ask(
        &mut self,
        questions: &[Question],
        clients: u32,
        duration: Duration,
    ) -> anyhow::Result<Seen> {
        let stop = Arc::new(AtomicBool::new(false));
        let asking: Vec<JoinHandle<anyhow::Result<Seen>>> = (0..clients)
            .zip(questions.iter().cycle())
            .map(|(_, question)| {
                let (question, stop) = (question.clone(), Arc::clone(&stop));
                std::thread::spawn(move || question.ask(&stop))
            })
            .collect();
        self.pass(duration)?;
        stop.store(true, Ordering::Relaxed);
        let mut all = Seen::new();
        for client in asking {
            let seen = client.join();
            all.add(&seen.map_err(|_| anyhow!("a client of the queries has panicked"))??)?;
        }
        Ok(all)
    }
}

impl Question {
    /// One client: asks until it is to stop, and looks at every answer.
    fn ask(&self, stop: &AtomicBool) -> anyhow::Result<Seen> {
        let client = Http::new()?;
        let mut random = fastrand::Rng::new();
        let mut seen = Seen::new();
        let mut drawn: Vec<u32> = (0..self.connections).collect();
        while !stop.load(Ordering::Relaxed) {
            // Drawn by chance, and none twice.
            for place in 0..QUERY_USERS_MAX {
                let other = random.usize(place..drawn.len());
                drawn.swap(place, other);
            }
            let numbers = &drawn[..QUERY_USERS_MAX];
            let users: Vec<String> = numbers
                .iter()
                .map(|number| self.identities.user(*number))
                .collect();
            let watch = Stopwatch::start();
            let answer = client.query_with((self.http, &self.caller), &users, self.detail)?;
            seen.latency_us
                .saturating_record(u64::try_from(watch.elapsed().as_micros())?);
            if answer.len() != users.len() {
                bail!(
                    "a query of {} users was answered for {}",
                    users.len(),
                    answer.len()
                );
            }
            seen.users += users.len() as u64;
            for (number, user) in numbers.iter().zip(&users) {
                let answered = answer.get(user);
                if !answered.is_some_and(|answered| self.is_right(*number, answered)) {
                    seen.wrong += 1;
                    seen.told
                        .get_or_insert_with(|| format!("{user} was shown as {answered:?}"));
                }
            }
        }
        Ok(seen)
    }

    /// Online, and nowhere but on the terminal's platform.
    fn is_right(&self, number: u32, answered: &Answered) -> bool {
        let online = ShownStatus::Online.word();
        let platforms = match (self.detail, &answered.platforms) {
            (AskedDetail::None, platforms) => platforms.is_none(),
            (AskedDetail::Platforms, None) => false,
            (AskedDetail::Platforms, Some(platforms)) => {
                let only = |(platform, status): &(String, String)| {
                    platform == self.identities.platform_shown(number) && status == online
                };
                platforms.len() == 1 && platforms.iter().all(only)
            }
        };
        answered.status == online && platforms
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::generator::terminal::{DevicesPerUser, MIXED};

    fn check(detail: AskedDetail, status: &str, platforms: Option<&[(&str, &str)]>, expected: bool) {
        let question = Question {
            http: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1).into(),
            caller: String::new(),
            identities: Identities {
                sdk_app_id: 1,
                secret: String::new(),
                prefix: "user".to_owned(),
                devices_per_user: DevicesPerUser::One,
                platforms: MIXED,
                features: 0,
            },
            connections: 500,
            detail,
        };
        let owned = |(platform, status): &(&str, &str)| ((*platform).to_owned(), (*status).to_owned());
        let answered = Answered {
            status: status.to_owned(),
            platforms: platforms.map(|all| all.iter().map(owned).collect()),
        };
        // The fourth terminal is a PC.
        assert_eq!(
            question.is_right(3, &answered),
            expected,
            "{detail:?} {answered:?}"
        );
    }

    #[test]
    fn an_answer_is_right_if_it_shows_the_one_terminal_and_what_was_asked_for() {
        let pc: &[(&str, &str)] = &[("PC", "Online")];
        check(AskedDetail::None, "Online", None, true);
        check(AskedDetail::None, "PushOnline", None, false);
        check(AskedDetail::None, "Online", Some(pc), false);
        check(AskedDetail::Platforms, "Online", Some(pc), true);
        check(AskedDetail::Platforms, "Offline", Some(pc), false);
        check(AskedDetail::Platforms, "Online", None, false);
        check(AskedDetail::Platforms, "Online", Some(&[]), false);
        check(
            AskedDetail::Platforms,
            "Online",
            Some(&[("Mac", "Online")]),
            false,
        );
        check(
            AskedDetail::Platforms,
            "Online",
            Some(&[("PC", "Offline")]),
            false,
        );
        check(
            AskedDetail::Platforms,
            "Online",
            Some(&[("PC", "Online"), ("Mac", "Offline")]),
            false,
        );
    }
}
