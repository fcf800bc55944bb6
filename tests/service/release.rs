//! What a release is made of, as far as it can be made here.

use std::path::Path;
use std::process::Command;

use crate::peer::peer;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn checksums_and_formula_come_of_the_archives() {
    if peer(&["sha256sum"], "coreutils").is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for name in ["macos-universal", "linux-x86_64", "linux-aarch64"] {
        std::fs::write(scratch.path().join(format!("pause-monitor-{version}-{name}.tar.gz")), name).unwrap();
    }
    let finish = root().join("deploy/release/finish");
    let status =
        Command::new(finish).arg(scratch.path()).arg("https://example.org/pause-monitor").status().unwrap();
    assert!(status.success());
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let sums = std::fs::read_to_string(scratch.path().join("SHA256SUMS")).unwrap();
    let formula = std::fs::read_to_string(scratch.path().join("pause-monitor.rb")).unwrap();
    assert_eq!(sums.lines().count(), 3);
    for line in sums.lines() {
        let (sum, file) = line.split_once("  ").unwrap();
        assert!(formula.contains(sum) && formula.contains(file), "{line}");
    }
    assert!(!formula.contains('@'), "all is put in:\n{formula}");
    let Some(ruby) = peer(&["ruby"], "ruby") else { return };
    let output = Command::new(ruby).arg("-c").arg(scratch.path().join("pause-monitor.rb")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_the_versions_own_tag_makes_a_release() {
    let check = |tag: &str| {
        Command::new(root().join("deploy/release/check-tag")).arg(tag).output().unwrap().status.success()
    };
    assert!(check(concat!("v", env!("CARGO_PKG_VERSION"))));
    assert!(!check("v99.0.0") && !check(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_formula_leaves_the_service_to_install() {
    let formula = std::fs::read_to_string(root().join("deploy/homebrew/pause-monitor.rb")).unwrap();
    assert!(!formula.contains("service do"), "{formula}");
}
