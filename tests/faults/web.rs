//! HTTP with every kind of client that wants to hold it up, all at once, while Prometheus asks on. How long each kind is
//! suffered is tested on a clock of its own, in `src/output/http/connections/tests.rs`.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::daemon::{Daemon, PATIENCE};
use crate::http::{address, get, scrape, series};
use crate::program::Program;

/// Sends the beginning, and then the same again and again until it is cut off or the test is over.
fn drip(address: &str, beginning: &[u8], more: &[u8], over: &AtomicBool) {
    while !over.load(Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut going = stream.write_all(beginning).is_ok();
        while going && !over.load(Relaxed) {
            going = stream.write_all(more).is_ok();
            thread::yield_now();
        }
    }
}

#[test]
fn slow_endless_oversized_and_silent_clients_all_at_once_keep_nobody_out_and_cost_little() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("a sample", || (series(&scrape(&daemon))["pause_monitor_up"] == 1.0).then_some(()));
    let before = series(&scrape(&daemon));
    let address = address(&daemon);
    let over = AtomicBool::new(false);
    let pipelined = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let wide = [&b"GET / HTTP/1.1\r\nhost: x\r\nx-wide: "[..], &[b'x'; 40_000]].concat();
    let kinds: [(&[u8], &[u8]); 5] = [
        (b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ", b"x"),
        (b"GET /metrics HTTP/1.1\r\nhost: x\r\n", b"x-many: y\r\n"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"),
        // Answers that nobody reads.
        (b"", &pipelined),
        (&wide, &wide),
    ];
    thread::scope(|scope| {
        for (beginning, more) in kinds {
            scope.spawn(|| drip(&address, beginning, more, &over));
        }
        let scraping = thread::Builder::new().spawn_scoped(scope, || {
            let mut silent = Vec::new();
            for round in 0..20 {
                // Ten more each time that say nothing, or the same without end.
                for _ in 0..10 {
                    let mut stream = TcpStream::connect(&address).unwrap();
                    if round % 2 == 0 {
                        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
                    }
                    silent.push(stream);
                }
                assert_eq!(get(&daemon, "/healthz").status, 200);
                let now = series(&scrape(&daemon));
                assert_eq!(now["pause_monitor_up"], 1.0);
                let descriptors = now["process_open_fds"] - before["process_open_fds"];
                assert!(descriptors <= 70.0, "64 connections at once, and not {descriptors}");
                let grown = now["process_resident_memory_bytes"] - before["process_resident_memory_bytes"];
                assert!(grown < 24_000_000.0, "{grown} bytes");
            }
            println!("{} connections, and the last scrape was answered", silent.len());
        });
        let ended = scraping.unwrap().join();
        over.store(true, Relaxed);
        ended.unwrap();
    });
    // What is taken by those who are gone is given back.
    daemon.until("the descriptors", || {
        (series(&scrape(&daemon))["process_open_fds"] <= before["process_open_fds"] + 2.0).then_some(())
    });
    let after = series(&scrape(&daemon));
    assert_eq!(after["pause_monitor_output_messages_dropped_total{output=\"handover\"}"], 0.0);
}
