//! The systemd units, held against systemd itself.

use std::process::Command;

use crate::peer::peer;
use crate::program::Program;

/// A unit as it would be installed, with the built program in it, in a directory of its own.
fn unit(whose: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("deploy/systemd/{whose}/pause-monitor.service"));
    let text = std::fs::read_to_string(shipped).unwrap();
    let program = "/usr/local/bin/pause-monitor";
    assert!(text.contains(&format!("ExecStart={program} daemon --allow-degraded\n")), "{text}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pause-monitor.service");
    std::fs::write(&file, text.replace(program, env!("CARGO_BIN_EXE_pause-monitor"))).unwrap();
    (directory, file)
}

fn analyze(arguments: &[&str], file: &std::path::Path) -> Option<String> {
    let analyze = peer(&["systemd-analyze"], "systemd")?;
    let output = Command::new(analyze)
        .args(arguments)
        .arg(file)
        .env("XDG_RUNTIME_DIR", file.parent().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    Some(said)
}

#[test]
fn systemd_finds_nothing_wrong_with_either_unit() {
    for (whose, manager) in [("user", "--user"), ("system", "--system")] {
        let (_directory, file) = unit(whose);
        let Some(said) = analyze(&[manager, "verify"], &file) else { return };
        assert!(!said.contains("pause-monitor.service"), "{whose}: {said}");
    }
}

#[test]
fn the_systems_unit_exposes_little() {
    let (_directory, file) = unit("system");
    // Tenths of the scale from 0 to 10; what is left is the network, the rights to look, and other processes.
    analyze(&["security", "--offline=true", "--threshold=30", "--no-pager"], &file);
}

#[test]
fn what_is_installed_is_what_is_shipped() {
    let program = Program::new();
    let run = program.run(&["install", "--dry-run", "--platform", "linux"]);
    if run.code == 2 && run.stderr.contains("can't be the system's service") {
        // Root's build directory is no place for that; `linux.rs` installs it from one that is.
        return;
    }
    let whose = if run.stdout.contains("--system daemon-reload") { "system" } else { "user" };
    let (_directory, file) = unit(whose);
    let shipped = std::fs::read_to_string(file).unwrap();
    for line in shipped.lines().filter(|line| !line.starts_with("ExecStart=")) {
        assert!(run.stdout.contains(line), "{line} is missing:\n{}", run.stdout);
    }
}
