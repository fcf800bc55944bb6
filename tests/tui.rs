//! The dashboard in a real terminal: the built program in tmux, against a real daemon.
//!
//! Where tmux is missing the tests say that they were passed over; with PAUSE_MONITOR_REQUIRE_PEERS=1 they fail.

#![allow(clippy::unwrap_used)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;
#[path = "support/terminal.rs"]
mod terminal;

use std::path::Path;

use daemon::{Daemon, signal, until};
use program::Program;
use terminal::{Terminal, has_tmux};

impl Terminal {
    /// Starts the dashboard, with its process id in a file.
    fn dashboard(&self, data_dir: &Path, arguments: &str) {
        let program = env!("CARGO_BIN_EXE_pause-monitor");
        let pid = self.directory.path().join("pid");
        self.run(&format!(
            "clear; sh -c 'echo $$ > {}; exec {program} --data-dir {} tui {arguments}'; echo left with $?",
            pid.display(),
            data_dir.display()
        ));
    }

    /// The dashboard's process id.
    fn pid(&self) -> i32 {
        let pid = self.directory.path().join("pid");
        until("the dashboard's process id", || std::fs::read_to_string(&pid).ok()?.trim().parse().ok())
    }

    /// The shell's screen is back, and takes what is typed as it did before.
    fn is_restored(&self, code: i32) {
        let seen = self.wait_for(&format!("left with {code}"));
        assert!(!seen.contains("Stress"), "{seen}");
        self.takes_what_is_typed();
    }
}

fn simulated(scenario: &str) -> Daemon {
    let source = format!("simulate:{scenario}");
    Daemon::start(Program::new(), "", &["--source", &source])
}

#[test]
fn it_shows_what_happens_live_and_takes_keys() {
    if !has_tmux() {
        return;
    }
    let daemon = simulated("freeze");
    let terminal = Terminal::open(120, 40);
    terminal.dashboard(&daemon.data_dir(), "");
    let first = terminal.wait_for_all(&["(live)", " Hz", "Stress", "pageins", "Top by CPU"]);
    // The time of the sample shown moves on.
    let time = |screen: &str| {
        screen.lines().find_map(|line| line.split_once("Machine").map(|(_, at)| at.to_owned()))
    };
    let before = time(&first);
    until("another sample on the screen", || (time(&terminal.screen()) != before).then_some(()));
    terminal.press(&["2"]);
    terminal.wait_for_all(&["PAGE-INS", "largest first"]);
    terminal.press(&["4"]);
    terminal.wait_for("load average over one minute");
    terminal.press(&["?"]);
    terminal.wait_for("hold the picture");
    terminal.press(&["Escape"]);
    terminal.press(&["1"]);
    // It builds up, stands still, and is told of.
    terminal.wait_for_all(&["PAUSE of", "built up by fileproviderd"]);
    terminal.wait_for_all(&["CRITICAL", "Culprits"]);
    terminal.press(&["Space"]);
    terminal.wait_for("(held)");
    terminal.press(&["Left"]);
    terminal.press(&["C-l"]);
    terminal.press(&["End"]);
    terminal.wait_for_all(&["(live)", "Stress", "Machine"]);
    // The event is in the list; opened, marked and noted there.
    terminal.press(&["3"]);
    terminal.wait_for_all(&["pause", "unreviewed"]);
    terminal.press(&["f"]);
    terminal.wait_for("pauses only");
    terminal.press(&["Enter"]);
    terminal.wait_for_all(&["the machine stood still", "within a minute of it"]);
    terminal.press(&["p"]);
    terminal.wait_for("pinned");
    terminal.press(&["n"]);
    terminal.press(&["-l", "during q test"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("during q test");
    daemon.wait_for_event("the mark and the note", |event| {
        event["note"] == "during q test" && event["status"] == "pinned"
    });
    terminal.press(&["q"]);
    terminal.is_restored(0);
}

#[test]
fn it_follows_the_terminals_size_down_to_what_it_needs() {
    if !has_tmux() {
        return;
    }
    let daemon = simulated("calm");
    let terminal = Terminal::open(120, 40);
    terminal.dashboard(&daemon.data_dir(), "");
    terminal.wait_for_all(&["(live)", "Machine", "Events"]);
    let resize = |columns: &str, rows: &str| {
        terminal.tmux(&["resize-window", "-x", columns, "-y", rows]);
    };
    resize("60", "16");
    let seen = until("the small screen", || {
        Some(terminal.screen()).filter(|seen| seen.contains("pageins") && !seen.contains("Machine"))
    });
    assert!(seen.lines().count() <= 16, "{seen}");
    resize("50", "12");
    terminal.wait_for("needs 60 x 16");
    resize("160", "50");
    terminal.wait_for_all(&["Machine", "Events", "4 Factor"]);
    terminal.press(&["C-c"]);
    terminal.is_restored(0);
}

#[test]
fn it_waits_for_a_daemon_and_finds_it_again_after_a_restart() {
    if !has_tmux() {
        return;
    }
    let program = Program::new();
    let data_dir = program.home().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let terminal = Terminal::open(100, 30);
    terminal.dashboard(&data_dir, "");
    terminal.wait_for_all(&["No daemon is heard", "connects by itself", data_dir.to_str().unwrap()]);
    let start = || {
        let arguments = ["--data-dir", data_dir.to_str().unwrap(), "daemon", "--source", "simulate:calm"];
        program.command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut daemon = start();
    terminal.wait_for_all(&["(live)", "Stress"]);
    assert!(signal(daemon.id().cast_signed(), libc::SIGTERM));
    daemon.wait().unwrap();
    let seen = terminal.wait_for_all(&["(reconnecting)", "ago"]);
    assert!(seen.contains("Stress"), "the last picture stays:\n{seen}");
    let mut daemon = start();
    terminal.wait_for("(live)");
    // Stopped, it is still connected: what is seen is not live.
    assert!(signal(daemon.id().cast_signed(), libc::SIGSTOP));
    terminal.wait_for_all(&["(waiting)", "No sample for"]);
    assert!(signal(daemon.id().cast_signed(), libc::SIGCONT));
    terminal.wait_for("(live)");
    assert!(signal(daemon.id().cast_signed(), libc::SIGTERM));
    daemon.wait().unwrap();
    assert!(signal(terminal.pid(), libc::SIGTERM));
    terminal.is_restored(0);
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    if !has_tmux() {
        return;
    }
    let daemon = simulated("calm");
    let terminal = Terminal::open(80, 24);
    terminal.dashboard(&daemon.data_dir(), "");
    terminal.wait_for("(live)");
    let pid = terminal.pid();
    terminal.tmux(&["kill-session"]);
    until("the dashboard's end", || (!signal(pid, 0)).then_some(()));
}

#[test]
fn it_is_suspended_and_goes_on() {
    if !has_tmux() {
        return;
    }
    let daemon = simulated("calm");
    let terminal = Terminal::open(80, 24);
    terminal.dashboard(&daemon.data_dir(), "");
    terminal.wait_for("(live)");
    terminal.press(&["C-z"]);
    let seen = until("the shell", || Some(terminal.screen()).filter(|seen| !seen.contains("Stress")));
    assert!(!seen.contains("Factors"), "{seen}");
    terminal.run("fg");
    terminal.wait_for_all(&["(live)", "Stress"]);
    terminal.press(&["q"]);
    until("the dashboard's end", || (!signal(terminal.pid(), 0)).then_some(()));
}

#[test]
fn a_recording_is_played_paused_stepped_and_sought() {
    if !has_tmux() {
        return;
    }
    let program = Program::new();
    let simulate = ["simulate", "--scenario", "freeze", "--no-wait", "--count", "400", "--tasks", "20"];
    let recording = program.home().join("freeze.plist");
    std::fs::write(&recording, program.command(&simulate).output().unwrap().stdout).unwrap();
    let terminal = Terminal::open(120, 40);
    terminal.dashboard(program.home(), &format!("--replay {}", recording.display()));
    terminal.wait_for_all(&["(replay)", "1x", "freeze.plist"]);
    terminal.press(&[">"]);
    terminal.wait_for("2x");
    terminal.press(&["Space"]);
    terminal.wait_for("paused");
    terminal.press(&["Home"]);
    terminal.wait_for("0:00.0 /");
    terminal.press(&["."]);
    terminal.wait_for("0:00.1 /");
    // From the list of its events to the pause.
    terminal.press(&["3"]);
    // All three are found, the newest first: which one was chosen before depends on how many were there by then.
    terminal.wait_for_all(&["21.4 s", "2.52 s", "2.20 s"]);
    terminal.press(&["Up", "Up", "Up", "Down"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("the machine stood still");
    terminal.press(&["g"]);
    terminal.wait_for_all(&["(replay)", "CRITICAL", "fileproviderd"]);
    terminal.press(&["q"]);
    terminal.is_restored(0);
    // What `stream` printed, from standard input.
    terminal.run(&format!(
        "clear; {} analyze --json {} | {} tui --replay - ; echo ended with $?",
        env!("CARGO_BIN_EXE_pause-monitor"),
        recording.display(),
        env!("CARGO_BIN_EXE_pause-monitor")
    ));
    terminal.wait_for_all(&["(replay)", "standard input", "Stress"]);
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    // An event that was exported, with its evidence.
    let source = format!("replay:{}", recording.display());
    assert_eq!(program.run(&["daemon", "--source", &source, "--speed", "max"]).code, 0);
    let events = program.run(&["events", "--kind", "pause", "--json"]);
    let events: serde_json::Value = serde_json::from_str(&events.stdout).unwrap();
    let export = program.home().join("pause.jsonl");
    let id = events[0]["id"].to_string();
    assert_eq!(program.run(&["events", "export", &id, "-o", export.to_str().unwrap()]).code, 0);
    terminal.dashboard(program.home(), &format!("--replay {}", export.display()));
    terminal.wait_for_all(&["(replay)", "pause.jsonl", "fileproviderd"]);
    terminal.press(&["q"]);
    terminal.is_restored(0);
}

#[test]
fn without_a_terminal_or_a_recording_it_says_so_in_a_line() {
    let program = Program::new().env("TERM", "xterm");
    let run = program.run(&["tui"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert_eq!(
        run.stderr,
        "pause-monitor: the dashboard needs a terminal that can move its cursor: `pause-monitor status` and `stream` need none\n"
    );
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::open(100, 20);
    terminal.dashboard(program.home(), "--replay nothing.plist");
    terminal.wait_for_all(&["can't read the recording nothing.plist", "left with 1"]);
    let empty = program.home().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    terminal.dashboard(program.home(), &format!("--replay {}", empty.display()));
    terminal.wait_for("holds no sample");
    terminal.press(&["q"]);
    terminal.is_restored(0);
}

/// Set where this program is to take its terminal and panic.
const PANIC: &str = "PAUSE_MONITOR_TEST_PANIC";

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(PANIC).is_some() {
        let screen = pause_monitor::tui::term::Screen::take().unwrap();
        // Of another thread, too.
        let _ = std::thread::spawn(|| panic!("a feed broke")).join();
        drop(screen);
        let _screen = pause_monitor::tui::term::Screen::take().unwrap();
        panic!("drawing broke");
    }
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::open(100, 40);
    terminal.run(&format!(
        "clear; {PANIC}=1 RUST_BACKTRACE=0 {} --exact a_panic_gives_the_terminal_back_before_it_is_told --nocapture; echo left with $?",
        std::env::current_exe().unwrap().display()
    ));
    terminal.wait_for_all(&["a feed broke", "drawing broke", "left with 101"]);
    terminal.is_restored(101);
}
