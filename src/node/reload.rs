//! A reload: the whole configuration is read and checked again, and taken as a whole or not at all. What threads, sockets
//! and files were made with, and what sessions were told, waits for a restart.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::callbacks::CallbackUpdates;
use super::certificates::warn_of_open_keys;
use super::config::{Config, Difference, Problem, Sources, TakesEffect};
use super::listeners::renewed;
use super::log::{LogLevel, LogLines};
use super::named_files::NamedFiles;
use super::router::{SendToShard, notify};
use super::service_manager::ServiceManager;
use crate::base::ids::ShardId;
use crate::base::receipt::{Receipt, Receipts};
use crate::base::time::{Clock, Timestamp};
use crate::logic::delivery::ToShard;
use crate::logic::settings::Settings;
use crate::logic::users::policy;
use crate::protocol::transport::settings::ListenerTransports;
use crate::services::http::{self, ReloadAsked, ReloadError, ReloadMode, Reloaded, Serving, Touched};
use crate::services::registry::archive::Archive;

/// Users of one look into the archive.
const PAGE_USERS: usize = 1_000;

/// How long an answer waits for everyone to take what changed. A shard does it within a turn, which is milliseconds; only a
/// callback that is under way takes longer, and the receiver has `callback.timeout_ms` for it.
pub const ADOPTED_WITHIN_MAX: Duration = Duration::from_secs(5);

/// How often a reload by a signal waits for [`ADOPTED_WITHIN_MAX`] until the last one is taken: two minutes in all, twice the longest that a
/// callback may take. A part that takes longer is stuck, and the log tells that nothing was reloaded.
pub const SIGNAL_ROUNDS: u32 = 24;

/// What is answered of settings that somebody has not taken by then.
const NOT_YET: &str = "in a moment: somebody is too busy to take it at once";

/// Where the configuration came from, and the log that it governs. Never shown: what was typed may hold secrets.
pub struct ConfigSource {
    /// What was typed.
    pub sources: Sources,
    /// How much is logged.
    pub level: LogLevel,
    /// Where it goes.
    pub lines: LogLines,
}

/// Whom a changed configuration is told.
pub struct ReloadTargets {
    /// The shards.
    pub shards: SendToShard,
    /// How many there are.
    pub count: u16,
    /// What the connections of their listeners travel in, as the start had it.
    pub transports: ListenerTransports,
    /// The HTTP server.
    pub front: watch::Sender<Arc<http::HttpSettings>>,
    /// The registry and the callback service.
    pub callbacks: CallbackUpdates,
    /// How long all of them may take: [`ADOPTED_WITHIN_MAX`].
    pub answer_within: Duration,
    /// Who is told that a reload is under way.
    pub manager: ServiceManager,
}

/// Takes changed configurations.
pub struct Reloader {
    source: ConfigSource,
    targets: ReloadTargets,
    archive: Option<Arc<dyn Archive>>,
    serving: Serving,
    clock: Clock,
    running: Mutex<RunningConfig>,
}

/// What counts now.
struct RunningConfig {
    config: Config,
    /// Of the reload before, if not everyone had taken it in time.
    untaken: Option<Receipts>,
}

impl Reloader {
    /// For a node that runs by `config`, which came from `source`.
    #[must_use]
    pub fn new(
        (config, source): (Config, ConfigSource),
        targets: ReloadTargets,
        archive: Option<Arc<dyn Archive>>,
        (clock, serving): (Clock, Serving),
    ) -> Self {
        Self {
            source,
            targets,
            archive,
            serving,
            clock,
            running: Mutex::new(RunningConfig {
                config,
                untaken: None,
            }),
        }
    }

    /// A reload that nobody waits for: the log tells how it went. Nobody would ask again if the last one is not taken yet, so
    /// it waits for that, in `rounds` of [`ReloadTargets::answer_within`] at most, and not beyond the end of serving.
    pub fn reload_by_signal(&self, rounds: u32) {
        let asked = ReloadAsked::of(ReloadMode::Take);
        let _under_way = self.targets.manager.reloading();
        let mut outcome = self.read_and_take(&asked);
        for _ in 0..rounds {
            if outcome != Err(ReloadError::Busy) || !self.serving.is_on() {
                break;
            }
            self.wait_for_the_last();
            outcome = self.read_and_take(&asked);
        }
        log("a signal", asked.mode, &outcome);
    }

    /// Waits until everyone has taken the last reload, as long as an answer would wait. Others may reload meanwhile.
    fn wait_for_the_last(&self) {
        let untaken = self.running().untaken.clone();
        // If not all have taken it by then, the next attempt says so.
        let _ = untaken.is_none_or(|receipts| receipts.wait(self.targets.answer_within));
    }

    fn running(&self) -> MutexGuard<'_, RunningConfig> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload_and_log(&self, by: &str, asked: &ReloadAsked) -> Result<Reloaded, ReloadError> {
        // Who only tries it out reloads nothing.
        let under_way = (asked.mode == ReloadMode::Take).then(|| self.targets.manager.reloading());
        let outcome = self.read_and_take(asked);
        drop(under_way);
        log(by, asked.mode, &outcome);
        let (changes, touched, taken) = outcome?;
        let named = |change: Difference| (change.key, counts(change.takes_effect, taken));
        Ok(Reloaded {
            changes: changes.into_iter().map(named).collect(),
            touched,
        })
    }

    fn read_and_take(&self, asked: &ReloadAsked) -> ReloadOutcome {
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        // Before it reads: what was read while another was taken could be older than that.
        let mut running = self.running();
        let wanted =
            Config::read(&self.source.sources).map_err(|problems| ReloadError::Problems(told(problems)))?;
        self.expect_as_the_caller(&wanted, asked)?;
        let next = running.config.reloaded(&wanted).map_err(|problems| {
            let mut problems: Vec<String> = told(problems);
            problems.push("this is so as long as other changed settings wait for a restart".to_owned());
            ReloadError::Problems(problems)
        })?;
        let now = self.clock.clone().now().wall;
        let mut problems = running.config.secrets_taken_away(&next, now);
        let files = match NamedFiles::read(&running.config, &next, now) {
            Ok(files) if problems.is_empty() => files,
            outcome => {
                problems.extend(outcome.err().unwrap_or_default());
                return Err(ReloadError::Problems(told(problems)));
            }
        };
        let changes = running.config.differences(&wanted);
        let (touched, taken) = match asked.mode {
            ReloadMode::Take => (Touched::NotAsked, self.take(&mut running, next, files)?),
            ReloadMode::DryRun => {
                let now = running.config.logic.clone();
                // It may take long, and a signal shall not wait for it.
                drop(running);
                (self.touched(&now, &next.logic)?, Adopted::ByAll)
            }
        };
        Ok((changes, touched, taken))
    }

    /// What the caller was given must be what is read here: it cannot be handed over.
    fn expect_as_the_caller(&self, wanted: &Config, asked: &ReloadAsked) -> Result<(), ReloadError> {
        let Some(caller) = &asked.caller else {
            return Ok(());
        };
        let own = self.source.sources.file.as_deref().map(absolute);
        let same_file = caller.file.is_some() && caller.file == own;
        let of_file = caller.of_file.iter().filter(|_| !same_file);
        let differs = wanted.differs_from(of_file.chain(&caller.own));
        if differs.is_empty() {
            return Ok(());
        }
        let own = own.map_or_else(|| "no file".to_owned(), |own| format!("the file {own}"));
        let mut told = vec![format!(
            "the gateway reads {own}, and the environment and --set of its own start"
        )];
        told.extend(differs);
        Err(ReloadError::Differs(told))
    }

    /// Tells everyone, and waits until all have taken it. Nothing can fail once this has begun.
    fn take(
        &self,
        running: &mut RunningConfig,
        next: Config,
        files: NamedFiles,
    ) -> Result<Adopted, ReloadError> {
        // Inboxes have room for one reload at a time.
        if running
            .untaken
            .as_ref()
            .is_some_and(|receipts| !receipts.are_in())
        {
            return Err(ReloadError::Busy);
        }
        let (receipt, receipts) = Receipt::new();
        if next.logic != running.config.logic {
            let settings = Arc::new(next.logic.clone());
            for shard in 0..self.targets.count {
                let notice = ToShard::Settings(Arc::clone(&settings), receipt.clone());
                notify(&self.targets.shards, ShardId(shard), notice);
            }
        }
        // Tickets of the keys before end with them: they live through what concerns HTTP alone.
        let server = files.tls.as_ref().and_then(|tls| tls.server.as_ref());
        if let Some(server) = server.filter(|_| next.terminals_tls != running.config.terminals_tls) {
            let transports = renewed(&self.targets.transports, server);
            for shard in 0..self.targets.count {
                let notice = ToShard::Transports(transports.clone(), receipt.clone());
                notify(&self.targets.shards, ShardId(shard), notice);
            }
        }
        let front = Arc::clone(&self.targets.front.borrow());
        let tls = files.tls.map_or_else(|| front.tls.clone(), |tls| tls.http);
        // It looks at each request.
        let settings = http_settings(&next, tls, front.limits);
        self.targets.front.send_replace(Arc::new(settings));
        // The file of certificates may be another one by the same name.
        if next.callback != running.config.callback || next.callback.ca_file.is_some() {
            self.targets.callbacks.tell(&next, files.trust, receipt.clone());
        }
        self.source.level.set(&next);
        warn_of_open_keys(&next);
        warn_of_ended_keys(&next, self.clock.clone().now().wall);
        running.config = next;
        drop(receipt);
        let all_in = receipts.wait(self.targets.answer_within);
        running.untaken = (!all_in).then_some(receipts);
        Ok(if all_in {
            Adopted::ByAll
        } else {
            Adopted::NotYetByAll
        })
    }

    /// Whom `next` would touch.
    fn touched(&self, now: &Settings, next: &Settings) -> Result<Touched, ReloadError> {
        let who = |settings: &Settings| (settings.policy, settings.conflict, settings.instances);
        if who(now) == who(next) {
            return Ok(Touched::NotAsked);
        }
        let Some(archive) = &self.archive else {
            return Ok(Touched::Unknown);
        };
        let (mut users, mut devices, mut after) = (0, 0, None);
        loop {
            if !self.serving.is_on() {
                return Err(ReloadError::Stopping);
            }
            let page = archive.users(after.as_ref(), PAGE_USERS);
            let page = page.map_err(|error| ReloadError::Unread(error.to_string()))?;
            for (_, record) in &page {
                let leaving = policy::would_leave(next, record);
                devices += leaving as u64;
                users += u64::from(leaving > 0);
            }
            match page.last() {
                Some((last, _)) => after = Some(*last),
                None => return Ok(Touched::Live { users, devices }),
            }
        }
    }
}

/// How far a reload is when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adopted {
    ByAll,
    NotYetByAll,
}

/// What came of a reload: what differs, whom it touches, and how far it is.
type ReloadOutcome = Result<(Vec<Difference>, Touched, Adopted), ReloadError>;

/// Tells the operator what the caller alone cannot know: what was taken, and why a configuration that was to be taken was not. What
/// is only tried out, or does not fit its caller, is the caller's to know.
fn log(by: &str, mode: ReloadMode, outcome: &ReloadOutcome) {
    match (outcome, mode) {
        (Ok((changes, _, taken)), ReloadMode::Take) => {
            tracing::info!(
                by,
                changes = changes.len(),
                ?taken,
                "the configuration was reloaded"
            );
            changes.iter().for_each(Difference::log);
        }
        (Ok(_), ReloadMode::DryRun) => tracing::debug!(by, "a reload was tried out"),
        (Err(error), ReloadMode::DryRun) => {
            tracing::debug!(by, %error, "a reload was tried out, and would not be taken");
        }
        (Err(ReloadError::Differs(differences)), ReloadMode::Take) => {
            tracing::debug!(
                by,
                ?differences,
                "a reload was not taken: its caller was given something else"
            );
        }
        (Err(ReloadError::Problems(problems)), ReloadMode::Take) => {
            tracing::error!(
                by,
                ?problems,
                "the configuration was not reloaded, and nothing was taken"
            );
        }
        (
            Err(
                error @ (ReloadError::Busy
                | ReloadError::Stopping
                | ReloadError::Unread(_)
                | ReloadError::Broken),
            ),
            ReloadMode::Take,
        ) => tracing::error!(by, %error, "the configuration was not reloaded"),
    }
}

/// When a setting counts, as it is true when it is said.
fn counts(effect: TakesEffect, taken: Adopted) -> &'static str {
    match (effect, taken) {
        (TakesEffect::AtOnce | TakesEffect::NextLogins, Adopted::NotYetByAll) => NOT_YET,
        (TakesEffect::AtOnce | TakesEffect::NextLogins | TakesEffect::AtRestart, _) => effect.name(),
    }
}

impl http::ReloadHandler for Reloader {
    fn reload(&self, asked: &ReloadAsked) -> Result<Reloaded, ReloadError> {
        self.reload_and_log("the admin listener", asked)
    }
}

/// Says it if nobody can log in or ask with the keys that there are. A start may be made with such keys, and keys end while a
/// gateway runs.
pub(super) fn warn_of_ended_keys(config: &Config, now: Timestamp) {
    if config.takes_no_usersig(now) {
        tracing::warn!("every key of usersig.keys has ended (not_after): no login and no request is taken");
    }
}

/// A path as everyone on this machine understands it.
#[must_use]
pub fn absolute(path: &Path) -> String {
    let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    absolute.as_deref().unwrap_or(path).display().to_string()
}

/// What the HTTP server goes by.
#[must_use]
pub fn http_settings(config: &Config, tls: http::HttpTls, limits: http::Limits) -> http::HttpSettings {
    http::HttpSettings {
        sdk_app_id: config.logic.sdk_app_id,
        keys: config.logic.keys.clone(),
        usersig_ahead_max: config.logic.usersig_ahead_max,
        administrators: config.administrators.clone(),
        admin_token: config.admin_token.clone(),
        admin_hosts: config.admin_hosts.clone(),
        tls,
        limits,
    }
}

#[cfg(test)]
mod tests;
