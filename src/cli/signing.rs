//! UserSigs that commands make, with the keys of the configuration. Checks none.

use crate::base::ids::UserId;
use crate::base::time::Clock;
use crate::node::config::Config;
use crate::protocol::usersig;

/// A UserSig, made now with the configuration's key that is good for longest.
pub(super) fn sign(config: &Config, user: &UserId, lifetime_s: u64) -> String {
    let secret = best_key(config).secret.expose();
    usersig::sign(
        Clock::start().now().wall,
        config.logic.sdk_app_id,
        secret,
        user,
        lifetime_s,
    )
}

/// The key that is good for longest: while keys are changed, the new one.
pub(super) fn best_key(config: &Config) -> &usersig::Key {
    let keys = config.logic.keys.iter();
    keys.max_by_key(|key| key.not_after_s.unwrap_or(u64::MAX))
        .expect("a configuration has a key, if only the development one")
}
