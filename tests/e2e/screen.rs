//! `holdfast top` leaves a terminal as it was, however it ends, and draws on none that cannot be drawn on.

use std::process::Command;

use rustix::process::Signal;

use crate::gateway;
use crate::support::command::Running;
use crate::support::gateway::Gateway;
use crate::support::screen::Screen;

/// What takes a terminal back from another screen, and shows its cursor.
const MAIN_SCREEN: &str = "\x1b[?1049l";
const OTHER_SCREEN: &str = "\x1b[?1049h";
const CURSOR_SHOWN: &str = "\x1b[?25h";
const CURSOR_HIDDEN: &str = "\x1b[?25l";

fn top(gateway: &Gateway, screen: &Screen, term: Option<&str>) -> Running {
    top_every("100ms", gateway, screen, term)
}

fn top_every(interval: &str, gateway: &Gateway, screen: &Screen, term: Option<&str>) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(["top", "--interval", interval, "--set"]);
    command.arg(format!("admin.listen=[\"{}\"]", gateway.admin));
    command.env_remove("TERM").envs(term.map(|term| ("TERM", term)));
    command
        .stdin(screen.stream())
        .stdout(screen.stream())
        .stderr(screen.stream());
    Running::start(&mut command)
}

fn check_restored(screen: &mut Screen) {
    assert!(screen.is_cooked());
    let seen = screen.rest();
    let last = |sequence: &str| seen.rfind(sequence);
    assert!(last(MAIN_SCREEN) > last(OTHER_SCREEN), "{seen:?}");
    assert!(last(CURSOR_SHOWN) > last(CURSOR_HIDDEN), "{seen:?}");
}

#[test]
fn top_that_is_ended_by_a_signal_leaves_the_terminal_as_it_was() {
    let gateway = gateway(&[]);
    for (signal, code) in [
        (Signal::TERM, 143),
        (Signal::HUP, 129),
        (Signal::INT, 130),
        (Signal::QUIT, 131),
    ] {
        let mut screen = Screen::new();
        let top = top(&gateway, &screen, Some("xterm"));
        screen.wait_for("turn p50");
        assert!(!screen.is_cooked());
        top.signal(signal);
        assert_eq!(top.end().code, Some(code));
        check_restored(&mut screen);
    }
}

#[test]
fn top_that_is_ended_by_a_key_leaves_the_terminal_as_it_was() {
    let gateway = gateway(&[]);
    let mut screen = Screen::new();
    let top = top(&gateway, &screen, Some("xterm"));
    screen.wait_for("turn p50");
    screen.press(b"q");
    assert_eq!(top.end().code, Some(0));
    check_restored(&mut screen);
}

#[test]
fn top_ends_with_its_terminal() {
    let gateway = gateway(&[]);
    let mut screen = Screen::new();
    let top = top_every("1m", &gateway, &screen, Some("xterm"));
    screen.wait_for(CURSOR_HIDDEN);
    screen.forget();
    screen.press(b"\x1b[B");
    // The last word of a drawing: from here on it only waits for keys.
    screen.wait_for(CURSOR_HIDDEN);
    // No signal tells it: it is not the terminal's foreground.
    drop(screen);
    assert_eq!(top.end().code, Some(1));
}

#[test]
fn top_writes_plain_lines_on_a_terminal_that_takes_no_sequences() {
    let gateway = gateway(&[]);
    for term in [Some("dumb"), Some(""), None] {
        let mut screen = Screen::new();
        let top = top(&gateway, &screen, term);
        let seen = screen.wait_for("turn p50");
        assert!(!seen.contains('\x1b'), "{seen:?}");
        assert!(screen.is_cooked());
        top.signal(Signal::TERM);
        top.end();
    }
}
