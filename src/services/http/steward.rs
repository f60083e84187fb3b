//! Who takes a changed configuration: the node's side of a reload, as the front knows it. The front knows no setting.

/// Takes a changed configuration.
pub trait Steward: Send + Sync {
    /// Reads the whole configuration again, checks it, and takes it as a whole or not at all. Blocks: it reads files, and
    /// in a dry run perhaps the whole archive.
    ///
    /// # Errors
    /// Why nothing was taken.
    fn reload(&self, mode: ReloadMode) -> Result<Reloaded, ReloadError>;
}

/// How far a reload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadMode {
    /// It is taken.
    Take,
    /// It only says what would be.
    DryRun,
}

/// What a reload changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Each setting that differs, and when the new value counts: `at once`, `for next logins` or `at a restart`.
    pub changes: Vec<(&'static str, &'static str)>,
    /// Whom a changed policy would touch.
    pub touched: Touched,
}

/// Whom a changed policy would touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// It was no dry run, or the policy is the same.
    NotAsked,
    /// There is no archive to look into.
    Unknown,
    /// Those that would have to go if each user's newest login came again.
    Live {
        /// Users who would lose a device.
        users: u64,
        /// Devices that are Online and would go.
        devices: u64,
    },
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong. Each problem, without a secret.
    #[error("nothing was taken: the configuration cannot be used")]
    Problems(Vec<String>),
    /// The reload before is not done.
    #[error("nothing was taken: another reload is under way, try again")]
    Busy,
    /// The node stops.
    #[error("nothing was taken: the gateway stops")]
    Stopping,
    /// The archive could not be read.
    #[error("nothing was taken: {0}")]
    Unread(String),
    /// It panicked.
    #[error("the reload broke off; the log says why")]
    Broken,
}
