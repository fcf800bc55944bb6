//! The files of an event's captures, as they lie there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::event::EventId;
use crate::output::store::{Capture, EVENTS_DIRECTORY};

/// Where a capture is: by its name alone, in the event's directory, wherever the data directory has been moved to. What a
/// row says must not have any file of this user taken along. `None` where there is none.
pub(super) fn file(capture: &Capture, event: EventId, data_dir: &Path) -> Option<PathBuf> {
    let name = Path::new(capture.path.as_deref()?).file_name()?;
    Some(data_dir.join(EVENTS_DIRECTORY).join(event.to_string()).join(name))
}

/// Opens it: the file and its size. Neither it nor its directory may be a link, and it has to be a file: what is none, a
/// pipe, could be waited for for ever.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    let elsewhere = || io::Error::other("it is not in the event's directory");
    let directory = path.parent().ok_or_else(elsewhere)?;
    if !fs::symlink_metadata(directory)?.is_dir() || fs::symlink_metadata(path)?.is_symlink() {
        return Err(elsewhere());
    }
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::Error::other("it is no file")) }
}
