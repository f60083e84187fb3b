//! Every setting: its name, bounds, default and meaning, and when it takes effect, in one table. What is read, checked,
//! printed and explained is read, checked, printed and explained by this table.

mod gateway;
mod services;

use super::kind::Kind;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// `section.name`, the unit last.
    pub(super) key: &'static str,
    /// When a reload takes it.
    pub(super) effect: Effect,
    /// What may be said.
    pub(super) kind: Kind,
    /// The default, as TOML.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) line: &'static str,
}

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// With the reload.
    AtOnce,
    /// Logins after the reload are decided by it; sessions that there are stay.
    NextLogins,
    /// Not before the next start: threads, sockets and files were made with it, or sessions were told it.
    Restart,
}

impl Effect {
    /// The name in every interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NextLogins => "for next logins",
            Self::Restart => "at a restart",
        }
    }
}

const fn setting(
    key: &'static str,
    effect: Effect,
    kind: Kind,
    default: &'static str,
    line: &'static str,
) -> Setting {
    Setting {
        key,
        effect,
        kind,
        default,
        line,
    }
}

/// All of them, section by section.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    gateway::SETTINGS.iter().chain(services::SETTINGS)
}

impl Setting {
    /// The setting of that key.
    #[must_use]
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.key == key)
    }

    /// Its name in the environment.
    #[must_use]
    pub(super) fn variable(&self) -> String {
        format!("HOLDFAST_{}", self.key.replace('.', "_").to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;

    #[test]
    fn every_default_is_of_its_kind() {
        for setting in settings() {
            let value: Value = setting.default.parse().unwrap();
            assert!(setting.kind.takes(&value), "{}", setting.key);
        }
    }

    #[test]
    fn sections_are_not_torn_apart() {
        let mut sections: Vec<_> = settings().map(|setting| setting.key.split('.').next()).collect();
        sections.dedup();
        let count = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(sections.len(), count);
    }
}
