//! What all commands owe to whoever reads their output: help with units, closed pipes, no colour but on a terminal.

use std::process::Stdio;

use crate::program::Program;
use crate::recorded::Recorded;

/// Commands that print something of a data directory, or of the recording `RECORDING`.
const PRINTING: [&str; 12] = [
    "events",
    "events list",
    "events --json",
    "events show 2",
    "events show 2 --json",
    "history",
    "history --json",
    "history --csv",
    "analyze RECORDING",
    "analyze RECORDING --json",
    "prune --dry-run",
    "config show",
];

fn words<'a>(line: &'a str, recorded: &'a Recorded) -> Vec<&'a str> {
    let recording = recorded.recording.to_str().unwrap();
    line.split(' ').map(|word| if word == "RECORDING" { recording } else { word }).collect()
}

#[test]
fn a_reader_that_wants_no_more_ends_every_command_quietly() {
    let recorded = Recorded::new();
    for line in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = recorded
            .program
            .command(&words(line, &recorded))
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
}

#[test]
fn where_output_is_no_terminal_there_is_no_colour() {
    let recorded = Recorded::new();
    for line in PRINTING {
        for (name, value) in [("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")] {
            let mut command = recorded.program.command(&words(line, &recorded));
            let output = command.env(name, value).output().unwrap();
            assert!(output.status.success(), "{line}");
            for stream in [output.stdout, output.stderr] {
                assert!(!stream.contains(&b'\x1b'), "{line}: {}", String::from_utf8_lossy(&stream));
            }
        }
    }
}

#[test]
fn every_command_has_help_that_names_the_units() {
    let program = Program::new();
    for (command, units) in [
        ("daemon", &["every 30 s", "factor, or max"][..]),
        ("status", &["last day", "Exit code 4"]),
        ("events", &["500ms, 2s, 1m30s", "2h, 3d (ago)", "local time", "UTC"]),
        ("events list", &["500ms, 2s, 1m30s", "2h, 3d (ago)"]),
        ("events show", &["within 60 s"]),
        ("events mark", &["retention.events_days"]),
        ("history", &["hour by hour", "day by day", "UTC"]),
        ("stream", &["last 30 seconds", "so many lines"]),
        ("analyze", &["powermetrics -f plist", "- is standard input"]),
        ("simulate", &["Milliseconds between documents, 10 to 60000", "2026-11-22T09:10:11Z"]),
        ("prune", &["once a day"]),
        ("config", &["show", "init"]),
        ("config show", &["--json"]),
        ("config path", &["--json"]),
        ("config check", &["exit code 2"]),
        ("config init", &["range and default"]),
        ("completions", &["zsh"]),
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let run = program.run(&arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command}");
        let flat = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for unit in units {
            assert!(flat.contains(unit), "{command}: {unit} is missing:\n{}", run.stdout);
        }
        for option in ["--config <FILE>", "--data-dir <DIR>"] {
            assert!(flat.contains(option), "{command}: {option} is missing");
        }
    }
}
