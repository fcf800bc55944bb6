//! The engine imports nothing that does I/O: clippy bans functions and types, this test bans modules.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_engine_imports_no_module_that_does_io() {
    const BANNED: [&str; 16] = [
        "std::fs",
        "std::net",
        "std::io",
        "std::process",
        "std::thread",
        "std::env",
        "std::time",
        "libc::",
        "tokio",
        "crate::source",
        "crate::output",
        "crate::daemon",
        "crate::cli",
        "clock::now",
        "clock::awake_ns",
        "clock::unix_ns",
    ];
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine"), &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for banned in BANNED {
            assert!(!text.contains(banned), "{} uses {banned}", file.display());
        }
        // A braced import would get past the words above.
        assert!(!text.contains("use std::{"), "{}: one `use std::…` a line, please", file.display());
    }
}

#[test]
fn the_arrows_between_modules_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, banned) in [
        ("source", ["crate::output", "crate::daemon", "crate::tui", "crate::cli"].as_slice()),
        ("config", &["crate::output", "crate::source", "crate::daemon", "crate::tui", "crate::cli"]),
        ("output", &["crate::source", "crate::daemon", "crate::tui", "crate::cli"]),
        ("daemon", &["crate::tui", "crate::service", "crate::cli"]),
        ("service", &["crate::tui", "crate::cli::"]),
        ("tui", &["crate::cli::"]),
        ("tui/state", &["std::io", "std::thread", "std::fs", "clock::"]),
        ("tui/update", &["std::io", "std::thread", "std::fs", "clock::"]),
        ("tui/view", &["std::io", "std::thread", "std::fs", "clock::"]),
    ] {
        let mut files = Vec::new();
        rust_files(&source.join(room), &mut files);
        // Tests may make what they need.
        files.retain(|file| !file.ends_with("tests.rs"));
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for banned in banned {
                assert!(!text.contains(banned), "{} uses {banned}", file.display());
            }
        }
    }
}
