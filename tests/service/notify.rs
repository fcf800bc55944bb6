//! What systemd is told, by a real daemon on a real socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::daemon::{Daemon, PATIENCE};
use crate::program::Program;

fn next(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes).expect("a message to systemd");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Reads on to the next message that begins so.
fn find(socket: &UnixDatagram, what: &str) -> String {
    loop {
        let message = next(socket);
        if message.starts_with(what) {
            return message;
        }
    }
}

#[test]
fn systemd_is_told_that_it_is_ready_well_reloading_and_stopping() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let program = Program::new()
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", &Duration::from_millis(400).as_micros().to_string());
    let mut daemon = Daemon::start(program, "", &["--source", "linux"]);
    assert_eq!(next(&socket), "READY=1\nSTATUS=watching with the source linux");
    for _ in 0..3 {
        assert_eq!(next(&socket), "WATCHDOG=1");
    }
    daemon.signal(libc::SIGHUP);
    assert!(find(&socket, "RELOADING=1").contains("\nMONOTONIC_USEC="));
    find(&socket, "READY=1");
    daemon.signal(libc::SIGTERM);
    find(&socket, "STOPPING=1");
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
}

#[test]
fn a_manager_that_reads_nothing_holds_nothing_up() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notify");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let program = Program::new().env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "2000");
    let mut daemon = Daemon::start(program, "", &["--source", "simulate:calm", "--speed", "20"]);
    // Far more signs of life than its queue holds.
    daemon.stream().find("many samples", |line| line["seq"].as_u64() >= Some(400));
    daemon.stop(libc::SIGTERM);
}
