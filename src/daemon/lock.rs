//! One daemon per data directory: a lock that the system lets go of whatever happens to its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The lock's file in the data directory. It holds the holder's pid, for people.
pub const FILE_NAME: &str = "daemon.lock";

/// The lock, held.
#[derive(Debug)]
pub struct Lock {
    directory: PathBuf,
    path: PathBuf,
    /// Held while this is open. Replaced where the directory was, so that it can be looked at from any thread; never
    /// kept over anything that waits for the disk.
    file: Mutex<Arc<File>>,
}

/// Why the lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon holds it.
    #[error("a daemon{} is already running on {}: stop it first, or use another --data-dir", .0, .1.display())]
    Held(String, PathBuf),
    /// Another daemon has come while the directory was not ours.
    #[error(
        "another daemon{} runs on {}, which was deleted or replaced under this one: this one has ended", .0, .1.display()
    )]
    Taken(String, PathBuf),
    /// The file can't be opened or locked.
    #[error(
        "can't lock {}: {}: make the data directory writable for this user, or use another --data-dir", .0.display(), .1
    )]
    Io(PathBuf, #[source] io::Error),
}

impl Lock {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    /// Where another process holds it, or the file can't be opened.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FILE_NAME);
        let file = acquire(directory, &path)?;
        Ok(Self { directory: directory.to_owned(), path, file: Mutex::new(Arc::new(file)) })
    }

    /// Whether what is held still is what stands under the lock's name: if not, somebody deleted the file, or the
    /// directory, and another daemon may come. Waits for the disk.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        is_at(&self.file(), &self.path)
    }

    /// Takes the lock of the directory as it is now. Waits for the disk.
    ///
    /// # Errors
    /// [`LockError::Taken`] where another daemon has it; else as [`Lock::take`].
    pub fn take_again(&self) -> Result<(), LockError> {
        let file = acquire(&self.directory, &self.path).map_err(|error| match error {
            LockError::Held(who, directory) => LockError::Taken(who, directory),
            error => error,
        })?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        Ok(())
    }

    /// Removes the file, where it is ours; the lock itself ends with the process, or when this is dropped. Waits for
    /// the disk.
    pub fn remove(&self) {
        if self.is_ours() {
            // Removed while it is held, so nobody else's is.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn file(&self) -> Arc<File> {
        Arc::clone(&self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn acquire(directory: &Path, path: &Path) -> Result<File, LockError> {
    let failed = |error| LockError::Io(path.to_owned(), error);
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Nobody's file but the directory's is emptied.
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                // Its holder may not have come to write its own yet: then it is that of one that was killed.
                let who = pid.filter(|&pid| is_alive(pid)).map(|pid| format!(" (pid {pid})"));
                return Err(LockError::Held(who.unwrap_or_default(), directory.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Its last holder may have removed the file between our opening and locking it.
        if !is_at(&file, path) {
            continue;
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        return Ok(file);
    }
}

/// Whether there is a process of that number, whosever it is.
fn is_alive(pid: libc::pid_t) -> bool {
    // SAFETY: signal 0 is sent to nobody; it only asks.
    pid > 0
        && (unsafe { libc::kill(pid, 0) } == 0
            || io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied)
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_is_told_who_holds_the_lock_and_the_file_goes_with_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).unwrap();
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        lock.remove();
        drop(lock);
        assert!(!directory.path().join(FILE_NAME).exists());
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_deleted_is_taken_again_unless_another_daemon_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let lock = Lock::take(directory.path()).unwrap();
        assert!(lock.is_ours());
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.is_ours());
        lock.take_again().unwrap();
        assert!(lock.is_ours() && Lock::take(directory.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        let other = Lock::take(directory.path()).unwrap();
        let error = lock.take_again().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("another daemon (pid {}) runs on ", std::process::id())),
            "{error}"
        );
        lock.remove();
        assert!(other.is_ours(), "what another holds stays");
    }

    #[test]
    fn who_holds_it_is_not_told_by_what_a_killed_daemon_left_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "2147483647\n").unwrap();
        // Locked, and the number is yet to be written.
        let holder = File::open(&path).unwrap();
        holder.lock().unwrap();
        let error = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with("a daemon is already running on "), "{error}");
    }

    #[test]
    fn a_file_that_a_killed_daemon_left_behind_is_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "12345678 and more\n").unwrap();
        let _lock = Lock::take(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
