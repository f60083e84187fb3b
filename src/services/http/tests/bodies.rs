//! JSON as clients write it: what is taken, and what is refused, in the same way by every command of both listeners.

use super::commands::post;
use super::*;

/// The commands, each with a member that it reads and the code of a body that cannot be read.
const COMMANDS: [(&str, &str, u32); 6] = [
    (QUERY, "To_Account", 90_001),
    (KICK, "UserID", 60_003),
    ("/v4/im_open_login_svc/account_import", "UserID", 60_003),
    ("/v4/im_open_login_svc/multiaccount_import", "Accounts", 60_003),
    ("/v4/im_open_login_svc/account_check", "CheckItem", 60_003),
    ("/v4/im_open_login_svc/account_delete", "DeleteItem", 60_003),
];

const PAGES: [(&str, &str); 2] = [("/v1/kick", "user"), ("/v1/reload", "dry_run")];

#[test]
fn a_member_that_stands_twice_is_refused_by_every_command() {
    let world = World::new(settings(), shards);
    for (command, member, code) in COMMANDS {
        for twice in [
            format!("{{\"{member}\":[\"a\"],\"{member}\":[\"b\"]}}"),
            "{\"x\":{\"y\":1,\"y\":1}}".to_owned(),
        ] {
            let reply = world.ask(command, &twice);
            assert_eq!(reply["ErrorCode"], code, "{command} {twice}: {reply}");
            let text = reply["ErrorInfo"].as_str().unwrap();
            assert!(text.contains("stands twice"), "{command}: {text}");
        }
    }
    for (page, member) in PAGES {
        let (status, answer) = post(&world, page, &format!("{{\"{member}\":1,\"{member}\":1}}"));
        assert_eq!(status, 400, "{page}");
        assert!(
            answer["error"].as_str().unwrap().contains("stands twice"),
            "{answer}"
        );
    }
    assert!(world.requests.lock().unwrap().is_empty(), "nothing was done");
    assert!(world.asked.lock().unwrap().is_empty(), "nothing was done");
}

#[test]
fn a_byte_order_mark_before_json_is_skipped_by_every_command() {
    let world = World::new(settings(), shards);
    for (command, _, _) in COMMANDS {
        let plain = world.ask(command, "{}");
        assert_eq!(world.ask(command, "\u{feff}{}"), plain, "{command}");
    }
    for (page, _) in PAGES {
        assert_eq!(
            post(&world, page, "\u{feff}{}"),
            post(&world, page, "{}"),
            "{page}"
        );
    }
    let reply = world.ask(QUERY, "\u{feff}{\"To_Account\":[\"off\"]}");
    assert_eq!(reply["ErrorCode"], 0);
}

#[test]
fn a_body_that_is_no_json_is_refused_by_every_command() {
    let world = World::new(settings(), shards);
    let deep = "[".repeat(1_000);
    for body in ["", " ", "{", "{}{}", "{}x", "\u{feff}", &deep] {
        for (command, _, code) in COMMANDS {
            assert_eq!(world.ask(command, body)["ErrorCode"], code, "{command} {body}");
        }
        for (page, _) in PAGES {
            assert_eq!(post(&world, page, body).0, 400, "{page} {body}");
        }
    }
}
