//! Files of this repository.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// A path in this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A text file of this repository.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A text file, with what has to be different in a test put in. What is not found there is a failure: the test is to
/// run what is shipped.
pub(crate) fn changed(path: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text(path), |text, (from, to)| {
        assert!(text.contains(from), "{path} does not have {from:?}");
        text.replace(from, to)
    })
}
