//! On a Mac (a machine with stand-ins for what is Apple's): install, run, upgrade, leave.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::daemon::until;
use crate::machine::{HOME, LAUNCHD, Machine};

/// The daemon's source there: this is no Mac.
const CONFIG: &str = "[source]\nkind = \"powermetrics\"\n";
pub(crate) const INSTALL: [&str; 3] = ["install", "--platform", "macos"];
pub(crate) const PLIST: &str = "/Users/alice/Library/LaunchAgents/local.pause-monitor.plist";
/// Where the rules of a user are.
pub(crate) fn sudoers(machine: &Machine, user: &str) -> String {
    let uid = machine.shell("root", &format!("id -u {user}")).stdout;
    format!("/etc/sudoers.d/pause-monitor-{}", uid.trim())
}

pub(crate) const LOG: &str = "/Users/alice/Library/Logs/pause-monitor.log";

/// A machine with a configuration, on which alice may install.
pub(crate) fn machine() -> Option<Machine> {
    let machine = Machine::new()?;
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), CONFIG);
    machine.let_install();
    Some(machine)
}

pub(crate) fn done(machine: &Machine, arguments: &[&str]) -> String {
    let run = machine.run("alice", arguments);
    assert_eq!(run.code, 0, "{arguments:?}:\n{}{}\n{}", run.stdout, run.stderr, machine.read(LOG));
    run.stdout
}

/// What `status --json` says, once the daemon delivers complete samples.
fn status(machine: &Machine) -> Value {
    until("a daemon that delivers", || {
        let run = machine.run("alice", &["status", "--json"]);
        let status: Value = serde_json::from_str(&run.stdout).ok()?;
        (status["degraded"] == false).then_some(status)
    })
}

fn mode(machine: &Machine, path: &str) -> (u32, u32, u32) {
    let metadata = machine.path(path).symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
}

/// The ids of alice: user and group.
fn alice(machine: &Machine) -> (u32, u32) {
    let ids = machine.shell("alice", "id -u; id -g").stdout;
    let mut ids = ids.lines().map(|id| id.parse().unwrap());
    (ids.next().unwrap(), ids.next().unwrap())
}

/// How often launchd has started the program.
fn starts(machine: &Machine) -> usize {
    machine.read(&format!("{LAUNCHD}/local.pause-monitor.runs")).lines().count()
}

/// All files of alice's, root's rules and root's captures. That sudo has greeted an administrator is Debian's own note.
fn files(machine: &Machine) -> String {
    machine
        .shell(
            "root",
            "find /Users/alice /etc/sudoers.d /var/db -not -name .bash* -not -name .profile -not -name .sudo_as_admin_successful | sort; ls -d /var/db",
        )
        .stdout
}

#[test]
fn it_is_installed_watches_is_installed_once_more_and_leaves_nothing_behind() {
    let Some(machine) = Machine::new() else { return };
    machine.let_install();
    let before = files(&machine);
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), CONFIG);
    let said = done(&machine, &INSTALL);
    let rules = &sudoers(&machine, "alice");
    assert!(said.contains("\nIt watches."), "{said}");
    assert_eq!(machine.asked(), 1, "one question");
    // Who owns what, and who may do what with it.
    let (uid, gid) = alice(&machine);
    assert_eq!(mode(&machine, rules), (0, 0, 0o440));
    assert_eq!(mode(&machine, PLIST), (uid, gid, 0o644));
    let data = format!("{HOME}/.local/share/pause-monitor");
    assert_eq!(mode(&machine, &data), (uid, gid, 0o700));
    assert_eq!(mode(&machine, LOG), (uid, gid, 0o600));
    for file in ["data.db", "daemon.sock", "daemon.lock"] {
        assert_eq!(mode(&machine, &format!("{data}/{file}")), (uid, gid, 0o600), "{file}");
    }
    assert!(!machine.has("/var/db/pause-monitor"), "captures were not asked for");
    assert!(machine.read(rules).contains("alice ALL=(root) NOPASSWD: /usr/bin/powermetrics --samplers "));
    // It is the sampler as root, through the real sudo, that delivers.
    assert_eq!(status(&machine)["source"], "powermetrics");
    let processes = machine.processes();
    let sampler = "/usr/bin/sudo -n /usr/bin/powermetrics --samplers cpu_power,gpu_power,thermal,tasks,disk -f plist -i 100 -n 36000";
    assert!(processes.iter().any(|process| process == sampler), "{processes:#?}");
    // Once more: nothing is written, nobody is asked, the daemon is started anew.
    let (inode, began) = (machine.path(PLIST).metadata().unwrap().ino(), starts(&machine));
    let said = done(&machine, &INSTALL);
    assert!(said.contains(&format!("unchanged {rules}\nunchanged {PLIST}\nstarted\n")), "{said}");
    assert_eq!((machine.asked(), machine.path(PLIST).metadata().unwrap().ino()), (1, inode));
    assert_eq!(starts(&machine), began + 1);
    status(&machine);
    // Away.
    let said = done(&machine, &["uninstall", "--platform", "macos", "--yes"]);
    assert!(said.ends_with("\nDone.\n"), "{said}");
    assert_eq!(machine.asked(), 2);
    let left = files(&machine);
    // Directories that a Mac has anyway.
    let left: Vec<&str> = left
        .lines()
        .filter(|line| {
            !["Library", "Library/LaunchAgents", "Library/Logs", ".config", ".local", ".local/share"]
                .iter()
                .any(|directory| *line == format!("{HOME}/{directory}"))
        })
        .collect();
    assert_eq!(left, before.lines().collect::<Vec<_>>());
    until("the end of all processes", || {
        let processes = machine.processes();
        (!processes
            .iter()
            .any(|process| process.contains("pause-monitor ") || process.contains("powermetrics")))
        .then_some(())
    });
    // A second time there is nothing to do, and nobody is asked.
    assert_eq!(done(&machine, &["uninstall", "--platform", "macos"]), "Nothing was here for alice.\n");
    assert_eq!(machine.asked(), 2);
}

#[test]
fn sudo_asks_once_on_the_terminal_and_a_wrong_password_changes_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), CONFIG);
    let question = "pause-monitor: password of alice, to write its file in /etc/sudoers.d:";
    let (said, code) = machine.typed("alice", &INSTALL, &[(question, "secret")]);
    assert_eq!(code, 0, "{said}");
    let shown = said.find("alice ALL=(root) NOPASSWD: /usr/bin/powermetrics --samplers").unwrap();
    assert!(shown < said.find(question).unwrap(), "shown before it is asked for:\n{said}");
    assert_eq!(said.matches("password of alice").count(), 1, "{said}");
    assert_eq!(mode(&machine, &sudoers(&machine, "alice")), (0, 0, 0o440));
    // Somebody who is no administrator is told so by sudo, and has nothing changed.
    machine.write("/Users/bob/.config/pause-monitor/config.toml", CONFIG);
    let run = machine.run("bob", &INSTALL);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stderr.contains("the rules for sudo were not written"), "{}", run.stderr);
    assert!(!machine.has("/Users/bob/Library/LaunchAgents"), "{}", run.stdout);
    assert!(!machine.has(&sudoers(&machine, "bob")));
    // Where he is one, he has rules of his own, and hers stay.
    machine.write("/etc/sudoers.d/let-bob", "bob ALL=(root) NOPASSWD: /bin/sh\n");
    assert_eq!(machine.shell("root", "chmod 440 /etc/sudoers.d/let-bob").code, 0);
    machine.write("/Users/bob/.config/pause-monitor/config.toml", &format!("{CONFIG}[http]\nlisten = []\n"));
    let run = machine.run("bob", &INSTALL);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    for user in ["alice", "bob"] {
        assert!(machine.read(&sudoers(&machine, user)).contains(&format!("\n{user} ALL=(root)")), "{user}");
    }
    assert_eq!(machine.run("bob", &["uninstall", "--platform", "macos", "--yes"]).code, 0);
    assert!(machine.has(&sudoers(&machine, "alice")) && !machine.has(&sudoers(&machine, "bob")));
}

#[test]
fn an_upgrade_changes_what_has_changed_and_keeps_the_data() {
    let Some(machine) = machine() else { return };
    done(&machine, &[&INSTALL[..], &["--forensics"]].concat());
    status(&machine);
    let rules_file = &sudoers(&machine, "alice");
    assert_eq!(mode(&machine, "/var/db/pause-monitor"), (0, 0, 0o700));
    assert!(
        machine
            .read(rules_file)
            .contains("/usr/bin/tailspin save -l 20 -n /var/db/pause-monitor/pause.tailspin\n")
    );
    // The same number of letters, and alice is an administrator: that sudo would run it with a password is not enough.
    let config = format!("{HOME}/.config/pause-monitor/config.toml");
    machine.write(&config, &format!("{CONFIG}[powermetrics]\ninterval = \"200ms\"\n"));
    done(&machine, &INSTALL);
    let rules = machine.read(rules_file);
    assert!(rules.contains(" -i 200 -n 36000\n"), "{rules}");
    assert!(rules.contains("tailspin"), "what was permitted stays so: {rules}");
    // Another interval, no captures any more, another place of the program.
    machine.write(&config, &format!("{CONFIG}[powermetrics]\ninterval = \"500ms\"\n"));
    assert_eq!(machine.shell("root", "ln -s /opt/homebrew/bin/pause-monitor /usr/local/bin/pm").code, 0);
    let run = machine.shell("alice", "/usr/local/bin/pm install --platform macos --no-forensics");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(&format!("replaced {PLIST}")), "{}", run.stdout);
    assert!(machine.read(PLIST).contains("<string>/usr/local/bin/pm</string>"), "the path that lasts");
    let rules = machine.read(rules_file);
    assert!(rules.contains(" -i 500 -n 36000\n") && !rules.contains("tailspin"), "{rules}");
    assert!(!machine.has("/var/db/pause-monitor"));
    status(&machine);
    until("the new interval", || {
        machine
            .processes()
            .iter()
            .any(|process| process.contains("powermetrics") && process.contains("-i 500"))
            .then_some(())
    });
    // --keep-data keeps it, and the configuration.
    done(&machine, &["uninstall", "--platform", "macos", "--keep-data"]);
    assert!(machine.has(&format!("{HOME}/.local/share/pause-monitor/data.db")));
    assert!(machine.has(&format!("{HOME}/.config/pause-monitor/config.toml")));
    for gone in [PLIST, rules_file, LOG] {
        assert!(!machine.has(gone), "{gone}");
    }
}

#[test]
fn what_another_start_would_not_mend_is_told_once_and_a_crash_is_restarted() {
    let Some(machine) = machine() else { return };
    done(&machine, &INSTALL);
    status(&machine);
    // A crash.
    let pid = machine.read(&format!("{HOME}/.local/share/pause-monitor/daemon.lock"));
    let began = starts(&machine);
    assert_eq!(machine.shell("alice", &format!("kill -ABRT {pid}")).code, 0);
    until("another start", || (starts(&machine) > began).then_some(()));
    status(&machine);
    // The permission goes: degraded, and it lives on.
    assert_eq!(machine.shell("root", &format!("rm {}", sudoers(&machine, "alice"))).code, 0);
    let began = starts(&machine);
    let pid = machine.read(&format!("{HOME}/.local/share/pause-monitor/daemon.lock"));
    assert_eq!(machine.shell("alice", &format!("kill -KILL {pid}")).code, 0);
    until("degraded samples", || {
        let run = machine.run("alice", &["status", "--json"]);
        let status: Value = serde_json::from_str(&run.stdout).ok()?;
        (status["degraded"] == true).then_some(())
    });
    assert_eq!(starts(&machine), began + 1);
    assert!(machine.read(LOG).contains("`pause-monitor install` permits it"), "{}", machine.read(LOG));
    // A configuration that is wrong: told in the log, and not started again and again.
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), "[pause]\nmin_durations = 1\n");
    let pid = machine.read(&format!("{HOME}/.local/share/pause-monitor/daemon.lock"));
    assert_eq!(machine.shell("alice", &format!("kill -KILL {pid}")).code, 0);
    until("the refusal in the log", || machine.read(LOG).contains("min_durations").then_some(()));
    until("its end", || machine.read(LOG).contains("another start would not mend it").then_some(()));
    until("no daemon", || {
        (!machine.processes().iter().any(|process| process.contains("daemon --allow-degraded"))).then_some(())
    });
    assert_eq!(starts(&machine), began + 2);
}

#[test]
fn a_daemon_of_the_users_own_is_not_pushed_aside_and_one_that_comes_second_ends_well() {
    let Some(machine) = machine() else { return };
    let mut daemon =
        machine.command("alice", &["pause-monitor", "daemon", "--source", "simulate:calm"]).spawn().unwrap();
    let socket = format!("{HOME}/.local/share/pause-monitor/daemon.sock");
    until("its socket", || machine.has(&socket).then_some(()));
    let run = machine.run("alice", &INSTALL);
    assert_eq!(run.code, 5, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("a daemon that is not this service runs on"), "{}", run.stderr);
    assert!(!machine.has(&sudoers(&machine, "alice")) && !machine.has(PLIST), "nothing was begun");
    // Started all the same (at a login, say) it says why it ends, with a code that launchd takes for done.
    let run = machine.run("alice", &["daemon", "--under-launchd", "--log-file", LOG]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(machine.read(LOG).contains("is already running on"), "{}", machine.read(LOG));
    // Nor is it taken for the service, whose job launchd still has.
    let end = format!("kill $(cat {HOME}/.local/share/pause-monitor/daemon.lock)");
    assert_eq!(machine.shell("alice", &end).code, 0);
    daemon.wait().unwrap();
    done(&machine, &INSTALL);
    status(&machine);
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), "[pause]\nmin_durations = 1\n");
    let pid = machine.read(&format!("{HOME}/.local/share/pause-monitor/daemon.lock"));
    assert_eq!(machine.shell("alice", &format!("kill -KILL {pid}")).code, 0);
    until("a job whose program has ended", || machine.has(&format!("{LAUNCHD}/exit")).then_some(()));
    let said = machine.run("alice", &["doctor", "--platform", "macos"]).stdout;
    let line = said.lines().find(|line| line.contains(" service ")).unwrap();
    assert!(line.starts_with("failed ") && line.contains("not running, last exit code 0"), "{line}");
    machine.write(&format!("{HOME}/.config/pause-monitor/config.toml"), CONFIG);
    let mut daemon =
        machine.command("alice", &["pause-monitor", "daemon", "--source", "simulate:calm"]).spawn().unwrap();
    until("its socket", || machine.run("alice", &["status"]).code.eq(&0).then_some(()));
    for arguments in [&INSTALL[..], &["uninstall", "--platform", "macos", "--yes"]] {
        let run = machine.run("alice", arguments);
        assert_eq!(run.code, 5, "{}{}", run.stdout, run.stderr);
    }
    assert!(machine.has(&sudoers(&machine, "alice")) && machine.has(PLIST), "nothing was taken away");
    assert_eq!(machine.shell("alice", &end).code, 0);
    daemon.wait().unwrap();
}

#[test]
fn a_job_that_takes_its_time_and_one_that_is_disabled_are_started_all_the_same() {
    let Some(machine) = machine() else { return };
    for (trouble, words) in [("bootout-36", "started"), ("disabled", "started")] {
        machine.write(&format!("{LAUNCHD}/{trouble}"), "");
        assert_eq!(machine.shell("root", &format!("chown alice {LAUNCHD}/{trouble}")).code, 0);
        for _ in 0..2 {
            assert!(done(&machine, &INSTALL).contains(words), "{trouble}");
        }
        status(&machine);
    }
    let calls = machine.read(&format!("{LAUNCHD}/calls"));
    assert_eq!(calls.matches("\nenable ").count(), 1, "once, where it was needed:\n{calls}");
}

#[test]
fn an_address_that_is_taken_is_asked_for_again_and_the_log_is_closed_to_others() {
    let Some(machine) = machine() else { return };
    assert_eq!(
        machine.shell("alice", &format!("mkdir -p {HOME}/Library/Logs; touch {LOG}; chmod 644 {LOG}")).code,
        0
    );
    // Another program has the port; then it has not.
    let line = "import os, socket, time
with socket.create_server((\"127.0.0.1\", 9847)):
    open(\"/tmp/listens\", \"w\")
    while not os.path.exists(\"/tmp/enough\"): time.sleep(0.05)";
    let mut other = machine.command("bob", &["python3", "-c", line]).spawn().unwrap();
    until("the port", || machine.has("/tmp/listens").then_some(()));
    done(&machine, &INSTALL);
    status(&machine);
    assert!(machine.read(LOG).contains("127.0.0.1:9847 is in use"), "{}", machine.read(LOG));
    let checks = machine.run("alice", &["doctor", "--platform", "macos"]).stdout;
    assert!(checks.contains("something else is at 127.0.0.1:9847"), "{checks}");
    assert_eq!(machine.shell("root", "touch /tmp/enough").code, 0);
    other.wait().unwrap();
    until("metrics, half a minute later", || {
        machine.read(LOG).contains("metrics are served at").then_some(())
    });
    assert_eq!(starts(&machine), 1, "it watched all the while");
    assert_eq!(mode(&machine, LOG).2, 0o600);
}

#[test]
fn data_that_the_service_has_elsewhere_is_used_and_taken_away_there() {
    let Some(machine) = machine() else { return };
    let data = format!("{HOME}/my data");
    done(&machine, &[&INSTALL[..], &["--data-dir", &data]].concat());
    assert!(machine.has(&format!("{data}/daemon.sock")));
    done(&machine, &INSTALL);
    assert!(machine.read(PLIST).contains("my data"), "{}", machine.read(PLIST));
    let checks = machine.run("alice", &["doctor", "--platform", "macos"]).stdout;
    assert!(checks.contains(&format!("{data}: ")), "{checks}");
    done(&machine, &["uninstall", "--platform", "macos", "--yes"]);
    assert!(!machine.has(&data));
}

#[test]
fn without_a_session_at_the_screen_it_waits_for_the_next_login() {
    let Some(machine) = machine() else { return };
    machine.write(&format!("{LAUNCHD}/no-session"), "");
    let said = done(&machine, &INSTALL);
    assert!(said.contains("it starts at your next login there"), "{said}");
    let rules = &sudoers(&machine, "alice");
    assert!(machine.has(PLIST) && machine.has(rules));
    done(&machine, &["uninstall", "--platform", "macos", "--yes"]);
    assert!(!machine.has(PLIST) && !machine.has(rules));
}

#[test]
fn under_sudo_it_is_the_users_service_and_root_alone_is_refused() {
    let Some(machine) = machine() else { return };
    let (uid, gid) = alice(&machine);
    let run = machine.shell(
        "root",
        &format!("SUDO_UID={uid} SUDO_GID={gid} SUDO_USER=alice pause-monitor install --platform macos"),
    );
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let rules = sudoers(&machine, "alice");
    assert_eq!((mode(&machine, PLIST), mode(&machine, &rules)), ((uid, gid, 0o644), (0, 0, 0o440)));
    assert_eq!(machine.asked(), 1, "as hers, by sudo once more: it has just been told the password");
    let run = machine.run("root", &INSTALL);
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(run.stderr.contains("run this as the user whose Mac it is"), "{}", run.stderr);
}

#[test]
fn what_others_put_into_the_data_directory_stays() {
    let Some(machine) = machine() else { return };
    done(&machine, &INSTALL);
    let data = format!("{HOME}/.local/share/pause-monitor");
    machine.write(&format!("{data}/events/12/ring.jsonl"), "{}");
    machine.write(&format!("{data}/events/mine/note"), "mine");
    machine.write(&format!("{data}/note"), "mine");
    let said = done(&machine, &["uninstall", "--platform", "macos", "--yes"]);
    assert!(said.contains(&format!("left {data}: ")), "{said}");
    let left = machine.shell("root", &format!("cd {data} && find . -type f | sort")).stdout;
    assert_eq!(left, "./events/mine/note\n./note\n");
}

#[test]
fn without_an_answer_nothing_is_deleted() {
    let Some(machine) = machine() else { return };
    done(&machine, &INSTALL);
    let run = machine.run("alice", &["uninstall", "--platform", "macos"]);
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(run.stderr.contains("pass --yes, or --keep-data"), "{}", run.stderr);
    let (said, code) = machine.typed("alice", &["uninstall", "--platform", "macos"], &[("[y/N]", "n")]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Nothing was changed"), "{said}");
    status(&machine);
}
