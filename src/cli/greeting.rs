//! What the gateway says when it is ready: where it listens, and lines to copy that log in and query.

use std::net::SocketAddr;

use super::client::rest_target;
use super::connect::usual_listener;
use crate::base::time::Timestamp;
use crate::node::addresses::usable;
use crate::node::config::{Config, DEVELOPMENT_SECRET, Sources, StoreKind};
use crate::services::registry::embedded::Durability;

/// The greeting of `program`, which was started with `sources` at `now`. UserSigs are shown only when they are made with the
/// development secret, which is none.
pub(super) fn greeting(
    (config, sources): (&Config, &Sources),
    program: &str,
    shards: u16,
    now: Timestamp,
) -> String {
    let list = |addresses: &[SocketAddr]| joined(&usable(addresses, |address| *address));
    let own = sources
        .arguments()
        .iter()
        .map(|argument| format!(" {}", quote(argument)))
        .collect::<String>();
    let terminals = joined(&usable(&config.terminals, |listener| listener.address));
    let (http, admin) = (list(&config.http), list(&config.admin));
    let web = match list(&config.web) {
        none if none.is_empty() => none,
        web => format!("  web        {web}\n"),
    };
    let records = records(config);
    // On loopback no certificate has the host's name.
    let insecure = match usual_listener(config) {
        Some(listener) if listener.tls => " --insecure",
        Some(_) | None => "",
    };
    let mut out = format!(
        "\
holdfast is ready, with {shards} shards. Ctrl-C stops it.

  terminals  {terminals}
  backend    {http}
  admin      {admin}
{web}  records    {records}

Log in:  {program}{own} connect --user alice --platform iPhone{insecure}
Query:   {program}{own} status alice bob --detail
"
    );
    if config.is_for_development() {
        let address = config
            .http
            .first()
            .expect("a configuration has an address for each listener");
        let target = rest_target(config, "openim/query_online_status");
        let (insecure, scheme) = match config.http_certificates.is_empty() {
            true => ("", "http"),
            false => (" -k", "https"),
        };
        let body = r#"{"To_Account":["alice","bob"],"IsNeedDetail":1}"#;
        out.push_str(&format!(
            "or:      curl -s{insecure} '{scheme}://{address}{target}' -d '{body}'\n"
        ));
        out.push_str(&format!(
            "
WARNING: no usersig.keys are set, so the development secret is used, which everyone knows. It is refused beyond loopback.
  SDKAppID   {}
  secret     {DEVELOPMENT_SECRET}
",
            config.logic.sdk_app_id
        ));
    }
    if config.takes_no_usersig(now) {
        out.push_str(
            "\nWARNING: every key of usersig.keys has ended (not_after): no login and no request is taken.\n",
        );
    }
    out
}

fn joined(listeners: &[impl ToString]) -> String {
    let listeners: Vec<_> = listeners.iter().map(ToString::to_string).collect();
    listeners.join(", ")
}

/// Where what is recorded is kept.
fn records(config: &Config) -> String {
    let path = std::path::absolute(&config.registry.path);
    let path = path.as_ref().unwrap_or(&config.registry.path).display();
    match (config.registry.store, config.registry.durability) {
        (StoreKind::Memory, _) => "in memory alone: gone when this ends".to_owned(),
        (StoreKind::Shared, _) => format!(
            "the shared store at {}, as node {} of {:?}",
            joined(&config.shared_store.urls),
            config.cluster.node.0,
            config.cluster.name
        ),
        (StoreKind::Embedded, Durability::Commit) => path.to_string(),
        (StoreKind::Embedded, Durability::Relaxed) => format!("{path}, on disk within 100 ms"),
    }
}

/// As a shell reads it.
fn quote(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,".contains(&byte);
    if argument.bytes().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::TerminalListener;

    #[test]
    fn commands_carry_the_configuration_but_no_secret() {
        let overrides = ["http.listen=[\"127.0.0.1:1\"]", "admin.token=0123456789abcdef"]
            .map(str::to_owned)
            .to_vec();
        let sources = Sources {
            overrides,
            ..Sources::default()
        };
        let text = greeting(
            (&Config::read(&sources).unwrap(), &sources),
            "./holdfast",
            2,
            Timestamp(0),
        );
        assert!(
            text.contains(r#"./holdfast --set 'http.listen=["127.0.0.1:1"]' connect --user"#),
            "{text}"
        );
        assert!(
            text.contains("curl -s 'http://127.0.0.1:1/v4/openim/query_online_status?sdkappid=1400000001"),
            "{text}"
        );
        assert!(
            text.contains("\n  records    /") && text.contains("/holdfast-data\n"),
            "{text}"
        );
        assert!(text.contains("WARNING") && !text.contains("0123456789abcdef"));
    }

    #[test]
    fn a_real_key_signs_nothing_that_is_printed() {
        let overrides = vec!["usersig.keys=[{secret=\"0123456789abcdef\"}]".to_owned()];
        let sources = Sources {
            overrides,
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap();
        let text = greeting((&config, &sources), "holdfast", 2, Timestamp(0));
        assert!(text.contains("ready") && !text.contains("usersig"), "{text}");
    }

    #[test]
    fn browsers_are_told_of_only_where_they_are_served() {
        let told = |overrides: &[&str]| {
            let sources = Sources {
                overrides: overrides.iter().map(ToString::to_string).collect(),
                ..Sources::default()
            };
            let config = Config::read(&sources).unwrap();
            greeting((&config, &sources), "holdfast", 2, Timestamp(0))
        };
        let text = told(&["web.listen=[\"127.0.0.1:9004\"]"]);
        assert!(
            text.contains("\n  web        127.0.0.1:9004\n  records"),
            "{text}"
        );
        let text = told(&[]);
        assert!(text.contains("127.0.0.1:9003\n  records"), "{text}");
    }

    #[test]
    fn the_line_that_logs_in_takes_the_certificate_where_there_is_no_way_without() {
        let sources = Sources::default();
        let mut config = Config::read(&sources).unwrap();
        let plain = config.terminals[0].clone();
        let secure = TerminalListener {
            tls: true,
            ..plain.clone()
        };
        let mut check = |listeners: &[&TerminalListener], expected: bool| {
            config.terminals = listeners.iter().copied().cloned().collect();
            let text = greeting((&config, &sources), "holdfast", 2, Timestamp(0));
            assert!(text.contains("connect --user alice"), "{text}");
            assert_eq!(
                text.contains("--platform iPhone --insecure\n"),
                expected,
                "{text}"
            );
        };
        check(&[&plain], false);
        check(&[&secure], true);
        check(&[&secure, &plain], false);
    }

    #[test]
    fn keys_that_have_all_ended_are_told() {
        let key = "{secret=\"0123456789abcdef\", not_after=\"1970-01-01T00:00:10Z\"}";
        let sources = Sources {
            overrides: vec![format!("usersig.keys=[{key}]")],
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap();
        let told = |now_ms| greeting((&config, &sources), "holdfast", 2, Timestamp(now_ms)).contains("ended");
        assert_eq!([9_999, 10_000].map(told), [false, true]);
    }
}
