//! A reload: the whole configuration is read and checked again, and taken as a whole or not at all. What threads, sockets
//! and files were made with, and what sessions were told, waits for a restart.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use super::config::{Callback, Config, Effect, Problem, Sources};
use super::log::Level;
use super::run::ShardDoor;
use crate::base::ids::ShardId;
use crate::logic::letter::ToShard;
use crate::logic::policy::{self, Candidate, Verdict};
use crate::logic::record::{DeviceRecord, Status, UserRecord};
use crate::logic::settings::Settings;
use crate::services::http::{self, ReloadError, ReloadMode, Reloaded, Serving, Touched};
use crate::services::registry::archive::Archive;

/// Users of one look into the archive.
const PAGE_USERS: usize = 1_000;

/// Where the configuration came from, and the log that it governs.
#[derive(Debug)]
pub struct Origin {
    /// What was typed.
    pub sources: Sources,
    /// How much is logged.
    pub level: Level,
}

/// Whom a changed configuration is told.
pub struct Listeners {
    /// The shards.
    pub shards: ShardDoor,
    /// How many there are.
    pub count: u16,
    /// The HTTP front.
    pub front: watch::Sender<Arc<http::Settings>>,
    /// The callback service.
    pub callback: watch::Sender<Callback>,
}

/// Takes changed configurations.
pub struct Steward {
    origin: Origin,
    listeners: Listeners,
    archive: Option<Arc<dyn Archive>>,
    serving: Serving,
    running: Mutex<Running>,
}

/// What counts now.
struct Running {
    config: Config,
    /// What the shards were told last.
    told: Option<Arc<Settings>>,
    /// What they were told before that: gone when every shard has taken what it was told last.
    told_before: Weak<Settings>,
}

impl Steward {
    /// For a node that runs by `config`, which came from `origin`.
    #[must_use]
    pub fn new(
        (config, origin): (Config, Origin),
        listeners: Listeners,
        archive: Option<Arc<dyn Archive>>,
        serving: Serving,
    ) -> Self {
        Self {
            origin,
            listeners,
            archive,
            serving,
            running: Mutex::new(Running {
                config,
                told: None,
                told_before: Weak::new(),
            }),
        }
    }

    /// A reload that nobody waits for: the log tells how it went.
    pub fn reload_and_log(&self) {
        match http::Steward::reload(self, ReloadMode::Take) {
            Ok(reloaded) => tracing::info!(changes = ?reloaded.changes, "the configuration was reloaded"),
            Err(ReloadError::Problems(problems)) => {
                tracing::error!(
                    ?problems,
                    "the configuration cannot be used, so nothing was taken"
                );
            }
            Err(
                error @ (ReloadError::Busy
                | ReloadError::Stopping
                | ReloadError::Unread(_)
                | ReloadError::Broken),
            ) => {
                tracing::error!(%error, "the configuration was not reloaded");
            }
        }
    }

    /// Tells everyone. Nothing can fail once this has begun.
    fn take(&self, running: &mut Running, next: Config) -> Result<(), ReloadError> {
        if next.logic != running.config.logic {
            if running.told_before.strong_count() > 0 {
                return Err(ReloadError::Busy);
            }
            let settings = Arc::new(next.logic.clone());
            for shard in 0..self.listeners.count {
                (self.listeners.shards)(ShardId(shard), ToShard::Settings(Arc::clone(&settings)));
            }
            let before = running.told.replace(settings);
            running.told_before = before.map_or_else(Weak::new, |before| Arc::downgrade(&before));
        }
        let limits = self.listeners.front.borrow().limits;
        self.listeners
            .front
            .send_replace(Arc::new(front_settings(&next, limits)));
        if next.callback != running.config.callback {
            self.listeners.callback.send_replace(next.callback.clone());
        }
        self.origin.level.set(&next);
        running.config = next;
        Ok(())
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
                let leaving = leaving(next, record);
                devices += leaving;
                users += u64::from(leaving > 0);
            }
            match page.last() {
                Some((last, _)) => after = Some(*last),
                None => return Ok(Touched::Live { users, devices }),
            }
        }
    }
}

/// Devices of a user that are Online and would have to go if the newest login came again.
fn leaving(settings: &Settings, record: &UserRecord) -> u64 {
    let Some(newest) = record.devices.iter().max_by_key(|known| known.fresh) else {
        return 0;
    };
    let candidate = |known: &DeviceRecord| Candidate {
        device: known.device,
        linked: known.status == Status::Online,
        fresh: known.fresh.0,
    };
    let candidates: Vec<_> = record.devices.iter().map(candidate).collect();
    match policy::admit(settings, newest.device, &candidates) {
        Verdict::Admit(leaving) => {
            let online = |known: &&Candidate| known.linked && leaving.contains(&known.device);
            candidates.iter().filter(online).count() as u64
        }
        // The oldest wins: it is the newest that would be refused.
        Verdict::Refuse => u64::from(newest.status == Status::Online),
    }
}

impl http::Steward for Steward {
    fn reload(&self, mode: ReloadMode) -> Result<Reloaded, ReloadError> {
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        let wanted =
            Config::read(&self.origin.sources).map_err(|problems| ReloadError::Problems(told(problems)))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let next = running.config.reloaded(&wanted).map_err(|problems| {
            let mut problems: Vec<String> = told(problems);
            problems.push("this is so as long as other changed settings wait for a restart".to_owned());
            ReloadError::Problems(problems)
        })?;
        let changes = running.config.differences(&wanted);
        let touched = match mode {
            ReloadMode::Take => {
                self.take(&mut running, next)?;
                Touched::NotAsked
            }
            ReloadMode::DryRun => {
                let now = running.config.logic.clone();
                // It may take long, and a signal shall not wait for it.
                drop(running);
                self.touched(&now, &next.logic)?
            }
        };
        let named = |(key, effect): (&'static str, Effect)| (key, effect.name());
        Ok(Reloaded {
            changes: changes.into_iter().map(named).collect(),
            touched,
        })
    }
}

/// What the front goes by.
#[must_use]
pub fn front_settings(config: &Config, limits: http::Limits) -> http::Settings {
    http::Settings {
        sdk_app_id: config.logic.sdk_app_id,
        keys: config.logic.keys.clone(),
        administrators: config.administrators.clone(),
        admin_token: config.admin_token.clone(),
        admin_hosts: config.admin_hosts.clone(),
        stop_within: config.stop_within.min(limits.answer_within),
        limits,
    }
}
