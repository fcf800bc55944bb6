//! One daemon per data directory: a lock that the system lets go of whatever happens to its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock's file in the data directory. It holds the holder's pid, for people.
pub const FILE_NAME: &str = "daemon.lock";

/// The lock, held.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Held while this is open.
    _file: File,
}

/// Why the lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon holds it.
    #[error("a daemon{} is already running on {}: stop it first, or use another --data-dir", .0, .1.display())]
    Held(String, PathBuf),
    /// The file can't be opened or locked.
    #[error("can't lock {}: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

impl Lock {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    /// Where another process holds it, or the file can't be opened.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FILE_NAME);
        let failed = |error| LockError::Io(path.clone(), error);
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // Nobody's file but the directory's is emptied.
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
                    let who = if known { format!(" (pid {})", pid.trim()) } else { String::new() };
                    return Err(LockError::Held(who, directory.to_owned()));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Its last holder may have removed the file between our opening and locking it.
            if !is_at(&file, &path) {
                continue;
            }
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
            return Ok(Self { path, _file: file });
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held, so nobody else's is.
        let _ = std::fs::remove_file(&self.path);
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
        drop(lock);
        assert!(!directory.path().join(FILE_NAME).exists());
        Lock::take(directory.path()).unwrap();
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
