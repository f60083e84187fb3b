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

/// How names end, and which unit that is.
const UNITS: &[(&str, &str)] = &[
    ("_ms", "milliseconds"),
    ("_s", "seconds"),
    ("_hours", "hours"),
    ("_days", "days"),
    ("_bytes_max", "bytes"),
    ("_bits", "bits"),
];

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

    /// Where it stands in a file.
    #[must_use]
    pub(super) fn section(&self) -> &'static str {
        self.parts().0
    }

    /// Its name there.
    #[must_use]
    pub(super) fn name(&self) -> &'static str {
        self.parts().1
    }

    fn parts(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').expect("every key has a section")
    }

    /// The unit of its numbers, which its name ends in; `None`: it has no numbers, or they count something.
    #[must_use]
    pub(super) fn unit(&self) -> Option<&'static str> {
        let of_name = |(end, _): &&(&str, &str)| self.name().ends_with(end);
        UNITS.iter().find(of_name).map(|(_, unit)| *unit)
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
            let example: Option<Value> = setting.kind.example().map(|text| text.parse().unwrap());
            assert!(
                example.is_none_or(|value| setting.kind.takes(&value)),
                "{}",
                setting.key
            );
        }
    }

    #[test]
    fn a_name_ends_in_its_unit() {
        let unit = |key: &str| Setting::find(key).unwrap().unit();
        assert_eq!(unit("terminals.retry_after_ms"), Some("milliseconds"));
        assert_eq!(unit("node.stop_deadline_s"), Some("seconds"));
        assert_eq!(unit("registry.memory_bytes_max"), Some("bytes"));
        assert_eq!(unit("shards.connections_max"), None);
        for setting in settings().filter(|setting| setting.unit().is_some()) {
            assert!(matches!(setting.kind, Kind::Number(..)), "{}", setting.key);
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
