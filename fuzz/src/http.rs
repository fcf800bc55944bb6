//! Any bytes at all as what a client of the HTTP service sends, through hyper and the service in memory.
//!
//! - The connection ends, and what was answered are whole answers, each with a length, a date and the headers that
//!   keep browsers from guessing; bytes in bounded proportion to those that came.
//! - Requests that follow the book (by `httparse`) are answered as [`expected`] says, one after another: status, body or
//!   none, gzip where it is taken.
//! - Where somebody has to log in, nobody is told anything who did not send a user's name and password.
//! - Each holds however the bytes come in pieces, and the answers are the same, as many as there are.
//!
//! The first byte says whether there are users, how the bytes are split, and whether the client goes or waits.

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use pause_monitor::config::Config;
use pause_monitor::output::http::{serve_one, web};
use pause_monitor::output::metrics::{self, Feed, Metrics, Peers};
use pause_monitor::sample::Sample;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// The credentials of the only user, as a client sends them: `ann:secret`.
const CREDENTIALS: &str = "YW5uOnNlY3JldA==";
/// A bcrypt hash of `secret`, as cheap as there is.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// Header lines of a request, as many as the service takes.
const HEADER_LINES: usize = 64;

/// The service, once for all inputs.
struct Service {
    runtime: Runtime,
    metrics: Metrics,
    /// Dropped, it would say that sampling has ended.
    _feed: Feed,
    /// Without users, and with one.
    settings: [web::Settings; 2],
}

thread_local! {
    static SERVICE: RefCell<Service> = RefCell::new(Service::new());
}

impl Service {
    fn new() -> Self {
        let peers = Peers { source: "replay", ..Peers::default() };
        peers.store.open.store(true, Relaxed);
        let thresholds = pause_monitor::daemon::settings(&Config::default()).tiers;
        let (mut feed, metrics) = metrics::channel(&thresholds, peers);
        let sample = Sample { seq: 1, elapsed_ns: 100_000_000, ..Sample::default() };
        feed.totals.sample(&sample, 100_000_000, 100_000_000);
        feed.publish();
        let users = format!("basic_auth_users:\n  ann: {HASH}\n");
        let users = web::parse(users.as_bytes(), Path::new("/")).expect("a web configuration");
        // Time that passes while nothing happens passes at once: nobody waits for a time-out.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        Self { runtime, metrics, _feed: feed, settings: [web::Settings::default(), users] }
    }

    /// What a client that sends these pieces gets until the connection ends.
    fn exchange<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, users: bool, waits: bool) -> Vec<u8> {
        let (client, server) = tokio::io::duplex(64 << 10);
        let (mut reading, mut writing) = tokio::io::split(client);
        let client = async {
            let sending = async {
                for piece in pieces {
                    // The other side may close before it has read all.
                    if writing.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                if !waits {
                    let _ = writing.shutdown().await;
                }
            };
            let mut answers = Vec::new();
            let receiving = reading.read_to_end(&mut answers);
            let (received, ()) = tokio::join!(receiving, sending);
            received.expect("memory can be read");
            answers
        };
        let settings = &self.settings[usize::from(users)];
        self.runtime.block_on(async { tokio::join!(client, serve_one(server, &self.metrics, settings)).0 })
    }
}

/// Demands it all.
pub fn check(input: &[u8]) {
    let [how, requests @ ..] = input else { return };
    let (users, waits, piece) = (how % 2 == 1, how & 2 == 2, 1 + usize::from(how >> 2));
    let expected = expected(requests, users);
    SERVICE.with_borrow(|service| {
        let whole = service.exchange(std::iter::once(requests), users, waits);
        let whole = checked(&whole, &expected, requests, users);
        let in_pieces = service.exchange(requests.chunks(piece), users, waits);
        let in_pieces = checked(&in_pieces, &expected, requests, users);
        // Where a body comes late, or the client goes early, the connection may end after fewer answers.
        let (fewer, more) =
            if whole.len() < in_pieces.len() { (whole, in_pieces) } else { (in_pieces, whole) };
        assert!(
            more.starts_with(&fewer),
            "{more:?} and {fewer:?}, in pieces of {piece}: {}",
            shown(requests)
        );
    });
}

/// The statuses of the answers, which are checked.
fn checked(bytes: &[u8], expected: &[Expected], requests: &[u8], users: bool) -> Vec<u16> {
    let lines = requests.iter().filter(|&&byte| byte == b'\n').count();
    assert!(bytes.len() <= (lines + 1) * (64 << 10), "{} bytes for {lines} lines", bytes.len());
    let answers = answers(bytes, expected, requests);
    for (expected, answer) in expected.iter().zip(&answers) {
        as_expected(expected, answer, requests);
    }
    assert!(answers.len() >= expected.len(), "{expected:?}: {}", shown(bytes));
    if users && !contains(requests, CREDENTIALS.as_bytes()) {
        let told = answers.iter().find(|answer| [200, 404, 405, 413, 503].contains(&answer.status));
        assert!(told.is_none(), "{told:?}");
    }
    answers.iter().map(|answer| answer.status).collect()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().take(4_000).map(char::from).collect()
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    header: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.header.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice: {self:?}");
        value
    }
}

/// The answers in what came, as far as it is known which of them have no body: those to HEAD.
fn answers(mut bytes: &[u8], expected: &[Expected], requests: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let heads = contains(requests, b"HEAD");
    while !bytes.is_empty() && (!heads || answers.len() < expected.len()) {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no whole header: {}", shown(bytes)));
        let header = std::str::from_utf8(&bytes[..end]).expect("a header is text");
        let mut lines = header.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        let header = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("a header line: {line}")))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let status = status.unwrap_or_else(|| panic!("a status: {first}"));
        let mut answer = Answer { status, header, body: Vec::new() };
        bytes = &bytes[end + 4..];
        if status == 100 {
            continue;
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let length: usize = length.unwrap_or_else(|| panic!("a length: {answer:?}"));
        if expected.get(answers.len()).is_none_or(|expected| !expected.head) {
            assert!(length <= bytes.len(), "{length} bytes were said, {} came: {answer:?}", bytes.len());
            answer.body = bytes[..length].to_vec();
            bytes = &bytes[length..];
        }
        well_formed(&answer);
        answers.push(answer);
    }
    answers
}

/// What holds for every answer.
fn well_formed(answer: &Answer) {
    assert!(answer.header("date").is_some(), "{answer:?}");
    match answer.status {
        // The protocol's own, which no request comes through to.
        400 | 414 | 431 => assert!(answer.body.is_empty(), "{answer:?}"),
        200 | 401 | 404 | 405 | 413 | 503 => {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("content-type").is_some(), "{answer:?}");
        }
        _ => panic!("no such status is given: {answer:?}"),
    }
    assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{answer:?}");
    assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{answer:?}");
}

/// How a request must be answered.
#[derive(Debug)]
struct Expected {
    status: u16,
    head: bool,
    /// Whether the answer is packed; `None` where no rule says.
    gzip: Option<bool>,
    metrics: bool,
}

fn as_expected(expected: &Expected, answer: &Answer, requests: &[u8]) {
    assert_eq!(answer.status, expected.status, "{expected:?}: {answer:?} to {}", shown(requests));
    assert_eq!(answer.body.is_empty(), expected.head, "{answer:?}");
    let gzip = answer.header("content-encoding") == Some("gzip");
    if let Some(expected_gzip) = expected.gzip {
        assert_eq!(gzip, expected_gzip, "{}", shown(requests));
    }
    if !expected.metrics || expected.head {
        return;
    }
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let mut text = String::new();
    if gzip {
        flate2::read::GzDecoder::new(&*answer.body).read_to_string(&mut text).expect("gzip");
    } else {
        text = String::from_utf8(answer.body.clone()).expect("text");
    }
    assert!(text.starts_with("# HELP ") && text.contains("\npause_monitor_up "), "{text}");
}

/// The answers to the requests that stand at the beginning, as far as they follow the book and it is plain.
fn expected(requests: &[u8], users: bool) -> Vec<Expected> {
    let mut all = Vec::new();
    let mut rest = requests;
    while let Some((expected, length, goes_on)) = one(rest, users) {
        all.push(expected);
        rest = &rest[length..];
        if !goes_on {
            break;
        }
    }
    all
}

/// One request: how it is answered, how many bytes it has, whether another may follow.
fn one(requests: &[u8], users: bool) -> Option<(Expected, usize, bool)> {
    let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(length)) = request.parse(requests) else { return None };
    let (method, target, version) = (request.method?, request.path?, request.version?);
    let header = |name: &str| {
        let mut found = request.headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
        found.next().map(|line| (line.value, found.next().is_some()))
    };
    // Bodies and what changes the connection are the protocol's business.
    let plain = ["content-length", "transfer-encoding", "expect", "upgrade", "connection"];
    if plain.iter().any(|name| header(name).is_some()) || version != 1 {
        return None;
    }
    let uri: http::Uri = target.parse().ok()?;
    if !target.starts_with('/') || method == "CONNECT" {
        return None;
    }
    let admitted = !users || header("authorization").is_some_and(|(value, _)| is_ann(value));
    let head = method == "HEAD";
    let status = match (admitted, method, uri.path()) {
        (false, ..) => 401,
        (true, "GET" | "HEAD", "/" | "/metrics" | "/healthz" | "/readyz") => 200,
        (true, "GET" | "HEAD", _) => 404,
        (true, ..) => 405,
    };
    let metrics = status == 200 && uri.path() == "/metrics";
    let gzip = if metrics { takes_gzip(request.headers) } else { Some(false) };
    Some((Expected { status, head, gzip, metrics }, length, true))
}

/// RFC 7617: the scheme in any case, a space, the credentials.
fn is_ann(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    match value.split_once(' ') {
        Some((scheme, credentials)) if value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) => {
            scheme.eq_ignore_ascii_case("basic") && credentials.trim_matches([' ', '\t']) == CREDENTIALS
        }
        _ => false,
    }
}

/// RFC 9110, 12.5.3. `None` where the header does not follow its grammar, or says both.
fn takes_gzip(lines: &[httparse::Header<'_>]) -> Option<bool> {
    let mut says = Vec::new();
    for line in lines.iter().filter(|line| line.name.eq_ignore_ascii_case("accept-encoding")) {
        for element in std::str::from_utf8(line.value).ok()?.split(',') {
            let element = element.trim_matches([' ', '\t']);
            if element.is_empty() {
                continue;
            }
            let (coding, weight) = match element.split_once(';') {
                None => (element, None),
                Some((coding, weight)) => (coding, Some(weight.trim_matches([' ', '\t']))),
            };
            let coding = coding.trim_matches([' ', '\t']);
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if coding.is_empty() || !coding.bytes().all(token) {
                return None;
            }
            let positive = match weight {
                None => true,
                Some(weight) => positive(weight)?,
            };
            if coding.eq_ignore_ascii_case("gzip") {
                says.push(positive);
            }
        }
    }
    says.dedup();
    match says[..] {
        [] => Some(false),
        [one] => Some(one),
        _ => None,
    }
}

/// Whether a weight, `q=0.5`, is above 0; `None` where it is none.
fn positive(weight: &str) -> Option<bool> {
    let value = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if digits => Some(part.bytes().any(|byte| byte != b'0')),
        "1" if digits && part.bytes().all(|byte| byte == b'0') => Some(true),
        _ => None,
    }
}
