//! HTTP on loopback, as little of it as the tests need: a request and its answer, and a server that keeps what is
//! sent to it.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::daemon::PATIENCE;
use crate::http::Answer;

/// A GET, or with a form a POST: the status and the body. `None` where nobody answers.
pub(crate) fn request(
    to: SocketAddr,
    path: &str,
    headers: &str,
    form: Option<&str>,
) -> Option<(u16, String)> {
    // 1.0: the answer then comes in one piece, and ends with the connection.
    let head = match form {
        Some(form) => format!(
            "POST {path} HTTP/1.0\r\nHost: {to}\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ),
        None => format!("GET {path} HTTP/1.0\r\nHost: {to}\r\n{headers}\r\n"),
    };
    let mut connection = TcpStream::connect(to).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).ok()?;
    let answer = Answer::of(&bytes)?;
    Some((answer.status, answer.text()))
}

/// A value of a form.
pub(crate) fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A server that answers 200 to everything, and hands over the JSON that was sent.
pub(crate) struct Webhook {
    address: SocketAddr,
    bodies: Receiver<Value>,
}

impl Webhook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, bodies) = channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    connection.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                connection.read_exact(&mut body).unwrap();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                connection.get_mut().write_all(answer).unwrap();
                if send.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { address, bodies }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was sent next, where something has come.
    pub(crate) fn next(&self) -> Option<Value> {
        self.bodies.try_recv().ok()
    }
}
