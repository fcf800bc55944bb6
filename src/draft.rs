//! Files that get their name once all of them is on the disk.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Puts a file in place whole or not at all. Its directory has to be there. A link in its place is replaced, not followed;
/// without `replace` nothing that is there is.
///
/// # Errors
/// The system's; [`io::ErrorKind::AlreadyExists`] without `replace`.
pub(crate) fn place(file: &Path, content: &[u8], mode: u32, replace: bool) -> io::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // New and for its owner alone. Dropped before it has its name, it is removed.
    let mut draft = tempfile::Builder::new().prefix(".pause-monitor-").tempfile_in(directory)?;
    draft.write_all(content)?;
    draft.as_file().set_permissions(Permissions::from_mode(mode))?;
    draft.as_file().sync_all()?;
    if replace { draft.persist(file) } else { draft.persist_noclobber(file) }.map_err(|error| error.error)?;
    // The name is on the disk once the directory is; a file system that can't tell is none of our affair.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
