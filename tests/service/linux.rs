//! On Linux: a unit of the user's, or of the system's, with a stand-in for systemd; and what is left of root under sudo.

use crate::daemon::until;
use crate::machine::{HOME, Machine};

/// A machine with a systemd that is none.
fn machine() -> Option<Machine> {
    let machine = Machine::new()?;
    let line = "rm -f /usr/bin/systemctl; ln -s /opt/systemctl-stand-in /usr/bin/systemctl";
    assert_eq!(machine.shell("root", line).code, 0);
    Some(machine)
}

fn done(machine: &Machine, user: &str, arguments: &[&str]) -> String {
    let run = machine.run(user, arguments);
    assert_eq!(run.code, 0, "{arguments:?}:\n{}{}", run.stdout, run.stderr);
    run.stdout
}

#[test]
fn the_users_unit_is_installed_watches_and_leaves_nothing_behind() {
    let Some(machine) = machine() else { return };
    let unit = format!("{HOME}/.config/systemd/user/pause-monitor.service");
    let said = done(&machine, "alice", &["install"]);
    assert!(said.contains(&format!("wrote {unit}\nstarted\nIt watches.")), "{said}");
    assert!(
        machine.read(&unit).contains("ExecStart=/opt/homebrew/bin/pause-monitor daemon --allow-degraded\n")
    );
    let said = done(&machine, "alice", &["install"]);
    assert!(said.contains(&format!("unchanged {unit}\nstarted\n")), "{said}");
    let checks = machine.run("alice", &["doctor"]);
    assert_eq!(checks.code, 0, "{}", checks.stdout);
    assert!(
        checks.stdout.contains(&format!("ok       service         {unit} is active")),
        "{}",
        checks.stdout
    );
    done(&machine, "alice", &["uninstall", "--yes"]);
    let left = machine.shell("alice", "find $HOME -type f -not -name '.bash*' -not -name .profile").stdout;
    assert_eq!(left, "");
    until("its end", || {
        (!machine.processes().iter().any(|process| process.contains("daemon --allow-degraded"))).then_some(())
    });
}

#[test]
fn the_systems_unit_has_places_of_its_own() {
    let Some(machine) = machine() else { return };
    done(&machine, "root", &["install"]);
    assert!(machine.has("/var/lib/pause-monitor/daemon.sock"));
    let checks = machine.run("root", &["doctor"]);
    assert_eq!(checks.code, 0, "{}", checks.stdout);
    assert!(
        checks.stdout.contains("/etc/systemd/system/pause-monitor.service is active"),
        "{}",
        checks.stdout
    );
    done(&machine, "root", &["uninstall", "--yes"]);
    for gone in ["/var/lib/pause-monitor", "/etc/systemd/system/pause-monitor.service", "/etc/pause-monitor"]
    {
        assert!(!machine.has(gone), "{gone}");
    }
}

/// Starts a daemon as root for alice, as sudo would; its `/proc/PID/status`.
fn under_sudo(machine: &Machine, source: &str) -> (String, std::process::Child) {
    let line = format!(
        "SUDO_UID=$(id -u alice) SUDO_GID=$(id -g alice) SUDO_USER=alice exec pause-monitor daemon --source {source}"
    );
    let daemon = machine.command("root", &["/bin/sh", "-c", &line]).spawn().unwrap();
    let lock = format!("{HOME}/.local/share/pause-monitor/daemon.lock");
    let socket = format!("{HOME}/.local/share/pause-monitor/daemon.sock");
    let status = until("a daemon", || {
        let pid = machine.read(&lock).trim().to_owned();
        (machine.has(&socket) && !pid.is_empty()).then(|| machine.read(&format!("/proc/{pid}/status")))
    });
    (status, daemon)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn under_sudo_the_daemon_gives_up_what_its_source_does_not_need() {
    let Some(machine) = machine() else { return };
    let uid = machine.shell("alice", "id -u").stdout.trim().to_owned();
    let all = format!("{uid}\t{uid}\t{uid}\t{uid}");
    // CAP_DAC_READ_SEARCH is bit 2, CAP_SYS_PTRACE bit 19.
    for (source, left) in [("simulate:calm", "0000000000000000"), ("linux", "0000000000080004")] {
        let (status, mut daemon) = under_sudo(&machine, source);
        assert_eq!(field(&status, "Uid:"), all, "{source}");
        for set in ["CapPrm:", "CapEff:"] {
            assert_eq!(field(&status, set), left, "{source} {set}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(&status, set), "0000000000000000", "what it runs gets none: {source} {set}");
        }
        let line = format!(
            "stat -c %U {HOME}/.local/share/pause-monitor/data.db; kill $(cat {HOME}/.local/share/pause-monitor/daemon.lock)"
        );
        assert_eq!(machine.shell("root", &line).stdout, "alice\n");
        assert!(daemon.wait().unwrap().success());
    }
}
