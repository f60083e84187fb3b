//! What made a folder's figures, as its data has it: the command, the commit, the host and the build profiles. It judges no
//! figure.

use serde_json::Value;

use super::super::machine::{UNKNOWN, WITH_CHANGES};

/// What made a folder, when, of what, and where.
pub(super) fn origin(data: &Value) -> String {
    let fact = |name: &str| data["machine"][name].as_str();
    let known = |name| fact(name).unwrap_or(UNKNOWN);
    let mut text = format!(
        "`{}`, {}, commit {}, kernel {}, ",
        data["command"].as_str().unwrap_or(UNKNOWN),
        known("date"),
        known("commit"),
        known("kernel")
    );
    text += &profiles(data).unwrap_or_else(|| "build profile not recorded".to_owned());
    if let Some(took) = fact("took") {
        text += &format!(", took {took}");
    }
    text + "."
}

/// By which profiles the tool and the gateway were built, as far as the data has it; `None` if it has neither.
pub(super) fn profiles(data: &Value) -> Option<String> {
    let fact = |name: &str| {
        data["machine"][name]
            .as_str()
            .filter(|profile| *profile != UNKNOWN)
    };
    match (fact("profile"), fact("profile of the gateway")) {
        (None, None) => None,
        (Some(tool), Some(gateway)) if gateway != tool => {
            Some(format!("profile {tool}, of the gateway {gateway}"))
        }
        (None, Some(gateway)) => Some(format!("profile of the gateway {gateway}")),
        (Some(tool), None) if !data["machine"]["profile of the gateway"].is_null() => {
            Some(format!("profile {tool}, of the gateway not recorded"))
        }
        (Some(tool), _) => Some(format!("profile {tool}")),
    }
}

/// Whether it was measured with sources that are in no commit.
pub(super) fn has_changes(data: &Value) -> bool {
    let commit = data["machine"]["commit"].as_str();
    commit.is_some_and(|commit| commit.ends_with(WITH_CHANGES))
}

/// The profile that the gateway was built by, if it is another one than that of what is shipped, which benches have, too.
pub(super) fn unlike_what_is_shipped(data: &Value) -> Option<&str> {
    let fact = |name: &str| data["machine"][name].as_str();
    let profile = fact("profile of the gateway").or_else(|| fact("profile"))?;
    // That nothing is recorded is told with its origin.
    (profile != UNKNOWN && profile != "dist" && !profile.starts_with("bench")).then_some(profile)
}
