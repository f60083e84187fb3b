//! What `holdfast connect` is told: who connects, and to where. Connects to nothing.

use std::num::NonZeroU64;

use super::route::RouteArguments;
use crate::base::ids::{Platform, UserId};
use crate::cli::signing::sign;
use crate::cli::values::{platforms, user, variable};
use crate::node::config::{Config, Problem};
use crate::protocol::native::{PROTOCOL, proto};
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, FEATURE_REDIRECT};

/// What `--help` says of scripts.
pub(in crate::cli) const FOR_SCRIPTS: &str = "\
Lines of standard input are commands: /background on|off, /logout, /quit, and an empty line to log in afresh. Each waits \
for the answer to the one before it, the first for the login. The end of input counts as /quit; if there was no line at \
all, as from /dev/null, the terminal stays until a signal or the gateway ends it. A line that is no command is told on \
standard error, and the rest still runs. A lost link is retried for 10 minutes.

Exit codes: 0 logged in, and ended by /quit; 2 wrong arguments or configuration, or a line that is no command; 3 the gateway refused the \
login or ended the session; 4 no gateway at that address; 5 the link was lost and did not come back; 128 + its number: a \
signal; 1 anything else.";

/// Who connects, and to where.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct ConnectArguments {
    /// The UserID.
    #[arg(long, value_parser = user)]
    pub(super) user: UserId,
    /// What kind of device it is, in letters of either case.
    #[arg(long, ignore_case = true, value_parser = platforms())]
    pub(super) platform: Platform,
    /// The installation's number; drawn at random if not given.
    #[arg(long)]
    pub(super) instance: Option<NonZeroU64>,
    #[command(flatten)]
    pub(super) route: RouteArguments,
    /// Says that the app is in the background.
    #[arg(long)]
    pub(super) background: bool,
    /// Logs in with this UserSig; if not given, with that of the variable HOLDFAST_USERSIG, or one is made as by `holdfast usersig`.
    #[arg(long)]
    pub(super) usersig: Option<String>,
}

/// Long enough to try things out; every login makes a new one.
const USERSIG_LIFETIME_S: u64 = 86_400;

impl ConnectArguments {
    /// What of each login is the same, and its UserSig.
    pub(super) fn login(&self, config: &Config) -> proto::Login {
        let sign = || sign(config, &self.user, USERSIG_LIFETIME_S);
        proto::Login {
            protocol: PROTOCOL,
            features: FEATURE_REDIRECT | FEATURE_MESSAGES | FEATURE_ACKS,
            user_id: self.user.as_str().to_owned(),
            user_sig: self.usersig.clone().unwrap_or_else(sign),
            platform: self.platform as i32,
            sdk_version: concat!("holdfast ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..proto::Login::default()
        }
    }

    /// Takes what was not typed from the environment.
    pub(in crate::cli) fn add_environment(&mut self) -> Result<(), Problem> {
        const NAME: &str = "HOLDFAST_USERSIG";
        let Some(value) = variable(NAME).filter(|_| self.usersig.is_none()) else {
            return Ok(());
        };
        let not_text = |_| Problem {
            key: NAME.to_owned(),
            found: "a text that is not UTF-8".to_owned(),
            remedy: "give a UserSig as `holdfast usersig` prints it".to_owned(),
        };
        self.usersig = Some(value.into_string().map_err(not_text)?);
        Ok(())
    }
}
