//! Secrets, UserSigs, tokens and the REST query string never reach what the gateway prints or shows.

use std::process::{Command, Stdio};

use holdfast::logic::wire::proto::{self, Platform};

use crate::gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login, usersig};

const SECRET: &str = "0123456789abcdef-a-secret-of-a-test-0123456789abcdef";
const TOKEN: &str = "an-admin-token-of-a-test";
const CALLBACK_TOKEN: &str = "a-callback-token-of-a-test";

#[test]
fn the_configuration_hides_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args([
            "--set",
            &format!("usersig.keys=[{{secret=\"{SECRET}\"}}]"),
            "--set",
            &format!("admin.token=\"{TOKEN}\""),
            "--set",
            &format!("callback.token=\"{CALLBACK_TOKEN}\""),
        ])
        .arg("config")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("[presence]") || text.contains("presence."),
        "the configuration is there: {text}"
    );
    for secret in [SECRET, TOKEN, CALLBACK_TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn errors_and_metrics_hide_them() {
    let gateway = gateway(&[("log.level", "\"trace\"")]);
    let http = Http::default();
    let sig = usersig("alice");
    let bad = proto::Login {
        user_id: "bob".to_owned(),
        ..login("alice", Platform::Iphone, 1)
    };
    let (_, answer) = Terminal::log_in(gateway.terminals, bad);
    assert!(!answer.verdict.unwrap().text.contains(&sig));
    let path = format!("/v4/openim/nonsense?sdkappid=1&identifier=administrator&usersig={sig}");
    for address in [gateway.http, gateway.admin] {
        assert!(!http.get(address, &path).1.contains(&sig));
    }
    assert!(!http.get(gateway.admin, "/metrics").1.contains("usersig="));
}
