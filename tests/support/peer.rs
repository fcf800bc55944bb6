//! Programs of other makers that a test runs. Where one is missing the test says that it was passed over; with
//! PAUSE_MONITOR_REQUIRE_PEERS=1 it fails.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

/// The first of these names that is on the PATH.
pub(crate) fn peer(names: &[&str], package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{} is missing: apt-get install {package}", names[0]);
        println!("passed over: {} is missing (apt-get install {package})", names[0]);
    }
    found
}
