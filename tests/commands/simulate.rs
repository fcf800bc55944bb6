//! `simulate`: a powermetrics that needs no Mac.

use std::io::Read;
use std::process::Stdio;

use crate::program::Program;

fn bytes(program: &Program, arguments: &str) -> Vec<u8> {
    let words: Vec<&str> =
        ["simulate", "--no-wait", "--tasks", "12"].into_iter().chain(arguments.split(' ')).collect();
    let output = program.command(&words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let program = Program::new();
    let first = bytes(&program, "--scenario mixed --count 40 --seed 7");
    assert_eq!(bytes(&program, "--scenario mixed --count 40 --seed 7"), first);
    assert_ne!(bytes(&program, "--scenario mixed --count 40 --seed 8"), first);
    assert_ne!(bytes(&program, "--scenario mixed --count 40 --seed 7 --start 2026-02-03T04:05:06Z"), first);
}

#[test]
fn documents_are_property_lists_separated_by_nul() {
    let stream = bytes(&Program::new(), "--scenario calm --count 3");
    let documents: Vec<&[u8]> = stream.split(|&byte| byte == 0).collect();
    assert_eq!(documents.len(), 3);
    for document in documents {
        assert!(document.starts_with(b"<?xml"));
        let value: plist::Value = plist::from_bytes(document).unwrap();
        let fields = value.as_dictionary().unwrap();
        assert!(fields["elapsed_ns"].as_unsigned_integer().unwrap() > 0);
        assert!(!fields["tasks"].as_array().unwrap().is_empty());
    }
}

#[test]
fn every_scenario_can_be_had() {
    let program = Program::new();
    for scenario in ["calm", "thrash", "gpu", "io", "runaway", "freeze", "mixed"] {
        let stream = bytes(&program, &format!("--scenario {scenario} --count 1"));
        assert!(stream.ends_with(b"</plist>\n") || stream.ends_with(b"</plist>"), "{scenario}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let program = Program::new();
    for wait in [&["--no-wait"][..], &["--interval-ms", "10"]] {
        let words: Vec<&str> = ["simulate", "--scenario", "calm"].iter().chain(wait).copied().collect();
        let mut child =
            program.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = child.stdout.take().unwrap();
        reader.read_exact(&mut [0; 100]).unwrap();
        drop(reader);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{wait:?}");
        assert_eq!(output.status.code(), Some(0), "{wait:?}");
    }
}

#[test]
fn what_it_can_not_do_is_wrong_usage() {
    let program = Program::new();
    for (arguments, told) in [
        ("simulate", "--scenario <SCENARIO>"),
        ("simulate --scenario nap", "calm, thrash, gpu, io, runaway, freeze, mixed"),
        ("simulate --scenario calm --tasks 0", "a number of tasks from 10 to"),
        ("simulate --scenario calm --interval-ms 1", "10..=60000"),
        ("simulate --scenario calm --start soon", "give a time like 2026-11-22T09:10:11Z"),
        ("simulate --scenario calm --seed -1", "-1"),
    ] {
        let run = program.run(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments}");
        assert!(run.stderr.contains(told), "{arguments}: {}", run.stderr);
    }
}
