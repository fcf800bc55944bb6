//! Two hundred clients on the socket, with everything that clients do wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, is};
use crate::http::{scrape, series};
use crate::program::Program;

const CLIENTS: usize = 200;
/// What one may cost, bytes: what waits for it is shared with all others, but not what was put together for it.
const EACH: usize = 80_000;
/// Five seconds of the story in a second: a client that never reads has its queue full soon, and one that reads may be late.
const CALM: [&str; 4] = ["--source", "simulate:calm", "--speed", "5"];

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = daemon.until("a connection", || UnixStream::connect(daemon.socket()).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client that reads all there is: each sample is the one after the last.
struct Steady {
    lines: BufReader<UnixStream>,
    last: u64,
}

impl Steady {
    fn new(daemon: &Daemon) -> Self {
        let mut steady = Self { lines: BufReader::new(connect(daemon)), last: 0 };
        steady.last = loop {
            let line = steady.line();
            if is(&line, "sample") {
                break line["seq"].as_u64().unwrap();
            }
        };
        steady
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the daemon closed the connection");
        serde_json::from_str(&line).unwrap()
    }

    /// Reads so many samples.
    fn follow(&mut self, count: u64) {
        let end = self.last + count;
        while self.last < end {
            let line = self.line();
            assert!(!is(&line, "lagged"), "{line}");
            if is(&line, "sample") {
                assert_eq!(line["seq"], self.last + 1);
                self.last += 1;
            }
        }
    }
}

fn value(daemon: &Daemon, name: &str) -> f64 {
    series(&scrape(daemon))[name]
}

/// One that does something wrong, by its number; what is to be kept open, where it stays.
fn bad(daemon: &Daemon, number: usize) -> Option<UnixStream> {
    let mut client = connect(daemon);
    match number % 6 {
        // Never reads.
        0 => return Some(client),
        // Reads half a line and stays.
        1 => {
            client.read_exact(&mut [0; 100]).unwrap();
            return Some(client);
        }
        // Says that it has nothing to say, and vanishes in the middle of a line.
        2 => {
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = client.read(&mut [0; 1_000]);
        }
        // Talks without end, a line of a megabyte, and never reads. It may be cut off.
        3 => {
            client.set_write_timeout(Some(PATIENCE)).unwrap();
            let _ = client.write_all(&vec![b'x'; 1 << 20]);
            return Some(client);
        }
        // Sends what is no text, and goes.
        4 => drop(client.write_all(&[0, 255, b'\n', 27, b'{', 0])),
        // Comes and goes.
        _ => {}
    }
    None
}

#[test]
fn two_hundred_that_half_read_vanish_talk_and_never_read_cost_the_others_nothing() {
    let daemon = Daemon::start(Program::new(), "", &CALM);
    let mut steady: Vec<Steady> = (0..4).map(|_| Steady::new(&daemon)).collect();
    let descriptors = value(&daemon, "process_open_fds");
    let before = value(&daemon, "process_resident_memory_bytes");
    // Twice over: what the first wave left behind must be gone.
    for _ in 0..2 {
        let kept = thread::scope(|scope| {
            let following: Vec<_> =
                steady.iter_mut().map(|client| scope.spawn(|| client.follow(60))).collect();
            let kept: Vec<UnixStream> = (0..CLIENTS).filter_map(|number| bad(&daemon, number)).collect();
            for one in following {
                one.join().unwrap();
            }
            kept
        });
        // Long enough for the queues of those who never read to be full: 100 samples beyond what their sockets hold.
        daemon.until("samples that are left out", || {
            steady[0].follow(50);
            (value(&daemon, "pause_monitor_socket_messages_dropped_total") > 100.0).then_some(())
        });
        for one in &mut steady[1..] {
            one.follow(50);
        }
        let clients = value(&daemon, "pause_monitor_socket_clients");
        assert!(clients >= (kept.len() / 2) as f64 && clients <= 256.0, "{clients}");
        let with = value(&daemon, "process_resident_memory_bytes");
        println!(
            "{} of {CLIENTS} stay, {clients} are connected: {:.1} MiB, {:.1} before",
            kept.len(),
            with / 1048576.0,
            before / 1048576.0
        );
        assert!(with - before < (CLIENTS * EACH) as f64, "{before}, then {with}");
        drop(kept);
        daemon.until("the descriptors", || {
            (value(&daemon, "process_open_fds") <= descriptors
                && value(&daemon, "pause_monitor_socket_clients") == 4.0)
                .then_some(())
        });
    }
    assert_eq!(value(&daemon, "pause_monitor_output_messages_dropped_total{output=\"handover\"}"), 0.0);
}

#[test]
fn two_hundred_that_never_read_cost_little_memory_and_it_does_not_grow() {
    let daemon = Daemon::start(Program::new(), "", &CALM);
    let mut steady = Steady::new(&daemon);
    // The ring is full: so is what each newcomer is greeted with.
    steady.follow(300);
    let resident = || value(&daemon, "process_resident_memory_bytes");
    let before = resident();
    let _sleepers: Vec<UnixStream> = (0..CLIENTS).map(|_| connect(&daemon)).collect();
    steady.follow(250);
    let with = resident();
    steady.follow(250);
    let later = resident();
    let [before_mib, with_mib, later_mib] = [before, with, later].map(|bytes| bytes / 1_048_576.0);
    println!(
        "resident: {before_mib:.1} MiB, {with_mib:.1} with {CLIENTS} that never read, {later_mib:.1} later"
    );
    assert_eq!(value(&daemon, "pause_monitor_socket_clients"), (CLIENTS + 1) as f64);
    assert!(with - before < (CLIENTS * EACH) as f64, "{before}, then {with}");
    assert!(later - with < 2_000_000.0, "{with}, then {later}");
}

#[test]
fn one_that_wakes_up_is_told_what_it_missed_and_gets_what_is_new() {
    let daemon = Daemon::start(Program::new(), "", &CALM);
    let mut steady = Steady::new(&daemon);
    let sleeper = connect(&daemon);
    daemon.until("samples that are left out", || {
        steady.follow(50);
        (value(&daemon, "pause_monitor_socket_messages_dropped_total") > 100.0).then_some(())
    });
    let newest = steady.last;
    let mut sleeper = Steady { lines: BufReader::new(sleeper), last: 0 };
    let begin = Instant::now();
    let lagged = loop {
        let line = sleeper.line();
        if is(&line, "lagged") {
            break line["dropped"].as_u64().unwrap();
        }
        assert!(begin.elapsed() < PATIENCE);
    };
    assert!(lagged > 100, "{lagged}");
    let next = sleeper.line();
    assert!(next["seq"].as_u64().unwrap() + 110 > newest, "the newest hundred are kept: {next}");
}
