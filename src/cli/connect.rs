//! The daemon's socket, from a command's side.

use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Exit, Failure};
use crate::output::socket::FILE_NAME;

/// A daemon that listens answers at once; one that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A line is never longer than this: a hello with the longest ring of the longest names.
const LINE: u64 = 32 << 20;

/// A connection to the daemon.
pub(super) struct Connection {
    reader: BufReader<UnixStream>,
}

/// Connects to the daemon of a data directory.
///
/// # Errors
/// A [`Failure`] with its exit code: no daemon runs there, or it can't be reached.
pub(super) fn connect(directory: &Path) -> anyhow::Result<Connection> {
    let path = directory.join(FILE_NAME);
    let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::new(
            Exit::NotRunning,
            format!("no daemon runs on {}: start one with `pause-monitor daemon`", directory.display()),
        ),
        io::ErrorKind::PermissionDenied => Failure::new(
            Exit::Failed,
            format!("{} belongs to another user: run this as its owner", path.display()),
        ),
        _ => Failure::new(Exit::Failed, format!("can't connect to {}: {error}", path.display())),
    })?;
    Ok(Connection { reader: BufReader::with_capacity(64 << 10, stream) })
}

impl Connection {
    /// Reads the next line, its newline included, into `line`. False at the end.
    ///
    /// # Errors
    /// Where nothing comes for 10 s, though samples should, or the connection breaks.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> anyhow::Result<bool> {
        line.clear();
        self.reader.get_ref().set_read_timeout(Some(PATIENCE))?;
        match io::Read::take(&mut self.reader, LINE).read_until(b'\n', line) {
            Ok(0) => Ok(false),
            Ok(_) if line.ends_with(b"\n") => Ok(true),
            // The daemon ended in the middle of a line.
            Ok(_) => Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(
                Failure::new(Exit::Failed, "the daemon has sent nothing for 10 s: is it stopped or hung?")
                    .into(),
            ),
            // A reset: it ended while we had not read all.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(Failure::new(Exit::Failed, format!("the connection broke: {error}")).into()),
        }
    }
}
