//! Everything outside hangs: the disk, a collector, webhooks, a hook's program and the notification service, each alone
//! in tests of its own, here all at once.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::collector::{Collector, Reply as Answer};
use crate::daemon::{Daemon, ENDS, Stream, is, signal};
use crate::desktop::Desktop;
use crate::disk::Disk;
use crate::eventful::{CONFIG, eventful};
use crate::http::{get, scrape, series};
use crate::program::Program;
use crate::server::{Reply, Server};

/// An address at which nobody answers, not even that somebody listens: what arrives is dropped, as a firewall does.
struct BlackHole {
    listener: TcpListener,
    /// What fills the place where connections wait to be accepted.
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let mut waiting = Vec::new();
        while let Some(stream) = connect() {
            waiting.push(stream);
            assert!(waiting.len() < 10_000, "it takes whoever comes");
        }
        Self { listener, _waiting: waiting }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

/// A daemon whose data directory is on a disk.
fn on(disk: &Disk, program: Program, config: &str) -> Daemon {
    symlink(disk.path(), program.home().join("data")).unwrap();
    let source = eventful(&program);
    Daemon::start(program, &format!("{CONFIG}{config}"), &["--source", &source, "--speed", "10"])
}

/// No two samples are so far apart, whatever hangs: nothing that samples waited for would give up sooner.
const HELD_UP: Duration = Duration::from_secs(4);

/// Follows the samples, none of which may be missing.
struct Samples {
    stream: Stream,
    last: u64,
    /// The longest time between two.
    longest: Duration,
    /// How often it was [`HELD_UP`] or more.
    held_up: u32,
    count: u64,
}

impl Samples {
    fn of(daemon: &Daemon) -> Self {
        let mut stream = daemon.stream();
        let last = stream.find("a sample", |line| is(line, "sample"))["seq"].as_u64().unwrap();
        Self { stream, last, longest: Duration::ZERO, held_up: 0, count: 0 }
    }

    fn follow(&mut self, count: u64) {
        let mut before = Instant::now();
        let end = self.last + count;
        while self.last < end {
            let line = self.stream.next().unwrap();
            assert!(!is(&line, "lagged"), "{line}");
            if is(&line, "sample") {
                assert_eq!(line["seq"], self.last + 1, "one is missing");
                self.last += 1;
                self.count += 1;
                let apart = before.elapsed();
                self.longest = self.longest.max(apart);
                self.held_up += u32::from(apart >= HELD_UP);
                before = Instant::now();
            }
        }
    }

    /// Once the machine itself may have stood still.
    fn are_not_held_up(&self) {
        assert!(self.held_up <= 1, "{} times; {:?} between two samples", self.held_up, self.longest);
    }
}

/// Stops it: it says that it has within the limit. Its end may have to wait for the disk.
fn stops_in_time(daemon: &Daemon) -> Duration {
    let begun = Instant::now();
    daemon.signal(libc::SIGTERM);
    daemon.until("its last word", || daemon.log().trim_end().ends_with("INFO stopped").then_some(()));
    let took = begun.elapsed();
    assert!(took < ENDS, "{took:?}\n{}", daemon.log());
    took
}

/// The store is whole.
fn integrity(daemon: &Daemon) -> String {
    let database = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

#[test]
fn all_that_is_outside_hangs_at_once_and_samples_memory_and_the_end_are_as_promised() {
    let Some(disk) = Disk::new() else { return };
    let Some(desktop) = Desktop::new() else { return };
    let collector = Collector::http(|_| Answer::Silence);
    let silent = Server::new(&[Reply::Silence]);
    let hole = BlackHole::new();
    let hook = |name: &str, keys: &str| {
        format!("[[hooks]]\nname = \"{name}\"\non = [\"pause\", \"critical\"]\n{keys}\n")
    };
    let config = [
        format!("[otlp]\nendpoint = \"http://{}\"\ntimeout = \"1s\"\n", collector.address()),
        "[alerts]\ncooldown = \"0s\"\n".to_owned(),
        hook("silent", &format!("timeout = \"2s\"\nretries = 0\nwebhook = \"{}\"", silent.url("/"))),
        hook("hole", &format!("timeout = \"2s\"\nretries = 0\nwebhook = \"http://{}/\"", hole.address())),
        hook("hangs", "timeout = \"3s\"\ncommand = [\"sleep\", \"300\"]"),
    ]
    .concat();
    let daemon = on(&disk, desktop.program(), &config);
    let first = daemon.wait_for_event("a pause on record", |event| event["kind"] == "pause");
    let mut samples = Samples::of(&daemon);
    let before = series(&scrape(&daemon));
    desktop.hang();
    disk.hang();
    let asked = |name: &str| series(&scrape(&daemon))[name];
    let runs =
        |hook: &str| asked(&format!("pause_monitor_hook_runs_total{{hook=\"{hook}\",outcome=\"timeout\"}}"));
    let banners = || {
        ["pause_detected", "critical_entered"]
            .map(|kind| {
                asked(&format!("pause_monitor_notifications_total{{kind=\"{kind}\",outcome=\"timeout\"}}"))
            })
            .iter()
            .sum::<f64>()
    };
    let hung = || {
        runs("silent") >= 1.0
            && runs("hole") >= 1.0
            && runs("hangs") >= 1.0
            && banners() >= 1.0
            && asked("pause_monitor_otlp_export_failures_total") >= 1.0
            && daemon.log().contains("the disk has not taken it yet")
            // More samples of CRITICAL than fit.
            && asked("pause_monitor_output_messages_dropped_total{output=\"store\"}") > 0.0
    };
    daemon.until("everything to hang, and losses to be counted", || {
        samples.follow(20);
        assert_eq!(get(&daemon, "/healthz").status, 200);
        hung().then_some(())
    });
    samples.follow(200);
    let after = series(&scrape(&daemon));
    let mib = |series: &std::collections::BTreeMap<String, f64>| {
        series["process_resident_memory_bytes"] / 1_048_576.0
    };
    println!(
        "{} samples, the longest time between two {:?}; resident {:.1} MiB before, {:.1} after",
        samples.count,
        samples.longest,
        mib(&before),
        mib(&after)
    );
    samples.are_not_held_up();
    assert!(mib(&after) < mib(&before) + 48.0, "{} MiB, then {}", mib(&before), mib(&after));
    assert_eq!(after["pause_monitor_output_messages_dropped_total{output=\"handover\"}"], 0.0);
    let took = stops_in_time(&daemon);
    println!("it said that it has stopped after {took:?}");
    assert!(daemon.log().contains("the disk did not take all that was to be written"), "{}", daemon.log());
    // Whoever waits for the disk in the kernel ends when it answers.
    disk.go_on();
    let mut daemon = daemon;
    assert_eq!(daemon.wait(), 0);
    daemon.restart(&["--source", "simulate:calm"]);
    let kept = daemon.wait_for_event("what was on record", |event| event["incident"] == first["incident"]);
    assert_eq!(kept["id"], first["id"]);
    assert_eq!(integrity(&daemon), "ok");
}

#[test]
fn while_the_disk_hangs_pauses_are_announced_as_not_stored_and_are_on_record_when_it_answers() {
    let Some(disk) = Disk::new() else { return };
    let server = Server::new(&[Reply::Status(200, "", "")]);
    let hook = format!("[[hooks]]\nname = \"w\"\non = [\"pause\"]\nwebhook = \"{}\"\n", server.url("/"));
    let daemon = on(&disk, Program::new(), &hook);
    let mut samples = Samples::of(&daemon);
    let told = |stored: bool| {
        let received = server.received();
        let payloads =
            received.iter().map(|one| serde_json::from_slice::<serde_json::Value>(&one.body).unwrap());
        payloads.filter(|payload| payload["stored"] == stored).collect::<Vec<_>>()
    };
    daemon.until("a pause that is stored", || {
        samples.follow(20);
        (!told(true).is_empty()).then_some(())
    });
    disk.hang();
    daemon.until("two that are not", || {
        samples.follow(20);
        (told(false).len() >= 2).then_some(())
    });
    samples.are_not_held_up();
    // It is in the middle of a write.
    disk.go_on();
    for payload in told(false) {
        let event = daemon.wait_for_event("what was announced", |event| {
            event["incident"] == payload["incident"] && event["kind"] == "pause"
        });
        assert_eq!(event["id"], payload["id"], "under the number that was told");
    }
    assert_eq!(integrity(&daemon), "ok");
}

#[test]
fn on_a_disk_that_hangs_a_second_signal_ends_it_at_once() {
    let Some(disk) = Disk::new() else { return };
    let mut daemon = on(&disk, Program::new(), "");
    let mut samples = Samples::of(&daemon);
    disk.hang();
    samples.follow(50);
    daemon.signal(libc::SIGTERM);
    daemon.wait_for_log("stopping: SIGTERM");
    daemon.until("its last word", || {
        // The first signals may come before it listens for a second one.
        signal(daemon.pid(), libc::SIGTERM);
        daemon.log().contains(" stopped").then_some(())
    });
    disk.go_on();
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    assert!(daemon.log().contains("stopped at once"), "it did not wait for the disk: {}", daemon.log());
}
