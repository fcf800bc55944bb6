//! The time limits, on a clock that jumps: a connection that does nothing more, or too slowly, ends.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::engine::Thresholds;
use crate::output::metrics::{self, Peers};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

fn server(web: Option<&Path>) -> Rc<Server> {
    let peers = Peers { source: "simulate", ..Peers::default() };
    let thresholds = Thresholds { elevated: 15, critical: 50, deescalation_ns: 0 };
    let (_, metrics) = metrics::channel(&thresholds, peers);
    Rc::new(Server { metrics, web: Web::load(web).unwrap() })
}

/// How long a connection of this client lasts, s. The client's end stays open.
fn lasts<F: Future<Output = DuplexStream>>(
    web: Option<&Path>,
    client: impl FnOnce(DuplexStream) -> F,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        // A small pipe: an answer does not fit.
        let (near, far) = duplex(2_048);
        let began = Instant::now();
        let serving = async {
            connection(far, server(web), Rc::new(Cell::new(began))).await;
            began.elapsed()
        };
        let client = async {
            let _open = client(near).await;
            std::future::pending::<()>().await;
        };
        let limit = sleep(Duration::from_secs(600));
        tokio::select! {
            took = serving => took.as_secs_f64(),
            () = client => 0.0,
            () = limit => panic!("it never ended"),
        }
    })
}

#[test]
fn a_client_that_says_nothing_has_twenty_seconds() {
    let took = lasts(None, |client| async { client });
    assert!((20.0..21.0).contains(&took), "{took}");
}

#[test]
fn a_header_that_comes_byte_by_byte_has_twenty_seconds() {
    let took = lasts(None, |mut client| async {
        client.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").await.unwrap();
        while client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(300)).await;
        }
        client
    });
    assert!((20.0..21.0).contains(&took), "{took}");
}

#[test]
fn after_an_answer_the_next_request_has_twenty_seconds() {
    let took = lasts(None, |mut client| async {
        sleep(Duration::from_secs(5)).await;
        client.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), client.read_buf(&mut answer)).await {}
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        client
    });
    assert!((25.0..27.0).contains(&took), "{took}");
}

#[test]
fn an_answer_that_is_never_read_ends_after_fifty_seconds() {
    let took = lasts(None, |mut client| async {
        sleep(Duration::from_secs(5)).await;
        client.write_all(REQUEST).await.unwrap();
        client
    });
    assert!((55.0..56.0).contains(&took), "{took}");
}

#[test]
fn a_row_of_requests_whose_answers_are_never_read_ends_so_too() {
    let took = lasts(None, |mut client| async {
        let _ = timeout(Duration::from_secs(5), client.write_all(&REQUEST.repeat(10_000))).await;
        client
    });
    assert!((50.0..60.0).contains(&took), "{took}");
}

#[test]
fn a_body_without_end_is_not_read_for_ever() {
    let took = lasts(None, |mut client| async {
        client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while client.write_all(b"5\r\nhello\r\n").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        client
    });
    assert!(took < 51.0, "{took}");
}

#[test]
fn a_tls_handshake_that_is_never_finished_has_ten_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let web = directory.path().join("web.yml");
    std::fs::write(&web, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n").unwrap();
    // The first bytes of a ClientHello, and then a byte now and then.
    let took = lasts(Some(&web), |mut client| async {
        client.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
        while client.write_all(&[3]).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        client
    });
    assert!((10.0..11.0).contains(&took), "{took}");
}
