//! A daemon of its own: the built program on a temporary directory, its log in a file, ended with the fixture.
//!
//! It stands on `program.rs`, which the test file declares as `program`.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Program, Run};

/// How long a condition is waited for: far longer than it takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Stands in the log where the daemon was started once more.
const RESTARTED: &str = "=== started once more ===";
/// How long a shutdown may take at most. The contract's five seconds are held by the sum of the daemon's limits; what the
/// machine does besides comes on top. What hangs in these tests does so for minutes.
pub(crate) const ENDS: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until there is something; what does not come is a failure that names it.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in {PATIENCE:?} there was not: {what}");
        thread::sleep(LOOK);
    }
}

/// Signals one process, or with a negative number one process group. False where there is none.
pub(crate) fn signal(pid: i32, signal: i32) -> bool {
    assert!(pid.abs() > 1, "{pid} is no process of ours");
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// A running daemon.
pub(crate) struct Daemon {
    program: Program,
    child: Child,
    status: Option<ExitStatus>,
}

impl Daemon {
    /// Starts `daemon` with these arguments on the program's home directory. `config` is the configuration file's
    /// text.
    pub(crate) fn start(program: Program, config: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::start_with(program, config, arguments, Stdio::null())
    }

    /// The same with a standard input.
    pub(crate) fn start_with(
        program: Program,
        config: &str,
        arguments: &[impl AsRef<OsStr>],
        stdin: Stdio,
    ) -> Self {
        std::fs::write(config_file(&program), config).unwrap();
        let child = spawn(&program, arguments, stdin);
        Self { program, child, status: None }
    }

    /// Starts it once more on the same directories, killed first where it still runs (kill −9); the log goes on.
    pub(crate) fn restart(&mut self, arguments: &[impl AsRef<OsStr>]) {
        self.kill();
        let mut log = File::options().append(true).open(self.program.home().join("log")).unwrap();
        writeln!(log, "{RESTARTED}").unwrap();
        let mut command = self.command("daemon", arguments);
        self.child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.status = None;
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(&self.program)
    }

    /// Its socket's path.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data_dir().join("daemon.sock")
    }

    /// Writes another configuration file; the daemon takes it at SIGHUP.
    pub(crate) fn write_config(&self, config: &str) {
        std::fs::write(config_file(&self.program), config).unwrap();
    }

    /// What it has logged so far, and what it said at its end.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.program.home().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What it has logged since it was last started.
    pub(crate) fn last_log(&self) -> String {
        let log = self.log();
        log.rsplit(RESTARTED).next().unwrap_or_default().to_owned()
    }

    /// Waits until something stands in the log.
    pub(crate) fn wait_for_log(&self, words: &str) {
        self.until(&format!("{words:?} in the log"), || self.log().contains(words).then_some(()));
    }

    /// Waits as [`until`]; a failure shows the log.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        until(what, || {
            let found = look();
            let late = found.is_none() && Instant::now() + 2 * LOOK > deadline;
            assert!(!late, "in {PATIENCE:?} there was not: {what}\nthe log:\n{}", self.log());
            found
        })
    }

    /// Signals it.
    pub(crate) fn signal(&self, number: i32) {
        assert!(self.status.is_none() && signal(self.pid(), number), "the daemon has ended:\n{}", self.log());
    }

    /// Another command on the same directories, to its end.
    pub(crate) fn run(&self, name: &str, arguments: &[impl AsRef<OsStr>]) -> Run {
        self.program.run(&line(&self.program, name, arguments))
    }

    /// Another command on the same directories, as it is to be started.
    pub(crate) fn command(&self, name: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        self.program.command(&line(&self.program, name, arguments))
    }

    /// `events --json`, newest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let run = self.run("events", &["--json"]);
        assert_eq!(run.code, 0, "{}\nthe log:\n{}", run.stderr, self.log());
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Waits for an event that is so.
    pub(crate) fn wait_for_event(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until(what, || self.events().into_iter().find(|event| is_so(event)))
    }

    /// Connects `stream` once the socket is there.
    pub(crate) fn stream(&self) -> Stream {
        self.until("the socket", || self.socket().exists().then_some(()));
        let none: [&str; 0] = [];
        let mut command = self.command("stream", &none);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        Stream { child, lines }
    }

    /// Waits for its end: its exit code, or 128 + the signal that killed it.
    pub(crate) fn wait(&mut self) -> i32 {
        let status = match self.status {
            Some(status) => status,
            None => until("the daemon's end", || self.child.try_wait().unwrap()),
        };
        self.status = Some(status);
        status.code().or(status.signal().map(|signal| 128 + signal)).unwrap()
    }

    /// Stops it with a signal: it ends in time, and well.
    pub(crate) fn stop(&mut self, number: i32) {
        let begun = Instant::now();
        self.signal(number);
        assert_eq!(self.wait(), 0, "{}", self.log());
        let took = begun.elapsed();
        assert!(took < ENDS, "{took:?}\n{}", self.log());
    }

    /// Kills it, where it still runs, and waits for that.
    pub(crate) fn kill(&mut self) {
        if self.status.is_none() {
            // It is not reaped, so the number is still its own.
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines of the daemon's socket as `stream` prints them, read on a thread of its own.
pub(crate) struct Stream {
    child: Child,
    lines: Receiver<Value>,
}

impl Stream {
    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the stream printed nothing for {PATIENCE:?}"),
        }
    }

    /// Reads on to the next line that is so.
    pub(crate) fn find(&mut self, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = self.next() {
            if is_so(&line) {
                return line;
            }
            assert!(Instant::now() < deadline, "in {PATIENCE:?} the stream did not print: {what}");
        }
        panic!("the stream ended without: {what}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line of the stream is of a type.
pub(crate) fn is(line: &Value, kind: &str) -> bool {
    line["type"] == kind
}

fn spawn(program: &Program, arguments: &[impl AsRef<OsStr>], stdin: Stdio) -> Child {
    let log = File::create(program.home().join("log")).unwrap();
    let mut command = program.command(&line(program, "daemon", arguments));
    command.stdin(stdin).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn config_file(program: &Program) -> PathBuf {
    program.home().join("config.toml")
}

fn data_dir(program: &Program) -> PathBuf {
    program.home().join("data")
}

/// A command on the program's directories, as arguments.
fn line(program: &Program, name: &str, arguments: &[impl AsRef<OsStr>]) -> Vec<OsString> {
    let directories =
        ["--config".into(), config_file(program).into(), "--data-dir".into(), data_dir(program).into()];
    let arguments = arguments.iter().map(|argument| argument.as_ref().to_owned());
    [name.into()].into_iter().chain(directories).chain(arguments).collect()
}

#[test]
fn a_daemon_of_our_own_starts_speaks_and_ends() {
    let program = Program::new().env("NO_COLOR", "1");
    let mut daemon = Daemon::start(program, "", &["--source", "simulate:thrash", "--speed", "20"]);
    let mut stream = daemon.stream();
    assert!(is(&stream.next().unwrap(), "hello"));
    stream.find("a sample", |line| is(line, "sample"));
    daemon.wait_for_event("an episode", |event| event["kind"] == "episode");
    daemon.write_config("[tiers]\nelevated = 20\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    let none: [&str; 0] = [];
    assert_eq!(daemon.run("status", &none).code, 0);
    daemon.stop(libc::SIGTERM);
    while let Some(line) = stream.next() {
        assert!(line["type"].is_string(), "{line}");
    }
    daemon.restart(&["--source", "simulate:calm"]);
    daemon.wait_for_log("stopped");
    daemon.until("its second start in the log", || daemon.last_log().contains("watching").then_some(()));
    assert!(is(&daemon.stream().next().unwrap(), "hello"));
}
