//! What a terminal makes of the gateway's packets: words for the person, and what to do next.

use std::time::Duration;

use crate::protocol::native::proto::{Code, Platform, Verdict, WhatNext, response};

/// What a terminal does after its link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Comes back by itself, with its session, not before this has passed.
    Resume(Duration),
    /// Asks the person for a fresh login.
    Ask,
    /// Gets another UserSig, and comes back with its session.
    Renew,
    /// Gives up.
    Stop,
}

/// What a verdict asks for.
pub(super) fn next_of(verdict: &Verdict) -> NextStep {
    match verdict.what_next() {
        WhatNext::Retry => NextStep::Resume(Duration::from_millis(u64::from(verdict.retry_after_ms))),
        WhatNext::LogInAfresh => NextStep::Ask,
        WhatNext::RenewUsersig => NextStep::Renew,
        WhatNext::Stop => NextStep::Stop,
        // A later protocol: coming back by itself might do harm.
        WhatNext::Unspecified => NextStep::Ask,
    }
}

/// What would do where the UserSig that is made here is not good at the gateway; else nothing.
pub(super) fn remedy(verdict: &Verdict) -> &'static str {
    let by_another_app = [
        Code::UsersigWrongSignature,
        Code::UsersigWrongApp,
        Code::UsersigNoKey,
    ];
    if by_another_app.contains(&verdict.code()) {
        "; give the gateway's own --config FILE, or its usersig.keys and app.sdk_app_id with --set, or a --usersig"
    } else {
        ""
    }
}

/// A packet in plain words.
pub(super) fn describe(packet: &response::Packet) -> String {
    match packet {
        response::Packet::LoginAnswer(answer) => {
            let verdict = answer.verdict.clone().unwrap_or_default();
            if verdict.code != 0 {
                return format!("login refused: {}{}", said(&verdict), by(answer.winner()));
            }
            let beat = Duration::from_millis(u64::from(answer.heartbeat_interval_ms));
            let names: Vec<_> = answer.forced_off().map(name).collect();
            let forced_off = match names.as_slice() {
                [] => String::new(),
                names => format!("; forced off: {}", names.join(", ")),
            };
            format!(
                "logged in: session {}, a heartbeat every {beat:?}{forced_off}",
                answer.session
            )
        }
        response::Packet::HeartbeatAnswer(_) => "heartbeat answered".to_owned(),
        response::Packet::LogoutAnswer(_) => "logged out".to_owned(),
        response::Packet::ForceOffline(force) => {
            format!(
                "forced off: {}{}",
                said(&force.verdict.clone().unwrap_or_default()),
                by(force.winner())
            )
        }
        response::Packet::GoAway(away) => {
            format!(
                "the gateway says goodbye: {}",
                said(&away.verdict.clone().unwrap_or_default())
            )
        }
        response::Packet::Error(error) => {
            format!("error: {}", said(&error.verdict.clone().unwrap_or_default()))
        }
        response::Packet::Message(message) => {
            let from = match message.from.as_str() {
                "" => String::new(),
                from => format!(" from {from}"),
            };
            format!("message{from}, {}: {}", message.kind, shown(&message.body))
        }
    }
}

/// Of a message's body, in characters: more would fill the screen.
const BODY_CHARACTERS_MAX: usize = 500;

/// The body of a message, as far as a screen can show it. Characters that control a screen are escaped.
fn shown(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("{} bytes", body.len());
    };
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    let shown: String = text.chars().take(BODY_CHARACTERS_MAX).map(escape).collect();
    match text.chars().nth(BODY_CHARACTERS_MAX) {
        Some(_) => format!("{shown}… ({} bytes)", body.len()),
        None => shown,
    }
}

fn said(verdict: &Verdict) -> String {
    format!("{} (code {})", verdict.text, verdict.code)
}

fn by(winner: Platform) -> String {
    match winner {
        Platform::Unspecified => String::new(),
        Platform::Android
        | Platform::Iphone
        | Platform::Ipad
        | Platform::Windows
        | Platform::Mac
        | Platform::Linux
        | Platform::Web => format!(", by a login from {}", name(winner)),
    }
}

fn name(platform: Platform) -> &'static str {
    use crate::base::ids;
    let ours = ids::Platform::ALL
        .into_iter()
        .find(|ours| *ours as i32 == platform as i32);
    ours.map_or("another platform", ids::Platform::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::native::proto::{self, ForceOffline, LoginAnswer};

    fn verdict(code: Code, what_next: WhatNext) -> Verdict {
        Verdict {
            code: code.into(),
            text: "because".to_owned(),
            retry_after_ms: 700,
            what_next: what_next.into(),
        }
    }

    #[test]
    fn a_message_is_shown_as_far_as_a_screen_can() {
        let check = |from: &str, body: &[u8], expected: &str| {
            let message = proto::Message {
                from: from.to_owned(),
                kind: "order".to_owned(),
                body: body.to_vec(),
                ..proto::Message::default()
            };
            assert_eq!(describe(&response::Packet::Message(message)), expected);
        };
        check("shop", "Grüße".as_bytes(), "message from shop, order: Grüße");
        check("", b"", "message, order: ");
        check("", b"\x1b[2J\n", "message, order: \\u{1b}[2J\\n");
        check("", &[0xff, 0], "message, order: 2 bytes");
        let long = format!("message, order: {}… (501 bytes)", "x".repeat(500));
        check("", "x".repeat(501).as_bytes(), &long);
    }

    #[test]
    fn the_gateway_says_what_is_next() {
        let check = |what_next, expected| assert_eq!(next_of(&verdict(Code::Busy, what_next)), expected);
        check(WhatNext::Retry, NextStep::Resume(Duration::from_millis(700)));
        check(WhatNext::LogInAfresh, NextStep::Ask);
        check(WhatNext::RenewUsersig, NextStep::Renew);
        check(WhatNext::Stop, NextStep::Stop);
        check(WhatNext::Unspecified, NextStep::Ask);
    }

    #[test]
    fn a_usersig_of_another_app_is_told_with_what_would_do() {
        let remedy_of = |code| remedy(&verdict(code, WhatNext::LogInAfresh));
        assert!(remedy_of(Code::UsersigWrongSignature).contains("--config FILE"));
        assert_eq!(remedy_of(Code::Busy), "");
    }

    #[test]
    fn packets_are_told_in_plain_words() {
        let answer = LoginAnswer {
            verdict: Some(verdict(Code::Ok, WhatNext::Unspecified)),
            session: 5,
            heartbeat_interval_ms: 120_000,
            forced_off: vec![Platform::Iphone.into(), Platform::Web.into()],
            ..LoginAnswer::default()
        };
        let text = describe(&response::Packet::LoginAnswer(answer));
        assert_eq!(
            text,
            "logged in: session 5, a heartbeat every 120s; forced off: iPhone, Web"
        );
        let force = ForceOffline {
            verdict: Some(verdict(Code::SessionForcedOff, WhatNext::LogInAfresh)),
            winner: Platform::Mac.into(),
        };
        let text = describe(&response::Packet::ForceOffline(force));
        assert_eq!(text, "forced off: because (code 302), by a login from Mac");
    }
}
