//! Paths, methods, limits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::daemon::{Daemon, until};
use crate::http::{Answer, address, connect, get, request, scrape, send, series};
use crate::program::Program;

fn calm() -> Daemon {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("readiness", || (get(&daemon, "/readyz").status == 200).then_some(()));
    daemon
}

#[test]
fn each_path_answers_get_and_head_and_no_other_method() {
    let daemon = calm();
    for (path, status, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4"),
        ("/metrics?name=x", 200, "text/plain; version=0.0.4"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/favicon.ico", 404, "text/plain; charset=utf-8"),
        ("/metrics/", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = get(&daemon, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(
            answer.header.contains(&format!("\r\ncontent-type: {kind}\r\n")),
            "{path}: {}",
            answer.header
        );
        assert!(!answer.body.is_empty(), "{path}");
        let head = send(&daemon, &request("HEAD", path, ""));
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let answer = send(&daemon, &request(method, path, ""));
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.header.contains("\r\nallow: get, head\r\n"), "{}", answer.header);
        }
    }
}

#[test]
fn the_page_links_and_says_the_state_and_names_no_process_and_no_path() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:freeze", "--speed", "10"]);
    daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    let page = get(&daemon, "/").text();
    for words in
        ["href=\"/metrics\"", "href=\"/healthz\"", "href=\"/readyz\"", "last pause", "prefers-color-scheme"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    for name in ["fileproviderd", daemon.data_dir().to_str().unwrap(), "/Users", "/home"] {
        assert!(!page.contains(name), "{name}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("src="), "{page}");
}

#[test]
fn a_scrape_is_packed_for_those_who_ask_for_it() {
    let daemon = calm();
    let answer = send(&daemon, &request("GET", "/metrics", "accept-encoding: gzip\r\n"));
    assert!(answer.header.contains("\r\ncontent-encoding: gzip\r\n"), "{}", answer.header);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*answer.body).read_to_string(&mut text).unwrap();
    assert!(text.contains("\npause_monitor_up 1\n"), "{text}");
    assert!(answer.body.len() * 3 < text.len());
}

#[test]
fn oversized_and_senseless_requests_are_refused_and_the_next_is_served() {
    let daemon = calm();
    let long = "x".repeat(40_000);
    for (request, statuses) in [
        (request("GET", &format!("/{long}"), ""), &[414, 431][..]),
        (request("GET", "/", &format!("x: {long}\r\n")), &[431]),
        (request("GET", "/", &"x: y\r\n".repeat(200)), &[431]),
        (request("GET", "/", "content-length: 10000000\r\n"), &[413]),
        (request("POST", "/", "content-length: 4611686018427387904\r\n"), &[413]),
        (request("GET", "/", "content-length: 1\r\ncontent-length: 2\r\n"), &[400]),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), &[400]),
        ("\u{16}\u{3}\u{1} hello over TLS\r\n\r\n".to_owned(), &[400]),
    ] {
        let answer = send(&daemon, &request);
        assert!(statuses.contains(&answer.status), "{} for {:.40}", answer.status, request);
    }
    assert_eq!(get(&daemon, "/healthz").status, 200);
}

#[test]
fn many_connections_that_say_nothing_or_not_all_keep_nobody_out() {
    let daemon = calm();
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..200 {
        let mut stream = connect(&daemon);
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ").unwrap();
        }
        idle.push(stream);
    }
    assert_eq!(series(&scrape(&daemon))["pause_monitor_up"], 1.0);
    // Of the 200 most were let go to make room: the places are bounded.
    let first = &mut idle[0];
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest);
    assert!(series(&scrape(&daemon))["process_open_fds"] < 150.0);
}

#[test]
fn who_asks_and_says_that_nothing_more_will_come_is_answered() {
    let daemon = calm();
    let mut stream = connect(&daemon);
    // As `nc -N` does; in two pieces, so that the end of the request and of what is sent come together.
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    stream.write_all(b"host: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
}

#[test]
fn a_header_that_never_ends_is_cut_off() {
    let daemon = calm();
    let mut stream = connect(&daemon);
    // The first bytes come, and then no more: the daemon ends it, which the read sees.
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn a_port_in_use_is_told_at_once_and_an_empty_list_serves_nothing() {
    let first = calm();
    let taken = address(&first);
    let program = Program::new();
    let run = program.run(&["daemon", "--source", "simulate:calm", "--web.listen-address", &taken]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let last = run.stderr.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "pause-monitor: {taken} is in use: end what listens there, or choose another address with \
             --web.listen-address or [http] listen ([] turns it off)"
        )
    );
    let daemon = Daemon::start(Program::new(), "[http]\nlisten = []\n", &["--source", "simulate:calm"]);
    daemon.wait_for_log("watching with the source");
    assert!(!daemon.log().contains("metrics are served"), "{}", daemon.log());
}

#[test]
fn it_listens_on_several_addresses_and_warns_where_strangers_can_read() {
    let arguments = [
        "--source",
        "simulate:calm",
        "--web.listen-address",
        "127.0.0.1:0",
        "--web.listen-address",
        "127.0.0.2:0",
    ];
    // All of 127/8 is loopback on Linux; elsewhere only the first address is there.
    if cfg!(target_os = "linux") {
        let daemon = Daemon::start(Program::new(), "", &arguments);
        daemon.wait_for_log("watching with the source");
        let log = daemon.log();
        let addresses: Vec<&str> = log
            .split("metrics are served at http://")
            .skip(1)
            .map(|rest| rest.split_once("/metrics").unwrap().0)
            .collect();
        assert_eq!(addresses.len(), 2, "{log}");
        for address in addresses {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request("GET", "/healthz", "").as_bytes()).unwrap();
            assert_eq!(Answer::read(&mut stream).status, 200);
        }
        assert!(!log.contains("beyond this machine"), "{log}");
    }
    let daemon = Daemon::start(
        Program::new(),
        "",
        &["--source", "simulate:calm", "--web.listen-address", "0.0.0.0:0"],
    );
    daemon.wait_for_log("the metrics are served beyond this machine to whoever asks");
}

#[test]
fn it_is_not_ready_before_the_first_sample_and_well_all_the_same() {
    let mut daemon = Daemon::start_with(Program::new(), "", &["--source", "replay:-"], Stdio::piped());
    let answer = daemon.until("an answer", || Some(get(&daemon, "/readyz")));
    assert_eq!((answer.status, answer.text().as_str()), (503, "no complete sample has come yet\n"));
    assert_eq!(get(&daemon, "/healthz").status, 200);
    assert_eq!(series(&scrape(&daemon))["pause_monitor_up"], 0.0);
    daemon.stop(libc::SIGTERM);
}

#[test]
fn the_port_is_free_again_when_the_daemon_has_ended() {
    let mut daemon = calm();
    let address = address(&daemon);
    let _idle = connect(&daemon);
    daemon.stop(libc::SIGTERM);
    until("the port", || std::net::TcpListener::bind(&address).ok());
}
