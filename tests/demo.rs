//! `demo`: a freeze from beginning to end, and nothing left behind.

#![allow(clippy::unwrap_used)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::{Command, Stdio};

#[cfg(target_os = "linux")]
use daemon::{signal, until};
use program::{Program, Run};
use terminal::{Terminal, has_tmux};

/// What demonstrations have left in this directory.
fn left(temporary: &Path) -> Vec<PathBuf> {
    fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A directory for what is temporary, as the program is told of it.
fn temporary(program: &Program) -> PathBuf {
    let directory = program.home().join("tmp");
    fs::create_dir(&directory).unwrap();
    directory
}

/// The processes whose command line names this directory; there is /proc on Linux only.
#[cfg(target_os = "linux")]
fn processes_on(directory: &Path) -> Vec<i32> {
    let of = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let name = directory.to_str().unwrap().as_bytes();
    pids.filter(|&pid| of(pid).windows(name.len()).any(|window| window == name)).collect()
}

#[test]
fn without_a_terminal_it_tells_the_freeze_in_lines_and_then_its_story() {
    let program = Program::new();
    let directory = temporary(&program);
    let mut command = program.command(&["demo"]);
    // A collector that the user set for a daemon of theirs gets nothing of this one.
    command.env("TMPDIR", &directory).env("OTEL_EXPORTER_OTLP_ENDPOINT", "no address at all");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    for told in ["sentinel -> elevated", "elevated -> critical", "a pause of 2.", "elevated -> sentinel"] {
        assert!(run.stderr.contains(told), "{told}: {run:?}");
    }
    for told in [
        "A notification on your desktop (not shown now: no desktop session",
        "  Pause of 2.",
        "$ pause-monitor events\n",
        "$ pause-monitor events show ",
        "The machine stood still",
        "pause-monitor daemon",
    ] {
        assert!(run.stdout.contains(told), "{told}: {run:?}");
    }
    assert_eq!(left(&directory), [""; 0].map(PathBuf::from));
}

#[test]
fn on_a_terminal_the_dashboard_shows_it_and_gives_way_to_the_story() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::open(110, 80);
    let directory = terminal.directory.path().join("tmp");
    fs::create_dir(&directory).unwrap();
    let program = env!("CARGO_BIN_EXE_pause-monitor");
    let environment = format!("TMPDIR={0} XDG_RUNTIME_DIR={0}", directory.display());
    terminal.run(&format!("clear; {environment} {program} demo; echo left with $?"));
    terminal.wait_for("A simulated machine");
    terminal.wait_for("CRITICAL");
    terminal.wait_for_all(&[
        "A notification on your desktop",
        "$ pause-monitor events show 2",
        "left with 0",
    ]);
    terminal.takes_what_is_typed();
    assert_eq!(left(&directory), [""; 0].map(PathBuf::from));
    // And once more, ended by hand before anything happened.
    terminal.run(&format!("clear; {environment} {program} demo; echo left again with $?"));
    terminal.wait_for("A simulated machine");
    terminal.press(&["q"]);
    terminal.wait_for_all(&["The demonstration was ended before the freeze.", "left again with 0"]);
    assert_eq!(left(&directory), [""; 0].map(PathBuf::from));
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_demonstration_leaves_no_daemon_and_its_directory_goes_with_the_next() {
    let program = Program::new();
    let directory = temporary(&program);
    let start = |command: &mut Command| {
        command.env("TMPDIR", &directory).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = start(&mut program.command(&["demo"]));
    let daemon = until("the private daemon", || processes_on(&directory).first().copied());
    killed.kill().unwrap();
    killed.wait().unwrap();
    until("the daemon's end", || (!processes_on(&directory).contains(&daemon)).then_some(()));
    let [abandoned] = &left(&directory)[..] else { panic!("{:?}", left(&directory)) };
    let mut next = start(&mut program.command(&["demo"]));
    until("the sweep", || (!abandoned.exists()).then_some(()));
    until("the next daemon", || (!processes_on(&directory).is_empty()).then_some(()));
    // A signal ends it well.
    assert!(signal(next.id().cast_signed(), libc::SIGTERM));
    assert!(next.wait().unwrap().success());
    assert_eq!(left(&directory), [""; 0].map(PathBuf::from));
    assert_eq!(processes_on(&directory), [0; 0]);
}
