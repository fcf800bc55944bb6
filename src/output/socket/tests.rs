//! The socket and who is connected to it.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::timeout;

use super::*;
use crate::sample::Sample;

const HELLO: &[u8] = b"{\"type\":\"hello\",\"host\":\"\\\"ring\\\":[\",\"ring\":[]}\n";

fn uid() -> u32 {
    // SAFETY: it takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(60), test).await.unwrap() });
}

async fn connect(socket: &mut Socket) -> UnixStream {
    connect_at(socket, 1..=3).await
}

/// A client that comes when these samples are the ring.
async fn connect_at(socket: &mut Socket, ring: RangeInclusive<u64>) -> UnixStream {
    let path = socket.path().to_owned();
    let (client, accepted) = tokio::join!(UnixStream::connect(path), socket.accept());
    let ring: Vec<Sample> = ring.map(|seq| Sample { seq, ..Sample::default() }).collect();
    socket.clients().add(accepted, HELLO, ring.iter(), |of| sample(of.seq));
    client.unwrap()
}

/// A client, and its hello's ring.
async fn hello(socket: &mut Socket, ring: RangeInclusive<u64>) -> (BufReader<UnixStream>, Vec<u64>) {
    let mut client = BufReader::new(connect_at(socket, ring).await);
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    let hello: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(hello["host"], "\"ring\":[");
    let ring = hello["ring"].as_array().unwrap().iter().map(|sample| sample["seq"].as_u64().unwrap());
    (client, ring.collect())
}

fn sample(number: u64) -> Bytes {
    Bytes::from(format!("{{\"type\":\"sample\",\"seq\":{number}}}\n"))
}

#[test]
fn a_client_gets_a_hello_with_the_ring_and_then_every_line() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut socket = Socket::bind(directory.path(), uid()).unwrap();
        let first = hello(&mut socket, 1..=3).await;
        assert_eq!(first.1, [1, 2, 3], "made for the first client");
        for number in 4..=6 {
            socket.clients().send_sample(number, &sample(number), number - 2);
        }
        let mut second = hello(&mut socket, 4..=6).await;
        assert_eq!(second.1, [4, 5, 6], "the lines that the first one got");
        socket.clients().send_sample(7, &sample(7), 5);
        let mut line = String::new();
        second.0.read_line(&mut line).await.unwrap();
        assert_eq!(line.as_bytes(), sample(7).as_ref());
        drop((first, second));
        while !socket.clients().is_empty() {
            socket.clients().send_event(&sample(0));
            tokio::task::yield_now().await;
        }
        // What came while nobody was there is made now, the rest is there.
        assert_eq!(hello(&mut socket, 6..=9).await.1, [6, 7, 8, 9]);
        assert_eq!(hello(&mut socket, 20..=21).await.1, [20, 21]);
    });
}

#[test]
fn a_client_that_never_reads_holds_nobody_up_and_is_told_what_it_missed() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut socket = Socket::bind(directory.path(), uid()).unwrap();
        let mut sleeper = connect(&mut socket).await;
        let line = Bytes::from(vec![b'x'; 4095].into_iter().chain([b'\n']).collect::<Vec<u8>>());
        for _ in 0..2_000 {
            socket.clients().send_sample(1, &line, 2);
            tokio::task::yield_now().await;
        }
        let stats = socket.clients().stats();
        let dropped = stats.dropped.load(Ordering::Relaxed);
        assert!(dropped > 1_000, "{dropped}");
        for client in socket.clients.connected.drain(..) {
            client.wake.notify_one();
        }
        let mut all = vec![0; 64 << 10];
        let mut text = Vec::new();
        while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(5), sleeper.read(&mut all)).await {
            text.extend_from_slice(&all[..count]);
            if String::from_utf8_lossy(&text).contains("lagged") {
                break;
            }
        }
        assert!(String::from_utf8_lossy(&text).contains("\"type\":\"lagged\""));
    });
}

#[test]
fn clients_that_vanish_are_forgotten() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut socket = Socket::bind(directory.path(), uid()).unwrap();
        for _ in 0..50 {
            drop(connect(&mut socket).await);
        }
        while !socket.clients().is_empty() {
            socket.clients().send_sample(1, &sample(1), 2);
            tokio::task::yield_now().await;
        }
        assert_eq!(socket.clients().stats().clients.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn more_clients_than_fit_are_turned_away_and_the_others_stay() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut socket = Socket::bind(directory.path(), uid()).unwrap();
        let mut kept = Vec::new();
        for _ in 0..MAX_CLIENTS {
            kept.push(connect(&mut socket).await);
        }
        let mut refused = connect(&mut socket).await;
        assert_eq!(refused.read(&mut [0; 16]).await.unwrap(), 0);
        assert_eq!(socket.clients().len(), MAX_CLIENTS);
    });
}

#[test]
fn a_stale_socket_is_replaced_and_the_file_is_private_and_only_its_own_is_removed() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::bind(directory.path(), uid()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::rename(&path, directory.path().join("ours")).unwrap();
        assert!(!socket.file().is_there());
        let other = Socket::bind(directory.path(), uid()).unwrap();
        socket.file().remove();
        assert!(path.exists() && other.file().is_there(), "another daemon's stays");
        other.file().remove();
        assert!(!path.exists());
    });
}

#[test]
fn a_client_that_takes_nothing_for_a_minute_is_cut_off() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let (server, _client) = UnixStream::pair().unwrap();
        let mut clients = Clients::default();
        clients.add(server, HELLO, [].iter(), |_| Bytes::new());
        let line = Bytes::from(vec![b'x'; 1 << 20]);
        clients.send_event(&line);
        let began = Instant::now();
        while !clients.is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            clients.send_sample(1, &sample(1), 2);
        }
        let took = began.elapsed();
        assert!((60..62).contains(&took.as_secs()), "{took:?}");
    });
}

#[test]
fn a_client_with_a_thousand_events_unread_is_cut_off_at_the_next_and_the_others_stay() {
    run(async {
        let mut clients = Clients::default();
        let (server, other) = UnixStream::pair().unwrap();
        clients.add(server, HELLO, [].iter(), |_| Bytes::new());
        let mut other = BufReader::new(other);
        let mut line = String::new();
        other.read_line(&mut line).await.unwrap();
        let (server, mut sleeper) = UnixStream::pair().unwrap();
        clients.add(server, HELLO, [].iter(), |_| Bytes::new());
        // What the system holds for the one that never reads, and what waits to be written to it, first.
        let event = Bytes::from(vec![b'x'; 4095].into_iter().chain([b'\n']).collect::<Vec<u8>>());
        let mut sent = 0;
        while clients.len() == 2 {
            clients.send_event(&event);
            sent += 1;
            line.clear();
            other.read_line(&mut line).await.unwrap();
            assert_eq!(line.as_bytes(), event.as_ref());
            assert!(sent < 10_000, "it is never cut off");
        }
        assert_eq!(clients.stats().clients.load(Ordering::Relaxed), 1);
        let mut got = Vec::new();
        sleeper.read_to_end(&mut got).await.unwrap();
        let unread = sent - (got.len() - HELLO.len()).div_ceil(event.len());
        assert!((1_001..=1_010).contains(&unread), "{unread} of {sent} were not sent to it");
    });
}

#[test]
fn a_path_that_is_too_long_is_told_with_the_limit() {
    run(async {
        let directory = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let error = Socket::bind(&directory, uid()).unwrap_err().to_string();
        assert!(error.contains("137 bytes long") && error.contains("--data-dir"), "{error}");
    });
}

#[test]
fn other_users_are_turned_away() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = Socket::bind(directory.path(), uid() + 1).unwrap();
        let connecting = UnixStream::connect(socket.path().to_owned());
        let accepted = timeout(Duration::from_millis(200), async {
            let (client, stream) = tokio::join!(connecting, socket.accept());
            (client, stream)
        });
        // Root may always read.
        assert_eq!(accepted.await.is_ok(), uid() == 0);
    });
}
