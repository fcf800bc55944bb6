//! The other programs: where they are, and how they are run. All of them are run from here.
//!
//! The paths are the systems' own and can't be changed from outside: whoever could name another `sudo` would get the
//! user's password, another `visudo` could pass what it should refuse. A test puts its stand-ins where the real ones
//! would be, on a file system of its own.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a command as root.
pub const SUDO: &str = "/usr/bin/sudo";
/// Checks sudo's rules.
pub const VISUDO: &str = "/usr/sbin/visudo";
/// The shell that runs root's part.
pub const SHELL: &str = "/bin/sh";
/// launchd's control.
pub const LAUNCHCTL: &str = "/bin/launchctl";
/// systemd's control.
pub const SYSTEMCTL: &str = "/usr/bin/systemctl";
pub use crate::source::powermetrics::command::POWERMETRICS;
/// Saves what the kernel traced.
pub const TAILSPIN: &str = "/usr/bin/tailspin";

/// How long a command that should answer at once may take.
pub const AT_ONCE: Duration = Duration::from_secs(5);
/// How long a service may take to stop or start.
pub const SERVICE: Duration = Duration::from_secs(60);
/// The most that is kept of what a command writes, bytes of each stream; the rest is read and dropped.
const KEPT: u64 = 256 << 10;
/// How often a command's end is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// After its end, what it wrote is waited for so long: a child of its own may hold the pipe open.
const REST: Duration = Duration::from_secs(3);

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Whether it was done.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The last line of what it complained about, for a message; one line, without control characters.
    #[must_use]
    pub fn complaint(&self) -> String {
        let line = |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
        let said =
            line(&self.err).or_else(|| line(&self.out)).unwrap_or_else(|| "it said nothing".to_owned());
        crate::sample::printable(&said)
    }
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("{0} can't be run: {1}")]
    NotStarted(String, #[source] io::Error),
    /// It took too long, and was killed.
    #[error("{} did not answer within {} s", .0, .1.as_secs())]
    TimedOut(String, Duration),
}

impl RunError {
    /// The program is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NotStarted(_, error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Runs a command to its end, with nothing on standard input, and keeps what it says. It is killed at the limit.
///
/// # Errors
/// [`RunError`]: it could not be started, or took too long.
pub fn run(command: &[&str], limit: Duration) -> Result<Answer, RunError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(RunError::NotStarted(String::new(), io::ErrorKind::NotFound.into()));
    };
    let not_started = |error| RunError::NotStarted((*program).to_owned(), error);
    let mut child = Command::new(program)
        .args(arguments)
        // Their words are read: they should be the ones that are known.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_started)?;
    let (out, err) = (child.stdout.take().map(drain), child.stderr.take().map(drain));
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(None) => {
                end(&mut child);
                return Err(RunError::TimedOut((*program).to_owned(), limit));
            }
            Err(error) => return Err(not_started(error)),
        }
    };
    let text = |stream: Option<Receiver<String>>| {
        stream.and_then(|stream| stream.recv_timeout(REST).ok()).unwrap_or_default()
    };
    Ok(Answer { code: status.code(), out: text(out), err: text(err) })
}

/// Runs a command that may ask the user something: it has our standard streams, and all the time it wants.
///
/// # Errors
/// [`RunError::NotStarted`].
pub fn ask(command: &[&str]) -> Result<Option<i32>, RunError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(RunError::NotStarted(String::new(), io::ErrorKind::NotFound.into()));
    };
    let status = Command::new(program).args(arguments).status();
    status.map(|status| status.code()).map_err(|error| RunError::NotStarted((*program).to_owned(), error))
}

fn end(child: &mut Child) {
    // One that runs as root can't be killed; it is left behind, and ends when its output is closed.
    if child.kill().is_ok() {
        let deadline = Instant::now() + REST;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
    }
}

/// Reads a stream to its end on a thread of its own; the first of it is kept.
fn drain(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = sync_channel(1);
    thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = (&mut stream).take(KEPT).read_to_end(&mut kept);
        let _ = io::copy(&mut stream, &mut io::sink());
        let _ = send.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receive
}

/// A command as a shell takes it.
#[must_use]
pub fn shown(command: &[&str]) -> String {
    let word = |word: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_answers_with_its_code_and_its_words() {
        let answer = run(&[SHELL, "-c", "echo out; echo err >&2; exit 3"], Duration::from_secs(60)).unwrap();
        assert_eq!(answer, Answer { code: Some(3), out: "out\n".into(), err: "err\n".into() });
        assert_eq!(answer.complaint(), "err");
    }

    #[test]
    fn a_command_that_hangs_is_killed_and_one_that_is_not_there_is_told() {
        let error = run(&[SHELL, "-c", "sleep 600"], Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, RunError::TimedOut(..)), "{error}");
        let error = run(&["/no/such/program"], AT_ONCE).unwrap_err();
        assert!(error.is_missing(), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_pasted_into_a_shell() {
        assert_eq!(shown(&["/bin/a", "b c", "it's", "", "x,y"]), r"/bin/a 'b c' 'it'\''s' '' x,y");
    }
}
