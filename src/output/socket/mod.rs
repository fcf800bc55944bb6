//! The Unix socket: one way, newline-delimited JSON, to any number of clients up to a bound. None of them holds
//! anything up: each has a queue of its own, and every line is encoded once and shared.

mod clients;
mod queue;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use super::complaint::Complaint;

pub use clients::{Clients, MAX_CLIENTS, SocketStats};
pub use queue::{MAX_EVENTS, MAX_SAMPLES};

/// The socket's file in the data directory.
pub const FILE_NAME: &str = "daemon.sock";
/// How long no client is accepted after one could not be.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Bytes of a socket's path that the system has room for, its NUL included.
const PATH_MAX: usize = if cfg!(target_os = "macos") { 104 } else { 108 };

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is longer than the system allows.
    #[error(
        "{} is {} bytes long, and a socket's path may have {} at most here: use a shorter --data-dir",
        .0.display(), .0.as_os_str().len(), PATH_MAX - 1
    )]
    TooLong(PathBuf),
    /// It can't be made.
    #[error("can't make the socket {}: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

/// The socket's path in a data directory.
///
/// # Errors
/// [`SocketError::TooLong`].
pub fn path_in(directory: &Path) -> Result<PathBuf, SocketError> {
    let path = directory.join(FILE_NAME);
    if path.as_os_str().len() >= PATH_MAX { Err(SocketError::TooLong(path)) } else { Ok(path) }
}

/// The listening socket. Its file stays when it is dropped, as a disk that hangs would hold up whoever drops it:
/// [`SocketFile::remove`].
#[derive(Debug)]
pub struct Socket {
    file: SocketFile,
    listener: UnixListener,
    /// The user who may connect, besides root.
    owner: u32,
    clients: Clients,
    /// No client is accepted before: accepting has failed, most likely for want of descriptors, and that does not
    /// pass in an instant.
    not_before: Cell<Option<Instant>>,
    refused: Complaint,
    failed: Complaint,
}

/// A socket's file: its path, and which file under that name it is, by device and inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Makes a socket in the data directory, in place of a stale one: the caller holds the directory's lock, so no
    /// daemon listens there. Waits for the disk.
    ///
    /// # Errors
    /// Where the path is too long for a socket, or it can't be made.
    pub fn make(directory: &Path) -> Result<(Self, std::os::unix::net::UnixListener), SocketError> {
        let path = path_in(directory)?;
        let made = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = std::os::unix::net::UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok((std::fs::symlink_metadata(&path)?, listener))
        };
        let (metadata, listener) = made().map_err(|error| SocketError::Io(path.clone(), error))?;
        Ok((Self { path, identity: (metadata.dev(), metadata.ino()) }, listener))
    }

    /// Whether it still is what stands under its name. Waits for the disk.
    #[must_use]
    pub fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// Removes it, unless another has taken its place. Waits for the disk.
    pub fn remove(&self) {
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Socket {
    /// Makes the socket in the data directory, as [`SocketFile::make`] has it. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the path is too long for a socket, or it can't be made.
    pub fn bind(directory: &Path, owner: u32) -> Result<Self, SocketError> {
        let (file, listener) = SocketFile::make(directory)?;
        let failed = |error| SocketError::Io(file.path.clone(), error);
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self {
            file,
            listener,
            owner,
            clients: Clients::default(),
            not_before: Cell::new(None),
            refused: Complaint::default(),
            failed: Complaint::default(),
        })
    }

    /// Listens on another socket from here on; who is connected stays. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the runtime does not take it.
    pub fn move_to(
        &mut self,
        file: SocketFile,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<()> {
        self.listener = UnixListener::from_std(listener)?;
        self.file = file;
        Ok(())
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &SocketFile {
        &self.file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Waits for the next client that may connect; the others are turned away.
    pub async fn accept(&self) -> UnixStream {
        loop {
            if let Some(not_before) = self.not_before.get() {
                tokio::time::sleep_until(not_before).await;
                self.not_before.set(None);
            }
            let error = match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => return stream,
                    Ok(peer) => {
                        if let Some(more) = self.refused.now() {
                            tracing::warn!(
                                "user {} may not read the socket and was turned away{more}",
                                peer.uid()
                            );
                        }
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(more) = self.failed.now() {
                tracing::warn!("a client could not be accepted: {error}{more}");
            }
            self.not_before.set(Some(Instant::now() + TRY_AGAIN));
        }
    }

    /// The clients.
    pub fn clients(&mut self) -> &mut Clients {
        &mut self.clients
    }
}
