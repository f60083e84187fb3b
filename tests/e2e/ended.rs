//! `holdfast-load` ends what it started and removes its folder, however it ends.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::command::{Running, wait_until_gone};
use crate::support::screen::Screen;

/// A run that would take ten minutes, and has come to where its terminals beat. Its store is in `folder`.
fn long_run(folder: &Path) -> (Running, u32) {
    let mut command = load_generator(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = Running::start(&mut command);
    run.error_with("a beat each");
    let gateway = gateway_of(&run);
    (run, gateway)
}

fn load_generator(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command.args("idle --connections 20 --hold 10m --interval 1s --results".split(' '));
    command.arg(folder.join("results")).env("TMPDIR", folder);
    command.stdin(Stdio::null());
    command
}

fn gateway_of(run: &Running) -> u32 {
    let children = run.children();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

fn left_in(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_signal_ends_the_gateway_too_and_removes_its_folder() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let folder = TempDir::new().unwrap();
        let (run, gateway) = long_run(folder.path());
        assert_eq!(left_in(&folder).len(), 1, "the store is there");
        run.signal(signal);
        let said = run.end();
        wait_until_gone(gateway);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(!said.errors.contains("panicked"), "{said:?}");
        assert!(
            said.errors.ends_with("ended by a signal: there is no result\n"),
            "{said:?}"
        );
        assert_eq!(left_in(&folder), Vec::<String>::new());
    }
}

#[test]
fn a_closed_pipe_ends_all_of_it_as_it_ends_others() {
    let folder = TempDir::new().unwrap();
    let (mut run, gateway) = long_run(folder.path());
    run.close_outputs();
    let said = run.end();
    wait_until_gone(gateway);
    assert_eq!(said.code, Some(141), "{said:?}");
    assert_eq!(left_in(&folder), Vec::<String>::new());
}

#[test]
fn a_kill_that_nobody_can_catch_ends_the_gateway_too() {
    let folder = TempDir::new().unwrap();
    let (run, gateway) = long_run(folder.path());
    run.signal(Signal::KILL);
    run.end();
    wait_until_gone(gateway);
}

#[test]
fn what_runs_apart_is_ended_too() {
    let may = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .output();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !cfg!(feature = "peers") || cores < 2 || !may.is_ok_and(|may| may.status.success()) {
        println!("skipped: it takes the feature `peers`, two cores, and the right to make namespaces");
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command.args("versus --peer echo --apart --connections 20 --rounds 100 --results".split(' '));
    command
        .arg(folder.path().join("results"))
        .env("TMPDIR", folder.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut run = Running::start(&mut command);
    run.error_with("begins");
    let servers = run.children();
    assert_eq!(servers.len(), 2, "the gateway and the one beside it");
    run.signal(Signal::TERM);
    let said = run.end();
    servers.into_iter().for_each(wait_until_gone);
    assert_eq!(said.code, Some(143), "{said:?}");
    assert_eq!(left_in(&folder), Vec::<String>::new());
}

#[test]
fn bars_leave_a_terminal_as_it_was() {
    let folder = TempDir::new().unwrap();
    let mut screen = Screen::new();
    let mut command = load_generator(folder.path());
    command
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(screen.stream());
    let run = Running::start(&mut command);
    screen.wait_for("logins");
    run.signal(Signal::TERM);
    assert_eq!(run.end().code, Some(143));
    assert!(screen.is_cooked());
    assert!(
        screen.rest().ends_with('\n'),
        "the next prompt has a line of its own"
    );
}

#[test]
fn bars_are_lines_on_a_terminal_that_takes_no_sequences() {
    let folder = TempDir::new().unwrap();
    let mut screen = Screen::new();
    let mut command = load_generator(folder.path());
    command
        .env("TERM", "dumb")
        .stdout(Stdio::null())
        .stderr(screen.stream());
    let run = Running::start(&mut command);
    let seen = screen.wait_for("a beat each");
    assert!(!seen.contains('\x1b'), "{seen:?}");
    run.signal(Signal::TERM);
    run.end();
}
