//! The processes, on trees of fixtures and on this machine.

use std::collections::BTreeSet;

use super::super::LinuxSource;
use super::super::fixture::{Process, Tree};
use super::{TICK, start, ten_ticks};
use crate::sample::{Name, TopList};

fn listed(list: &TopList) -> Vec<(i32, String, f64)> {
    list.as_slice().iter().map(|item| (item.pid, item.name.as_str().to_owned(), item.value)).collect()
}

#[test]
fn processes_are_listed_by_what_they_did_since_the_last_tick() {
    let tree = Tree::machine();
    let (mut busy, mut idle) = (Process::named("busy"), Process::named("idle"));
    (busy.cpu_ticks, idle.cpu_ticks) = (5_000, 9_000);
    tree.process(41, &busy);
    tree.process(42, &idle);
    let mut source = start(&tree);
    busy.cpu_ticks += 8;
    idle.cpu_ticks += 1;
    tree.process(41, &busy);
    tree.process(42, &idle);
    let reading = source.read(TICK);
    let cpu = listed(&reading.top_cpu);
    assert_eq!(
        cpu.iter().map(|(pid, name, _)| (*pid, name.as_str())).collect::<Vec<_>>(),
        [(41, "busy"), (42, "idle")]
    );
    assert!((cpu[0].2 - 800.0).abs() < 1e-6 && (cpu[1].2 - 100.0).abs() < 1e-6, "{cpu:?}");
    assert_eq!(source.read(TICK).top_cpu, TopList::default(), "zeros are left out");
}

#[test]
fn page_ins_wakeups_and_disk_bytes_are_rates_over_the_last_second() {
    let tree = Tree::machine();
    let mut process = Process::named("reader");
    tree.process(55, &process);
    let mut source = start(&tree);
    ten_ticks(&mut source);
    process.major_faults += 30;
    process.switches += 400;
    process.read_bytes += 4_096;
    process.write_bytes += 8_192;
    tree.process(55, &process);
    let reading = ten_ticks(&mut source);
    let expect = |value| vec![(55, "reader".to_owned(), value)];
    assert_eq!(listed(&reading.top_pageins), expect(30.0));
    assert_eq!(listed(&reading.top_idle_wakeups), expect(400.0));
    assert_eq!(listed(&reading.top_diskio), expect(12_288.0));
    assert_eq!(reading.top_intr_wakeups, TopList::default(), "Linux knows no wakeups by interrupt");
    assert_eq!(ten_ticks(&mut source).top_pageins, TopList::default());
}

#[test]
fn a_pid_that_went_to_another_process_begins_anew() {
    let tree = Tree::machine();
    tree.process(61, &Process { cpu_ticks: 10, major_faults: 10, ..Process::named("old") });
    let mut source = start(&tree);
    ten_ticks(&mut source);
    let mut other = Process { cpu_ticks: 900, major_faults: 900, started: 200, ..Process::named("new") };
    tree.process(61, &other);
    for _ in 0..10 {
        let reading = source.read(TICK);
        assert_eq!((reading.top_cpu, reading.top_pageins), (TopList::default(), TopList::default()));
    }
    other.cpu_ticks += 1;
    tree.process(61, &other);
    assert_eq!(source.read(TICK).top_cpu.as_slice()[0].name, Name::new("new"));
}

#[test]
fn names_may_hold_anything_and_change_when_a_process_runs_another_program() {
    let tree = Tree::machine();
    let mut process = Process::named(b"a) R 1\n\xff(b");
    tree.process(71, &process);
    let mut source = start(&tree);
    process.cpu_ticks += 2;
    tree.process(71, &process);
    assert_eq!(source.read(TICK).top_cpu.as_slice()[0].name, Name::new("a) R 1\n\u{fffd}(b"));
    process.comm = b"other".to_vec();
    process.cpu_ticks += 2;
    tree.process(71, &process);
    assert_eq!(source.read(TICK).top_cpu.as_slice()[0].name, Name::new("other"));
}

#[test]
fn io_that_may_not_be_read_leaves_the_other_figures() {
    let tree = Tree::machine();
    let mut process = Process::named("private");
    tree.process(81, &process);
    tree.remove("proc/81/io");
    let mut source = start(&tree);
    ten_ticks(&mut source);
    process.major_faults += 5;
    process.read_bytes += 5;
    tree.process(81, &process);
    tree.remove("proc/81/io");
    let reading = ten_ticks(&mut source);
    assert_eq!(listed(&reading.top_pageins), [(81, "private".to_owned(), 5.0)]);
    assert_eq!(reading.top_diskio, TopList::default());
}

#[test]
fn new_processes_are_found_and_dead_ones_forgotten_within_ten_ticks() {
    let tree = Tree::machine();
    let mut process = Process::named("late");
    let mut source = start(&tree);
    tree.process(91, &process);
    ten_ticks(&mut source);
    process.cpu_ticks += 3;
    process.switches += 100;
    tree.process(91, &process);
    assert_eq!(source.read(TICK).top_cpu.as_slice().len(), 1);
    ten_ticks(&mut source);
    tree.remove("proc/91");
    ten_ticks(&mut source);
    assert_eq!(source.read(TICK).top_idle_wakeups, TopList::default());
}

#[test]
fn a_process_that_has_just_begun_is_listed_with_all_it_used() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    source.read(TICK);
    tree.replace("proc/stat", "processes 4242", "processes 4243");
    tree.process(95, &Process { cpu_ticks: 7, ..Process::named("young") });
    let cpu = listed(&source.read(TICK).top_cpu);
    assert_eq!((cpu.len(), cpu[0].0, cpu[0].1.as_str()), (1, 95, "young"));
    assert!((cpu[0].2 - 700.0).abs() < 1e-6, "{cpu:?}");
}

#[test]
fn disk_bytes_of_a_child_are_not_its_parents_when_it_ends() {
    let tree = Tree::machine();
    let mut shell = Process::named("shell");
    let mut copy = Process { parent: 51, read_bytes: 1 << 30, ..Process::named("copy") };
    tree.process(51, &shell);
    tree.process(52, &copy);
    let mut source = start(&tree);
    ten_ticks(&mut source);
    copy.read_bytes += 50_000;
    tree.process(52, &copy);
    assert_eq!(listed(&ten_ticks(&mut source).top_diskio), [(52, "copy".to_owned(), 50_000.0)]);
    // It reads on unseen, and ends: the parent shows all of it, and has read a little itself.
    tree.remove("proc/52");
    shell.read_bytes = copy.read_bytes + 300 + 20;
    tree.process(51, &shell);
    tree.replace("proc/stat", "processes 4242", "processes 4243");
    assert_eq!(listed(&ten_ticks(&mut source).top_diskio), [(51, "shell".to_owned(), 320.0)]);
}

#[test]
fn disk_bytes_of_a_family_that_ends_together_are_not_its_forefathers() {
    let tree = Tree::machine();
    let mut shell = Process::named("shell");
    let copy = Process { parent: 52, read_bytes: 1 << 30, ..Process::named("copy") };
    tree.process(51, &shell);
    tree.process(52, &Process { parent: 51, read_bytes: 1_000, ..Process::named("make") });
    tree.process(53, &copy);
    tree.process(54, &copy);
    let mut source = start(&tree);
    ten_ticks(&mut source);
    for pid in [52, 53, 54] {
        tree.remove(&format!("proc/{pid}"));
    }
    shell.read_bytes = 2 * copy.read_bytes + 1_000 + 20;
    tree.process(51, &shell);
    tree.replace("proc/stat", "processes 4242", "processes 4243");
    assert_eq!(listed(&ten_ticks(&mut source).top_diskio), [(51, "shell".to_owned(), 20.0)]);
}

#[test]
fn a_parent_shows_no_disk_bytes_when_those_of_its_child_could_not_be_seen() {
    let tree = Tree::machine();
    let mut shell = Process::named("shell");
    tree.process(51, &shell);
    tree.process(52, &Process { parent: 51, ..Process::named("private") });
    tree.remove("proc/52/io");
    let mut source = start(&tree);
    ten_ticks(&mut source);
    tree.remove("proc/52");
    shell.write_bytes = 1 << 30;
    tree.process(51, &shell);
    tree.replace("proc/stat", "processes 4242", "processes 4243");
    assert_eq!(ten_ticks(&mut source).top_diskio, TopList::default());
    shell.write_bytes += 70;
    tree.process(51, &shell);
    assert_eq!(listed(&ten_ticks(&mut source).top_diskio), [(51, "shell".to_owned(), 70.0)]);
}

#[test]
fn our_own_process_is_in_no_list() {
    let tree = Tree::machine();
    let mut process = Process::named("pause-monitor");
    let pid = 4242;
    std::os::unix::fs::symlink("4242", tree.path().join("proc/self")).unwrap();
    tree.process(pid, &process);
    tree.process(7, &process);
    let mut source = start(&tree);
    process.cpu_ticks += 5;
    tree.process(pid, &process);
    tree.process(7, &process);
    let reading = source.read(TICK);
    assert_eq!(reading.top_cpu.as_slice().iter().map(|item| item.pid).collect::<Vec<_>>(), [7]);
}

#[test]
fn of_a_thousand_processes_each_has_its_figures() {
    let tree = Tree::machine();
    let mut process = Process::named("one of many");
    for pid in 1..=1_000 {
        tree.process(pid, &process);
    }
    let mut source = start(&tree);
    ten_ticks(&mut source);
    process.cpu_ticks += 4;
    process.read_bytes += 1 << 20;
    let mut seen = BTreeSet::new();
    for pid in [3, 256, 257, 999, 1_000] {
        tree.process(pid, &process);
    }
    let reading = source.read(TICK);
    seen.extend(reading.top_cpu.as_slice().iter().map(|item| item.pid));
    assert_eq!(seen, BTreeSet::from([3, 256, 257, 999, 1_000]));
    let reading = ten_ticks(&mut source);
    assert_eq!(reading.top_diskio.as_slice().len(), 5);
}

/// A process that burns CPU; ended when dropped, by its id.
struct Burner(std::process::Child);

impl Burner {
    fn start() -> Self {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "while :; do :; done"]);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn on_this_machine_a_process_that_burns_cpu_is_found() {
    let burner = Burner::start();
    let pid = i32::try_from(burner.0.id()).unwrap();
    let mut source = LinuxSource::new().unwrap();
    let begun = crate::clock::awake_ns();
    let mut last = begun;
    // Reads without a pause until it is found: nothing here depends on how long a read takes.
    loop {
        let now = crate::clock::awake_ns();
        assert!(now - begun < 60_000_000_000, "a minute has passed");
        let reading = source.read(now - last);
        last = now;
        if let Some(found) = reading.top_cpu.as_slice().iter().find(|item| item.pid == pid) {
            assert_eq!(found.name, Name::new("sh"));
            break;
        }
    }
}
