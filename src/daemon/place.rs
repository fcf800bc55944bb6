//! The daemon's place in the data directory: its lock and its socket. Looked at while it runs, since somebody may delete
//! the directory or put another in its stead; taken again then, unless another daemon has come; removed at the end.
//!
//! Each look waits for the disk, on a thread of tokio's: a disk that hangs holds up nobody, and has one look at most.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::DaemonError;
use super::hub::Hub;
use super::lock::{Lock, LockError};
use crate::config::{self, Paths};
use crate::output::socket::{SocketError, SocketFile};
use crate::output::store::Claim;

/// How often it is looked at. The store has it looked at as soon as it finds its file gone.
const LOOK: Duration = Duration::from_secs(10);
/// How long the disk may take for it.
const DISK: Duration = Duration::from_millis(500);
/// How long it may take to remove both at the end: what the stages of the shutdown left of the first, at least the second.
const LEAVING: (Duration, Duration) = (Duration::from_millis(3_700), Duration::from_millis(200));

/// The lock and the socket.
pub(super) struct Place {
    paths: Paths,
    lock: Arc<Lock>,
    socket: Option<SocketFile>,
    /// Rung by the store.
    missed: Arc<Notify>,
    looking: Option<JoinHandle<bool>>,
    taking: Option<JoinHandle<Result<Taken, TakeError>>>,
    /// That it can't be taken again was said.
    told: bool,
    /// Since when the daemon stops.
    stopping: Option<Instant>,
}

/// What was made anew; the socket only where it was gone.
type Taken = Option<(SocketFile, UnixListener)>;

/// Why the place can't be taken again.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Directory(#[from] std::io::Error),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl Place {
    /// Takes the data directory, which exists.
    pub(super) fn take(paths: &Paths) -> Result<Self, LockError> {
        let lock = Arc::new(Lock::take(&paths.data_dir)?);
        Ok(Self {
            paths: paths.clone(),
            lock,
            socket: None,
            missed: Arc::default(),
            looking: None,
            taking: None,
            told: false,
            stopping: None,
        })
    }

    /// The socket that is in it from here on.
    pub(super) fn has(&mut self, socket: &SocketFile) {
        self.socket = Some(socket.clone());
    }

    /// What the store asks before it opens a file: in a directory that is not ours it would close another's episodes.
    pub(super) fn claim(&self) -> Claim {
        let (lock, missed) = (Arc::clone(&self.lock), Arc::clone(&self.missed));
        Claim::new(move || {
            let ours = lock.is_ours();
            if !ours {
                missed.notify_one();
            }
            ours
        })
    }

    /// Waits until lock or socket are found to be gone. Cancelled it loses nothing.
    pub(super) async fn lost(&mut self) {
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.missed.notified() => {}
            }
            let (lock, socket) = (Arc::clone(&self.lock), self.socket.clone());
            let whole = move || lock.is_ours() && socket.is_none_or(|socket| socket.is_there());
            if once(&mut self.looking, whole).await == Some(false) {
                return;
            }
        }
    }

    /// Takes it again. What can't be done now is tried again at the next look.
    ///
    /// # Errors
    /// Where another daemon has taken it.
    pub(super) async fn take_again(&mut self, hub: &mut Hub) -> Result<(), DaemonError> {
        let (paths, lock, socket) = (self.paths.clone(), Arc::clone(&self.lock), self.socket.clone());
        let taken = once(&mut self.taking, move || take_again(&paths, &lock, socket.as_ref())).await;
        let error = match taken {
            None => "the disk does not answer".to_owned(),
            Some(Ok(made)) => {
                let moved = match made {
                    Some((file, listener)) => {
                        self.socket = Some(file.clone());
                        hub.socket.move_to(file, listener)
                    }
                    None => Ok(()),
                };
                match moved {
                    Ok(()) => {
                        self.told = false;
                        tracing::warn!(
                            "the data directory was deleted or replaced under way: lock and socket were made anew"
                        );
                        return Ok(());
                    }
                    Err(error) => error.to_string(),
                }
            }
            Some(Err(TakeError::Lock(taken @ LockError::Taken(..)))) => return Err(taken.into()),
            Some(Err(error)) => error.to_string(),
        };
        if !std::mem::replace(&mut self.told, true) {
            tracing::error!(
                "the data directory was deleted or replaced, and can't be made anew: {error}; it is tried again"
            );
        }
        Ok(())
    }

    /// The daemon stops: from here on the time counts.
    pub(super) fn stopping(&mut self) {
        self.stopping = Some(Instant::now());
    }

    /// Removes both, where they are ours.
    pub(super) async fn leave(self) {
        let Self { lock, socket, stopping, .. } = self;
        let left = LEAVING.0.saturating_sub(stopping.map_or(Duration::ZERO, |began| began.elapsed()));
        let removed = spawn_blocking(move || {
            if let Some(socket) = socket {
                socket.remove();
            }
            lock.remove();
        });
        if timeout(left.max(LEAVING.1), removed).await.is_err() {
            tracing::warn!(
                "the disk does not answer: lock and socket stay, and are no obstacle to the next start"
            );
        }
    }
}

/// Waits a moment for what is under way on the disk, or for `start`, where nothing is; `None` where it takes longer.
async fn once<T: Send + 'static>(
    under_way: &mut Option<JoinHandle<T>>,
    start: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let done = timeout(DISK, under_way.get_or_insert_with(|| spawn_blocking(start))).await.ok()?;
    *under_way = None;
    done.ok()
}

fn take_again(paths: &Paths, lock: &Lock, socket: Option<&SocketFile>) -> Result<Taken, TakeError> {
    let directory = &paths.data_dir;
    config::create_dir(directory)?;
    if !lock.is_ours() {
        lock.take_again()?;
    }
    if socket.is_some_and(SocketFile::is_there) {
        return Ok(None);
    }
    Ok(Some(SocketFile::make(directory)?))
}
