//! The daemon's socket, from the reader's side: shared by commands and the dashboard.

use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::output::socket::FILE_NAME;

/// A daemon that listens says hello at once; one that does not for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A line is never longer than this: a hello with the longest ring of the longest names.
const LINE: u64 = 32 << 20;

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
    /// Nothing came for 10 s.
    #[error("the daemon has sent nothing for 10 s: is it stopped or hung?")]
    Silent,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
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
        Ok(Self { reader: BufReader::with_capacity(64 << 10, stream) })
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
                Err(ClientError::Silent)
            }
            // A reset: it ended while we had not read all.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(ClientError::Broken(error)),
        }
    }
}
