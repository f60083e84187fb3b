//! What is wrong with a configuration, in words. Finds nothing itself.

use std::fmt;

/// Something that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which setting, or where.
    pub key: String,
    /// What was found there; nothing of a secret.
    pub found: String,
    /// What would do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, found, remedy } = self;
        write!(f, "{key}: found {found}; {remedy}")
    }
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}
