//! Configurations as people write them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::kind::SettingKind;
use super::table::settings;
use super::*;
use crate::base::ids::Platform;
use crate::base::secret::Secret;
use crate::logic::record::Callbacks;
use crate::logic::settings::{AddressLimits, Conflict, Policy, Registration, Settings, WebClose};
use crate::services::registry::FaultInjection;
use crate::services::registry::embedded::Durability;

pub(super) fn read(overrides: &[&str]) -> Result<Config, Vec<String>> {
    let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
    read_all(&Sources {
        overrides,
        ..Sources::default()
    })
}

fn read_all(sources: &Sources) -> Result<Config, Vec<String>> {
    Config::read(sources).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

pub(super) fn with_file(text: &str, rest: Sources) -> Result<Config, Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    read_all(&Sources {
        file: Some(file.path().to_owned()),
        ..rest
    })
}

#[test]
fn nothing_at_all_is_the_specification_on_loopback() {
    let config = read(&[]).unwrap();
    let specified = Settings::default();
    let expected = Settings {
        sdk_app_id: 1_400_000_001,
        keys: config.logic.keys.clone(),
        ..specified
    };
    assert_eq!(format!("{:?}", config.logic), format!("{expected:?}"));
    assert!(config.is_for_development());
    let terminals = config.terminals.iter().map(|listener| &listener.address);
    let mut all = terminals.chain(&config.http).chain(&config.admin);
    assert!(all.all(|address| address.ip().is_loopback()));
    assert_eq!(config.trouble, FaultInjection::default());
}

#[test]
fn an_address_is_limited_by_its_settings() {
    let limits = read(&[]).unwrap().logic.addresses;
    assert!(limits.are_off());
    assert_eq!((limits.ipv4_prefix_bits, limits.ipv6_prefix_bits), (32, 64));
    let config = read(&[
        "limits.connections_per_address_max=5",
        "limits.failed_logins_per_address_max=6",
        "limits.ipv4_prefix_bits=24",
        "limits.ipv6_prefix_bits=48",
    ])
    .unwrap();
    let expected = AddressLimits {
        connections_max: 5,
        failed_logins_max: 6,
        ipv4_prefix_bits: 24,
        ipv6_prefix_bits: 48,
    };
    assert_eq!(config.logic.addresses, expected);
    let problems = read(&["limits.ipv4_prefix_bits=33"]).unwrap_err();
    assert!(
        problems[0].contains("a whole number from 0 to 32"),
        "{problems:?}"
    );
    let shown = config.print();
    assert!(
        shown.contains("[limits]") && shown.contains("ipv6_prefix_bits = 48"),
        "{shown}"
    );
}

#[test]
fn logins_of_a_user_are_limited_by_a_setting() {
    assert_eq!(read(&[]).unwrap().logic.logins_per_user_max, 60);
    let config = read(&["limits.message_bytes_max=70000"]).unwrap();
    assert_eq!(config.logic.message_bytes_max, 70_000);
    assert!(read(&["limits.message_bytes_max=65535"]).is_err());
    let config = read(&["limits.logins_per_user_max=0"]).unwrap();
    assert_eq!(config.logic.logins_per_user_max, 0);
    let problems = read(&["limits.logins_per_user_max=1000001"]).unwrap_err();
    assert!(
        problems[0].contains("a whole number from 0 to 1000000"),
        "{problems:?}"
    );
}

#[test]
fn later_layers_win() {
    let file = "[presence]\npolicy = \"dual\"\nconflict = \"oldest-wins\"\nweb_close = \"at-once\"\ninstances_web = 10\n";
    let sources = Sources {
        environment: vec![
            ("HOLDFAST_PRESENCE_POLICY".into(), "triple".into()),
            ("HOLDFAST_SHARDS_COUNT".into(), "7".into()),
            ("HOLDFAST_SERVICE_HOST".into(), "10.0.0.1".into()),
        ],
        overrides: vec![
            "shards.count=9".to_owned(),
            "testing.registry_fail_every = 3".to_owned(),
        ],
        ..Sources::default()
    };
    let config = with_file(file, sources).unwrap();
    assert_eq!(config.logic.policy, Policy::Triple);
    assert_eq!(config.logic.conflict, Conflict::OldestWins);
    assert_eq!(config.logic.web_close, WebClose::AtOnce);
    assert_eq!(config.logic.instances_of(Platform::Web), 10);
    assert_eq!(config.logic.instances_of(Platform::Mac), 1);
    assert_eq!(config.shards.count, 9);
    assert_eq!(config.trouble.fail_every, 3);
}

#[test]
fn variables_of_no_setting_are_a_problem_unless_they_are_somebody_elses() {
    let with = |names: &[&str]| {
        let environment = names.iter().map(|name| ((*name).into(), "1".into()));
        read_all(&Sources {
            environment: environment.collect(),
            ..Sources::default()
        })
    };
    let services = [
        "HOLDFAST_SERVICE_HOST",
        "HOLDFAST_PORT_80_TCP",
        "HOLDFAST_HTTP_SERVICE_PORT",
        "HOLDFAST_HTTP_PORT",
    ];
    assert!(with(&services).is_ok());
    assert!(with(&["HOLDFAST_CONFIG", "HOLDFAST_USERSIG", "HOLDFAST"]).is_ok());
    let problems = with(&[
        "HOLDFAST_SHARDS_CUONT",
        "HOLDFAST_HTTP_LISTN",
        "HOLDFAST_PRESENSE_POLICY",
    ])
    .unwrap_err();
    let nonexistent = "found a variable of a setting that does not exist; did you mean";
    assert!(problems[0].starts_with(&format!("HOLDFAST_SHARDS_CUONT: {nonexistent} HOLDFAST_SHARDS_COUNT? This section has HOLDFAST_SHARDS_COUNT, ")), "{problems:#?}");
    assert!(
        problems[2].starts_with(&format!(
            "HOLDFAST_PRESENSE_POLICY: {nonexistent} HOLDFAST_PRESENCE_POLICY? `holdfast config`"
        )),
        "{problems:#?}"
    );
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

/// All that a node of a cluster has to be told.
pub(super) const NODE: &[&str] = &[
    "registry.store=redis",
    "registry.redis.urls=[\"redis://store.example\"]",
    "cluster.node=3",
    "cluster.secret=a-secret-of-this-test",
    "cluster.listen=[\"127.0.0.1:9005\"]",
    "cluster.public_tcp=gateway-3.example:9001",
];

#[test]
fn every_word_that_a_setting_may_have_means_something_of_its_own() {
    for setting in settings() {
        let SettingKind::OneOf(choice) = setting.kind else {
            continue;
        };
        let of_word = |word: &&str| {
            // A node of a cluster is not one by this word alone.
            let others = if *word == "redis" { NODE } else { &[] };
            let said = format!("{}={word}", setting.key);
            read(&[others, &[said.as_str()]].concat()).unwrap()
        };
        let configs: Vec<Config> = choice.words().iter().map(of_word).collect();
        for (place, config) in configs.iter().enumerate() {
            for mut other in configs[place + 1..].iter().cloned() {
                other.values = config.values.clone();
                assert_ne!(*config, other, "{}", setting.key);
            }
        }
    }
}

#[test]
fn a_text_needs_no_quotes() {
    let token = "1234567890123456";
    let config = read(&[
        "presence.policy=dual",
        &format!("callback.token={token}"),
        "registry.path = 2026",
    ]);
    let config = config.unwrap();
    assert_eq!(config.logic.policy, Policy::Dual);
    assert_eq!(config.callback.token.unwrap().expose(), token);
    assert_eq!(config.registry.path, std::path::Path::new("2026"));
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = with_file(
        "[presence]\npolicy = \"two\"\nheartbeat_interval_s = 500\nunknown = 1\n[nonsense]\nx = 1\n[foo]\n[presense]\n",
        Sources {
            overrides: [
                "http.listen=[\"localhost:1\"]",
                "shards.count",
                "shards.cuont=1",
                "admin.listen=[\"127.0.0.1:9001\"]",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Sources::default()
        },
    );
    let problems = problems.unwrap_err();
    for part in [
        "presence.policy: found \"two\"; it takes \"single\" or \"dual\"",
        "presence.unknown: found a setting that does not exist",
        "nonsense: found a setting that does not exist; `holdfast config` shows all settings",
        "presense: found a setting that does not exist; did you mean presence? `holdfast config`",
        "foo: found a setting that does not exist; `holdfast config`",
        "http.listen: found [\"localhost:1\"]; it takes a list",
        "--set: found no `=`",
        "shards.cuont: found a setting that does not exist; did you mean shards.count? This section has shards.count",
        "admin.listen: found 127.0.0.1:9001, which terminals.listen has too",
        "presence.heartbeat_timeout_mobile_s: found 400 s, while terminals beat every 500 s",
        "presence.heartbeat_timeout_desktop_s",
        "presence.heartbeat_timeout_web_s",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(part)),
            "{part} is missing in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 12, "{problems:#?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let problems = with_file(
        "[usersig]\nkeys = [{ secret = \"a-secret-for-nobody\" ]\n",
        Sources::default(),
    )
    .unwrap_err();
    assert!(
        problems[0].contains("line 2") && !problems[0].contains("nobody"),
        "{problems:?}"
    );
    let missing = Sources {
        file: Some("/nowhere/at/all".into()),
        ..Sources::default()
    };
    assert!(read_all(&missing).unwrap_err()[0].starts_with("/nowhere/at/all"));
}

#[test]
fn the_development_secret_stays_on_loopback() {
    for listener in [
        "terminals.listen=[\"127.0.0.1:1\", \"0.0.0.0:1\"]",
        "http.listen=[\"[::]:1\"]",
    ] {
        assert!(
            read(&[listener]).unwrap_err()[0].starts_with("usersig.keys"),
            "{listener}"
        );
        let copied = format!("usersig.keys=[{{secret=\"{DEVELOPMENT_SECRET}\"}}]");
        assert!(read(&[listener, &copied]).is_err(), "{listener}");
        assert!(
            read(&[listener, "usersig.keys=[{secret=\"one-of-my-own-app\"}]"]).is_ok(),
            "{listener}"
        );
    }
}

#[test]
fn the_admin_listener_leaves_loopback_with_a_token_only() {
    let open = "admin.listen=[\"10.1.2.3:9003\"]";
    assert!(read(&[open]).unwrap_err()[0].starts_with("admin.listen"));
    let config = read(&[open, "admin.token=0123456789abcdef"]).unwrap();
    assert_eq!(config.admin_hosts, ["10.1.2.3"]);
}

#[test]
fn what_is_printed_can_be_read_again() {
    let config = read(&[
        "presence.policy=multi",
        "admin.hosts=[\"a.example\"]",
        "shards.pin=true",
    ])
    .unwrap();
    let text = config.print();
    assert_eq!(with_file(&text, Sources::default()).unwrap().print(), text);
    assert!(
        text.contains("[presence]") && text.contains("policy = \"multi\""),
        "{text}"
    );
}

#[test]
fn secrets_are_not_printed() {
    let secrets = [
        "first-secret-of-mine",
        "second-secret-of-mine",
        "a-token-of-my-own",
        "cb-token-of-mine",
    ];
    let keys = format!(
        "usersig.keys=[{{secret=\"{}\"}}, {{secret=\"{}\", not_after=\"2027-01-01T00:00:00Z\"}}]",
        secrets[0], secrets[1]
    );
    let token = format!("admin.token={}", secrets[2]);
    let callback = format!("callback.token={}", secrets[3]);
    let config = read(&[&keys, &token, &callback]).unwrap();
    assert_eq!(config.logic.keys[1].not_after_s, Some(1_798_761_600));
    let wrong = [
        format!("{keys}x"),
        format!("{token} x\u{e9}"),
        format!("admin.tokne={}", secrets[2]),
        secrets[2].to_owned(),
        format!("{callback} x\u{e9}"),
    ];
    let wrong: Vec<_> = wrong.iter().map(String::as_str).collect();
    let second = format!(
        "usersig.keys=[{{secret=\"{}\"}}, {{secret=\"short\"}}]",
        secrets[0]
    );
    let problem = read(&[&second]).unwrap_err().remove(0);
    assert!(
        problem.starts_with("usersig.keys: found something else in entry 2; it takes"),
        "{problem}"
    );
    let problems = read(&wrong).unwrap_err();
    assert_eq!(problems.len(), 5);
    let printed = config.print();
    assert!(
        printed.contains("token = \"<set>\"") && printed.contains("2027-01-01T00:00:00Z"),
        "{printed}"
    );
    let problems_again = with_file(&printed, Sources::default()).unwrap_err();
    assert_eq!(
        problems_again.len(),
        3,
        "a place-holder is no secret: {problems_again:?}"
    );
    let debugged = format!(
        "{config:?} {:?} {:?} {:?}",
        config.logic, config.admin_token, config.callback
    );
    for text in [printed, problems.join("\n"), debugged] {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

#[test]
fn what_is_kept_and_told() {
    let config = read(&[]).unwrap();
    assert_eq!(
        (config.registry.store, config.registry.durability),
        (StoreKind::Embedded, Durability::Commit)
    );
    assert_eq!(config.registry.memory_bytes_max, 64 << 20);
    assert_eq!(config.registry.changes_kept, Duration::from_secs(7 * 86_400));
    assert_eq!(config.registry.deleted_kept, Duration::from_secs(400 * 86_400));
    assert_eq!(
        (config.callback.sent, &config.callback.url),
        (Callbacks::None, &None)
    );
    let config = read(&[
        "callback.url=http://127.0.0.1:1/cb",
        "callback.expiry=true",
        "accounts.register_at_login=false",
    ]);
    let config = config.unwrap();
    assert_eq!(config.callback.sent, Callbacks::All);
    assert_eq!(config.logic.registration, Registration::ByImport);
    let problems = read(&["callback.url=http://127.0.0.1:1/cb", "registry.store=memory"]).unwrap_err();
    assert!(problems[0].starts_with("callback.url"), "{problems:?}");
}

#[test]
fn a_reload_leaves_what_waits_for_a_restart() {
    let running = read(&["shards.count=2", "presence.policy=single"]).unwrap();
    let wanted = read(&[
        "shards.count=3",
        "presence.policy=multi",
        "terminals.retry_after_ms=500",
    ])
    .unwrap();
    let expected = [
        ("terminals.retry_after_ms", TakesEffect::AtOnce),
        ("shards.count", TakesEffect::AtRestart),
        ("presence.policy", TakesEffect::NextLogins),
    ];
    assert_eq!(differing(&running, &wanted), expected);
    let reloaded = running.reloaded(&wanted).unwrap();
    assert_eq!((reloaded.shards.count, reloaded.logic.policy), (2, Policy::Multi));
    assert_eq!(
        differing(&reloaded, &wanted),
        [("shards.count", TakesEffect::AtRestart)]
    );
}

#[test]
fn a_reload_is_checked_with_what_waits_for_a_restart() {
    let own_key = "usersig.keys=[{secret=\"one-of-my-own-app\"}]";
    let running = read(&["terminals.listen=[\"0.0.0.0:1\"]", own_key]).unwrap();
    let wanted = read(&[]).unwrap();
    let problems = running.reloaded(&wanted).unwrap_err();
    assert_eq!(
        problems[0].key, "usersig.keys",
        "the public secret, while all the world can connect"
    );
}

fn differing(config: &Config, other: &Config) -> Vec<(&'static str, TakesEffect)> {
    let all = config.differences(other).into_iter();
    all.map(|difference| (difference.key, difference.takes_effect))
        .collect()
}

fn with_environment(variables: &[(&str, &[u8])]) -> Result<Config, Vec<String>> {
    let environment = variables
        .iter()
        .map(|(name, text)| ((*name).into(), OsStr::from_bytes(text).into()));
    read_all(&Sources {
        environment: environment.collect(),
        ..Sources::default()
    })
}

#[test]
fn a_variable_that_is_no_text_is_refused_and_a_path_may_be_any_bytes() {
    let config = with_environment(&[("HOLDFAST_REGISTRY_PATH", b"/srv/\xff\xfe")]).unwrap();
    assert_eq!(config.registry.path.as_os_str().as_bytes(), b"/srv/\xff\xfe");
    let ca_file = with_environment(&[("HOLDFAST_CALLBACK_CA_FILE", b"/srv/\xff")]).unwrap();
    assert_eq!(
        ca_file.callback.ca_file.unwrap().as_os_str().as_bytes(),
        b"/srv/\xff"
    );
    let problems = with_environment(&[
        ("HOLDFAST_PRESENCE_POLICY", b"du\xffal"),
        ("HOLDFAST_ADMIN_TOKEN", b"a-token-of-mine-\xff"),
        ("SOMEBODY_ELSES", b"\xff"),
    ])
    .unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for (problem, name) in problems.iter().zip(["PRESENCE_POLICY", "ADMIN_TOKEN"]) {
        let expected = format!("HOLDFAST_{name}: found a text that is not UTF-8; it takes ");
        assert!(
            problem.starts_with(&expected) && !problem.contains("mine"),
            "{problem}"
        );
    }
    let other = with_environment(&[("HOLDFAST_REGISTRY_PATH", b"/srv/\xff\xfd")]).unwrap();
    assert_eq!(
        differing(&config, &other),
        [("registry.path", TakesEffect::AtRestart)],
        "paths that look alike differ"
    );
    assert_eq!(
        config.reloaded(&other).unwrap().registry.path,
        config.registry.path
    );
}

fn file_of(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn secrets_may_stand_in_files_that_a_reload_reads_again() {
    let (token, callback, key) = (
        file_of("a-token-in-a-file\n"),
        file_of("cb-token-in-a-file\r\n"),
        file_of("a-secret-key-in-a-file"),
    );
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let overrides = [
        format!("admin.token_file={}", path(&token)),
        format!("callback.token_file={}", path(&callback)),
        format!(
            "usersig.keys=[{{secret=\"another-secret-key\"}}, {{secret_file={:?}, not_after=\"2027-01-01T00:00:00Z\"}}]",
            path(&key)
        ),
    ];
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let config = read(&overrides).unwrap();
    let tokens = [&config.admin_token, &config.callback.token].map(|token| token.clone().unwrap());
    assert_eq!(
        tokens.each_ref().map(|token| token.expose()),
        ["a-token-in-a-file", "cb-token-in-a-file"]
    );
    let keys: Vec<_> = config.logic.keys.iter().map(|key| key.secret.expose()).collect();
    assert_eq!(keys, ["another-secret-key", "a-secret-key-in-a-file"]);
    assert_eq!(config.logic.keys[1].not_after_s, Some(1_798_761_600));
    let shown = format!("{config:?} {}", config.print());
    assert!(
        !shown.contains("in-a-file") && shown.contains(&path(&key)),
        "{shown}"
    );

    assert_eq!(differing(&config, &read(&overrides).unwrap()), []);
    let whats = |next: &Config| -> Vec<_> {
        let all = config.differences(next).into_iter();
        all.map(|difference| (difference.key, difference.what)).collect()
    };
    let other_name = overrides[0].replace("admin.token_file=", "admin.token=0123456789abcdef#");
    let renamed = read(&[&other_name, overrides[1], overrides[2]]).unwrap();
    let expected = [
        ("admin.token", DifferenceKind::Value),
        ("admin.token_file", DifferenceKind::Value),
    ];
    assert_eq!(whats(&renamed), expected);
    std::fs::write(token.path(), "another-token-in-it").unwrap();
    std::fs::write(key.path(), "another-secret-in-it").unwrap();
    let next = read(&overrides).unwrap();
    assert_eq!(
        differing(&config, &next),
        [
            ("admin.token_file", TakesEffect::AtOnce),
            ("usersig.keys", TakesEffect::AtOnce)
        ]
    );
    assert!(
        whats(&next)
            .iter()
            .all(|(_, what)| *what == DifferenceKind::FileContent)
    );
    let reloaded = config.reloaded(&next).unwrap();
    assert_eq!(reloaded.admin_token.unwrap().expose(), "another-token-in-it");
    assert_eq!(reloaded.logic.keys[1].secret.expose(), "another-secret-in-it");
}

#[test]
fn a_secret_of_a_higher_layer_counts_in_the_place_of_a_lower_ones_file_and_the_other_way_round() {
    let file = file_of("a-token-in-a-file\n");
    let path = file.path().display().to_string();
    for (section, token_of) in [
        (
            "admin",
            (|config| config.admin_token.as_ref()) as fn(&Config) -> Option<&Secret>,
        ),
        ("callback", |config| config.callback.token.as_ref()),
    ] {
        let key = format!("{section}.token");
        let variable = format!("HOLDFAST_{}_TOKEN", section.to_uppercase());
        let by_name = |key: &str| match key {
            "itself" => ("", "a-token-of-its-own"),
            "file" => ("_file", path.as_str()),
            other => panic!("{other}"),
        };
        let check = |below: &str, middle: Option<&str>, above: Option<&str>, expected: &str| {
            let (suffix, value) = by_name(below);
            let text = format!("[{section}]\ntoken{suffix} = {value:?}\n");
            let environment = middle.map(by_name).into_iter();
            let overrides = above.map(by_name).into_iter();
            let sources = Sources {
                environment: environment
                    .map(|(suffix, value)| {
                        (
                            format!("{variable}{}", suffix.to_uppercase()).into(),
                            value.into(),
                        )
                    })
                    .collect(),
                overrides: overrides
                    .map(|(suffix, value)| format!("{key}{suffix}={value}"))
                    .collect(),
                ..Sources::default()
            };
            let config = with_file(&text, sources).unwrap();
            assert_eq!(token_of(&config).unwrap().expose(), expected, "{key}");
        };
        let (own, read) = ("a-token-of-its-own", "a-token-in-a-file");
        check("file", None, None, read);
        check("file", None, Some("itself"), own);
        check("file", Some("itself"), None, own);
        check("itself", Some("file"), None, read);
        check("itself", None, Some("file"), read);
        check("file", Some("itself"), Some("file"), read);
        check("itself", Some("file"), Some("itself"), own);
    }
}

#[test]
fn an_empty_secret_of_a_higher_layer_takes_no_file_away() {
    let file = file_of("a-token-in-a-file\n");
    let text = format!("[admin]\ntoken_file = {:?}\n", file.path().display().to_string());
    let empty = Sources {
        environment: vec![("HOLDFAST_ADMIN_TOKEN".into(), "".into())],
        overrides: vec!["admin.token=".to_owned()],
        ..Sources::default()
    };
    let config = with_file(&text, empty).unwrap();
    assert_eq!(config.admin_token.unwrap().expose(), "a-token-in-a-file");
}

#[test]
fn a_secrets_file_that_does_not_do_is_named_and_not_shown() {
    let (good, lines, short, spaced) = (
        file_of("a-token-in-a-file\n"),
        file_of("a-token-in-a-file\nand-more\n"),
        file_of("short\n"),
        file_of("a-token in-a-file\n"),
    );
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let check = |overrides: &[&str], expected: &str| {
        let problems = read(overrides).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with(expected), "{expected}: {problems:#?}");
        assert!(!problems[0].contains("in-a-file"), "{problems:#?}");
    };
    let token = format!("admin.token_file={}", path(&good));
    check(
        &[&token, "admin.token=0123456789abcdef"],
        "admin.token_file: found a file, while admin.token is set, too; set one of the two",
    );
    for (file, fault) in [
        (&lines, "more than one line"),
        (&short, "fewer than 16 characters"),
        (&spaced, "a character that is not printable ASCII, or a space"),
    ] {
        let expected = format!("admin.token_file: found {}: {fault}; name a file", path(file));
        check(&[&format!("admin.token_file={}", path(file))], &expected);
    }
    check(
        &["callback.token_file=/nowhere/at/all"],
        "callback.token_file: found /nowhere/at/all: No such file",
    );
    check(
        &[
            "usersig.keys=[{secret_file=\"/nowhere/at/all\"}]",
            "terminals.listen=[\"0.0.0.0:1\"]",
        ],
        "usersig.keys: found /nowhere/at/all: No such file",
    );
    check(
        &["admin.token_file=/dev/zero", "admin.listen=[\"0.0.0.0:1\"]"],
        "admin.token_file: found /dev/zero: more than 1024 characters",
    );
}
