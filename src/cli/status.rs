//! `holdfast status`: asks as the app's backend would, and shows it to a person.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client;
use super::host_port::Listener;
use super::outcome::print;
use crate::node::config::Config;

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// A line for each user.
    Table,
    /// And one for each device.
    Detail,
    /// As the gateway said it.
    Json,
    /// With all that is known of each user.
    JsonDetail,
}

impl Looks {
    pub(super) fn of(detail: bool, json: bool) -> Self {
        match (detail, json) {
            (false, false) => Self::Table,
            (true, false) => Self::Detail,
            (false, true) => Self::Json,
            (true, true) => Self::JsonDetail,
        }
    }

    fn has_detail(self) -> bool {
        match self {
            Self::Detail | Self::JsonDetail => true,
            Self::Table | Self::Json => false,
        }
    }
}

/// Asks and shows. Fails as a command if a user could not be answered.
pub(super) async fn status(config: &Config, users: &[String], looks: Looks) -> anyhow::Result<ExitCode> {
    let detail = u8::from(looks.has_detail());
    let body = json!({ "To_Account": users, "IsNeedDetail": detail });
    let reply = client::ask(config, "openim/query_online_status", &body).await?;
    let mut known = Vec::new();
    if looks.has_detail() {
        for user in users {
            known.extend(client::inspect(config, user).await?);
        }
    }
    print(&match looks {
        Looks::Json => format!("{reply:#}\n"),
        Looks::JsonDetail => format!("{:#}\n", json!({ "statuses": reply, "users": known })),
        Looks::Table | Looks::Detail => table(&reply, &known),
    })?;
    if reply["ErrorCode"] != 0 && list(&reply, "ErrorList").is_empty() {
        anyhow::bail!(
            "{} ({})",
            client::quoted(&text(&reply["ErrorInfo"])),
            reply["ErrorCode"]
        );
    }
    if let Some(user) = unanswered(&reply, users) {
        let what = format!("its answer says nothing of {user}");
        return Err(client::rest_place(config).mistaken(Listener::Rest, &what).into());
    }
    Ok(match reply["ErrorCode"] == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The first user that was asked for and of whom the reply says nothing, neither a status nor an error.
fn unanswered<'a>(reply: &Value, users: &'a [String]) -> Option<&'a String> {
    let told = |user: &&String| {
        let lists = ["QueryResult", "ErrorList"].map(|name| list(reply, name));
        let mut all = lists.into_iter().flatten();
        all.any(|entry| entry["To_Account"] == ***user)
    };
    users.iter().find(|user| !told(user))
}

fn list<'a>(reply: &'a Value, name: &str) -> &'a [Value] {
    reply[name].as_array().map_or(&[], Vec::as_slice)
}

/// What follows a user without a status.
const UNKNOWN_ACCOUNT: i64 = 70_107;

fn table(reply: &Value, known: &[Value]) -> String {
    let mut rows = Vec::new();
    for result in list(reply, "QueryResult") {
        rows.push((text(&result["To_Account"]), text(&result["Status"])));
    }
    for error in list(reply, "ErrorList") {
        let why = match error["ErrorCode"].as_i64() {
            Some(UNKNOWN_ACCOUNT) => "(no such account)".to_owned(),
            _ => format!("(error {})", error["ErrorCode"]),
        };
        rows.push((text(&error["To_Account"]), why));
    }
    let width = rows.iter().map(|(user, _)| user.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (user, status) in rows {
        out.push_str(&format!("{user:width$}  {status}\n"));
        let devices = known
            .iter()
            .find(|known| known["user"] == *user)
            .and_then(|known| known["devices"].as_array());
        devices
            .into_iter()
            .flatten()
            .for_each(|device| put_device(device, &mut out));
    }
    out
}

fn put_device(device: &Value, out: &mut String) {
    let field = |name: &str| text(&device[name]);
    out.push_str(&format!(
        "  {:8} {:10} instance {}\n",
        field("platform"),
        field("status"),
        field("instance")
    ));
    out.push_str(&format!(
        "           session {} since {}, last heard {}\n",
        device["session"],
        field("login_at"),
        field("heard_at")
    ));
    if device["address"].is_null() {
        let next = outcome_of(&field("platform"), &field("status"));
        out.push_str(&format!("           {next} {}\n", field("until")));
        return;
    }
    let place = if device["background"] == true {
        "in the background"
    } else {
        "in the foreground"
    };
    let versions = format!(
        "SDK {}, app {}",
        or_none(&field("sdk_version")),
        or_none(&field("app_version"))
    );
    out.push_str(&format!(
        "           from {} by {}, {versions}, {place}\n",
        field("address"),
        field("transport")
    ));
}

/// What becomes of a device without a connection, and the time follows.
fn outcome_of(platform: &str, status: &str) -> &'static str {
    match (platform, status) {
        (_, "PushOnline") => "link ended, PushOnline until",
        ("Android" | "iPhone" | "iPad", _) => "link ended, PushOnline at",
        _ => "link ended, Offline at",
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_that_was_asked_for_must_be_answered() {
        let users = ["alice", "bo", "ghost"].map(str::to_owned);
        let all = json!({
            "QueryResult": [{"To_Account": "alice", "Status": "Online"}, {"To_Account": "bo", "Status": "Offline"}],
            "ErrorList": [{"To_Account": "ghost", "ErrorCode": 70107}],
        });
        assert_eq!(unanswered(&all, &users), None);
        let some = json!({ "QueryResult": all["QueryResult"] });
        assert_eq!(unanswered(&some, &users), Some(&users[2]));
        let foreign = json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""});
        assert_eq!(unanswered(&foreign, &users), Some(&users[0]));
    }

    #[test]
    fn people_read_a_table() {
        let reply = json!({
            "QueryResult": [{"To_Account": "alice", "Status": "Online"}, {"To_Account": "bo", "Status": "Offline"}],
            "ErrorList": [{"To_Account": "ghost", "ErrorCode": 70107}],
        });
        let device = json!({"platform": "iPhone", "status": "Online", "instance": "7", "session": 3, "login_at": "then",
            "heard_at": "now", "address": "::1", "transport": "tcp", "sdk_version": "", "app_version": "2", "background": true});
        let gone = |platform: &str, status: &str| {
            json!({"platform": platform, "status": status, "instance": "8", "session": 4, "login_at": "then",
                "heard_at": "before", "until": "later", "address": null})
        };
        let devices = [
            device,
            gone("Web", "Online"),
            gone("iPad", "Online"),
            gone("Android", "PushOnline"),
        ];
        let known = [json!({"user": "alice", "devices": devices})];
        let expected = "\
alice  Online
  iPhone   Online     instance 7
           session 3 since then, last heard now
           from ::1 by tcp, SDK unknown, app 2, in the background
  Web      Online     instance 8
           session 4 since then, last heard before
           link ended, Offline at later
  iPad     Online     instance 8
           session 4 since then, last heard before
           link ended, PushOnline at later
  Android  PushOnline instance 8
           session 4 since then, last heard before
           link ended, PushOnline until later
bo     Offline
ghost  (no such account)
";
        assert_eq!(table(&reply, &known), expected);
    }
}
