//! A log in a file that stays small: launchd keeps what a job writes for ever, and nobody else looks after it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config;

/// A log longer than this, bytes, becomes the old one, and a new one is begun.
const LONGEST: u64 = 2 << 20;

/// The log of before.
#[must_use]
pub fn old(path: &Path) -> PathBuf {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    old.into()
}

/// A log's file. It is standard error too, so that a panic and the last words end up in it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes in it.
    length: u64,
    longest: u64,
}

impl LogFile {
    /// Opens it, for its owner alone, and makes it standard error.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut log = Self::begin(path, LONGEST)?;
        log.be_standard_error();
        if log.length > log.longest {
            log.renew();
        }
        Ok(log)
    }

    fn begin(path: &Path, longest: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            config::create_dir(directory)?;
        }
        let file = open(path)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self { path: path.to_owned(), file, length, longest })
    }

    fn be_standard_error(&self) {
        // SAFETY: dup2 takes two descriptors; ours is open. Where it fails, standard error stays what it was.
        unsafe { libc::dup2(self.file.as_raw_fd(), libc::STDERR_FILENO) };
    }

    /// Has the file be the old one and begins a new one; where that fails, empties it: it has to stay small.
    fn renew(&mut self) {
        let renewed = std::fs::rename(&self.path, old(&self.path)).and_then(|()| open(&self.path));
        match renewed {
            Ok(file) => {
                self.file = file;
                self.be_standard_error();
            }
            Err(_) => {
                let _ = self.file.set_len(0);
            }
        }
        self.length = 0;
    }
}

fn open(path: &Path) -> io::Result<File> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("can't log to {}: {error}", path.display()));
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(named)?;
    // launchd makes the file before us, and not every version of it minds its job's Umask.
    if file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o077 != 0) {
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(named)?;
    }
    Ok(file)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.length + line.len() as u64 > self.longest && self.length > 0 {
            self.renew();
        }
        let written = self.file.write(line)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that does not take standard error from the other tests.
    fn log(path: &Path) -> LogFile {
        LogFile::begin(path, 1_000).unwrap()
    }

    #[test]
    fn a_log_that_is_written_for_ever_stays_below_twice_its_length() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("Logs/log");
        let mut log = log(&path);
        // What stands on descriptor 2 is moved with the file in `renew`; put it back.
        // SAFETY: dup takes a descriptor that is open.
        let before = unsafe { libc::dup(libc::STDERR_FILENO) };
        for number in 0..1_000 {
            writeln!(log, "line {number}").unwrap();
        }
        // SAFETY: both are open descriptors of ours.
        unsafe {
            libc::dup2(before, libc::STDERR_FILENO);
            libc::close(before);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("line 999\n") && text.len() <= 1_000, "{} bytes", text.len());
        let older = std::fs::read_to_string(old(&path)).unwrap();
        assert!(older.len() <= 1_000 && older.starts_with("line "), "{} bytes", older.len());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(scratch.path().join("Logs")).unwrap().count(), 2);
    }

    #[test]
    fn a_log_goes_on_where_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let mut log = log(&path);
        log.write_all(b"after\n").unwrap();
        assert_eq!((log.length, std::fs::read_to_string(&path).unwrap().as_str()), (13, "before\nafter\n"));
    }
}
