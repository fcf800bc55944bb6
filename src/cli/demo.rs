//! `demo`: a simulated freeze from beginning to end, on a private daemon.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use super::tui::can_show;
use super::{Exit, Failure, output};
use crate::client::Connection;
use crate::clock;
use crate::daemon::lock::{self, Lock};
use crate::event::EventId;
use crate::human;
use crate::output::alert::Banner;
use crate::output::store::Reader;
use crate::tui::look::Look;
use crate::tui::{self, Show, Tour};
use crate::wire::Message;

/// See what a pause looks like, in less than a minute
///
/// Starts a daemon of its own on a temporary directory, with a simulated machine that freezes, and shows it on the
/// dashboard: the stress builds up, the machine stands still for some seconds, and recovers. Then it shows what is
/// left of it: the notification, the event and its story. It needs no configuration, serves nothing over the network,
/// touches neither your data nor a daemon that runs, and leaves nothing behind. `q` ends it early; without a terminal
/// it tells the same in lines.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// The directories' names begin with this.
const PREFIX: &str = "pause-monitor-demo-";
/// How long the dashboard stays once it is over.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// How long the daemon has to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// A whole demonstration takes half a minute; on the busiest of machines not longer than this.
const LONGEST: Duration = Duration::from_secs(180);

const CONFIG: &str = "\
[http]
listen = []

[alerts]
critical_entered = false

[forensics]
enabled = false

[log]
level = \"debug\"
format = \"json\"
";

/// The private daemon, and its directory. Dropping it ends the one and removes the other.
struct Stage {
    daemon: Child,
    /// Held as long as this program runs: what is not locked is swept away by the next.
    _lock: Lock,
    directory: tempfile::TempDir,
}

/// What the watching thread has seen.
#[derive(Debug, Default)]
struct Seen {
    /// The pause's event; 0 before it.
    pause: AtomicU64,
}

/// Runs the demonstration.
///
/// # Errors
/// Where the private daemon or the terminal fails.
pub fn run(_: &Args) -> anyhow::Result<ExitCode> {
    sweep(&std::env::temp_dir());
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stopped)).context("signals can't be listened for")?;
    }
    let mut stage = Stage::set()?;
    let seen = Arc::new(Seen::default());
    let with_screen = can_show();
    let over = stage.watch(&seen, !with_screen)?;
    if with_screen {
        let look = Look::of_terminal(human::utf8(), |name| std::env::var_os(name));
        let (end, ends) = sync_channel(1);
        stage.end_the_tour(over, end, Arc::clone(&stopped))?;
        let greeting = "A simulated machine: stress builds up in 8 s, at 17 s it stands still. q ends this.";
        let show = Show::Live(stage.data_dir(), "pause-monitor demo".to_owned());
        tui::run(show, look, Some(Tour { greeting: greeting.to_owned(), ends }))
            .context("the terminal failed")?;
    } else {
        stage.wait(&over, &stopped)?;
    }
    if !stage.ends()? {
        return Err(anyhow!("the private daemon did not end well; its log:\n{}", stage.complaint()));
    }
    match seen.pause.load(Relaxed) {
        0 if stopped.load(Relaxed) || with_screen => {
            output::print(|out| writeln!(out, "The demonstration was ended before the freeze."))?;
        }
        0 => {
            return Err(anyhow!(
                "there was no freeze to show; the private daemon's log:\n{}",
                stage.complaint()
            ));
        }
        event => stage.tell(event)?,
    }
    Ok(Exit::Done.into())
}

impl Stage {
    /// Starts the private daemon.
    fn set() -> anyhow::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir();
        let directory = directory.context("no temporary directory")?;
        let lock = Lock::take(directory.path())?;
        fs::write(directory.path().join("config.toml"), CONFIG).context("the temporary directory")?;
        let log = File::create(directory.path().join("log")).context("the temporary directory")?;
        let mut command = pause_monitor(directory.path(), "daemon");
        command
            .args(["--source", "simulate:freeze", "--until-eof"])
            // It ends when this pipe does: whichever way this program ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for this program.
            .process_group(0);
        // Nothing that the user set for a daemon of theirs is meant for this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OTEL_"))
        {
            command.env_remove(name);
        }
        let daemon = command.spawn().context("the private daemon can't start")?;
        Ok(Self { daemon, _lock: lock, directory })
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Watches the daemon on a thread. What is returned says when it is over, or is gone where that fails.
    fn watch(&self, seen: &Arc<Seen>, tell: bool) -> anyhow::Result<Receiver<()>> {
        let (told, over) = sync_channel(1);
        let (directory, seen) = (self.data_dir(), Arc::clone(seen));
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            if follow(&directory, &seen, tell).is_some() {
                let _ = told.send(());
            }
        })?;
        Ok(over)
    }

    /// Ends the dashboard a moment after it is over, or at a signal.
    fn end_the_tour(
        &self,
        over: Receiver<()>,
        end: SyncSender<()>,
        stopped: Arc<AtomicBool>,
    ) -> io::Result<()> {
        thread::Builder::new().name("tour".to_owned()).spawn(move || {
            if wait_for(&over, &stopped).is_ok() {
                thread::sleep(AFTERWARDS);
            }
            let _ = end.send(());
        })?;
        Ok(())
    }

    /// Waits until it is over, without a screen.
    fn wait(&mut self, over: &Receiver<()>, stopped: &AtomicBool) -> anyhow::Result<()> {
        match wait_for(over, stopped) {
            Ok(()) | Err(Unfinished::Stopped) => Ok(()),
            Err(Unfinished::Late) => Err(anyhow!("no freeze in {} s", LONGEST.as_secs())),
            Err(Unfinished::Gone) => {
                Err(anyhow!("the private daemon failed; its log:\n{}", self.complaint()))
            }
        }
    }

    /// Has the daemon end. True where it ended well.
    fn ends(&mut self) -> anyhow::Result<bool> {
        drop(self.daemon.stdin.take());
        let deadline_ns = clock::awake_ns() + PATIENCE.as_nanos() as u64;
        while clock::awake_ns() < deadline_ns {
            if let Some(status) = self.daemon.try_wait().context("the private daemon")? {
                return Ok(status.success());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// What is left of the pause: banner, event and story.
    fn tell(&self, event: EventId) -> anyhow::Result<()> {
        let reader =
            Reader::open(&self.data_dir())?.ok_or_else(|| anyhow!("the private daemon stored nothing"))?;
        let row = reader.event(event)?.row;
        let banner = Banner::of_gap(&row, "simulate");
        let shown = self.shown();
        output::print(|out| {
            writeln!(out, "That was a simulated freeze. Of a real one this is what you would find.\n")?;
            writeln!(out, "A notification on your desktop ({shown}):\n")?;
            for line in std::iter::once(banner.title.as_str()).chain(banner.body.lines()) {
                writeln!(out, "  {line}")?;
            }
            out.flush()
        })?;
        self.show("The event:", &["events"])?;
        self.show("Its story:", &["events", "show", &event.to_string()])?;
        output::print(|out| {
            writeln!(
                out,
                "\nTo watch this machine from now on: pause-monitor install; just for now: pause-monitor daemon"
            )
        })
    }

    /// Runs a command on the private directory, and shows it as the user would type it.
    fn show(&self, heading: &str, words: &[&str]) -> anyhow::Result<()> {
        let line = words.join(" ");
        output::print(|out| {
            writeln!(out, "\n{heading}\n\n$ pause-monitor {line}")?;
            out.flush()
        })?;
        let status = pause_monitor(self.directory.path(), words[0]).args(&words[1..]).status();
        match status.with_context(|| format!("`{line}` can't start"))? {
            status if status.success() => Ok(()),
            // A closed pipe has ended it, and ends this quietly, too.
            _ => Err(Failure::new(Exit::Failed, format!("`{line}` failed")).into()),
        }
    }

    /// What became of the notification, by the daemon's log.
    fn shown(&self) -> String {
        let messages = self.log();
        let told = messages.iter().rev().find_map(|message| {
            let by = message.strip_prefix("notified by ").map(|service| format!("shown by {service}"));
            by.or_else(|| {
                let why = message.strip_prefix("not notified: ")?;
                Some(format!("not shown now: {}", why.split(';').next().unwrap_or(why)))
            })
        });
        told.unwrap_or_else(|| "what became of it is not known".to_owned())
    }

    /// The daemon's last words.
    fn complaint(&self) -> String {
        let messages = self.log();
        messages[messages.len().saturating_sub(5)..].join("\n")
    }

    fn log(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Line {
            message: String,
        }
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let message = |line: &str| match serde_json::from_str::<Line>(line) {
            Ok(line) => line.message,
            // A refusal to start is no log line.
            Err(_) => line.to_owned(),
        };
        log.lines().map(message).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.daemon.stdin.take());
        if !matches!(self.ends(), Ok(true)) {
            // It is not reaped, so the number is still its own.
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }
}

/// Why the end was not waited for.
#[derive(Debug)]
enum Unfinished {
    Stopped,
    Late,
    Gone,
}

/// Waits until it is over, a signal comes, or it takes too long.
fn wait_for(over: &Receiver<()>, stopped: &AtomicBool) -> Result<(), Unfinished> {
    let deadline_ns = clock::awake_ns() + LONGEST.as_nanos() as u64;
    loop {
        match over.recv_timeout(Duration::from_millis(100)) {
            Ok(()) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Unfinished::Gone),
            Err(RecvTimeoutError::Timeout) if stopped.load(Relaxed) => return Err(Unfinished::Stopped),
            Err(RecvTimeoutError::Timeout) if clock::awake_ns() >= deadline_ns => {
                return Err(Unfinished::Late);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Reads the daemon's lines until the machine is calm again after a pause. `None` where the daemon is gone.
fn follow(directory: &Path, seen: &Seen, tell: bool) -> Option<()> {
    let mut connection = connect(directory)?;
    let began_ns = clock::awake_ns();
    let mut line = Vec::new();
    while connection.line(&mut line).ok()? {
        connection.wait_for_ever().ok()?;
        let after = (clock::awake_ns() - began_ns) / 1_000_000_000;
        match serde_json::from_slice(&line) {
            Ok(Message::Tier(change)) => {
                if tell {
                    super::tell(&format!(
                        "{after} s: {} -> {}, stress {}",
                        change.from, change.to, change.stress
                    ));
                }
                if change.to == "sentinel" && seen.pause.load(Relaxed) > 0 {
                    return Some(());
                }
            }
            Ok(Message::Gap(gap)) if gap.verdict == "pause" => {
                if tell {
                    super::tell(&format!("{after} s: a pause of {}", human::duration(gap.duration_ms / 1e3)));
                }
                seen.pause.store(gap.event.unwrap_or_default(), Relaxed);
            }
            _ => {}
        }
    }
    None
}

fn connect(directory: &Path) -> Option<Connection> {
    let deadline_ns = clock::awake_ns() + PATIENCE.as_nanos() as u64;
    loop {
        match Connection::open(directory) {
            Ok(connection) => return Some(connection),
            Err(_) if clock::awake_ns() < deadline_ns => thread::sleep(Duration::from_millis(50)),
            Err(_) => return None,
        }
    }
}

/// This program, on the private directory.
fn pause_monitor(directory: &Path, name: &str) -> Command {
    // Where the system does not say which program this is, the one on the PATH is meant.
    let program = std::env::current_exe().unwrap_or_else(|_| "pause-monitor".into());
    let mut command = Command::new(program);
    command.arg(name);
    let (config, data) = (directory.join("config.toml"), directory.join("data"));
    let options: [&OsStr; 4] = ["--config".as_ref(), config.as_ref(), "--data-dir".as_ref(), data.as_ref()];
    command.args(options);
    command
}

/// Removes what a demonstration left that was killed: directories whose lock nobody holds.
fn sweep(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    // SAFETY: it takes nothing and always succeeds.
    let us = unsafe { libc::geteuid() };
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // What is not ours may be a trap: others can make anything in this directory, and links in it. One that is just
        // beginning has no lock yet.
        let directory = entry.path();
        let ours = |path: &Path| fs::symlink_metadata(path).ok().filter(|found| found.uid() == us);
        let is_abandoned = ours(&directory).is_some_and(|found| found.is_dir())
            && ours(&directory.join(lock::FILE_NAME)).is_some_and(|found| found.is_file())
            && Lock::take(&directory).is_ok();
        if is_abandoned {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
