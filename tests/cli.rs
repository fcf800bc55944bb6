//! The command line's frame from outside: help, exit codes, closed pipes, completions.

#[path = "support/program.rs"]
mod program;

use std::process::Stdio;

use program::Program;

#[test]
fn wrong_usage_is_told_in_one_line_with_what_is_meant() {
    for (arguments, told) in [
        (
            ["evnts", "--help=no"].as_slice(),
            "unrecognized subcommand 'evnts'; tip: a similar subcommand exists: 'events'",
        ),
        (
            &["events", "--since", "xx"],
            "invalid value 'xx' for '--since <TIME>': not a time: write 2h or 3d (ago)",
        ),
        (&["events", "show"], "the following required arguments were not provided: <ID>"),
    ] {
        let run = Program::new().run(arguments);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (2, "", 1), "{}", run.stderr);
        assert!(run.stderr.starts_with(&format!("pause-monitor: {told}")), "{}", run.stderr);
    }
}

#[test]
fn help_and_version_go_to_standard_output_and_are_done() {
    let program = Program::new();
    let help = program.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for taught in ["Usage: pause-monitor", "Examples:", "Exit codes:", "PAUSE_MONITOR_DATA_DIR", "config"] {
        assert!(help.stdout.contains(taught), "{taught} is missing:\n{}", help.stdout);
    }
    assert!(!help.stdout.contains('\u{1b}'), "no colour where output is no terminal");
    let version = program.run(&["--version"]);
    assert_eq!(
        (version.stdout.as_str(), version.code),
        (concat!("pause-monitor ", env!("CARGO_PKG_VERSION"), "\n"), 0)
    );
}

#[test]
fn wrong_usage_is_exit_code_two_and_told_on_standard_error() {
    let program = Program::new();
    for arguments in [&[][..], &["no-such-command"], &["config", "show", "--no-such-option"], &["--config"]] {
        let run = program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains("--help"), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn a_source_that_is_none_is_wrong_usage_that_names_those_there_are() {
    let run = Program::new().run(&["config", "show", "--source", "top"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("is none of powermetrics, linux, replay:FILE, simulate:SCENARIO"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_user_id_that_is_none_is_one_clear_line() {
    use std::os::unix::fs::MetadataExt;
    let program = Program::new().env("SUDO_UID", "ann");
    let run = program.run(&["config", "path"]);
    if program.home().metadata().unwrap().uid() == 0 {
        let expected =
            "pause-monitor: SUDO_UID is \"ann\", which is no user id: unset it, or run this through sudo\n";
        assert_eq!((run.stderr.as_str(), run.code), (expected, 2));
    } else {
        assert_eq!(run.code, 0, "an ordinary user's SUDO_UID means nothing: {}", run.stderr);
    }
}

#[test]
fn a_pipe_that_its_reader_closed_ends_quietly() {
    let program = Program::new();
    for arguments in
        [&["config", "show"][..], &["config", "show", "--json"], &["completions", "bash"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = program.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_a_failure_and_told() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let program = Program::new();
    let output = program.command(&["config", "show"]).stdout(full).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("pause-monitor: can't write to standard output: "), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let program = Program::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = program.run(&["completions", shell]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        for word in ["pause-monitor", "completions", "data-dir", "init"] {
            assert!(run.stdout.contains(word), "{word} is missing for {shell}");
        }
    }
    assert_eq!(program.run(&["completions", "tcsh"]).code, 2);
}
