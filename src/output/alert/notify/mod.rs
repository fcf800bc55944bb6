//! Desktop notifications: each from a helper process of its own, which is killed after 5 s. A notification service
//! that hangs holds up nothing.

mod helper;

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::AlertStats;
use super::policy::{Banner, Kind};
use crate::config::Owner;
use crate::sample::printable;

pub use helper::{HelperError, run as run_helper};

/// How long a helper may take. mac-notification-sys alone waits up to 2 s.
pub const LIMIT: Duration = Duration::from_secs(5);
/// Notifications that wait at once; what comes then is held back.
const QUEUE: usize = 8;
/// What is read of a helper's answer or complaint, bytes.
const ANSWER: u64 = 4096;
/// The hidden command that is the helper.
pub const COMMAND: &str = "notify-helper";

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it; which one, for a person. Whether the user sees it is the service's affair.
    Ok(String),
    /// It was refused, or there is nobody to show it; why.
    Failed(String),
    /// Nobody answered within [`LIMIT`].
    Timeout,
}

/// How many notifications of each kind came to which end. The alerts' thread writes, `/metrics` reads.
#[derive(Debug, Default)]
pub struct NotificationStats {
    counts: [[AtomicU64; 4]; Kind::ALL.len()],
}

impl NotificationStats {
    /// The outcomes' names, in the order in which they are counted.
    pub const OUTCOMES: [&'static str; 4] = ["ok", "failed", "timeout", "held_back"];

    /// One more of that kind was held back by the cooldown.
    pub fn held_back(&self, kind: Kind) {
        self.counts[kind as usize][3].fetch_add(1, Relaxed);
    }

    fn sent(&self, kind: Kind, outcome: &Outcome) {
        let index = match outcome {
            Outcome::Ok(_) => 0,
            Outcome::Failed(_) => 1,
            Outcome::Timeout => 2,
        };
        self.counts[kind as usize][index].fetch_add(1, Relaxed);
    }

    /// Every kind and outcome with its count.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &'static str, u64)> + '_ {
        Kind::ALL.into_iter().flat_map(move |kind| {
            let counts = &self.counts[kind as usize];
            Self::OUTCOMES.into_iter().zip(counts).map(move |(name, count)| (kind, name, count.load(Relaxed)))
        })
    }
}

/// Whose desktop it is, and how the helper is started.
#[derive(Clone, Debug)]
pub struct Desktop {
    program: PathBuf,
    /// The user whose desktop it is, where that is not the user who runs this.
    owner: Option<Owner>,
    /// A helper is being started; while the disk has that wait, another would only wait as well.
    starting: Arc<AtomicBool>,
}

/// A helper process; dropped before its end, it is killed with all that it started.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        // While it is not reaped the number is its own.
        if let Some(pid) = self.0.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
            // SAFETY: it takes numbers, and the group is that of our own child. The runtime reaps it.
            unsafe { libc::killpg(pid, libc::SIGKILL) };
        }
    }
}

impl Desktop {
    /// The desktop of the user who runs this; under sudo that of the invoking user.
    ///
    /// # Errors
    /// Where the system does not say which program this is.
    pub fn new(owner: Option<Owner>) -> io::Result<Self> {
        // The program that runs, whatever became of its file since.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self { program, owner, starting: Arc::default() })
    }

    /// Shows a banner, or says within [`LIMIT`] why not.
    pub async fn show(&self, banner: &Banner) -> Outcome {
        if self.starting.swap(true, Relaxed) {
            return Outcome::Timeout;
        }
        let (send, started) = oneshot::channel();
        let desktop = self.clone();
        // The disk may have it wait. Where nobody waits for it any more it is killed.
        tokio::task::spawn_blocking(move || {
            let helper = desktop.start().map(Helper);
            desktop.starting.store(false, Relaxed);
            drop(send.send(helper));
        });
        let shown = timeout(LIMIT, async {
            match started.await {
                Ok(Ok(mut helper)) => converse(&mut helper.0, banner).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        });
        match shown.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Failed(format!("the helper process: {error}")),
            Err(_) => Outcome::Timeout,
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .arg(COMMAND)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(owner) = &self.owner {
            let runtime = format!("/run/user/{}", owner.uid);
            command
                .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={runtime}/bus"))
                .env("XDG_RUNTIME_DIR", runtime);
        }
        // SAFETY: it is async-signal-safe.
        unsafe { command.pre_exec(crate::privileges::for_good) };
        command.spawn()
    }
}

/// Hands the banner over and waits for what comes of it.
async fn converse(child: &mut Child, banner: &Banner) -> io::Result<Outcome> {
    let json = serde_json::to_vec(banner)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // One that ends without reading says why on standard error.
            let _ = stdin.write_all(&json).await;
        }
    };
    let ((), answer, complaint) = tokio::join!(give, some(stdout), some(stderr));
    let status = child.wait().await?;
    if status.success() {
        return Ok(Outcome::Ok(answer));
    }
    let complaint = complaint.strip_prefix("pause-monitor: ").unwrap_or(&complaint);
    Ok(Outcome::Failed(if complaint.is_empty() {
        format!("the helper process ended with {status}")
    } else {
        complaint.to_owned()
    }))
}

/// What somebody says, as far as it matters: one printable line.
async fn some<R: tokio::io::AsyncRead + Unpin>(from: Option<R>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut said = Vec::new();
    // Libraries may be chatty: what is beyond the bound is read and forgotten.
    let _ = (&mut from).take(ANSWER).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    printable(&lines.join("; "))
}

/// Shows notifications one after the other.
#[derive(Debug)]
pub struct Notifier {
    queue: mpsc::Sender<(Kind, Banner)>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Starts on the present runtime.
    #[must_use]
    pub fn start(desktop: Desktop, stats: Arc<AlertStats>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self { queue, task: tokio::spawn(show_all(desktop, stats, waiting)) }
    }

    /// Whether there is no room for another.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.queue.capacity() == 0
    }

    /// Hands one over; there is room where [`Notifier::is_busy`] says so. Never waits.
    pub fn show(&self, kind: Kind, banner: Banner) {
        let _ = self.queue.try_send((kind, banner));
    }

    /// Waits for those that are under way, but not for longer than `limit`.
    pub async fn finish(self, limit: Duration) {
        drop(self.queue);
        let abort = self.task.abort_handle();
        if timeout(limit, self.task).await.is_err() {
            // Its child is killed as it is dropped.
            abort.abort();
            tracing::warn!("notifications that nobody has taken yet are given up");
        }
    }
}

async fn show_all(desktop: Desktop, stats: Arc<AlertStats>, mut waiting: mpsc::Receiver<(Kind, Banner)>) {
    let mut fails = false;
    while let Some((kind, banner)) = waiting.recv().await {
        let outcome = desktop.show(&banner).await;
        stats.notifications.sent(kind, &outcome);
        let why = match outcome {
            Outcome::Ok(service) => {
                tracing::debug!(kind = kind.as_str(), "notified by {service}");
                if std::mem::replace(&mut fails, false) {
                    tracing::info!("notifications are shown again");
                }
                continue;
            }
            Outcome::Failed(why) => why,
            Outcome::Timeout => {
                format!("the notification service did not answer within {} s", LIMIT.as_secs())
            }
        };
        // Told once: where there is no desktop every one fails.
        if std::mem::replace(&mut fails, true) {
            tracing::debug!(kind = kind.as_str(), "not notified: {why}");
        } else {
            tracing::warn!(
                kind = kind.as_str(),
                "not notified: {why}; `pause-monitor notify-test` shows whether it works, [alerts] turns it off"
            );
        }
    }
}
