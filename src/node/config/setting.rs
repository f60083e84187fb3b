//! What the table of settings says of each: its name, what it may be, its default and meaning, and when another value counts.
//! Knows no setting.

use super::kind::SettingKind;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// `section.name`, the unit last. A section may have sections of its own.
    pub(super) key: &'static str,
    /// When a reload takes it.
    pub(super) takes_effect: TakesEffect,
    /// What may be said.
    pub(super) kind: SettingKind,
    /// The default, as TOML.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) line: &'static str,
}

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the reload.
    AtOnce,
    /// Logins after the reload are decided by it; sessions that there are stay.
    NextLogins,
    /// Not before the next start: threads, sockets and files were made with it, or sessions were told it.
    AtRestart,
}

impl TakesEffect {
    /// The name in every interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NextLogins => "for next logins",
            Self::AtRestart => "at a restart",
        }
    }
}

/// One entry of the table.
pub(super) const fn setting(
    key: &'static str,
    takes_effect: TakesEffect,
    kind: SettingKind,
    default: &'static str,
    line: &'static str,
) -> Setting {
    Setting {
        key,
        takes_effect,
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

impl Setting {
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
        self.key.rsplit_once('.').expect("every key has a section")
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
