//! Files that are put in place whole or not at all, and removed again.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::config;
use crate::draft;

/// What putting something in place came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It was there already, as it should be.
    Unchanged,
    /// There was none.
    Made,
    /// There was another one.
    Replaced,
}

/// Whether a file is there with this content, mode and owner.
#[must_use]
pub fn is_in_place(file: &Path, content: &str, mode: u32) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(file) else { return false };
    // SAFETY: geteuid has no preconditions and cannot fail.
    let us = unsafe { libc::geteuid() };
    metadata.is_file()
        && metadata.permissions().mode() & 0o7777 == mode
        && metadata.uid() == us
        && std::fs::read(file).is_ok_and(|there| there == content.as_bytes())
}

/// Puts a file in place, its directories too where they are missing.
///
/// # Errors
/// The system's, with the path.
pub fn place(file: &Path, content: &str, mode: u32) -> io::Result<Placed> {
    if is_in_place(file, content, mode) {
        return Ok(Placed::Unchanged);
    }
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("can't write {}: {error}", file.display()));
    if let Some(directory) = file.parent() {
        config::create_dir(directory)?;
    }
    let before = std::fs::symlink_metadata(file).is_ok();
    draft::place(file, content.as_bytes(), mode, true).map_err(named)?;
    Ok(if before { Placed::Replaced } else { Placed::Made })
}

/// Removes a file, a link or a socket. True where there was one.
///
/// # Errors
/// The system's, with the path.
pub fn remove(file: &Path) -> io::Result<bool> {
    match std::fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("can't remove {}: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_one_that_is_right_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a/b/file");
        assert_eq!(place(&file, "one", 0o644).unwrap(), Placed::Made);
        let inode = file.metadata().unwrap().ino();
        assert_eq!(place(&file, "one", 0o644).unwrap(), Placed::Unchanged);
        assert_eq!(file.metadata().unwrap().ino(), inode);
        assert_eq!(place(&file, "two", 0o644).unwrap(), Placed::Replaced);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        let left: Vec<_> = std::fs::read_dir(scratch.path().join("a/b")).unwrap().collect();
        assert_eq!(left.len(), 1, "no draft is left: {left:?}");
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (scratch.path().join("file"), scratch.path().join("elsewhere"));
        std::fs::write(&elsewhere, "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        place(&file, "ours", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine");
        assert!(!file.is_symlink());
    }

    #[test]
    fn what_is_not_there_is_removed_without_a_word() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(!remove(&scratch.path().join("none")).unwrap());
        std::fs::write(scratch.path().join("one"), "").unwrap();
        assert!(remove(&scratch.path().join("one")).unwrap());
    }
}
