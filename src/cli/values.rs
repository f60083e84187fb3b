//! Single values as people give them: UserIDs, platforms, variables of the environment. Knows no command.

use std::ffi::OsString;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::base::ids::{Platform, UserId};

/// Reads a UserID.
pub(super) fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text.as_bytes()).map_err(|fault| fault.to_string())
}

/// Reads a platform's name. Shells complete it.
pub(super) fn platforms() -> impl TypedValueParser<Value = Platform> {
    PossibleValuesParser::new(Platform::ALL.map(Platform::name)).try_map(|name| {
        let mut all = Platform::ALL.into_iter();
        all.find(|platform| platform.name().eq_ignore_ascii_case(&name))
            .ok_or("no platform")
    })
}

/// A variable that stands for an argument. An empty one is not set: compose files make it of what nobody filled in.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
