//! The powermetrics child: started, read, framed, decoded.
//!
//! What is decided here is how one sampler process is run; when it is started again, and what the engine is told
//! of it, is the daemon's.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::ExitStatus;

pub mod child;
pub mod command;
pub mod decode;
pub mod frame;
pub mod pace;
pub mod restart;

use crate::clock;
use crate::sample::Reject;
use child::{Child, Told};
use decode::Document;
use frame::Framer;
use pace::DOCUMENTS;

/// Reads at once at most so many bytes: then the heartbeat is looked at before the next.
const READ_AT_MOST: usize = 4 << 20;
/// How long the rest of a document is let come before it is looked for, ns. What it may grow by meanwhile is far less than
/// what fits between the two processes.
const REST_NS: u64 = 2_000_000;

/// What became of a sampler.
#[derive(Debug)]
pub enum News {
    /// It runs and may be read.
    Started,
    /// It could not be started.
    NotStarted(std::io::Error),
    /// It ended. Its last lines of standard error.
    Ended(ExitStatus, Vec<String>),
}

/// One sampler process and the stream it writes.
#[derive(Debug)]
pub struct Powermetrics {
    child: Child,
    output: Option<std::fs::File>,
    /// Bytes that its output holds before it has to wait for us.
    room: usize,
    /// Bytes read since its output was last found empty.
    backlog: usize,
    /// What was read last had filled it.
    full: bool,
    framer: Framer,
}

impl Powermetrics {
    /// Starts the command on threads of its own; returns at once.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(command: &[String]) -> std::io::Result<Self> {
        Ok(Self {
            child: Child::start(command)?,
            output: None,
            room: 0,
            backlog: 0,
            full: false,
            framer: Framer::new(),
        })
    }

    /// What has become of the process since the last call.
    pub fn news(&mut self) -> Option<News> {
        Some(match self.child.next()? {
            Told::Started(output, room) => {
                self.room = room;
                self.output = Some(std::fs::File::from(output));
                News::Started
            }
            Told::NotStarted(error) => News::NotStarted(error),
            Told::Ended(status, lines) => News::Ended(status, lines),
        })
    }

    /// Whether its output is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.output.is_some()
    }

    /// Waits until there is something to read, or `timeout_ms` is over. The rest of a document that has begun is given a
    /// moment to come: a sampler may write it in fifty pieces, and each would wake us.
    pub fn wait(&self, timeout_ms: u64) {
        let Some(output) = &self.output else { return };
        if !self.framer.is_empty() {
            clock::sleep_until(clock::awake_ns() + REST_NS.min(timeout_ms.saturating_mul(1_000_000)));
        }
        let mut poll = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::c_int::try_from(timeout_ms).unwrap_or(libc::c_int::MAX);
        // SAFETY: `poll` is one valid pollfd. An interrupted wait is a short one.
        unsafe { libc::poll(&raw mut poll, 1, timeout) };
    }

    /// Reads what is there, as many documents as a window has at most; every whole one is decoded at once and given to
    /// `take`, with whether the output had been found full (the sampler may have waited for us until then), and so is why
    /// one was lost. How many bytes it read.
    pub fn read(&mut self, mut take: impl FnMut(Result<Document, Reject>, bool)) -> usize {
        let own = self.child.own_pids();
        let (mut taken, mut left) = (0, DOCUMENTS);
        // Less than there was room for is all there was; what comes from then on ends the next wait.
        let mut all = false;
        loop {
            while left > 0
                && let Some(document) = self.framer.next_document()
            {
                take(document.and_then(|document| decode::decode(document, &own)), self.full);
                left -= 1;
            }
            // Of a document that is not whole the rest, or the end, may be there already.
            if left == 0 || taken >= READ_AT_MOST || (all && self.framer.is_empty()) {
                return taken;
            }
            let Some(output) = &mut self.output else { return taken };
            let space = self.framer.space();
            let space_left = space.len();
            let count = match output.read(space) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.backlog = 0;
                    return taken;
                }
                // What can't be read has ended.
                Err(_) => 0,
            };
            if count == 0 {
                self.output = None;
                if let Some(reject) = self.framer.finish() {
                    take(Err(reject), false);
                }
                return taken;
            }
            self.framer.filled(count);
            taken += count;
            self.backlog += count;
            // A writer waits where its next piece does not fit, which may be before the last byte is taken.
            self.full = self.backlog >= self.room / 4 * 3;
            all = count < space_left;
            if all {
                self.backlog = 0;
            }
        }
    }

    /// The memory that it and its children hold, bytes, as far as that may be known.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.child.resident_bytes()
    }

    /// Closes its output, which ends it with SIGPIPE at its next write.
    pub fn close(&mut self) {
        self.output = None;
    }

    /// Signals it and what it started, where that is permitted. True where it has ended or been signalled.
    pub fn signal(&self, signal: libc::c_int) -> bool {
        self.child.signal(signal)
    }
}

/// Why a sampler could not be started, or ended before its first sample: one line that says what to do.
#[must_use]
pub fn explain(command: &[String], news: &News) -> String {
    let program = command.first().map_or("", String::as_str);
    let sampler = command.iter().find(|word| word.ends_with("powermetrics")).map_or(program, String::as_str);
    match news {
        News::Started => format!("{sampler} runs"),
        News::NotStarted(error) => match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "{program} is not there: powermetrics comes with macOS; elsewhere use --source linux, or set [powermetrics] command"
            ),
            std::io::ErrorKind::PermissionDenied => {
                format!(
                    "{program} may not be run: give it the right to be executed, or set [powermetrics] command"
                )
            }
            _ => format!("{program} can't be started: {error}"),
        },
        News::Ended(status, lines) => {
            let said = |words: &[&str]| {
                lines.iter().find(|line| {
                    let line = line.to_lowercase();
                    words.iter().any(|word| line.contains(word))
                })
            };
            if let Some(line) = said(&[
                "superuser",
                "password is required",
                "not allowed to",
                "sudoers",
                "a terminal is required",
            ]) {
                format!(
                    "{sampler} needs root ({line}): `pause-monitor install` permits it, or a line in /etc/sudoers.d with exactly this command, {}",
                    sudoers_command(command)
                )
            } else if let Some(line) = said(&["command not found"]) {
                format!(
                    "{sampler} is not there ({line}): powermetrics comes with macOS; elsewhere use --source linux"
                )
            } else if let Some(line) = said(&["sampler"]) {
                format!(
                    "{sampler} refuses its samplers ({line}): set [powermetrics] command to ones that this Mac has"
                )
            } else {
                let last = lines.last().map_or("it said nothing", String::as_str);
                format!("{sampler} ended before its first sample with {status}: {last}")
            }
        }
    }
}

/// The command as a sudoers line names it: without sudo, commas escaped.
fn sudoers_command(command: &[String]) -> String {
    let words = command.iter().skip_while(|word| word.ends_with("/sudo") || word.as_str() == "-n");
    words.map(|word| word.replace(',', "\\,")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn default_command() -> Vec<String> {
        ["/usr/bin/sudo", "-n", "/usr/bin/powermetrics", "--samplers", "cpu_power,disk", "-i", "100"]
            .map(str::to_owned)
            .to_vec()
    }

    fn ended(line: &str) -> String {
        explain(&default_command(), &News::Ended(ExitStatus::from_raw(256), vec![line.to_owned()]))
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let permit = r"/usr/bin/powermetrics --samplers cpu_power\,disk -i 100";
        let text = ended("powermetrics must be invoked as the superuser");
        assert!(text.contains(permit) && text.contains("sudoers.d"), "{text}");
        assert!(ended("sudo: a password is required").contains(permit));
        assert!(ended("unrecognized sampler: nonsense").contains("[powermetrics] command"));
        assert!(ended("sudo: /usr/bin/powermetrics: command not found").contains("--source linux"));
        assert!(ended("Segmentation fault").contains("Segmentation fault"));
        let missing = News::NotStarted(std::io::ErrorKind::NotFound.into());
        assert!(explain(&default_command(), &missing).contains("/usr/bin/sudo is not there"));
    }
}
