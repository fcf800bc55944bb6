//! Tells the program which revision it is built from: what PAUSE_MONITOR_REVISION says, else git's commit, else the
//! one that `cargo package` noted; `unknown` where there is none of these.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PAUSE_MONITOR_REVISION");
    let revision = std::env::var("PAUSE_MONITOR_REVISION")
        .ok()
        .filter(|revision| !revision.is_empty())
        .or_else(of_git)
        .or_else(of_package)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PAUSE_MONITOR_REVISION={}", revision.trim());
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Only of our own repository: the package may lie unpacked in somebody else's.
fn of_git() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // The log of HEAD is written with every commit and checkout; where there is none, HEAD alone has to do.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn of_package() -> Option<String> {
    let noted = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = noted.split_once("\"sha1\"")?;
    let revision: String = rest
        .chars()
        .skip_while(|c| !c.is_ascii_hexdigit())
        .take_while(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    Some(revision).filter(|revision| !revision.is_empty())
}
