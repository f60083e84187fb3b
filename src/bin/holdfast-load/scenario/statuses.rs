//! Compares what queries show with what the terminals know. What changed in between is left out; what was answered has to
//! show at once, and a link's end as soon as the gateway can have seen it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use holdfast::base::limits::QUERY_USERS_MAX;
use holdfast::base::time::Stopwatch;

use super::stage::ScenarioRun;
use crate::generator::workload::{ExpectedStatus, ExpectedUser, ShownStatus};

/// How long the end of a link may take to show. On loopback the news is there at once; the gateway may be busy.
const SOON: Duration = Duration::from_secs(20);

/// What comparisons found so far.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Users whose status was clear, and was compared.
    pub(super) users: u64,
    pub(super) wrong: u64,
    /// Some of the wrong ones, in words.
    pub(super) told: Vec<String>,
}

/// The wrong ones that are told in words.
const TOLD: usize = 5;

impl Compared {
    fn wrong(&mut self, known: &ExpectedUser, seen: Option<&str>) {
        self.wrong += 1;
        if self.told.len() < TOLD {
            self.told.push(format!(
                "{} is {} and should be {:?}",
                known.user,
                seen.unwrap_or("unknown"),
                known.expected
            ));
        }
    }
}

impl ScenarioRun {
    /// Compares some users, drawn by chance, while things go on.
    pub(super) fn compare(&mut self, count: usize, compared: &mut Compared) -> anyhow::Result<()> {
        let numbers = self.draw((0, self.server.generator.count), count);
        let before = self.known(&numbers)?;
        let users: Vec<String> = before.keys().cloned().collect();
        let seen = self.seen(&users)?;
        let after = self.known(&numbers)?;
        for (user, known) in before {
            let rested = after.get(&user).is_some_and(|after| after.steps == known.steps);
            if rested {
                judge(
                    &known,
                    seen.get(&user).map(String::as_str),
                    Soon::MayCome,
                    compared,
                );
            }
        }
        Ok(())
    }

    /// Compares some users while nothing goes on, and waits for what has to show soon.
    pub(super) fn compare_at_rest(&mut self, count: usize, compared: &mut Compared) -> anyhow::Result<()> {
        self.compare_among_at_rest((0, self.server.generator.count), count, compared)
    }

    /// The same with users of some terminals only: those from the first number up to, not including, the second.
    pub(super) fn compare_among_at_rest(
        &mut self,
        range: (u32, u32),
        count: usize,
        compared: &mut Compared,
    ) -> anyhow::Result<()> {
        let numbers = self.draw(range, count);
        let known = self.known(&numbers)?;
        let watch = Stopwatch::start();
        let mut pending: Vec<ExpectedUser> = known.into_values().collect();
        loop {
            let users: Vec<String> = pending.iter().map(|known| known.user.clone()).collect();
            let seen = self.seen(&users)?;
            let soon = if watch.elapsed() < SOON {
                Soon::MayCome
            } else {
                Soon::HasCome
            };
            pending.retain(|known| {
                let seen = seen.get(&known.user).map(String::as_str);
                let waits =
                    matches!(known.expected, ExpectedStatus::Soon(status) if seen != Some(status.word()));
                if !waits || soon == Soon::HasCome {
                    judge(known, seen, soon, compared);
                    return false;
                }
                true
            });
            if pending.is_empty() {
                return Ok(());
            }
            self.server.pass(Duration::from_millis(100))?;
        }
    }

    /// Says in the report what the comparisons found.
    pub(super) fn report_compared(&mut self, compared: &Compared) {
        let seen = format!(
            "{} wrong of {}{}",
            compared.wrong,
            compared.users,
            compared
                .told
                .iter()
                .map(|one| format!("; {one}"))
                .collect::<String>()
        );
        let holds = compared.wrong == 0 && compared.users > 0;
        self.report
            .check("statuses by query, compared with the terminals", holds, seen);
    }

    /// Numbers of different terminals in a range that is not empty.
    fn draw(&self, (first, end): (u32, u32), count: usize) -> Vec<u32> {
        let mut random = fastrand::Rng::new();
        let count = count.min((end - first) as usize);
        let mut numbers: Vec<u32> = (0..count).map(|_| random.u32(first..end)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn known(&mut self, numbers: &[u32]) -> anyhow::Result<HashMap<String, ExpectedUser>> {
        let known = self.server.generator.expected_users(numbers)?;
        Ok(known
            .into_iter()
            .map(|known| (known.user.clone(), known))
            .collect())
    }

    fn seen(&self, users: &[String]) -> anyhow::Result<HashMap<String, String>> {
        let mut seen = HashMap::new();
        for users in users.chunks(QUERY_USERS_MAX) {
            let answer = self.http.query((self.gateway.http, &self.caller), users)?;
            if answer.keys().any(|user| !users.contains(user)) {
                bail!("the gateway answered a query with users that nobody asked for");
            }
            seen.extend(answer);
        }
        Ok(seen)
    }
}

/// What is to show soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Soon {
    MayCome,
    HasCome,
}

fn judge(known: &ExpectedUser, seen: Option<&str>, soon: Soon, compared: &mut Compared) {
    let is = |status: ShownStatus| seen == Some(status.word());
    let right = match known.expected {
        ExpectedStatus::Unclear => return,
        ExpectedStatus::Never => seen.is_none(),
        ExpectedStatus::Now(status) => is(status),
        ExpectedStatus::Soon(status) => is(status) || (soon == Soon::MayCome && is(ShownStatus::Online)),
    };
    compared.users += 1;
    if !right {
        compared.wrong(known, seen);
    }
}
