//! The worker with programs that stand in for a Mac's, behave as theirs are documented, and misbehave.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;
use crate::event::{Gap, Verdict};
use crate::output::store::{self, EventRow, Filter, Reader, Store, Write};
use crate::sample::{Stress, Tier};

const STARTED: i64 = 1_795_338_611_123_000_000;

/// A data directory with a store, and a directory of stand-ins.
struct Bench {
    directory: tempfile::TempDir,
    store: Store,
    stats: Arc<ForensicsStats>,
    completed: Option<Receiver<Completed>>,
}

fn store_options() -> store::Options {
    store::Options {
        started_ns: 1,
        boot_id: None,
        boot_time_ns: None,
        retention: store::Retention::default(),
        random: store::random_incident,
        outbox: store::Outbox::default(),
        claim: store::Claim::default(),
    }
}

/// A pause of that number.
pub(super) fn gap(event: EventId) -> Gap {
    Gap {
        id: Some(event),
        verdict: Verdict::Pause,
        certain: true,
        started_ns: STARTED,
        ended_ns: STARTED + 1_500_000_000,
        duration_ns: 1_500_000_000,
        asleep_ns: 0,
        seq: None,
        episode: None,
        stress: Stress::default(),
        tier: Tier::Sentinel,
        culprits: Vec::new(),
    }
}

/// Its row; its incident is its number.
fn row(event: EventId) -> EventRow {
    EventRow::from_gap(&gap(event), [event as u8; 16]).unwrap()
}

fn pause(event: EventId) -> Pause {
    let ring = (1..=5).map(|seq| Sample { seq, elapsed_ns: 100_000_000, ..Sample::default() }).collect();
    Pause { event, incident: [event as u8; 16], gap: gap(event), ring }
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        let (store, opened) = Store::open(&directory.path().join("data"), store_options()).unwrap();
        assert!(opened.recovered.is_some());
        Self { directory, store, stats: Arc::default(), completed: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program that is a shell script.
    fn script(&self, name: &str, text: &str) {
        // Written by another process: a child that is just being started elsewhere would hold a file of ours open, and
        // what is open for writing can't be run.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let path = self.path("bin").join(name);
        let written =
            std::process::Command::new("/bin/sh").args(["-c", write]).arg(&path).arg(text).status().unwrap();
        assert!(written.success());
    }

    fn programs(&self) -> Programs {
        let program = |name| self.path("bin").join(name);
        Programs {
            ourselves: program("ourselves"),
            sudo: Some(program("sudo")),
            tailspin: program("tailspin"),
            spindump: program("spindump"),
            log: program("log"),
            cat: "/bin/cat".into(),
            rm: program("rm"),
            journalctl: program("journalctl"),
            tailspin_file: self.path("pause.tailspin"),
        }
    }

    /// Stand-ins for a Mac's programs, as MACOS.md has them: sudo runs what follows `-n`.
    fn mac(self) -> Self {
        self.script("sudo", "[ \"$1\" = -n ] || exit 1; shift; exec \"$@\"");
        self.script(
            "tailspin",
            "[ \"$1 $2 $3 $4\" = 'save -l 20 -n' ] || exit 64; printf 'spin\\377' > \"$5\"",
        );
        self.script("rm", "[ \"$1\" = -f ] && exec /bin/rm -f \"$2\"");
        self.script(
            "spindump",
            "case $1 in -i) echo decoded \"$(/usr/bin/head -c 4 \"$2\")\";; -notarget) echo \"every $*\";; esac",
        );
        self.script("log", "echo \"$@\"; echo a line");
        self
    }

    fn start(&mut self, names: &[Name], spindump: bool) -> Forensics {
        let (tell, completed) = channel();
        self.completed = Some(completed);
        let paths = Paths { data_dir: self.path("data"), ..Paths::default() };
        let options = Options {
            paths,
            live: true,
            spindump,
            programs: self.programs(),
            evidence: self.store.evidence(),
            on_complete: Box::new(move |completed| drop(tell.send(completed))),
        };
        Forensics::start_gathering(options, Arc::clone(&self.stats), names).unwrap()
    }

    /// Waits until the evidence of a pause is complete.
    fn completed(&self) -> Completed {
        let completed = self.completed.as_ref().unwrap();
        completed.recv_timeout(Duration::from_secs(60)).expect("evidence")
    }

    /// Gathers that of one pause.
    fn gathered(&mut self, names: &[Name]) -> Completed {
        let forensics = self.start(names, names.contains(&Name::Spindump));
        self.store.write(Write::Event(Box::new(row(8)))).unwrap();
        forensics.gather(pause(8));
        let completed = self.completed();
        assert!(completed.stored);
        completed
    }

    /// What of an event is on record.
    fn recorded(&self, event: EventId) -> Vec<Capture> {
        Reader::open(&self.path("data")).unwrap().unwrap().event(event).unwrap().forensics
    }
}

fn outcome(completed: &Completed, name: Name) -> (&str, &str) {
    let found = completed.captures.iter().find(|capture| capture.name == name.as_str()).unwrap();
    assert_eq!(found.path.is_some(), found.path.as_ref().is_some_and(|path| Path::new(path).is_file()));
    (&found.outcome, found.detail.as_deref().unwrap_or_default())
}

/// What a packed file holds.
fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let mut file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    text
}

#[test]
fn a_mac_gathers_a_tailspin_its_text_the_log_and_where_it_is_wanted_a_spindump() {
    let mut bench = Bench::new().mac();
    let completed = bench.gathered(&Name::MACOS);
    assert_eq!((completed.event, completed.incident), (8, [8; 16]));
    for name in Name::MACOS {
        assert_eq!(outcome(&completed, name), ("saved", ""), "{name:?}");
        assert_eq!(bench.stats.get(name, Outcome::Saved), 1);
    }
    assert_eq!(bench.recorded(8), completed.captures);
    let files = bench.path("data/events/8");
    let ring = std::fs::read_to_string(files.join("ring.jsonl")).unwrap();
    assert_eq!((ring.lines().count(), ring.matches("\"type\":\"sample\"").count()), (6, 5));
    assert!(ring.lines().last().unwrap().starts_with("{\"type\":\"gap\""), "what was made of it");
    assert_eq!(std::fs::read(files.join("tailspin.tailspin")).unwrap(), b"spin\xff");
    assert_eq!(unpacked(&files.join("stacks.txt.gz")), "decoded spin\n");
    let log = unpacked(&files.join("log.txt.gz"));
    assert!(
        log.starts_with("show --last ") && log.contains("--style compact --predicate process =="),
        "{log}"
    );
    assert_eq!(unpacked(&files.join("spindump.txt.gz")), "every -notarget 1 10 -noFile -stdout\n");
    assert!(!bench.path("pause.tailspin").exists(), "root's copy is removed");
    for file in std::fs::read_dir(&files).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&files).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_sudo_does_not_permit_is_told_with_what_permits_it_and_nothing_is_decoded() {
    let mut bench = Bench::new().mac();
    bench.script("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let completed = bench.gathered(&Name::MACOS);
    let told = "sudo does not permit tailspin: `pause-monitor install --forensics` permits it";
    assert_eq!(outcome(&completed, Name::Tailspin), ("not permitted", told));
    assert_eq!(outcome(&completed, Name::Stacks), ("not available", "there is no tailspin to decode"));
    let told = "sudo does not permit spindump: only a daemon that runs as root can take it";
    assert_eq!(outcome(&completed, Name::Spindump), ("not permitted", told));
    assert_eq!(outcome(&completed, Name::Log), ("saved", ""));
    assert_eq!(outcome(&completed, Name::Ring), ("saved", ""));
    assert_eq!(bench.stats.get(Name::Tailspin, Outcome::NotPermitted), 1);
}

#[test]
fn a_capture_fails_with_the_last_that_its_program_said() {
    let mut bench = Bench::new().mac();
    bench.script("tailspin", "echo 'tailspin: tracing is not enabled' >&2; exit 1");
    bench.script("log", "echo one >&2; echo 'log: the store is broken\x1b' >&2; exit 74");
    std::fs::remove_file(bench.path("bin/spindump")).unwrap();
    let completed = bench.gathered(&Name::MACOS);
    let (tailspin, told) = outcome(&completed, Name::Tailspin);
    assert_eq!(tailspin, "not available");
    assert!(told.starts_with("tracing is off, `sudo tailspin enable` turns it on"), "{told}");
    assert_eq!(outcome(&completed, Name::Log), ("failed", "log: log: the store is broken\u{fffd}"));
    assert_eq!(outcome(&completed, Name::Spindump).0, "failed", "sudo says that it is not there");
}

/// The last of the kernel's log is asked of the journal where it is not to be read itself.
#[test]
fn what_is_not_permitted_in_one_way_is_tried_in_the_next() {
    let mut bench = Bench::new();
    bench.script("ourselves", "echo '/dev/kmsg: not for you' >&2; exit 77");
    bench.script("journalctl", "echo \"[1.5] host kernel: $1\"");
    let completed = bench.gathered(&[Name::Ring, Name::KernelLog]);
    assert_eq!(outcome(&completed, Name::KernelLog), ("saved", ""));
    let text = std::fs::read_to_string(bench.path("data/events/8/kernel_log.txt")).unwrap();
    assert_eq!(text, "[1.5] host kernel: --dmesg\n");
    let mut bench = Bench::new();
    bench.script("ourselves", "echo '/dev/kmsg: not for you' >&2; exit 77");
    let completed = bench.gathered(&[Name::Ring, Name::KernelLog]);
    let (outcome, told) = outcome(&completed, Name::KernelLog);
    assert_eq!(outcome, "not available");
    assert!(
        told.starts_with("/dev/kmsg: not for you; ") && told.contains("journalctl can't be run"),
        "{told}"
    );
}

#[test]
fn a_capture_that_floods_is_cut_off_and_its_beginning_kept() {
    let mut bench = Bench::new().mac();
    bench.script("ourselves", "exec /usr/bin/yes");
    let completed = bench.gathered(&[Name::Ring, Name::Vmstat]);
    assert_eq!(outcome(&completed, Name::Vmstat), ("saved", "the first 4 MB; there was more"));
    assert_eq!(std::fs::metadata(bench.path("data/events/8/vmstat.txt")).unwrap().len(), 4 << 20);
}

/// Whether a process with these words as its arguments runs.
fn runs(words: &str) -> bool {
    let listed = std::process::Command::new("ps").args(["-A", "-o", "stat=,args="]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.contains(words) && !line.starts_with('Z'))
}

/// Its time limit is 5 s; what was written until then is kept.
#[test]
fn a_capture_that_hangs_is_killed_with_all_that_it_started() {
    let mut bench = Bench::new();
    let seconds = format!("4711.{}", std::process::id());
    bench.script("ourselves", &format!("echo begun; sleep {seconds} & sleep {seconds}"));
    let completed = bench.gathered(&[Name::Ring, Name::Meminfo]);
    assert_eq!(outcome(&completed, Name::Meminfo), ("timeout", "it took longer than 5 s"));
    assert_eq!(std::fs::read_to_string(bench.path("data/events/8/meminfo.txt")).unwrap(), "begun\n");
    let deadline = Instant::now() + Duration::from_secs(60);
    while runs(&seconds) {
        assert!(Instant::now() < deadline, "it still runs");
    }
}

#[test]
fn a_capture_that_ends_while_something_it_started_goes_on_is_complete() {
    let mut bench = Bench::new();
    let seconds = format!("4712.{}", std::process::id());
    bench.script("ourselves", &format!("echo done; sleep {seconds} & exit 0"));
    let completed = bench.gathered(&[Name::Ring, Name::Meminfo]);
    assert_eq!(outcome(&completed, Name::Meminfo), ("saved", ""));
    assert_eq!(std::fs::read_to_string(bench.path("data/events/8/meminfo.txt")).unwrap(), "done\n");
}

#[test]
fn a_pause_while_captures_are_taken_gets_its_ring_at_once() {
    let mut bench = Bench::new();
    // It waits for the second pause's ring.
    let ring = bench.path("data/events/9/ring.jsonl");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done; echo waited", ring.display());
    bench.script("ourselves", &wait);
    let forensics = bench.start(&[Name::Ring, Name::Blocked, Name::Meminfo], false);
    for event in [8, 9] {
        bench.store.write(Write::Event(Box::new(row(event)))).unwrap();
        forensics.gather(pause(event));
    }
    let (first, second) = (bench.completed(), bench.completed());
    assert_eq!((first.event, second.event), (9, 8), "the one without captures is complete first");
    let (held_back, told) = outcome(&first, Name::Blocked);
    assert!(held_back == "not available" && told.starts_with("another was taken "), "{told}");
    assert_eq!(outcome(&second, Name::Blocked), ("saved", ""));
}

#[test]
fn an_event_that_got_another_number_has_its_evidence_under_that() {
    let mut bench = Bench::new();
    bench.script("ourselves", "echo x");
    let mut other = row(8);
    other.incident = [77; 16];
    assert_eq!(bench.store.announce(other).unwrap().blocking_recv(), Ok(8));
    let completed = bench.gathered(&[Name::Ring, Name::Meminfo]);
    assert_eq!(completed.event, 9);
    assert_eq!(bench.recorded(9), completed.captures);
    assert!(bench.path("data/events/9/ring.jsonl").is_file() && bench.recorded(8).is_empty());
    assert!(!bench.path("data/events/8").exists());
}

#[test]
fn a_directory_that_can_not_be_made_fails_everything_with_the_reason() {
    let mut bench = Bench::new();
    std::fs::write(bench.path("data/events"), "in the way").unwrap();
    let completed = bench.gathered(&[Name::Ring, Name::Meminfo]);
    for name in [Name::Ring, Name::Meminfo] {
        let (outcome, told) = outcome(&completed, name);
        assert!(outcome == "failed" && told.contains("events"), "{outcome}: {told}");
    }
    assert_eq!(bench.recorded(8), completed.captures);
}

fn finish(forensics: Forensics) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let begin = Instant::now();
    runtime.block_on(forensics.finish(Duration::from_secs(60)));
    begin.elapsed()
}

#[test]
fn the_end_cuts_off_what_is_under_way_and_keeps_the_rings_of_what_waits() {
    let mut bench = Bench::new();
    bench.script("ourselves", "echo begun; exec sleep 600");
    let forensics = bench.start(&[Name::Ring, Name::Meminfo, Name::Vmstat], false);
    for event in [8, 9] {
        bench.store.write(Write::Event(Box::new(row(event)))).unwrap();
        forensics.gather(pause(event));
    }
    assert!(finish(forensics) < Duration::from_secs(30), "ten minutes were not waited for");
    let mut both = [bench.completed(), bench.completed()];
    both.sort_by_key(|completed| completed.event);
    for completed in &both {
        assert_eq!(outcome(completed, Name::Ring), ("saved", ""));
        assert_eq!(bench.recorded(completed.event).len(), 3);
    }
    let cut = outcome(&both[0], Name::Meminfo);
    assert_eq!(cut, ("failed", "the daemon stopped"));
    assert_eq!(outcome(&both[0], Name::Vmstat), ("failed", "the daemon stopped"));
}

#[test]
fn what_a_killed_run_left_is_recorded_and_what_is_nobodys_goes() {
    let mut bench = Bench::new();
    for event in [8, 9] {
        bench.store.write(Write::Event(Box::new(row(event)))).unwrap();
    }
    while Reader::open(&bench.path("data")).unwrap().is_none_or(|reader| reader.event(9).is_err()) {
        std::thread::yield_now();
    }
    let hex = |event: u8| format!("{event:02x}").repeat(16);
    let unplaced = bench.path(&format!("data/events/.8-{STARTED}-{}.part", hex(8)));
    let placed = bench.path("data/events/9");
    let nobodys = bench.path(&format!("data/events/.10-{STARTED}-{}.part", hex(10)));
    for directory in [&unplaced, &placed, &nobodys] {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("ring.jsonl"), "{}\n").unwrap();
        std::fs::write(directory.join("vmstat.txt.part"), "half").unwrap();
    }
    let _forensics = bench.start(&[Name::Ring, Name::Vmstat], false);
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.recorded(8).is_empty() || bench.recorded(9).is_empty() {
        assert!(Instant::now() < deadline, "it was not recorded");
        std::thread::yield_now();
    }
    for event in [8, 9] {
        let recorded = bench.recorded(event);
        let told: Vec<(&str, &str)> =
            recorded.iter().map(|one| (one.name.as_str(), one.outcome.as_str())).collect();
        assert_eq!(told, [("ring", "saved"), ("vmstat", "failed")]);
        assert_eq!(recorded[1].detail.as_deref(), Some("the daemon was killed before it was gathered"));
        let directory = bench.path("data/events").join(event.to_string());
        assert_eq!(recorded[0].path.as_deref(), directory.join("ring.jsonl").to_str());
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1, "the half file is gone");
    }
    assert!(!nobodys.exists() && bench.recorded(8).len() == 2);
    assert_eq!(reader_ids(&bench), [9, 8]);
}

fn reader_ids(bench: &Bench) -> Vec<EventId> {
    let reader = Reader::open(&bench.path("data")).unwrap().unwrap();
    reader.events(&Filter::default()).unwrap().iter().map(|event| event.row.id).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_gathered_gives_way_to_all_else() {
    let mut bench = Bench::new().mac();
    // `ionice` is not on every machine: the class is in the upper bits of what the system call says.
    bench.script("log", "nice; /bin/cat /proc/self/stat");
    let completed = bench.gathered(&[Name::Log]);
    let text = unpacked(&completed.directory.unwrap().join(Name::Log.file()));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("10"));
    // The 19th field of `stat` is the niceness, as the kernel has it.
    let stat = lines.next().unwrap();
    assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(16), Some("10"), "{stat}");
}

#[test]
fn every_name_has_a_file_of_its_own() {
    let all: Vec<&str> = Name::MACOS.iter().chain(&Name::LINUX[1..]).map(|name| name.file()).collect();
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(all.len(), distinct.len());
}
