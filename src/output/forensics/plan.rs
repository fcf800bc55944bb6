//! What is captured, by which program, and what its end means. Pure but for a look whether a tailspin is there.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::snapshot::{NOT_AVAILABLE, NOT_PERMITTED};
use super::{Name, Outcome};
use crate::sample::printable;

/// Where `tailspin` saves to: one fixed path in a directory of root's, so that sudo can be told to permit just that.
pub const TAILSPIN_FILE: &str = "/var/db/pause-monitor/pause.tailspin";

/// What `tailspin` is given before that path: the 20 s that the kernel keeps, symbols not looked up. sudo is told to permit
/// it word for word.
pub const TAILSPIN_SAVE: [&str; 4] = ["save", "-l", "20", "-n"];

/// What there is to do where sudo does not permit it.
const PERMIT: &str = "`pause-monitor install --forensics` permits it";

/// The same of what sudo is never told to permit.
const ROOT_ONLY: &str = "only a daemon that runs as root can take it";

/// The programs that are run, each by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// This program, whose hidden command `capture` reads /proc.
    pub ourselves: PathBuf,
    /// Put before what only root may do; `None` where we are root.
    pub sudo: Option<PathBuf>,
    /// macOS: saves what the kernel traced.
    pub tailspin: PathBuf,
    /// macOS: decodes that, and looks at every process.
    pub spindump: PathBuf,
    /// macOS: the system's log.
    pub log: PathBuf,
    /// Copies the saved tailspin.
    pub cat: PathBuf,
    /// Removes it where it was saved.
    pub rm: PathBuf,
    /// Linux: the system's log, where the kernel's own is not to be read.
    pub journalctl: PathBuf,
    /// Where `tailspin` saves to.
    pub tailspin_file: PathBuf,
}

impl Programs {
    /// The system's own, for root or another user.
    #[must_use]
    pub fn system(root: bool) -> Self {
        Self {
            // What runs, even if another version has taken its place on the disk.
            ourselves: "/proc/self/exe".into(),
            sudo: (!root).then(|| "/usr/bin/sudo".into()),
            tailspin: "/usr/bin/tailspin".into(),
            spindump: "/usr/sbin/spindump".into(),
            log: "/usr/bin/log".into(),
            cat: "/bin/cat".into(),
            rm: "/bin/rm".into(),
            journalctl: "/usr/bin/journalctl".into(),
            tailspin_file: TAILSPIN_FILE.into(),
        }
    }

    /// A command that only root may run.
    fn as_root(&self, program: &Path, arguments: &[&str]) -> Vec<OsString> {
        let sudo = self.sudo.iter().flat_map(|sudo| [sudo.clone().into_os_string(), "-n".into()]);
        sudo.chain([program.as_os_str().to_owned()]).chain(arguments.iter().map(OsString::from)).collect()
    }
}

fn argv(program: &Path, arguments: &[&str]) -> Vec<OsString> {
    [program.as_os_str().to_owned()].into_iter().chain(arguments.iter().map(OsString::from)).collect()
}

/// The moment at which a capture is to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    /// Where its file will be.
    pub(super) directory: &'a Path,
    /// How long ago the pause began, by the wall clock.
    pub(super) ago: Duration,
    /// When the pause began by the clock of the kernel's log, µs; a little off, as that clock has a rate of its own.
    pub(super) kernel_us: u64,
}

/// One way to make a capture: commands that must all succeed; what the last one writes is the capture.
pub(super) type Way = Vec<Vec<OsString>>;

/// How a capture is made.
#[derive(Debug)]
pub(super) struct Capture {
    /// The first way; the next where that is not permitted, or not available.
    pub(super) ways: Vec<Way>,
    /// Run when it is over.
    pub(super) afterwards: Option<Vec<OsString>>,
    /// All of it may take so long.
    pub(super) time: Duration,
    /// Its file is as large at most, bytes before they are packed.
    pub(super) bytes: u64,
    /// It is read at once and quickly; all else gives way to everything.
    pub(super) fleeting: bool,
    /// A part of it is of use.
    pub(super) in_parts: bool,
}

const MB: u64 = 1 << 20;

/// How long before the pause the logs begin.
const BEFORE: Duration = Duration::from_secs(60);

/// How that is captured. An error is an outcome: there is nothing to run.
pub(super) fn capture(name: Name, programs: &Programs, at: Moment<'_>) -> Result<Capture, (Outcome, String)> {
    let one = |command: Vec<OsString>, time: u64, bytes: u64| Capture {
        ways: vec![vec![command]],
        afterwards: None,
        time: Duration::from_secs(time),
        bytes,
        fleeting: false,
        in_parts: true,
    };
    let own = |arguments: &[&str]| {
        // It reads nothing of ours, and needs no home to look for that.
        let places = ["--config", "/dev/null", "--data-dir", "/"];
        let words: Vec<&str> =
            ["capture", name.as_str()].iter().chain(&places).chain(arguments).copied().collect();
        argv(&programs.ourselves, &words)
    };
    Ok(match name {
        Name::Ring => return Err((Outcome::NotAvailable, "it is not captured".to_owned())),
        Name::Blocked => {
            let daemon = std::process::id().to_string();
            Capture { fleeting: true, ..one(own(&["--daemon", &daemon]), 10, 4 * MB) }
        }
        Name::Pressure | Name::Meminfo | Name::Vmstat | Name::System => one(own(&[]), 5, 4 * MB),
        Name::Processes => one(own(&[]), 10, 4 * MB),
        Name::KernelLog => {
            let since = at.kernel_us.saturating_sub(BEFORE.as_micros() as u64).to_string();
            let ago = format!("-{}s", (at.ago + BEFORE).as_secs() + 1);
            let journal = ["--dmesg", "--no-pager", "--quiet", "--output=short-monotonic", "--since", &ago];
            Capture {
                ways: vec![vec![own(&["--since-us", &since])], vec![argv(&programs.journalctl, &journal)]],
                ..one(Vec::new(), 10, 4 * MB)
            }
        }
        Name::Tailspin => {
            let file = programs.tailspin_file.to_string_lossy();
            Capture {
                ways: vec![vec![
                    programs.as_root(&programs.tailspin, &[&TAILSPIN_SAVE[..], &[&file]].concat()),
                    programs.as_root(&programs.cat, &[&file]),
                ]],
                // It is large, and holds what others did.
                afterwards: Some(programs.as_root(&programs.rm, &["-f", &file])),
                in_parts: false,
                ..one(Vec::new(), 60, 256 * MB)
            }
        }
        Name::Stacks => {
            let file = at.directory.join(Name::Tailspin.file());
            if !file.is_file() {
                return Err((Outcome::NotAvailable, "there is no tailspin to decode".to_owned()));
            }
            one(argv(&programs.spindump, &["-i", &file.to_string_lossy(), "-stdout"]), 180, 64 * MB)
        }
        Name::Log => {
            // Not the last minute: saving the tailspin may have taken one.
            let last = format!("{}s", (at.ago + BEFORE).as_secs() + 1);
            let predicate = "process == \"kernel\" OR process == \"WindowServer\" OR process == \"watchdogd\" \
                             OR messageType == error OR messageType == fault";
            let arguments = ["show", "--last", &last, "--style", "compact", "--predicate", predicate];
            one(argv(&programs.log, &arguments), 60, 32 * MB)
        }
        Name::Spindump => {
            // A report of 1 s, to standard output.
            let arguments = ["-notarget", "1", "10", "-noFile", "-stdout"];
            one(programs.as_root(&programs.spindump, &arguments), 90, 64 * MB)
        }
    })
}

/// What the end of a command means: `None` where it did well.
pub(super) fn judge(command: &[OsString], status: ExitStatus, said: &str) -> Option<(Outcome, String)> {
    if status.success() {
        return None;
    }
    let program = command
        .iter()
        .map(|word| word.to_string_lossy())
        .find(|word| !word.ends_with("/sudo") && word != "-n");
    let program = program.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let last = last_line(said);
    let says = |words: &[&str]| {
        let said = said.to_ascii_lowercase();
        words.iter().any(|word| said.contains(word))
    };
    let told = |fallback: &str| if last.is_empty() { fallback.to_owned() } else { last.clone() };
    Some(match status.code() {
        Some(NOT_PERMITTED) => (Outcome::NotPermitted, told("not permitted")),
        Some(NOT_AVAILABLE) => (Outcome::NotAvailable, told("not available")),
        _ if says(&[
            "password is required",
            "is not allowed to",
            "may not run sudo",
            "not in the sudoers",
        ]) =>
        {
            (
                Outcome::NotPermitted,
                format!(
                    "sudo does not permit {program}: {}",
                    if program == "spindump" { ROOT_ONLY } else { PERMIT }
                ),
            )
        }
        _ if says(&["not enabled", "is disabled", "tailspin enable"]) => {
            (Outcome::NotAvailable, format!("tracing is off, `sudo tailspin enable` turns it on: {last}"))
        }
        _ if says(&[
            "superuser",
            "must be root",
            "not permitted",
            "permission denied",
            "insufficient permissions",
        ]) =>
        {
            (Outcome::NotPermitted, format!("{program}: {last}"))
        }
        Some(code) => (Outcome::Failed, format!("{program}: {}", told(&format!("exit code {code}")))),
        None => {
            let signal = status.signal().unwrap_or_default();
            (Outcome::Failed, format!("{program} was ended by signal {signal}"))
        }
    })
}

/// The last line with something in it, for a person; 200 characters of it.
pub(super) fn last_line(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    printable(&line.chars().take(200).collect::<String>())
}
