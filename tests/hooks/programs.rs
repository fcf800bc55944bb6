//! Hooks that are programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::daemon::{signal, until};
use crate::executable::install;
use crate::program::Program;
use crate::tried::{Bench, outcome, output};

fn script(text: &str) -> String {
    format!("command = [\"sh\", \"-c\", '''{text}''']")
}

#[test]
fn a_program_gets_the_payload_the_variables_and_nothing_else() {
    let program = Program::new().env("LANG", "de_DE.UTF-8").env("SECRET", "hush");
    let bench = Bench::of(program, "");
    let place = bench.path("").display().to_string();
    bench.configure(&script(&format!(
        "cat > {place}/in; env | sort > {place}/env; pwd > {place}/pwd; echo said; \
         echo complained >&2"
    )));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("ok", "exit code 0"), "{value}");
    assert_eq!(output(&value), ["said", "complained"]);
    assert_eq!(fs::read_to_string(bench.path("pwd")).unwrap(), "/\n");

    let payload: Value = serde_json::from_slice(&fs::read(bench.path("in")).unwrap()).unwrap();
    let environment = fs::read_to_string(bench.path("env")).unwrap();
    let variable = |name: &str| {
        let line = environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name}: {environment}")).to_owned()
    };
    assert_eq!(payload["version"], 1);
    assert_eq!((&payload["event"], &payload["status"]), (&"pause".into(), &"event".into()));
    for (name, expected) in [
        ("EVENT", "pause"),
        ("ID", "8"),
        ("STATUS", "event"),
        ("DURATION_S", "1.52"),
        ("VERDICT", "pause"),
        ("TIER", "critical"),
        ("STRESS", "54"),
        ("CULPRIT", "mds_stores"),
        ("SUMMARY", payload["summary"].as_str().unwrap()),
        ("INCIDENT", payload["incident"].as_str().unwrap()),
        ("HOST", payload["host"].as_str().unwrap()),
    ] {
        assert_eq!(variable(&format!("PAUSE_MONITOR_{name}")), expected, "{name}");
    }
    assert_eq!(variable("HOME"), bench.path("").to_str().unwrap().trim_end_matches('/'));
    // Not the caller's: a service has none.
    assert_eq!(variable("LANG"), if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" });
    assert_eq!(variable("PATH"), "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let ours = ["HOME", "LANG", "PATH", "USER", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        assert!(name.starts_with("PAUSE_MONITOR_") || ours.contains(&name), "{line}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_has_a_session_of_its_own_and_no_descriptor_of_ours() {
    // A shell blocks signals while it forks: its child shows what was inherited.
    let value = Bench::new(&script(
        "ls /proc/self/fd | wc -l; ps -o pid=,pgid=,sid= -p $$; grep SigBlk /proc/self/status",
    ));
    let value = value.json(&[]);
    let lines = output(&value);
    // Three, and that of the directory which is listed.
    assert_eq!(lines[0].trim(), "4", "{lines:?}");
    let ids: Vec<&str> = lines[1].split_whitespace().collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    assert!(lines[2].ends_with("0000000000000000"), "no signal is blocked: {lines:?}");
}

#[test]
fn what_is_not_known_is_an_empty_variable_and_a_state_can_end() {
    let bench = Bench::new(&script("env | grep -c =$; echo $PAUSE_MONITOR_STATUS $PAUSE_MONITOR_DURATION_S"));
    let value = bench.json(&["--event", "source_down"]);
    // ID, DURATION_S, VERDICT, TIER, STRESS, CULPRIT.
    assert_eq!(output(&value), ["6", "firing"]);
    let value = bench.json(&["--event", "critical", "--resolved"]);
    assert_eq!(output(&value)[1], "resolved 12.5");
    let run = bench.run(&["--resolved"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("pause has no end"), "{}", run.stderr);
}

#[test]
fn a_program_that_fails_says_how_and_its_last_words_are_kept() {
    let value = Bench::new(&script("printf 'no \\033[31mroom\\n' >&2; exit 3")).json(&[]);
    assert_eq!(outcome(&value), ("failed", "exit code 3"));
    assert_eq!(output(&value), ["no \u{fffd}[31mroom"]);
    let value = Bench::new(&script("kill -9 $$")).json(&[]);
    assert_eq!(outcome(&value), ("failed", "ended by signal 9"));
    let run = Bench::new(&script("echo why; exit 1")).run(&[]);
    assert_eq!(run.code, 1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("h: failed after ") && lines[0].ends_with(" s: exit code 1"), "{lines:?}");
    assert_eq!(lines[1], "  why");
}

#[test]
fn what_can_not_be_run_is_told_in_a_line_that_says_what_to_do() {
    let bench = Bench::new("");
    let file = bench.path("file");
    let name = file.to_str().unwrap();
    let tried = |program: &str| {
        bench.configure(&format!("command = [{program:?}]"));
        let value = bench.json(&[]);
        assert_eq!(value["outcome"], "failed", "{value}");
        value["detail"].as_str().unwrap().to_owned()
    };
    assert!(tried("no-such-program").starts_with("there is no no-such-program in /opt/homebrew/bin:"));
    assert_eq!(tried(name), format!("{name} does not exist"));
    let text = bench.path("text");
    fs::write(&text, "#!/nowhere/sh\n").unwrap();
    fs::copy(&text, &file).unwrap();
    assert_eq!(tried(name), format!("{name} is not executable: chmod +x {name}"));
    install(&text, &file);
    // Root refuses it before the system is asked.
    bench.configure(&format!("command = [{name:?}]"));
    let value = bench.json(&[]);
    let (_, why) = outcome(&value);
    assert!(why.contains("No such file or directory"), "its interpreter is not there: {why}");
    let home = bench.path("");
    let home = home.to_str().unwrap();
    assert_eq!(tried(home), format!("{home} is a directory: name the program in it"));
}

#[test]
fn a_program_that_hangs_is_killed_at_its_time_limit_with_all_that_it_started() {
    let bench = Bench::new("");
    let pids = bench.path("pids");
    bench.configure(&format!(
        "timeout = \"5s\"\n{}",
        script(&format!(
            "trap '' TERM HUP; sleep 300 & echo $$ $! > {}; echo begun; sleep 300",
            pids.display()
        ))
    ));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("timeout", "killed after 5s"));
    assert_eq!(output(&value), ["begun"]);
    assert!(value["duration_s"].as_f64().unwrap() >= 5.0);
    let text = fs::read_to_string(pids).unwrap();
    for pid in text.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()) {
        until("its end", || (!is_alive(pid)).then_some(()));
    }
}

/// Whether a process runs; one that only waits to be reaped does not.
fn is_alive(pid: i32) -> bool {
    let state =
        std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

#[test]
fn a_program_that_leaves_a_child_with_its_output_behind_is_waited_for_until_its_time_limit() {
    let bench = Bench::new("");
    let pid = bench.path("pid");
    let left = format!("sleep 300 & echo $! > {}; echo done", pid.display());
    bench.configure(&format!("timeout = \"5s\"\n{}", script(&left)));
    let value = bench.json(&[]);
    assert_eq!(
        outcome(&value),
        ("ok", "exit code 0; what it left running with its output open was killed"),
        "it did end, and well"
    );
    assert_eq!(output(&value), ["done"]);
    let read = || fs::read_to_string(&pid).unwrap().trim().parse::<i32>().unwrap();
    until("the end of its child", || (!is_alive(read())).then_some(()));

    // One that has nothing of ours open is its own affair.
    let left = format!("sleep 300 < /dev/null > /dev/null 2>&1 & echo $! > {}", pid.display());
    bench.configure(&format!("timeout = \"1m\"\n{}", script(&left)));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("ok", "exit code 0"));
    assert!(is_alive(read()));
    signal(read(), libc::SIGKILL);
}

#[test]
fn megabytes_are_drained_and_without_end_they_are_cut_off() {
    let bench =
        Bench::new(&script("head -c 5000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; echo last"));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("ok", "exit code 0"));
    let lines = output(&value);
    assert!(lines[0].starts_with("(the last lines of 4.8 MiB"), "{lines:?}");
    assert_eq!((*lines.last().unwrap(), lines.len()), ("last", 21));

    bench.configure("timeout = \"1m\"\ncommand = [\"yes\"]");
    let value = bench.json(&[]);
    assert_eq!(
        outcome(&value),
        ("failed", "ended by signal 13; it printed so much that its output was closed")
    );
}

#[test]
fn a_program_that_reads_nothing_is_no_worse_for_it() {
    let bench = Bench::new("command = [\"true\"]");
    assert_eq!(outcome(&bench.json(&[])), ("ok", "exit code 0"));
    bench.configure(&script("exec <&-; exit 0"));
    assert_eq!(outcome(&bench.json(&[])), ("ok", "exit code 0"));
}

#[test]
fn root_runs_nothing_that_others_can_change() {
    // SAFETY: geteuid has no preconditions and can't fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("passed over: this is for root");
        return;
    }
    let bench = Bench::new("");
    let directory = bench.path("d");
    let file = directory.join("hook");
    fs::create_dir(&directory).unwrap();
    fs::write(&file, "#!/bin/sh\necho run\n").unwrap();
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    bench.configure(&format!("command = [{:?}]", file.to_str().unwrap()));
    let config = bench.path("config.toml");
    mode(&config, 0o600);
    let refused = |why: &str| {
        let value = bench.json(&[]);
        let (found, detail) = outcome(&value);
        assert!(found == "refused" && detail.contains(why) && output(&value).is_empty(), "{value}");
    };

    mode(&file, 0o755);
    assert_eq!(output(&bench.json(&[])), ["run"]);
    mode(&file, 0o775);
    refused("d/hook can be written by others (mode 775): make it root's, writable by nobody else");
    mode(&file, 0o755);
    mode(&directory, 0o777);
    refused("/d can be written by others (mode 777)");
    mode(&directory, 0o755);
    std::os::unix::fs::chown(&file, Some(4_321), Some(4_321)).unwrap();
    refused("d/hook belongs to user 4321");
    std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
    mode(&config, 0o666);
    refused("config.toml can be written by others");
}

#[test]
fn under_sudo_the_program_is_run_as_who_called_it() {
    // SAFETY: geteuid has no preconditions and can't fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("passed over: this is for root");
        return;
    }
    let program = Program::new().env("SUDO_UID", "4321").env("SUDO_GID", "4322");
    let value = Bench::of(program, &script("id -u; id -G; cat /etc/shadow")).json(&[]);
    let lines = output(&value);
    assert_eq!((value["outcome"].as_str().unwrap(), &lines[..2]), ("failed", &["4321", "4322"][..]));
    assert!(lines[2].ends_with("Permission denied"), "{lines:?}");
}
