//! What clients cost the daemon once they have been greeted.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;

use super::daemon::{Daemon, is, until};
use super::program::Program;

/// A hello takes about 350 KB with a full ring: of so many that would be 70 MB.
const CLIENTS: usize = 200;
const KIB_EACH: u64 = 60;

/// Resident memory that is not a file's, KiB.
fn own_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_client_lets_go_of_what_its_hello_took() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm", "--speed", "20"]);
    let mut stream = daemon.stream();
    stream.find("a full ring", |line| is(line, "sample") && line["seq"].as_u64() >= Some(300));
    let before = own_kib(daemon.pid());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = BufReader::new(UnixStream::connect(daemon.socket()).unwrap());
            let mut hello = String::new();
            client.read_line(&mut hello).unwrap();
            assert!(hello.len() > 100_000, "{}", hello.len());
            client.into_inner()
        })
        .collect();
    // Those that do not read on have a hundred samples waiting; they are shared.
    let limit = before + CLIENTS as u64 * KIB_EACH;
    let now =
        until("the daemon as small as it was", || Some(own_kib(daemon.pid())).filter(|&now| now < limit));
    println!("{CLIENTS} clients: from {before} to {now} KiB");
    assert!(own_kib(daemon.pid()) < limit);
    drop(clients);
}
