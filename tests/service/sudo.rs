//! sudo's rules, held against the real sudo and the real visudo.

use std::path::Path;
use std::process::Command;

use crate::daemon::until;
use crate::install::{INSTALL, done, machine, sudoers};
use crate::machine::Machine;
use crate::peer::peer;

/// The command that is permitted.
const EXACT: &str =
    "/usr/bin/powermetrics --samplers cpu_power,gpu_power,thermal,tasks,disk -f plist -i 100 -n 36000";

/// A machine on which bob, who may nothing else, has the rules that alice got.
fn permitted() -> Option<Machine> {
    let machine = machine()?;
    done(&machine, &[&INSTALL[..], &["--forensics"]].concat());
    done(&machine, &["uninstall", "--platform", "macos", "--keep-data", "--dry-run"]);
    let line = format!(
        "sed s/^alice/bob/ {} >/etc/sudoers.d/bob && chmod 440 /etc/sudoers.d/bob",
        sudoers(&machine, "alice")
    );
    assert_eq!(machine.shell("root", &line).code, 0);
    Some(machine)
}

#[test]
fn the_shipped_template_passes_visudo() {
    let Some(visudo) = peer(&["visudo"], "sudo") else { return };
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sudoers/pause-monitor");
    let output = Command::new(visudo).arg("-cf").arg(template).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn exactly_the_command_is_permitted_and_every_variation_refused() {
    let Some(machine) = permitted() else { return };
    let run = machine.shell("bob", &format!("sudo -n {EXACT} | head -c 200"));
    assert!(run.stdout.starts_with("<?xml"), "{}{}", run.stdout, run.stderr);
    let starts = || machine.read("/var/lib/sampler/starts").lines().count();
    until("the end of the sampler", || {
        (!machine
            .processes()
            .iter()
            .any(|process| process.contains("powermetrics-stand-in") && process.contains("bob")))
        .then_some(())
    });
    for other in [
        EXACT.replace("-i 100", "-i 50"),
        EXACT.replace("-n 36000", "-n 1"),
        EXACT.replace("-f plist -i 100", "-i 100 -f plist"),
        EXACT.replace("-f plist", "-f text"),
        EXACT.replace("cpu_power,gpu_power", "gpu_power,cpu_power"),
        EXACT.replace(",disk", ""),
        EXACT.replace(",disk", r"'\,disk'"),
        EXACT.replace(" -n 36000", ""),
        EXACT.replace("/usr/bin/powermetrics", "/tmp/powermetrics"),
        format!("{EXACT} -o /etc/passwd"),
        format!("{EXACT} -u /etc/passwd"),
        format!("{EXACT} --output-file /etc/passwd"),
        format!("{EXACT} ''"),
        format!("-u bob {EXACT}"),
        format!("PATH=/tmp {EXACT}"),
        format!("-E {EXACT}"),
        "/usr/bin/powermetrics".to_owned(),
        "/bin/sh -c id".to_owned(),
        "/usr/bin/id".to_owned(),
        "/usr/bin/tailspin save -l 20 -n /etc/passwd".to_owned(),
        "/usr/bin/tailspin save -n -l 20 /var/db/pause-monitor/pause.tailspin".to_owned(),
        "/usr/bin/tailspin save -l 20 -n /var/db/pause-monitor/../pause.tailspin".to_owned(),
        "/usr/bin/tailspin enable".to_owned(),
    ] {
        let before = starts();
        let run = machine.shell("bob", &format!("timeout 20 sudo -n {other} </dev/null"));
        assert!(run.code != 0 && run.stdout.is_empty(), "{other}: {}{}", run.stdout, run.stderr);
        assert!(
            ["password is required", "not allowed", "may not run"].iter().any(|why| run.stderr.contains(why)),
            "{other}: refused by sudo, not by what it ran: {}",
            run.stderr
        );
        assert_eq!(starts(), before, "{other}: it was started");
    }
}

#[test]
fn the_capture_is_written_and_removed_as_root_and_nothing_can_be_put_in_its_place() {
    let Some(machine) = permitted() else { return };
    let file = "/var/db/pause-monitor/pause.tailspin";
    let save = format!("sudo -n /usr/bin/tailspin save -l 20 -n {file} && sudo -n /bin/cat {file}");
    let run = machine.shell("bob", &save);
    assert_eq!((run.code, run.stdout.as_str()), (0, "what the kernel traced\n"), "{}", run.stderr);
    // The directory is root's: nobody can have root write, or remove, somewhere else.
    for trick in [
        format!("cat {file}"),
        "ls /var/db/pause-monitor".to_owned(),
        format!("sudo -n /bin/cat {file} /etc/shadow"),
        format!("rm -f {file}"),
        format!("mv {file} {file}.old"),
        format!("ln -sf /etc/passwd {file}"),
        "ln -s /etc /var/db/pause-monitor/etc".to_owned(),
        "mv /var/db/pause-monitor /tmp/mine".to_owned(),
        format!("sudo -n /bin/rm -rf {file}"),
        format!("sudo -n /bin/rm -f {file} /etc/passwd"),
        "sudo -n /bin/rm -f /etc/passwd".to_owned(),
    ] {
        assert_ne!(machine.shell("bob", &trick).code, 0, "{trick}");
    }
    assert_eq!(machine.shell("bob", &format!("sudo -n /bin/rm -f {file}")).code, 0);
    assert!(!machine.has(file));
    // What stands in its place before is not taken for root's.
    for place in
        ["ln -s /etc /var/db/pause-monitor", "mkdir /var/db/pause-monitor; chown bob /var/db/pause-monitor"]
    {
        let line = format!("rm -rf /var/db/pause-monitor; {place}");
        assert_eq!(machine.shell("root", &line).code, 0);
        let run = machine.run("alice", &[&INSTALL[..], &["--forensics"]].concat());
        assert_eq!(run.code, 1, "{place}: {}", run.stdout);
        assert!(run.stderr.contains("is not root's: remove it first"), "{place}: {}", run.stderr);
    }
}

#[test]
fn what_visudo_refuses_never_goes_in() {
    let Some(machine) = machine() else { return };
    done(&machine, &INSTALL);
    let rules = &sudoers(&machine, "alice");
    let before = machine.read(rules);
    // Root's part, given rules that are none: as if what was checked before had been changed since.
    let dry = machine.run("alice", &[&INSTALL[..], &["--dry-run", "--forensics"]].concat()).stdout;
    let (_, script) = dry.split_once("-- /bin/sh -c '").unwrap();
    let (script, _) = script.split_once("' pause-monitor '").unwrap();
    let script = script.replace(r"'\''", "'");
    machine.write("/root-part", &script);
    let run = machine.shell(
        "root",
        &format!("/bin/sh /root-part 'alice ALL=(ALL' none {}", rules.rsplit('-').next().unwrap()),
    );
    assert_ne!(run.code, 0, "{}", run.stdout);
    assert_eq!(machine.read(rules), before);
    assert!(!machine.has(&format!("{rules}.new")), "the draft is gone");
}
