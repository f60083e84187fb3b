//! Variables of the environment: which are settings, which were meant to be, and which are somebody else's. Reads none
//! itself.

use std::ffi::OsStr;

use super::setting::Setting;
use super::table::settings;

/// What a variable is.
#[derive(Debug, Clone)]
pub(super) enum Variable {
    /// This setting's.
    Setting(&'static Setting),
    /// No setting's, but very like one's, or of a section that there is: the one that may be meant, and all of that section.
    Mistaken { nearest: String, section: Vec<String> },
    /// Not ours.
    Foreign,
}

const PREFIX: &str = "HOLDFAST_";

/// Variables that commands read by themselves.
const OF_COMMANDS: &[&str] = &["HOLDFAST_CONFIG", "HOLDFAST_USERSIG"];

/// A name that differs from a setting's in so many letters is taken for a slip: `PRESENSE`, or a letter too many here and one
/// too few there.
const SLIPS_MAX: usize = 3;

/// What the variable of this name is.
pub(super) fn variable(name: &OsStr) -> Variable {
    let name = name.to_string_lossy();
    let upper = name.to_uppercase();
    if name != upper && is_known(&upper) {
        return mistaken_for(&upper);
    }
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Variable::Foreign;
    };
    if let Some(setting) = settings().find(|setting| setting.variable() == name) {
        return Variable::Setting(setting);
    }
    if OF_COMMANDS.contains(&&*name) || is_of_a_platform(rest) {
        return Variable::Foreign;
    }
    let section = section_of(&name);
    let longer = OF_COMMANDS.iter().find(|known| name.starts_with(**known));
    if let Some(known) = longer.filter(|_| section.is_empty()) {
        return mistaken_for(known);
    }
    let nearest = nearest(&name, known()).expect("there are settings");
    if section.is_empty() && strsim::damerau_levenshtein(&name, &nearest) > SLIPS_MAX {
        return Variable::Foreign;
    }
    Variable::Mistaken { nearest, section }
}

/// All that there are.
fn known() -> impl Iterator<Item = String> {
    let of_commands = OF_COMMANDS.iter().map(|name| (*name).to_owned());
    settings().map(Setting::variable).chain(of_commands)
}

fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

fn mistaken_for(name: &str) -> Variable {
    Variable::Mistaken {
        nearest: name.to_owned(),
        section: Vec::new(),
    }
}

/// Whether a name may be a slip of another: a short one has less room for slips.
pub(super) fn is_near(name: &str, known: &str) -> bool {
    let slips = strsim::damerau_levenshtein(name, known);
    slips <= SLIPS_MAX && 2 * slips < name.len().min(known.len())
}

/// Of these names the one that is most like it.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    names.min_by_key(|known| strsim::damerau_levenshtein(name, known))
}

/// The variables of the section that this one names, if there is such a section.
fn section_of(name: &str) -> Vec<String> {
    let prefix_of = |setting: &Setting| {
        let section = setting.key.split('.').next().unwrap_or(setting.key);
        format!("{PREFIX}{}_", section.to_uppercase())
    };
    let same = settings().filter(|setting| name.starts_with(&prefix_of(setting)));
    same.map(Setting::variable).collect()
}

/// Whether it is one of those that container platforms set for a service called `holdfast`, or `holdfast-` and more:
/// `SERVICE_HOST`, `SERVICE_PORT`, `SERVICE_PORT_HTTP`, `PORT`, `PORT_9001_TCP`, `PORT_9001_TCP_ADDR`.
fn is_of_a_platform(rest: &str) -> bool {
    let parts: Vec<&str> = rest.split('_').collect();
    let ends = |tail: &[&str]| {
        (0..parts.len()).any(|start| {
            let found = &parts[start..];
            tail.len() <= found.len()
                && tail.iter().zip(found).all(|(tail, part)| fits(tail, part))
                && (found.len() == tail.len() || tail == ["SERVICE", "PORT"])
        })
    };
    const TAILS: &[&[&str]] = &[
        &["SERVICE", "HOST"],
        &["SERVICE", "PORT"],
        &["PORT"],
        &["PORT", "<number>", "<protocol>"],
        &["PORT", "<number>", "<protocol>", "<what>"],
    ];
    TAILS.iter().any(|tail| ends(tail))
}

fn fits(tail: &str, part: &str) -> bool {
    match tail {
        "<number>" => part.parse::<u16>().is_ok(),
        "<protocol>" => ["TCP", "UDP", "SCTP"].contains(&part),
        "<what>" => ["ADDR", "PORT", "PROTO"].contains(&part),
        word => part == word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_container_platforms_are_not_ours() {
        for name in [
            "HOLDFAST_PORT",
            "HOLDFAST_PORT_9001_TCP",
            "HOLDFAST_PORT_9001_TCP_ADDR",
            "HOLDFAST_PORT_9001_TCP_PORT",
            "HOLDFAST_PORT_9001_UDP_PROTO",
            "HOLDFAST_SERVICE_HOST",
            "HOLDFAST_SERVICE_PORT",
            "HOLDFAST_SERVICE_PORT_HTTP_ADMIN",
            "HOLDFAST_HTTP_PORT",
            "HOLDFAST_HTTP_PORT_9002_TCP",
            "HOLDFAST_ADMIN_SERVICE_HOST",
            "HOLDFAST_ADMIN_SERVICE_PORT_WEB",
        ] {
            assert!(matches!(variable(OsStr::new(name)), Variable::Foreign), "{name}");
        }
    }

    #[test]
    fn a_slip_is_told_from_another_programs_variable() {
        let meant = |name: &str| match variable(OsStr::new(name)) {
            Variable::Mistaken { nearest, .. } => Some(nearest),
            Variable::Setting(_) | Variable::Foreign => None,
        };
        for (name, expected) in [
            ("HOLDFAST_PRESENSE_POLICY", "HOLDFAST_PRESENCE_POLICY"),
            (
                "HOLDFAST_LIMIT_IPV4_PREFIX_BITS",
                "HOLDFAST_LIMITS_IPV4_PREFIX_BITS",
            ),
            ("HOLDFAST_SHARDS_CUONT", "HOLDFAST_SHARDS_COUNT"),
            ("HOLDFAST_HTTP_PORTS", "HOLDFAST_HTTP_LISTEN"),
            ("HOLDFAST_REGISTRYPATH", "HOLDFAST_REGISTRY_PATH"),
            ("HOLDFAST_CONFIG_FILE", "HOLDFAST_CONFIG"),
            ("HOLDFAST_CONFIGURATION", "HOLDFAST_CONFIG"),
            ("HOLDFAST_CONFG", "HOLDFAST_CONFIG"),
            ("HOLDFAST_USERSIGS", "HOLDFAST_USERSIG"),
            ("holdfast_registry_path", "HOLDFAST_REGISTRY_PATH"),
            ("HOLDFAST_registry_path", "HOLDFAST_REGISTRY_PATH"),
            ("holdfast_config", "HOLDFAST_CONFIG"),
        ] {
            assert_eq!(meant(name).as_deref(), Some(expected), "{name}");
        }
        for name in [
            "HOLDFAST_CONFIG",
            "HOLDFAST_IMAGE_TAG",
            "HOLDFAST_VERSION",
            "HOLDFAST",
            "HOLDFAST_",
            "HOLDFAST_CONFIG_SERVICE_HOST",
            "holdfast_version",
            "PATH",
        ] {
            assert!(matches!(variable(OsStr::new(name)), Variable::Foreign), "{name}");
        }
    }
}
