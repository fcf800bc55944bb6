//! A plain HTTP client on a socket of its own: it sends what it is told, well-formed or not.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::daemon::{Daemon, PATIENCE};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header's lines, in lower case.
    pub(crate) header: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer to its end, which is the connection's.
    pub(crate) fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        // A server that closes on what it does not like may reset what it has not read.
        let _ = stream.read_to_end(&mut bytes);
        Self::of(&bytes).unwrap_or_else(|| panic!("no header: {:?}", String::from_utf8_lossy(&bytes)))
    }

    /// The answer that these bytes are; `None` where there is no whole header.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let header = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = header.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, header: header.to_lowercase(), body: bytes[end + 4..].to_vec() })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// The address that the daemon says it serves at, `127.0.0.1:PORT`.
pub(crate) fn address(daemon: &Daemon) -> String {
    daemon.until("the address of the metrics", || {
        let log = daemon.last_log();
        let (_, rest) = log.split_once("metrics are served at ")?;
        let (url, _) = rest.split_once("/metrics")?;
        Some(url.split_once("://")?.1.to_owned())
    })
}

/// A connection to the daemon.
pub(crate) fn connect(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(address(daemon)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends these bytes and reads the answer to the connection's end.
pub(crate) fn send(daemon: &Daemon, request: &str) -> Answer {
    let mut stream = connect(daemon);
    // What is refused early may not be read to its end.
    let _ = stream.write_all(request.as_bytes());
    Answer::read(&mut stream)
}

/// A request as text, on a connection that ends with it.
pub(crate) fn request(method: &str, path: &str, header: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n")
}

/// Gets a path.
pub(crate) fn get(daemon: &Daemon, path: &str) -> Answer {
    send(daemon, &request("GET", path, ""))
}

/// The exposition.
pub(crate) fn scrape(daemon: &Daemon) -> String {
    let answer = get(daemon, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Every series of an exposition with its value.
pub(crate) fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn a_client_of_our_own_asks_a_daemon_and_reads_its_answers() {
    let daemon = Daemon::start(crate::program::Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("a sample", || (series(&scrape(&daemon))["pause_monitor_up"] == 1.0).then_some(()));
    let answer = get(&daemon, "/healthz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    assert!(answer.header.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{}", answer.header);
    assert!(Answer::of(b"HTTP/1.1 200 OK\r\n").is_none(), "there is no whole header");
}
