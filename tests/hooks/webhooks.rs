//! Hooks that are requests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::tried::{Bench, outcome, output};

const OK: Reply = Reply::Status(200, "", "");

fn webhook(server: &Server, keys: &str) -> String {
    format!("webhook = {:?}\n{keys}", server.url("/hush?t=hush"))
}

#[test]
fn the_payload_is_posted_with_what_belongs_to_it() {
    let server = Server::new(&[Reply::Status(202, "", "thank\nyou")]);
    let bench = Bench::new(&webhook(&server, "headers = { authorization = \"Bearer hush\" }"));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("ok", "HTTP 202 Accepted"));
    assert_eq!(output(&value), ["thank you"]);
    assert!(!value.to_string().contains("hush"));
    let received = server.received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!(request.line, "POST /hush?t=hush HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("user-agent"), concat!("pause-monitor/", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("authorization"), "Bearer hush");
    assert!(request.header("webhook-id").starts_with("msg_"));
    assert!(request.headers.get("webhook-signature").is_none());
    let payload: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&payload["event"], &payload["culprits"][0]["name"]), (&json!("pause"), &json!("mds_stores")));
}

#[test]
fn slack_and_ntfy_get_what_they_read() {
    let server = Server::new(&[OK]);
    let bench = Bench::new(&webhook(&server, "format = \"slack\""));
    assert_eq!(bench.json(&[])["outcome"], "ok");
    bench.configure(&webhook(&server, "format = \"ntfy\"\nheaders = { priority = \"5\" }"));
    assert_eq!(bench.json(&["--event", "critical", "--resolved"])["outcome"], "ok");
    let received = server.received();
    let text: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(text, json!({ "text": "Only a test: this is what a hook is told of the event pause" }));
    let ntfy = &received[1];
    assert_eq!(ntfy.body, b"Only a test: this is what a hook is told of the event critical");
    assert!(ntfy.header("title").starts_with("critical is over: "), "{ntfy:?}");
    assert_eq!(
        (ntfy.header("tags"), ntfy.header("priority")),
        ("white_check_mark,critical", "5"),
        "one's own wins"
    );
}

#[test]
fn an_independent_implementation_of_standard_webhooks_takes_every_try() {
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let server = Server::new(&[Reply::Status(500, "", "no"), Reply::Close, OK]);
    let bench = Bench::new("");
    let file = bench.path("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    // Relative to the configuration file.
    bench.configure(&webhook(&server, "secret_file = \"secret\""));
    let value = bench.json(&[]);
    assert_eq!(outcome(&value), ("ok", "HTTP 200 OK, at the 3rd try"));
    let received = server.received();
    assert_eq!(received.len(), 3);
    let theirs = standardwebhooks::Webhook::new(SECRET).unwrap();
    for request in &received {
        theirs.verify(&request.body, &request.headers).unwrap();
        let mut forged = request.body.clone();
        forged[10] ^= 1;
        assert!(theirs.verify(&forged, &request.headers).is_err());
        assert_eq!(request.header("webhook-id"), received[0].header("webhook-id"), "the same message");
    }
    fs::write(&file, "whsec_???").unwrap();
    let value = bench.json(&[]);
    let (found, why) = outcome(&value);
    assert!(found == "failed" && why.ends_with("secret: what follows whsec_ is not base64"), "{why}");
    assert_eq!(server.received().len(), 3, "nothing goes out unsigned");
}

#[test]
fn a_server_that_is_well_again_gets_it_and_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::new(&[Reply::Status(500, "", ""), Reply::Status(429, "retry-after: 2\r\n", ""), OK]);
    let value = Bench::new(&webhook(&server, "")).json(&[]);
    assert_eq!(outcome(&value), ("ok", "HTTP 200 OK, at the 3rd try"));
    let received = server.received();
    assert!(received[2].at - received[1].at >= Duration::from_secs(2));
    assert!(received[1].at - received[0].at >= Duration::from_millis(500), "half a second is the least");
}

#[test]
fn what_does_not_get_better_is_not_tried_again() {
    let server = Server::new(&[Reply::Status(404, "", "no such \u{1b}[2Jchannel")]);
    let value = Bench::new(&webhook(&server, "")).json(&[]);
    assert_eq!(outcome(&value), ("failed", "HTTP 404 Not Found: no such \u{fffd}[2Jchannel"));
    assert_eq!(server.received().len(), 1);

    let elsewhere = Server::new(&[OK]);
    let to: &'static str = format!("location: {}\r\n", elsewhere.url("/hush")).leak();
    let server = Server::new(&[Reply::Status(307, to, "")]);
    let value = Bench::new(&webhook(&server, "")).json(&[]);
    let (found, why) = outcome(&value);
    assert!(found == "refused" && why.contains("redirects are not followed"), "{why}");
    assert!(why.contains(&elsewhere.url("/")) && !why.contains("hush"), "{why}");
    assert_eq!((server.received().len(), elsewhere.received().len()), (1, 0));
}

#[test]
fn a_server_that_fails_for_good_gets_as_many_tries_as_are_set() {
    let server = Server::new(&[Reply::Status(503, "", "away")]);
    let value = Bench::new(&webhook(&server, "retries = 1")).json(&[]);
    assert_eq!(outcome(&value), ("failed", "HTTP 503 Service Unavailable: away, at the 2nd try"));
    assert_eq!(server.received().len(), 2);
    let value = Bench::new("webhook = \"http://127.0.0.1:1/\"\nretries = 0").json(&[]);
    let (found, why) = outcome(&value);
    assert!(found == "failed" && why.contains("Connection refused"), "{why}");
}

#[test]
fn a_server_that_is_silent_is_given_its_time_and_of_one_that_talks_for_ever_the_answer_counts() {
    let keys = "timeout = \"2s\"\nretries = 1";
    let server = Server::new(&[Reply::Silence]);
    let value = Bench::new(&webhook(&server, keys)).json(&[]);
    assert_eq!(outcome(&value), ("timeout", "no answer within 2s, at the 2nd try"));
    assert_eq!(server.received().len(), 2);

    let server = Server::new(&[Reply::Trickle]);
    let value = Bench::new(&webhook(&server, "retries = 1")).json(&[]);
    assert_eq!(outcome(&value), ("ok", "HTTP 200 OK"));
    assert_eq!(server.received().len(), 1, "what was taken is not sent twice");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handshakes = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return false;
            }
        }
        true
    });
    let value = Bench::new(&format!("webhook = \"https://{address}/\"")).json(&[]);
    let (found, why) = outcome(&value);
    assert!(found == "failed" && why.contains("invalid peer certificate") && !why.contains("try"), "{why}");
    assert!(!handshakes.join().unwrap(), "nothing was sent");
}
