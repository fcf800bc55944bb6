//! The daemon's socket, from the reader's side: shared by commands and the dashboard.

use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::output::socket::{FILE_NAME, MAX_CLIENTS};

/// A daemon that listens says hello at once; one that does not for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A line is never longer than this: a hello with the longest ring of the longest names.
const LINE: u64 = 32 << 20;
/// A daemon that ends closes at most two connections before nobody listens any more: the one that it has accepted, and the
/// next, which it never does. One that closes three is full.
const TRIES: u32 = 3;

/// Why there is no daemon to hear. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon runs on {0}: start one with `pause-monitor daemon`")]
    NotRunning(PathBuf),
    /// The socket is another user's.
    #[error("{0} belongs to another user: run this as its owner")]
    NotOurs(PathBuf),
    /// The system refuses the connection.
    #[error("can't connect to {0}: {1}")]
    CantConnect(PathBuf, io::Error),
    /// Nothing came for 10 s, from the process with that number.
    #[error("the daemon{} has sent nothing for 10 s: it is stopped, or hangs{}", of_process(*.0), go_on(*.0))]
    Silent(Option<libc::pid_t>),
    /// It has as many clients as it takes.
    #[error(
        "the daemon takes no more than {MAX_CLIENTS} clients, and has them: end a `stream` or `tui`, and try again"
    )]
    Full,
    /// It ended, and the connection with it.
    #[error("the daemon ended")]
    Ended,
    /// It is still there, and closed the connection.
    #[error(
        "the daemon cut this connection off, as nobody read what it sent: have it written to a file, and read that"
    )]
    CutOff,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
}

fn of_process(pid: Option<libc::pid_t>) -> String {
    pid.map(|pid| format!(", process {pid},")).unwrap_or_default()
}

fn go_on(pid: Option<libc::pid_t>) -> String {
    pid.map_or_else(
        || "; end it, and start it again".to_owned(),
        |pid| format!("; `kill -CONT {pid}` has a stopped one go on"),
    )
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
    pid: Option<libc::pid_t>,
}

impl Connection {
    /// Connects to the daemon of a data directory. Lines are waited for 10 s.
    ///
    /// # Errors
    /// [`ClientError`]: no daemon runs there, or it can't be reached.
    pub fn open(directory: &Path) -> Result<Self, ClientError> {
        let path = directory.join(FILE_NAME);
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        ClientError::NotRunning(directory.to_owned())
                    }
                    io::ErrorKind::PermissionDenied => ClientError::NotOurs(path),
                    _ => ClientError::CantConnect(path, error),
                });
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(ClientError::Broken)?;
        // macOS tells it only while both ends are open.
        let pid = peer(&stream);
        Ok(Self { reader: BufReader::with_capacity(64 << 10, stream), pid })
    }

    /// Connects to the daemon of a data directory and has `read` read its first line, which is false where there was none.
    ///
    /// # Errors
    /// As [`Connection::open`] and `read`, and [`ClientError::Full`].
    pub fn greeted(
        directory: &Path,
        mut read: impl FnMut(&mut Self) -> Result<bool, ClientError>,
    ) -> Result<Self, ClientError> {
        for _ in 0..TRIES {
            let mut connection = Self::open(directory)?;
            if read(&mut connection)? {
                return Ok(connection);
            }
        }
        Err(ClientError::Full)
    }

    /// From here on waits for lines as long as it takes: when everything freezes, they do.
    ///
    /// # Errors
    /// [`ClientError::Broken`] where the system refuses.
    pub fn wait_for_ever(&mut self) -> Result<(), ClientError> {
        self.reader.get_ref().set_read_timeout(None).map_err(ClientError::Broken)
    }

    /// From here on waits at most so long for each line.
    ///
    /// # Errors
    /// [`ClientError::Broken`] where the system refuses.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<(), ClientError> {
        // No time at all would mean for ever.
        let limit = limit.max(Duration::from_millis(1));
        self.reader.get_ref().set_read_timeout(Some(limit)).map_err(ClientError::Broken)
    }

    /// Whether the next line begins to come within so long; nothing of it is read.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub fn answers_within(&mut self, limit: Duration) -> Result<bool, ClientError> {
        self.wait_at_most(limit)?;
        let answers = match self.reader.fill_buf() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                false
            }
            // What is wrong the read of the line tells.
            Ok(_) | Err(_) => true,
        };
        self.wait_at_most(PATIENCE)?;
        Ok(answers)
    }

    /// The daemon's process, where the system tells who listens on a socket.
    #[must_use]
    pub const fn pid(&self) -> Option<libc::pid_t> {
        self.pid
    }

    /// Why there is no further line, once there is none: [`ClientError::Ended`] or [`ClientError::CutOff`].
    #[must_use]
    pub fn end(&self, directory: &Path) -> ClientError {
        let mut peer = None;
        let again = Self::greeted(directory, |connection| {
            peer = connection.pid();
            connection.line(&mut Vec::new())
        });
        // One that ends says hello to nobody any more.
        let stays = matches!(again, Ok(_) | Err(ClientError::Full)) && self.pid == peer;
        if stays { ClientError::CutOff } else { ClientError::Ended }
    }

    /// Reads the next line, its newline included, into `line`. False at the end.
    ///
    /// # Errors
    /// [`ClientError::Silent`], or [`ClientError::Broken`].
    pub fn line(&mut self, line: &mut Vec<u8>) -> Result<bool, ClientError> {
        line.clear();
        match io::Read::take(&mut self.reader, LINE).read_until(b'\n', line) {
            Ok(0) => Ok(false),
            // Else the daemon ended in the middle of a line.
            Ok(_) => Ok(line.ends_with(b"\n")),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(ClientError::Silent(self.pid()))
            }
            // A reset: it ended while we had not read all.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(ClientError::Broken(error)),
        }
    }
}

/// Who listens at the other end (unix(7), `SO_PEERCRED`).
#[cfg(target_os = "linux")]
fn peer(stream: &UnixStream) -> Option<libc::pid_t> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    option(stream, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut peer)?;
    // 0: of another namespace.
    (peer.pid > 0).then_some(peer.pid)
}

/// Who listens at the other end (unix(4), `LOCAL_PEERPID`).
#[cfg(target_os = "macos")]
fn peer(stream: &UnixStream) -> Option<libc::pid_t> {
    let mut pid = 0;
    option(stream, libc::SOL_LOCAL, libc::LOCAL_PEERPID, &mut pid)?;
    (pid > 0).then_some(pid)
}

/// Has the system fill in an option of a socket.
fn option<T: Copy>(stream: &UnixStream, level: libc::c_int, name: libc::c_int, value: &mut T) -> Option<()> {
    let mut len = libc::socklen_t::try_from(size_of::<T>()).ok()?;
    // SAFETY: `value` is plain data with the room that `len` says.
    let got = unsafe {
        libc::getsockopt(stream.as_raw_fd(), level, name, std::ptr::from_mut(value).cast(), &raw mut len)
    };
    (got == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_says_nothing_is_named_by_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(directory.path().join(FILE_NAME)).unwrap();
        let mut connection = Connection::open(directory.path()).unwrap();
        let us = std::process::id();
        assert_eq!(connection.pid(), Some(us.cast_signed()));
        assert!(!connection.answers_within(Duration::from_millis(1)).unwrap());
        connection.wait_at_most(Duration::from_millis(1)).unwrap();
        let told = connection.line(&mut Vec::new()).unwrap_err().to_string();
        assert!(
            told.contains(&format!("process {us},")) && told.contains(&format!("kill -CONT {us}")),
            "{told}"
        );
        let mut daemon = listener.accept().unwrap().0;
        io::Write::write_all(&mut daemon, b"hello\n").unwrap();
        assert!(connection.answers_within(Duration::from_secs(10)).unwrap());
        let mut line = Vec::new();
        assert!(connection.line(&mut line).unwrap());
        assert_eq!(line, b"hello\n", "nothing was read of it before");
    }

    #[test]
    fn a_daemon_that_never_accepts_us_and_ends_does_not_run_and_one_that_hangs_up_and_stays_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut listener = Some(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let greeted = Connection::greeted(directory.path(), |connection| {
            listener = None;
            connection.line(&mut Vec::new())
        });
        assert!(matches!(greeted, Err(ClientError::NotRunning(_))), "{greeted:?}");
        std::fs::remove_file(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let greeted = Connection::greeted(directory.path(), |connection| {
            drop(listener.accept().unwrap());
            connection.line(&mut Vec::new())
        });
        assert!(matches!(greeted, Err(ClientError::Full)), "{greeted:?}");
    }

    #[test]
    fn a_daemon_that_ended_is_told_apart_from_one_that_cut_us_off_and_greets_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let closed = || {
            let mut connection = Connection::open(directory.path()).unwrap();
            drop(listener.accept().unwrap());
            assert!(!connection.line(&mut Vec::new()).unwrap());
            connection
        };
        let (cut_off, ended) = (closed(), closed());
        std::thread::scope(|scope| {
            scope.spawn(|| io::Write::write_all(&mut listener.accept().unwrap().0, b"{}\n").unwrap());
            let end = cut_off.end(directory.path());
            assert!(matches!(end, ClientError::CutOff), "{end:?}");
        });
        std::thread::scope(|scope| {
            // It takes one more on its way out.
            scope.spawn(move || drop(listener.accept().unwrap()));
            let end = ended.end(directory.path());
            assert!(matches!(end, ClientError::Ended), "{end:?}");
        });
    }
}
