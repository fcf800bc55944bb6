//! The inputs in `fuzz/` through what their fuzz targets demand: seeds by name, and what fuzzing found worth keeping.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

#[path = "../fuzz/src/lib.rs"]
mod demands;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Feeds every input of a target to `check`, and names those that it does not like.
fn all_of(target: &str, check: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut inputs = Vec::new();
    for kind in ["seeds", "kept"] {
        let Ok(directory) = std::fs::read_dir(fuzz.join(kind).join(target)) else { continue };
        inputs.extend(directory.map(|entry| entry.unwrap().path()));
    }
    assert!(inputs.len() >= 6, "{inputs:?}");
    inputs.sort();
    let fails = |input: &&std::path::PathBuf| {
        let bytes = std::fs::read(input).unwrap();
        catch_unwind(AssertUnwindSafe(|| check(&bytes))).is_err()
    };
    let failed: Vec<_> = inputs.iter().filter(fails).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn powermetrics_streams_are_framed_and_decoded_as_demanded() {
    all_of("powermetrics", demands::powermetrics::check);
}

#[test]
fn json_lines_are_read_and_written_as_demanded() {
    all_of("lines", demands::lines::check);
}

#[test]
fn configurations_are_read_and_shown_as_demanded() {
    all_of("config", demands::config::check);
}

#[test]
fn web_configurations_are_read_as_demanded() {
    all_of("web", demands::web::check);
}

#[test]
fn http_requests_are_answered_as_demanded() {
    all_of("http", demands::http::check);
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_the_kernel_are_read_as_demanded() {
    all_of("proc", demands::proc::check);
}
