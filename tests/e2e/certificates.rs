//! Certificates that are refused at a start, and commands over TLS.

use std::process::{Command, Output};

use crate::gateway;
use crate::support::certificate::TestCertificate;

fn holdfast(settings: &[&str], command: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for setting in settings {
        program.args(["--set", setting]);
    }
    program.args(command).output().unwrap()
}

#[test]
fn a_gateway_with_a_bad_certificate_does_not_start_and_check_says_why() {
    let certificate = TestCertificate::new(&["a.example", "*.b.example"]);
    let setting = format!("terminals.tls.certificates={}", certificate.setting());
    let said = String::from_utf8(holdfast(&[&setting], &["check"]).stdout).unwrap();
    let good =
        "ok       certificates: terminals.tls.certificates[1]: for a.example, *.b.example, until 2100-01-01T";
    assert!(said.contains(good), "{said}");

    certificate.renew(&["a.example"], 2020);
    let said = holdfast(&[&setting], &["check"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(
        text.contains("PROBLEM  certificates: terminals.tls.certificates[1].chain: found "),
        "{text}"
    );
    let started = holdfast(&[&setting], &[]);
    let text = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(2), "{text}");
    assert!(
        text.contains("terminals.tls.certificates[1].chain: found ") && text.contains("expired"),
        "{text}"
    );
}

#[test]
fn commands_speak_https_where_the_gateway_does() {
    let certificate = TestCertificate::new(&["gateway.example"]);
    let tls = ["http.tls.certificates", "admin.tls.certificates"].map(|key| (key, certificate.setting()));
    let settings: Vec<_> = tls.iter().map(|(key, value)| (*key, &**value)).collect();
    let gateway = gateway(&settings);
    let mut own: Vec<_> = tls.iter().map(|(key, value)| format!("{key}={value}")).collect();
    own.push(format!("http.listen=[\"{}\"]", gateway.http));
    own.push(format!("admin.listen=[\"{}\"]", gateway.admin));
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    for command in [
        &["status", "alice", "--json"][..],
        &["top", "--once"],
        &["reload"],
    ] {
        let said = holdfast(&own, command);
        // Nobody has logged in, so that alice has no account.
        let expected = if command[0] == "status" { 1 } else { 0 };
        assert_eq!(said.status.code(), Some(expected), "{command:?}: {said:?}");
    }
    let plain: Vec<_> = own
        .iter()
        .copied()
        .filter(|setting| !setting.contains(".tls."))
        .collect();
    let said = holdfast(&plain, &["top", "--once"]);
    assert!(
        !said.status.success() && String::from_utf8_lossy(&said.stderr).contains("HTTP"),
        "{said:?}"
    );
    assert!(gateway.stop());
}
