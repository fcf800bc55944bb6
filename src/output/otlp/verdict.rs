//! What an answer means for what was sent. Pure.
//!
//! OTLP tells apart what may be sent again and what must not ("Failures" in its specification). The rest is told
//! apart by whose fault it is: a wrong key or address says nothing against a span, so nothing is given up for it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use prost::Message;
use tonic::Code;
use tonic_types::{StatusExt, pb};

use super::super::client::{line, retry_after};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken but for so many spans; which ones, it does not say.
    Taken {
        /// Spans refused for good.
        rejected: u64,
        /// Why, or a warning where none was.
        message: String,
    },
    /// Never to be taken as it is.
    Refused(String),
    /// The collector failed on it: its own fault, unless it takes others.
    Doubtful(String),
    /// It is our configuration, or the collector's, that is wrong: nothing is said about the spans.
    Misconfigured(String),
    /// Not now.
    Later {
        /// Why.
        why: String,
        /// How long the collector wants to be left alone.
        after: Option<Duration>,
    },
}

/// What an HTTP answer other than 2xx means. `body`: what came of it.
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let why = described(status, headers, body);
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Later { why, after: retry_after(headers) },
        // The request took too long to come in.
        408 => Answer::Later { why, after: None },
        // Not a collector at all, or one that wants to be spoken to through TLS: no word about what was sent.
        400 if is_page(headers) || why.contains("HTTPS") => Answer::Misconfigured(why),
        // What they speak of is the request itself: its form, or its size.
        400 | 409 | 413 | 414 | 422 | 431 => Answer::Refused(why),
        500..=599 => Answer::Doubtful(why),
        // A redirect, a wrong path, a wrong key, a proxy, a quota.
        _ => Answer::Misconfigured(why),
    }
}

/// Whether what came back is for a browser.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// The collector's own words, where it has some, cut to a line.
fn described(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let words = if kind.starts_with("application/x-protobuf") {
        pb::Status::decode(body).map(|status| status.message).unwrap_or_default()
    } else if is_page(headers) {
        String::new()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    match line(&words) {
        words if words.is_empty() => format!("HTTP {status}"),
        words => format!("HTTP {status}: {words}"),
    }
}

/// What a status of gRPC means; tonic makes one of a broken connection, too.
pub(super) fn grpc(status: &tonic::Status) -> Answer {
    let why = match line(status.message()) {
        words if words.is_empty() => format!("gRPC {:?}", status.code()),
        words => format!("gRPC {:?}: {words}", status.code()),
    };
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Later { why, after },
        // Only where it says when, OTLP has it; else the request itself may be what there is no room for.
        Code::ResourceExhausted if after.is_some() => Answer::Later { why, after },
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::NotFound => {
            Answer::Misconfigured(why)
        }
        Code::Ok | Code::Unknown | Code::Internal | Code::ResourceExhausted => Answer::Doubtful(why),
        Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition => Answer::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(answer: &Answer) -> &'static str {
        match answer {
            Answer::Taken { .. } => "taken",
            Answer::Refused(_) => "refused",
            Answer::Doubtful(_) => "doubtful",
            Answer::Misconfigured(_) => "misconfigured",
            Answer::Later { .. } => "later",
        }
    }

    #[test]
    fn http_statuses_mean_what_otlp_says_and_no_fault_of_the_configuration_costs_a_span() {
        for (status, meaning) in [
            (400, "refused"),
            (413, "refused"),
            (422, "refused"),
            (401, "misconfigured"),
            (403, "misconfigured"),
            (404, "misconfigured"),
            (405, "misconfigured"),
            (301, "misconfigured"),
            (402, "misconfigured"),
            (421, "misconfigured"),
            (408, "later"),
            (429, "later"),
            (502, "later"),
            (503, "later"),
            (504, "later"),
            (500, "doubtful"),
            (501, "doubtful"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(name(&http(status, &HeaderMap::new(), b"")), meaning, "{status}");
        }
    }

    #[test]
    fn a_400_that_is_no_collectors_word_costs_no_span() {
        let mut headers = HeaderMap::new();
        let words = b"Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!(name(&http(StatusCode::BAD_REQUEST, &headers, words)), "misconfigured");
        headers.insert(http::header::CONTENT_TYPE, "text/html".parse().unwrap());
        assert_eq!(name(&http(StatusCode::BAD_REQUEST, &headers, b"<html>")), "misconfigured");
    }

    #[test]
    fn grpc_codes_mean_what_otlp_says() {
        for (code, meaning) in [
            (Code::InvalidArgument, "refused"),
            (Code::FailedPrecondition, "refused"),
            (Code::Unauthenticated, "misconfigured"),
            (Code::PermissionDenied, "misconfigured"),
            (Code::Unimplemented, "misconfigured"),
            (Code::Unavailable, "later"),
            (Code::DeadlineExceeded, "later"),
            (Code::ResourceExhausted, "doubtful"),
            (Code::Internal, "doubtful"),
            (Code::Unknown, "doubtful"),
        ] {
            assert_eq!(name(&grpc(&tonic::Status::new(code, ""))), meaning, "{code:?}");
        }
        let asked = Duration::from_secs(3);
        let details = tonic_types::ErrorDetails::with_retry_info(Some(asked));
        let status = tonic::Status::with_error_details(Code::ResourceExhausted, "full", details);
        let expected = Answer::Later { why: "gRPC ResourceExhausted: full".to_owned(), after: Some(asked) };
        assert_eq!(grpc(&status), expected);
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, text.parse().unwrap());
            match http(StatusCode::SERVICE_UNAVAILABLE, &headers, b"") {
                Answer::Later { after, .. } => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after("17"), Some(Duration::from_secs(17)));
        assert_eq!(after("Thu, 01 Jan 1970 00:00:10 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 01 Jan 2100 00:00:00 GMT") > Some(Duration::from_secs(1_000_000)));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn the_collectors_words_are_one_printable_line() {
        let mut headers = HeaderMap::new();
        let body = "no\n\u{1b}[2J room ".repeat(100);
        let answer = http(StatusCode::BAD_REQUEST, &headers, body.as_bytes());
        let Answer::Refused(why) = answer else { panic!("{answer:?}") };
        assert!(why.starts_with("HTTP 400 Bad Request: no") && why.ends_with('…'), "{why}");
        assert!(!why.chars().any(char::is_control) && why.chars().count() < 240, "{why}");

        headers.insert(http::header::CONTENT_TYPE, "application/x-protobuf".parse().unwrap());
        let status = pb::Status { code: 3, message: "no such tenant".to_owned(), details: Vec::new() };
        let answer = http(StatusCode::BAD_REQUEST, &headers, &status.encode_to_vec());
        assert_eq!(answer, Answer::Refused("HTTP 400 Bad Request: no such tenant".to_owned()));

        headers.insert(http::header::CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
        let answer = http(StatusCode::NOT_FOUND, &headers, b"<html>not here</html>");
        assert_eq!(answer, Answer::Misconfigured("HTTP 404 Not Found".to_owned()));
    }
}
