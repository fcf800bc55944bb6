//! `status` and `stream` while a daemon runs, and its log on a terminal.

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use serde_json::Value;

use crate::daemon::{Daemon, is, until};
use crate::keys::Keys;
use crate::program::{Program, Run};
use crate::recording::{play, simulated};

const NONE: [&str; 0] = [];

/// A daemon on a freeze at ten times its speed, whose first pause is on record.
fn daemon() -> Daemon {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:freeze", "--speed", "10"]);
    daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    daemon
}

/// A daemon with two pauses of ten minutes ago on record, which simulates a calm machine.
fn daemon_with_a_past() -> Daemon {
    let program = Program::new();
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(10);
    let start = start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let arguments = ["--interval-ms", "500", "--count", "125", "--start", &start];
    let recording = simulated(&program, "freeze", &arguments);
    play(&program, &recording, &program.home().join("data"));
    let daemon = Daemon::start(program, "", &["--source", "simulate:calm"]);
    daemon.until("the socket", || daemon.socket().exists().then_some(()));
    daemon
}

#[test]
fn status_says_how_the_machine_is_and_what_the_last_day_held() {
    let daemon = daemon_with_a_past();
    let Run { stdout, stderr, code } = daemon.run("status", &NONE);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    let parts: Vec<&str> = lines[0].split(" | ").collect();
    assert_eq!(parts[..2], ["Healthy", "stress 0"], "{stdout}");
    // Of the second pause, which began 50 s into the recording; this machine may have been slow since.
    let minutes = parts[2].strip_prefix("last pause ").unwrap().strip_suffix(" min ago").unwrap();
    assert!((9..20).contains(&minutes.parse::<u8>().unwrap()), "{stdout}");
    assert!(lines[1].starts_with("last 24 h: 2 pauses, 0 stalls, 2 episodes, 0 outages; "), "{stdout}");
}

#[test]
fn status_as_json_is_for_programs() {
    let daemon = daemon_with_a_past();
    let Run { stdout, stderr, code } = daemon.run("status", &["--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let keys: Keys = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        keys.0,
        [
            "running",
            "version",
            "source",
            "tier",
            "degraded",
            "silent_s",
            "stress",
            "sample",
            "last_pause",
            "day",
            "otlp"
        ]
    );
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&status["running"], &status["source"]), (&true.into(), &"simulate".into()));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["otlp"], serde_json::json!({ "outbox_spans": 0, "refused_spans": 0 }));
    assert_eq!(status["stress"], status["sample"]["stress"]["total"]);
    let event = status["last_pause"]["event"].as_u64().unwrap();
    let pause = daemon.events().into_iter().find(|stored| stored["id"] == event).unwrap();
    assert_eq!(status["last_pause"]["duration_s"], pause["duration_s"]);
    assert_eq!((&status["day"]["pauses"], &status["tier"]), (&2.into(), &"sentinel".into()), "{stdout}");
}

#[test]
fn stream_prints_as_many_lines_as_it_is_asked_for_beginning_with_hello() {
    let daemon = daemon();
    let Run { stdout, stderr, code } = daemon.run("stream", &["--count", "5"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert!(is(&lines[0], "hello") && !is(&lines[1], "hello"));
    assert!(lines[0]["ring"].as_array().unwrap().len() > 10);
}

#[test]
fn stream_can_leave_the_samples_out() {
    let daemon = daemon();
    let Run { stdout, stderr, code } = daemon.run("stream", &["--events", "--count", "4"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(is(&lines[0], "hello"));
    for line in &lines[1..] {
        assert!(is(line, "tier") || is(line, "gap") || is(line, "source"), "{line}");
    }
}

#[test]
fn a_reader_of_the_stream_that_goes_away_ends_it_quietly() {
    let daemon = daemon();
    let mut child =
        daemon.command("stream", &NONE).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = child.stdout.take().unwrap();
    reader.read_exact(&mut [0; 200]).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
}

#[test]
fn a_stream_ends_with_its_daemon_and_says_so() {
    let mut daemon = daemon();
    let child = daemon.command("stream", &NONE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It has connected, or will find no daemon: the exit code is the same.
    daemon.signal(libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
}

#[test]
fn who_is_turned_away_by_a_daemon_with_256_clients_is_told_so() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("the socket", || daemon.socket().exists().then_some(()));
    let clients: Vec<UnixStream> = (0..256).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
    for command in ["status", "stream"] {
        let Run { stdout, stderr, code } = daemon.run(command, &NONE);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        let told = "pause-monitor: the daemon takes no more than 256 clients, and has them: end a `stream` or `tui`, and try again\n";
        assert_eq!(stderr, told);
    }
    drop(clients);
    daemon.until("room for one more", || (daemon.run("status", &NONE).code == 0).then_some(()));
}

#[test]
fn a_daemon_that_ends_before_it_says_hello_is_not_running() {
    let program = Program::new();
    let data = program.home().join("data");
    std::fs::create_dir(&data).unwrap();
    for command in ["status", "stream"] {
        let listener = UnixListener::bind(data.join("daemon.sock")).unwrap();
        let mut command = program.command(&[command, "--data-dir", data.to_str().unwrap()]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let accepted = listener.accept().unwrap();
        drop(listener);
        drop(accepted);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0), "{told}");
        let none = format!("no daemon runs on {}: start one with `pause-monitor daemon`", data.display());
        assert_eq!(told, format!("pause-monitor: {none}\n"));
        std::fs::remove_file(data.join("daemon.sock")).unwrap();
    }
}

#[test]
fn what_stream_printed_tells_the_same_story_when_it_is_analyzed() {
    let program = Program::new();
    let path = program.home().join("stream.jsonl");
    let daemon = Daemon::start(program, "", &["--source", "simulate:freeze", "--speed", "10"]);
    daemon.until("the socket", || daemon.socket().exists().then_some(()));
    let file = File::create(&path).unwrap();
    let mut child = daemon.command("stream", &NONE).stdout(file).spawn().unwrap();
    let recorded = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let gaps =
        |lines: &[Value]| -> Vec<Value> { lines.iter().filter(|line| is(line, "gap")).cloned().collect() };
    daemon.until("two pauses in the recording", || (gaps(&recorded()).len() >= 2).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = gaps(&recorded());
    let run = daemon.run("analyze", &["--json", path.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = gaps(&lines);
    assert_eq!(found.len(), told.len());
    for (found, told) in found.iter().zip(&told) {
        assert_eq!(found["verdict"], told["verdict"]);
        let [found, told] = [found, told].map(|gap| gap["duration_ms"].as_f64().unwrap());
        assert!((found - told).abs() < 1.0, "{found} and {told}");
    }
}

/// Both ends of a new terminal: the user's and the program's.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two numbers to fill; name, settings and size may be left out.
    let result = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and are nobody else's.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}

/// What a daemon whose source can't start writes to a terminal.
fn on_a_terminal(program: &Program) -> String {
    let (mut ours, theirs) = terminal();
    let mut command = program.command(&["daemon", "--source", "replay:missing"]);
    let mut child = command.stderr(theirs).spawn().unwrap();
    drop(command);
    let mut text = Vec::new();
    // The last program's end is an error to the reader on Linux, and the end of the file elsewhere.
    let _ = ours.read_to_end(&mut text);
    let status = until("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(3));
    String::from_utf8(text).unwrap()
}

#[test]
fn a_log_on_a_terminal_has_colour_unless_it_is_not_wanted() {
    let coloured = on_a_terminal(&Program::new().env("TERM", "xterm-256color"));
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    let plain = on_a_terminal(&Program::new().env("TERM", "xterm-256color").env("NO_COLOR", "1"));
    assert!(plain.contains("stopping") && !plain.contains('\u{1b}'), "{plain:?}");
}
