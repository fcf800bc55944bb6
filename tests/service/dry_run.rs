//! What would be done, told on any system and done on none.

use crate::program::Program;

fn shown(arguments: &[&str]) -> String {
    let program = Program::new().env("PATH", "/usr/bin:/bin");
    let run = program.run(arguments);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
    let left: Vec<_> = std::fs::read_dir(program.home()).unwrap().collect();
    assert!(left.is_empty(), "nothing is written: {left:?}");
    run.stdout.replace(&program.home().display().to_string(), "HOME")
}

#[test]
fn for_a_mac_every_file_and_command_is_shown() {
    let text = shown(&["install", "--dry-run", "--platform", "macos", "--forensics"]);
    for part in [
        "file /etc/sudoers.d/pause-monitor-",
        " ALL=(root) NOPASSWD: /usr/bin/powermetrics --samplers cpu_power\\,gpu_power\\,thermal\\,tasks\\,disk -f plist -i 100 -n 36000\n",
        " ALL=(root) NOPASSWD: /usr/bin/tailspin save -l 20 -n /var/db/pause-monitor/pause.tailspin\n",
        "    /usr/bin/sudo -p 'pause-monitor: password of %p, to write its file in /etc/sudoers.d: ' -- /bin/sh -c 'set -eu\n",
        "    /usr/sbin/visudo -cqf \"$new\"\n",
        "directory HOME/.local/share/pause-monitor (0700)\n",
        "file HOME/Library/LaunchAgents/local.pause-monitor.plist (0644)\n",
        "    \t\t<string>--allow-degraded</string>\n",
        "/local.pause-monitor\ncommand /bin/launchctl bootstrap gui/",
        " HOME/Library/LaunchAgents/local.pause-monitor.plist\n",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!shown(&["install", "--dry-run", "--platform", "macos"]).contains("NOPASSWD: /usr/bin/tailspin"));
}

#[test]
fn for_linux_it_is_a_unit_and_three_commands() {
    // Root's is the system's, which does not run a program from a place like a build directory in a home: `linux.rs`.
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        let run = Program::new().run(&["install", "--dry-run", "--platform", "linux"]);
        if run.code == 2 {
            assert!(run.stderr.contains("can't be the system's service"), "{}", run.stderr);
            return;
        }
    }
    let text = shown(&["install", "--dry-run", "--platform", "linux"]);
    assert!(
        text.contains("NoNewPrivileges=yes\n") && text.contains("RestartPreventExitStatus=2 3 5\n"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("restart pause-monitor.service"), "{text}");
    assert_eq!(text.matches("\ncommand /usr/bin/systemctl ").count(), 3, "{text}");
}

#[test]
fn a_removal_names_what_goes() {
    let text = shown(&["uninstall", "--dry-run", "--platform", "macos"]);
    for part in [
        "command /bin/launchctl bootout gui/",
        "remove /etc/sudoers.d/pause-monitor-",
        "remove HOME/Library/LaunchAgents/local.pause-monitor.plist\n",
        "remove HOME/Library/Logs/pause-monitor.log.old\n",
        "remove HOME/.config/pause-monitor/config.toml\n",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let kept = shown(&["uninstall", "--dry-run", "--platform", "macos", "--keep-data"]);
    assert!(!kept.contains("config.toml"), "{kept}");
}

#[test]
fn what_makes_no_sense_is_one_line_that_says_what_to_do() {
    let program = Program::new();
    let config = program.home().join("c.toml");
    std::fs::write(
        &config,
        "[powermetrics]\ncommand = [\"/usr/bin/sudo\", \"-n\", \"/bin/sh\", \"-c\", \"id\"]\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    for (arguments, told) in [
        (
            &["install", "--dry-run", "--platform", "macos", "--config", config][..],
            "only /usr/bin/powermetrics is permitted",
        ),
        (&["install", "--dry-run", "--platform", "linux", "--forensics"], "which only macOS has"),
        (&["install", "--dry-run", "--platform", "macos", "--data-dir", "/a\nb"], "has control characters"),
    ] {
        let run = program.run(arguments);
        assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{}", run.stderr);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
}
