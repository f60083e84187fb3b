//! Who takes a changed configuration: the node's side of a reload, as the HTTP server knows it. The server knows no setting.

/// Takes a changed configuration.
pub trait ReloadHandler: Send + Sync {
    /// Reads the whole configuration again, checks it, and takes it as a whole or not at all. Blocks: it reads files, and
    /// in a dry run perhaps the whole archive.
    ///
    /// # Errors
    /// Why nothing was taken.
    fn reload(&self, asked: &ReloadAsked) -> Result<Reloaded, ReloadError>;
}

/// What is asked of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadAsked {
    /// How far it goes.
    pub mode: ReloadMode,
    /// What the caller was given, if it says so.
    pub caller: Option<ReloadCaller>,
}

impl ReloadAsked {
    /// By a caller who says nothing of what it was given.
    #[must_use]
    pub fn of(mode: ReloadMode) -> Self {
        Self { mode, caller: None }
    }
}

/// What a caller was given, and takes for the gateway's. Each setting with its value as TOML; no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadCaller {
    /// Its file, as an absolute path.
    pub file: Option<String>,
    /// The settings there. If it is the gateway's own file they are not looked at.
    pub of_file: Vec<(String, String)>,
    /// Settings of its environment and its arguments.
    pub own: Vec<(String, String)>,
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
    /// The caller was given other settings than the gateway reads. Where they differ.
    #[error(
        "nothing was taken: the gateway reads its own file, environment and arguments, and its caller's say something else"
    )]
    Differs(Vec<String>),
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
