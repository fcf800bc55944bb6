//! The whole daemon in this process, on an allocator that counts for each thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pause_monitor::clock;
use pause_monitor::config::{self, Origin, Overrides, Paths};
use pause_monitor::daemon::{Run, logging};
use pause_monitor::source::replay::Speed;

use super::counting::allocations;
use super::daemon::{PATIENCE, until};
use super::port::nowhere;
use super::{linux, stand_in, thread_of};

const CLIENTS: usize = 10;
/// Longer than whatever is done only now and then takes to come round: 10 s.
const TICKS: u64 = 110;

/// SIGTERM ends every daemon of this process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs the daemon here, with clients and scrapes, until its sampling thread and its heartbeat went through so many ticks
/// without an allocation.
fn allocates_nothing(config: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::tempdir().unwrap();
    let port = nowhere();
    let paths = Paths {
        config_file: home.path().join("config.toml"),
        config_origin: Origin::Option("--config"),
        data_dir: home.path().join("data"),
        data_origin: Origin::Option("--data-dir"),
        owner: None,
        root: false,
    };
    std::fs::write(&paths.config_file, format!("{config}[http]\nlisten = [\"{port}\"]\n")).unwrap();
    let loaded = config::load(&paths, &Overrides::default()).unwrap();
    let socket = paths.data_dir.join("daemon.sock");
    let watching = thread::spawn(move || {
        let (_log, log_dropped) = logging::start(&loaded.config.log, None);
        let run = Run {
            paths,
            overrides: Overrides::default(),
            allow_degraded: false,
            speed: Speed::Max,
            until_eof: false,
            log_dropped,
        };
        pause_monitor::daemon::run(&loaded, &run)
    });

    // What each client has got.
    let samples = Arc::new([const { AtomicU64::new(0) }; CLIENTS]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let stream = until("the socket", || UnixStream::connect(&socket).ok());
            let samples = Arc::clone(&samples);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let counted = u64::from(line.starts_with("{\"type\":\"sample\""));
                    samples[client].fetch_add(counted, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let ending = Arc::new(AtomicBool::new(false));
    let scraping = thread::spawn({
        let ending = Arc::clone(&ending);
        move || {
            let mut page = String::new();
            while !ending.load(Ordering::Relaxed) {
                page.clear();
                let Ok(mut stream) = TcpStream::connect(port) else { continue };
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                let _ = stream.read_to_string(&mut page);
                thread::park_timeout(std::time::Duration::from_millis(100));
            }
            page
        }
    });

    let fewest = || samples.iter().map(|samples| samples.load(Ordering::Relaxed)).min().unwrap_or(0);
    let got = |more: u64| {
        let before = fewest();
        until("samples at all clients", || (fewest() >= before + more).then_some(()));
    };
    got(1);
    let pid = std::process::id().cast_signed();
    let threads = ["sampling", "heartbeat"].map(|name| thread_of(pid, name));
    assert!(threads.iter().all(|&thread| allocations(Some(thread)) > 0), "the counter counts");
    // Buffers grow to the machine's size; a process that begins may make one grow again.
    let begun = clock::awake_ns();
    let mut tried = Vec::new();
    loop {
        let before = threads.map(|thread| allocations(Some(thread)));
        got(TICKS);
        let after = threads.map(|thread| allocations(Some(thread)));
        tried.push([after[0] - before[0], after[1] - before[1]]);
        if before == after {
            break;
        }
        let passed = u128::from(clock::awake_ns() - begun);
        assert!(
            passed < 3 * PATIENCE.as_nanos(),
            "sampling and heartbeat allocated in {TICKS} ticks: {tried:?}"
        );
    }
    println!("allocations of sampling and heartbeat in {TICKS} ticks each: {tried:?}");

    ending.store(true, Ordering::Relaxed);
    assert!(scraping.join().unwrap().contains("pause_monitor_samples_total{state=\"complete\"}"));
    super::daemon::signal(pid, libc::SIGTERM);
    watching.join().unwrap().unwrap();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn sampling_a_stream_allocates_nothing_with_clients_and_scrapes() {
    allocates_nothing(&stand_in());
}

#[test]
fn sampling_this_machine_allocates_nothing_with_clients_and_scrapes() {
    allocates_nothing(&linux());
}
