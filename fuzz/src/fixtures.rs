//! Where the fixtures are, seen from the package's own directory and from `fuzz/`.

use std::path::{Path, PathBuf};

pub(super) fn path(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        [package.join("fixtures"), package.join("../fixtures")].into_iter().find(|path| path.is_dir());
    found.expect("the fixtures are there").join(name)
}
