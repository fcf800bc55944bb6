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

/// Starts a daemon as root for alice, as sudo would; the `/proc/PID/status` of the process, and of its threads by name.
fn under_sudo(machine: &Machine, source: &str) -> (String, Vec<(String, String)>, std::process::Child) {
    let line = format!(
        "SUDO_UID=$(id -u alice) SUDO_GID=$(id -g alice) SUDO_USER=alice exec pause-monitor daemon --source {source}"
    );
    let daemon = machine.command("root", &["/bin/sh", "-c", &line]).spawn().unwrap();
    let lock = format!("{HOME}/.local/share/pause-monitor/daemon.lock");
    let socket = format!("{HOME}/.local/share/pause-monitor/daemon.sock");
    let pid = until("a daemon", || {
        let pid = machine.read(&lock).trim().to_owned();
        (machine.has(&socket) && !pid.is_empty()).then_some(pid)
    });
    // Each thread is as it stays by then.
    until("a sample", || (machine.run("alice", &["status"]).code == 0).then_some(()));
    let threads = machine.shell("root", &format!("ls /proc/{pid}/task")).stdout;
    let threads = threads.split_ascii_whitespace().map(|thread| {
        let of = |what: &str| machine.read(&format!("/proc/{pid}/task/{thread}/{what}"));
        (of("comm").trim().to_owned(), of("status"))
    });
    // One may have ended meanwhile.
    let threads = threads.filter(|(_, status)| !status.is_empty());
    (machine.read(&format!("/proc/{pid}/status")), threads.collect(), daemon)
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
        let (status, threads, mut daemon) = under_sudo(&machine, source);
        assert_eq!(field(&status, "Uid:"), all, "{source}");
        assert!(threads.len() > 3, "{threads:?}");
        for (name, status) in &threads {
            assert_eq!(field(status, "Uid:"), all, "{source} {name}");
            assert_eq!(field(status, "CapPrm:"), left, "{source} {name}");
            let in_force = if name == "sampling" { left } else { "0000000000000000" };
            assert_eq!(field(status, "CapEff:"), in_force, "only where it is needed: {source} {name}");
            for set in ["CapInh:", "CapAmb:"] {
                assert_eq!(field(status, set), "0000000000000000", "what it runs gets none: {source} {set}");
            }
        }
        let line = format!(
            "stat -c %U {HOME}/.local/share/pause-monitor/data.db; kill $(cat {HOME}/.local/share/pause-monitor/daemon.lock)"
        );
        assert_eq!(machine.shell("root", &line).stdout, "alice\n");
        assert!(daemon.wait().unwrap().success());
    }
}

/// Runs a line of shell as root for alice, as sudo would.
fn sudo(machine: &Machine, line: &str) -> crate::program::Run {
    machine.shell(
        "root",
        &format!("export SUDO_UID=$(id -u alice) SUDO_GID=$(id -g alice) SUDO_USER=alice; {line}"),
    )
}

#[test]
fn the_systems_unit_is_roots_whoever_called_sudo_and_so_is_what_it_runs() {
    let Some(machine) = machine() else { return };
    let unit = "/etc/systemd/system/pause-monitor.service";
    for line in [
        "cp /opt/homebrew/bin/pause-monitor /Users/alice/pm; chown alice /Users/alice/pm; /Users/alice/pm install",
        "cp /opt/homebrew/bin/pause-monitor /tmp/pm; /tmp/pm install",
        "pause-monitor install --data-dir /srv/pm",
    ] {
        let run = sudo(&machine, line);
        assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{line}: {}{}", run.stdout, run.stderr);
        assert!(!machine.has(unit), "{line}");
    }
    let run = sudo(&machine, "pause-monitor install");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(
        run.stdout.contains("sudo pause-monitor tui --data-dir /var/lib/pause-monitor"),
        "{}",
        run.stdout
    );
    assert_eq!(machine.shell("root", &format!("stat -c '%u %g %a' {unit}")).stdout, "0 0 644\n");
    // Those who ask afterwards are told of it.
    let run = sudo(&machine, "pause-monitor doctor");
    assert_eq!(run.code, 0, "{}", run.stdout);
    let run = sudo(&machine, "pause-monitor status --data-dir /var/lib/pause-monitor");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let checks = machine.run("alice", &["doctor"]).stdout;
    assert!(checks.contains("the system's service is installed"), "{checks}");
    let run = sudo(&machine, "pause-monitor config init --config /etc/pause-monitor/config.toml");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let owner = machine.shell("root", "stat -c %u /etc/pause-monitor /etc/pause-monitor/config.toml").stdout;
    assert_eq!(owner, "0\n0\n");
    let run = sudo(&machine, "pause-monitor uninstall --yes");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(!machine.has(unit) && !machine.has("/var/lib/pause-monitor"));
    let run = sudo(&machine, "pause-monitor uninstall --dry-run");
    assert_eq!(run.stdout, "nothing is here\n");
    let run = sudo(&machine, "cp /opt/homebrew/bin/pause-monitor /tmp/pm; /tmp/pm doctor");
    assert!(run.stdout.contains("warning  service         it is not installed"), "{}", run.stdout);
    let run = sudo(&machine, "pause-monitor uninstall");
    assert!(run.stdout.contains("a user's own is taken away by that user"), "{}", run.stdout);
}

#[test]
fn under_sudo_root_runs_the_sampler_and_nothing_that_the_user_wrote() {
    let Some(machine) = machine() else { return };
    let config = format!("{HOME}/.config/pause-monitor/config.toml");
    let uid = machine.shell("alice", "id -u").stdout.trim().to_owned();
    // The sampler as root, the daemon as alice.
    machine.write(&config, "[source]\nkind = \"powermetrics\"\n");
    let (status, _, mut daemon) = under_sudo(&machine, "powermetrics");
    assert_eq!(field(&status, "Uid:"), format!("0\t{uid}\t0\t{uid}"));
    until("complete samples", || {
        machine.run("alice", &["status", "--json"]).stdout.contains("\"degraded\": false").then_some(())
    });
    let sampler =
        machine.shell("root", "ps -A -o uid=,args= | grep '[p]owermetrics-stand-in --samplers'").stdout;
    assert!(sampler.trim_start().starts_with("0 "), "{sampler}");
    let end = format!("kill $(cat {HOME}/.local/share/pause-monitor/daemon.lock)");
    assert_eq!(machine.shell("root", &end).code, 0);
    assert!(daemon.wait().unwrap().success());
    until("the sampler's end", || {
        (!machine.processes().iter().any(|process| process.contains("powermetrics-stand-in --samplers")))
            .then_some(())
    });
    // Whatever else stands there is run as who wrote it.
    machine.write(&config, "[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = [\"/bin/sh\", \"-c\", \"id -ru >/tmp/who; id -u >>/tmp/who; cat /etc/shadow >>/tmp/who\"]\n");
    let run = sudo(&machine, "pause-monitor daemon");
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(machine.read("/tmp/who"), format!("{uid}\n{uid}\n"));
    machine.shell("root", "rm /tmp/who");
    sudo(&machine, "pause-monitor doctor --platform macos");
    assert!(!machine.read("/tmp/who").contains('0') || machine.read("/tmp/who").starts_with(&uid));
}

#[test]
fn under_sudo_a_link_in_the_users_directories_leads_no_further_than_the_user_could_go() {
    let Some(machine) = machine() else { return };
    let data = format!("{HOME}/.local/share/pause-monitor");
    assert_eq!(
        machine.shell("root", "echo canary >/etc/canary; mkdir -p /srv/victim/1; touch /srv/victim/1/x").code,
        0
    );
    for (place, links) in [
        ("a database", format!("mkdir -p {data}; ln -s /etc/made {data}/data.db")),
        ("a lock", format!("mkdir -p {data}; ln -s /etc/canary {data}/daemon.lock")),
        ("a directory", format!("mkdir -p {HOME}/.local; ln -s /etc {HOME}/.local/share")),
        ("evidence", format!("mkdir -p {data}; ln -s /srv/victim {data}/events")),
        ("a log", format!("mkdir -p {data}; ln -s /etc/made {HOME}/x.log")),
    ] {
        assert_eq!(machine.shell("alice", &links).code, 0, "{links}");
        for line in [
            "timeout 20 pause-monitor daemon --source simulate:calm --speed max --log-file $(echo ~alice)/x.log",
            "timeout 5 pause-monitor daemon --source powermetrics",
            "timeout 3 pause-monitor daemon --source linux",
            "pause-monitor prune --yes",
            "pause-monitor config init",
            "pause-monitor uninstall --platform macos --yes",
        ] {
            sudo(&machine, line);
        }
        let found = machine
            .shell("root", "ls /etc/made /etc/pause-monitor 2>/dev/null; cat /etc/canary; ls /srv/victim/1; find /etc -user alice")
            .stdout;
        assert_eq!(found, "canary\nx\n", "{place}");
        let line = format!("rm -rf {HOME}/.local {HOME}/.config {HOME}/x.log");
        assert_eq!(machine.shell("root", &line).code, 0);
    }
    // Nor is what alice may not read told by way of a fault in it.
    machine.write(
        &format!("{HOME}/.config/pause-monitor/config.toml"),
        "[http]\nweb_config = \"/etc/shadow\"\n",
    );
    for line in [
        "pause-monitor daemon --source linux",
        "pause-monitor config check",
        "pause-monitor analyze /etc/shadow",
    ] {
        let run = sudo(&machine, line);
        assert!(run.code != 0 && run.stderr.contains("Permission denied"), "{line}: {}", run.stderr);
    }
}

#[test]
fn what_systemd_grants_the_service_is_not_passed_on_to_hooks() {
    let Some(machine) = machine() else { return };
    machine.write(
        &format!("{HOME}/.config/pause-monitor/config.toml"),
        "[[hooks]]\nname = \"caps\"\non = [\"pause\"]\ncommand = [\"/bin/grep\", \"Cap\", \"/proc/self/status\"]\n",
    );
    let granted = "+dac_read_search,+sys_ptrace";
    let line = format!(
        "cd / && HOME={HOME} setpriv --reuid alice --regid alice --clear-groups --inh-caps {granted} --ambient-caps {granted} --no-new-privs pause-monitor hooks test caps"
    );
    let run = machine.shell("root", &line);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        let line =
            run.stdout.lines().find(|line| line.contains(set)).unwrap_or_else(|| panic!("{}", run.stdout));
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}
