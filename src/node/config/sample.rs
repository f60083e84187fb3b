//! Every setting for somebody who writes a file, made from the table: as a sample, and one by one for a manual page. Knows no
//! configuration that is in use.

use super::print::{explained, facts, sections};
use super::setting::Setting;
use super::table::settings;

const HEAD: &str = concat!(
    "\
# The configuration of holdfast ",
    env!("CARGO_PKG_VERSION"),
    ": every setting with its default.
#
# To change a setting, remove the # in front of its name. `holdfast --config FILE config` checks a file and prints what holds,
# `holdfast --config FILE` runs a gateway with it. Settings in the environment (HOLDFAST_SECTION_NAME) count instead of the file's,
# and those of --set section.name=value instead of both. `holdfast --config FILE reload`, or SIGHUP, has a running gateway take
# a changed file: each setting says when another value counts.
#
# A gateway that listens beyond loopback needs app.sdk_app_id and usersig.keys at least; one whose admin listener does,
# admin.token, too.
# If secrets stand in this file, let nobody but the gateway's user read it; or name files that hold them.
"
);

/// Every setting, commented out, with its default; the file as it is changes nothing.
#[must_use]
pub fn sample() -> String {
    HEAD.to_owned() + &sections(of_one)
}

/// A setting in words.
#[derive(Debug)]
pub struct Described {
    /// Where it stands in a file.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// As TOML.
    pub default: &'static str,
    /// What it means, what it may be, and when another value counts.
    pub meaning: String,
}

/// All of them, section by section.
pub fn described() -> impl Iterator<Item = Described> {
    settings().map(|setting| Described {
        section: setting.section(),
        name: setting.name(),
        default: setting.default,
        meaning: format!("{} {}", setting.line, facts(setting, "")),
    })
}

fn of_one(setting: &Setting) -> String {
    let (name, default) = (setting.name(), setting.default);
    let says_nothing = ["[]", "\"\""].contains(&default);
    let example = setting.kind.example().filter(|_| says_nothing);
    let example = example.map_or_else(String::new, |value| format!("# Example: {name} = {value}\n"));
    format!("\n{}{example}#{name} = {default}\n", explained(setting, ""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, with_file};
    use super::*;
    use crate::node::config::Sources;

    /// The sample with the settings of these lines in force: `#name = value`, where explanations are `# words`.
    fn uncommented() -> String {
        let text = sample();
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|first: char| first.is_ascii_alphabetic()) => setting,
            Some(_) | None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_sample_changes_nothing_as_it_is_and_with_every_setting_in_force() {
        let defaults = read(&[]).unwrap().print();
        for text in [sample(), uncommented()] {
            assert_eq!(with_file(&text, Sources::default()).unwrap().print(), defaults);
        }
    }

    #[test]
    fn the_sample_has_every_setting_once() {
        let table: toml::Table = uncommented().parse().unwrap();
        for setting in settings() {
            let names = setting.key.split('.');
            let value = names.fold(toml::Value::from(table.clone()), |found, name| {
                found[name].clone()
            });
            let default: toml::Value = setting.default.parse().unwrap();
            assert_eq!(value, default, "{}", setting.key);
        }
        fn is_empty(section: &toml::Value) -> bool {
            section
                .as_table()
                .is_some_and(|section| section.values().all(is_empty))
        }
        assert!(is_empty(&sample().parse::<toml::Table>().unwrap().into()));
    }

    #[test]
    fn examples_are_lines_that_can_be_taken_over() {
        let text = sample();
        let examples = text.lines().filter_map(|line| line.strip_prefix("# Example: "));
        let examples: Vec<_> = examples.collect();
        assert!(
            examples.iter().any(|line| line.starts_with("keys = ")),
            "{examples:?}"
        );
        for example in examples {
            assert!(example.parse::<toml::Table>().is_ok(), "{example}");
        }
    }

    #[test]
    fn explanations_fit_a_line() {
        for line in sample().lines().chain(read(&[]).unwrap().print().lines()) {
            assert!(line.chars().count() <= 140, "{line}");
        }
    }
}
