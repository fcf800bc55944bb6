//! The powermetrics child: started, read, framed, decoded.
//!
//! What is decided here is how one sampler process is run; when it is started again, and what the engine is told
//! of it, is the daemon's.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::ExitStatus;

pub mod child;
pub mod decode;
pub mod frame;
pub mod restart;

use crate::sample::Reject;
use child::{Child, Told};
use decode::Document;
use frame::Framer;

/// Reads at once at most so many bytes: then the heartbeat is looked at before the next.
const READ_AT_MOST: usize = 4 << 20;

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
    framer: Framer,
}

impl Powermetrics {
    /// Starts the command on threads of its own; returns at once.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(command: &[String]) -> std::io::Result<Self> {
        Ok(Self { child: Child::start(command)?, output: None, room: 0, backlog: 0, framer: Framer::new() })
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

    /// Waits until there is something to read, or `timeout_ms` is over.
    pub fn wait(&self, timeout_ms: u64) {
        let Some(output) = &self.output else { return };
        let mut poll = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::c_int::try_from(timeout_ms).unwrap_or(libc::c_int::MAX);
        // SAFETY: `poll` is one valid pollfd. An interrupted wait is a short one.
        unsafe { libc::poll(&raw mut poll, 1, timeout) };
    }

    /// Reads what is there. Every whole document is decoded at once and given to `take`, with whether the output had
    /// been found full: the sampler may have waited for us until then.
    pub fn read(&mut self, mut take: impl FnMut(Result<Document, Reject>, bool)) {
        let own = self.child.own_pids();
        let mut left = READ_AT_MOST;
        while let Some(output) = &mut self.output {
            let count = match output.read(self.framer.space()) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.backlog = 0;
                    return;
                }
                // What can't be read has ended.
                Err(_) => 0,
            };
            if count == 0 {
                self.output = None;
                if let Some(reject) = self.framer.finish() {
                    take(Err(reject), false);
                }
                return;
            }
            self.framer.filled(count);
            self.backlog += count;
            // A writer waits where its next piece does not fit, which may be before the last byte is taken.
            let full = self.backlog >= self.room / 4 * 3;
            while let Some(document) = self.framer.next_document() {
                take(document.and_then(|document| decode::decode(document, &own)), full);
            }
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
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
                    "{sampler} needs root ({line}): permit it in /etc/sudoers.d/pause-monitor with exactly this command, {}",
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
