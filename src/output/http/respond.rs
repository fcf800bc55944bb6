//! Requests and answers.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::page;
use super::web::{Users, credentials};
use crate::output::metrics::{Metrics, Snapshot};

/// What Prometheus' text format is called.
const METRICS: &str = "text/plain; version=0.0.4";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A body that a request may come with, bytes; nobody reads it.
const BODY: u64 = 64 << 10;

/// A sampling loop that has not gone round for so long, while this thread runs, has stopped.
const STUCK: Duration = Duration::from_secs(10);
/// How long it is given to go round where it seems to have stopped: after a freeze this thread may be the first to run.
const GRACE: Duration = Duration::from_secs(1);

type Answer = Response<Full<Bytes>>;

/// Answers a request; where there are users, one of theirs.
pub(super) async fn respond(request: &Request<Incoming>, users: Option<&Users>, metrics: &Metrics) -> Answer {
    let mut answer = if !admitted(request, users).await {
        let mut answer = text(StatusCode::UNAUTHORIZED, "log in\n");
        set(&mut answer, header::WWW_AUTHENTICATE, "Basic realm=\"pause-monitor\", charset=\"UTF-8\"");
        answer
    } else if hyper::body::Body::size_hint(request.body()).lower() > BODY {
        let mut answer = text(StatusCode::PAYLOAD_TOO_LARGE, "nothing is to be sent here\n");
        set(&mut answer, header::CONNECTION, "close");
        answer
    } else if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        set(&mut answer, header::ALLOW, "GET, HEAD");
        answer
    } else {
        route(request, metrics).await
    };
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

async fn admitted(request: &Request<Incoming>, users: Option<&Users>) -> bool {
    let Some(users) = users else { return true };
    match credentials(request.headers()) {
        Some(credentials) => users.admits(credentials).await,
        None => false,
    }
}

async fn route(request: &Request<Incoming>, metrics: &Metrics) -> Answer {
    match request.uri().path() {
        "/" => {
            let mut answer = answer(StatusCode::OK, HTML, page::page(metrics).into());
            // It is all in one file: nothing is loaded, nothing runs.
            set(
                &mut answer,
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'",
            );
            answer
        }
        "/metrics" => compressed(request.headers(), metrics.text()),
        "/healthz" => match health(metrics).await {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/readyz" => match ready(&metrics.snapshot(), metrics.store_is_open()) {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /, /metrics, /healthz and /readyz\n"),
    }
}

/// Whether the sampling loop goes round.
async fn health(metrics: &Metrics) -> Result<(), &'static str> {
    let stuck = || metrics.sampling_stuck_ns().is_some_and(|ns| Duration::from_nanos(ns) >= STUCK);
    let end = Instant::now() + GRACE;
    while stuck() && Instant::now() < end && !metrics.sampling_ended() {
        sleep(GRACE / 20).await;
    }
    if metrics.sampling_ended() {
        Err("the sampling thread has ended\n")
    } else if stuck() {
        Err("the sampling loop has stopped\n")
    } else {
        Ok(())
    }
}

/// Whether all is there that a user counts on.
fn ready(snapshot: &Snapshot, store_is_open: bool) -> Result<(), &'static str> {
    match &snapshot.totals.last {
        Some(last) if last.degraded => Err("samples are degraded: the source does not deliver\n"),
        _ if snapshot.totals.complete() == 0 => Err("no complete sample has come yet\n"),
        _ if !store_is_open => Err("the store is not open\n"),
        _ => Ok(()),
    }
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, kind);
    answer
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    answer(status, TEXT, Bytes::from_static(text.as_bytes()))
}

fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// The exposition, packed where the client takes that.
fn compressed(headers: &HeaderMap, text: String) -> Answer {
    let mut answer = if takes_gzip(headers) {
        let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
        let packed = packer.write_all(text.as_bytes()).and_then(|()| packer.finish());
        match packed {
            Ok(packed) => {
                let mut answer = answer(StatusCode::OK, METRICS, packed.into());
                set(&mut answer, header::CONTENT_ENCODING, "gzip");
                answer
            }
            // Memory does not fail to be written to.
            Err(_) => answer(StatusCode::OK, METRICS, text.into()),
        }
    } else {
        answer(StatusCode::OK, METRICS, text.into())
    };
    set(&mut answer, header::VARY, "accept-encoding");
    answer
}

/// RFC 9110, 12.5.3: gzip is named, and not with a weight of 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            // The name of the weight is in any case, as all such names are.
            let weight = parts
                .find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='))
                .and_then(|weight| weight.parse::<f32>().ok());
            named && weight != Some(0.0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && takes("br,gzip ; q=1"));
        assert!(
            !takes("identity")
                && !takes("gzip;q=0")
                && !takes("gzip; Q=0.000")
                && !takes("gzipped")
                && !takes("")
        );
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
