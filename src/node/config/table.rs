//! Every setting: its name, bounds, default and meaning, and when it takes effect, in one table. What is read, checked,
//! printed and explained is read, checked, printed and explained by this table.

mod cluster;
mod gateway;
mod lists;
mod services;
mod terminals;

use super::setting::Setting;
pub(super) use lists::LISTENER;

/// All of them, section by section.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    let all = [
        terminals::SETTINGS,
        gateway::SETTINGS,
        services::SETTINGS,
        cluster::SETTINGS,
    ];
    all.into_iter().flatten()
}

/// The setting of that key.
#[must_use]
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::super::kind::SettingKind;
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
        let unit = |key: &str| find(key).unwrap().unit();
        assert_eq!(unit("terminals.retry_after_ms"), Some("milliseconds"));
        assert_eq!(unit("node.stop_deadline_s"), Some("seconds"));
        assert_eq!(unit("registry.memory_bytes_max"), Some("bytes"));
        assert_eq!(unit("shards.connections_max"), None);
        for setting in settings().filter(|setting| setting.unit().is_some()) {
            assert!(matches!(setting.kind, SettingKind::Number(..)), "{}", setting.key);
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
