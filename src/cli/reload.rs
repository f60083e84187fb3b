//! `holdfast reload`: has the running gateway read its configuration again, and tells what came of it.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::client;
use super::outcome::CommandFault;
use super::outcome::print;
use crate::node::config::{Config, Given, Sources};
use crate::node::reload::absolute;

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is taken.
    Take,
    /// It is only looked at.
    DryRun,
}

/// Asks, and shows. Fails as a command if nothing was taken.
pub(super) async fn reload(config: &Config, sources: &Sources, how: How) -> anyhow::Result<ExitCode> {
    let given = config.given(sources);
    if !given.secrets.is_empty() {
        let secrets = given.secrets.join(", ");
        bail!(
            "{secrets} by --set: the gateway reads its own file, environment and arguments; change it there, and reload without --set"
        );
    }
    let body = body(sources, given, how);
    let (status, answer) = client::command(config, "/v1/reload", &body).await?;
    if status == 200 {
        print(&told(how, &answer))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = client::quoted(answer["error"].as_str().unwrap_or("it was refused"));
    for problem in list(&answer["problems"]) {
        text.push_str(&format!("\n  - {}", problem.as_str().unwrap_or_default()));
    }
    if status == 409 {
        text.push_str("\nChange what the gateway reads, then reload with no more than the way to it: admin.listen and admin.token.");
    }
    Err(CommandFault::Refused(text).into())
}

/// The request, with what the caller was given: the gateway says where its own differs.
fn body(sources: &Sources, given: Given, how: How) -> Value {
    let settings = |list: Vec<(&str, String)>| -> Value {
        let members = list
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::String(value)));
        Value::Object(members.collect())
    };
    json!({
        "dry_run": how == How::DryRun,
        "caller": {
            "file": sources.file.as_deref().map(absolute),
            "of_file": settings(given.of_file),
            "own": settings(given.own),
        },
    })
}

fn told(how: How, answer: &Value) -> String {
    let changes = list(&answer["changes"]);
    if changes.is_empty() {
        return "Nothing differs from what the gateway runs by.\n".to_owned();
    }
    let mut out = match how {
        How::Take => "The configuration was taken. What differs, and from when on it counts:\n",
        How::DryRun => "Nothing was taken. What would differ, and from when on it would count:\n",
    }
    .to_owned();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for change in changes {
        out.push_str(&format!(
            "  {}: {}\n",
            word(&change["setting"]),
            word(&change["counts"])
        ));
    }
    match &answer["touched"] {
        Value::Object(touched) => out.push_str(&format!(
            "The changed policy would touch {} devices that are Online, of {} users, at their next logins.\n",
            touched["devices"], touched["users"]
        )),
        Value::String(unknown) => out.push_str(&format!(
            "Devices that the changed policy would touch: {unknown}.\n"
        )),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_counts_from_when_on() {
        let answer = json!({
            "changes": [{"setting": "presence.policy", "counts": "for next logins"}],
            "touched": {"users": 2, "devices": 3},
        });
        let expected = "\
Nothing was taken. What would differ, and from when on it would count:
  presence.policy: for next logins
The changed policy would touch 3 devices that are Online, of 2 users, at their next logins.
";
        assert_eq!(told(How::DryRun, &answer), expected);
        assert!(told(How::Take, &json!({"changes": [], "touched": null})).starts_with("Nothing differs"));
    }
}
