//! What a request holds, in each format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::super::super::payload::{Event, Payload, Status};
use crate::config::WebhookFormat;

const TITLE: HeaderName = HeaderName::from_static("title");
const PRIORITY: HeaderName = HeaderName::from_static("priority");
const TAGS: HeaderName = HeaderName::from_static("tags");

/// The body, and the headers that belong to the format.
pub(super) fn form(
    format: WebhookFormat,
    payload: &Payload,
) -> Result<(Bytes, HeaderMap), serde_json::Error> {
    let mut headers = HeaderMap::new();
    let body = match format {
        WebhookFormat::Json => serde_json::to_vec(payload)?,
        WebhookFormat::Slack => {
            serde_json::to_vec(&json!({ "text": crate::human::without_markup(&payload.summary) }))?
        }
        WebhookFormat::Ntfy => {
            let (priority, emoji) = urgency(payload);
            headers.insert(PRIORITY, HeaderValue::from_static(priority));
            for (name, text) in
                [(TITLE, title(payload)), (TAGS, format!("{emoji},{}", payload.event.as_str()))]
            {
                if let Ok(value) = header_text(&text).parse() {
                    headers.insert(name, value);
                }
            }
            payload.summary.clone().into_bytes()
        }
    };
    let kind = if format == WebhookFormat::Ntfy { "text/plain; charset=utf-8" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok((body.into(), headers))
}

fn title(payload: &Payload) -> String {
    let event = payload.event.as_str().replace('_', " ");
    let over = if payload.status == Status::Resolved { " is over" } else { "" };
    format!("{event}{over}: {}", crate::sample::printable(&payload.host))
}

/// ntfy's priority, 1 to 5 with 3 for the usual, and the name of an emoji it knows.
fn urgency(payload: &Payload) -> (&'static str, &'static str) {
    match payload.event {
        _ if payload.status == Status::Resolved => ("2", "white_check_mark"),
        Event::Pause | Event::Outage | Event::Critical | Event::SourceDown => ("4", "warning"),
        Event::Stall | Event::Elevated => ("3", "warning"),
        Event::Recovered | Event::SourceUp => ("2", "white_check_mark"),
        Event::Forensics => ("2", "mag"),
    }
}

/// Text as a header may hold it: what is not ASCII as RFC 2047 has it, which ntfy reads.
fn header_text(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_the_body_and_the_headers_that_its_servers_read() {
        let payload =
            Payload { summary: "a <!channel> & b".to_owned(), ..Payload::sample(Event::Pause, "desk") };
        let (body, headers) = form(WebhookFormat::Json, &payload).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value["version"], &value["event"]), (&json!(1), &json!("pause")));
        assert_eq!(headers[CONTENT_TYPE], "application/json");

        let (body, headers) = form(WebhookFormat::Slack, &payload).unwrap();
        assert_eq!(body, &br#"{"text":"a &lt;!channel&gt; &amp; b"}"#[..]);
        assert_eq!(headers[CONTENT_TYPE], "application/json");

        let (body, headers) = form(WebhookFormat::Ntfy, &payload).unwrap();
        assert_eq!(body, "a <!channel> & b");
        assert_eq!(
            (&headers[TITLE], &headers[PRIORITY], &headers[TAGS]),
            (
                &HeaderValue::from_static("pause: desk"),
                &HeaderValue::from_static("4"),
                &HeaderValue::from_static("warning,pause"),
            )
        );
    }

    #[test]
    fn a_host_of_any_name_has_a_title() {
        let over = Payload { status: Status::Resolved, ..Payload::sample(Event::SourceDown, "zoé\n") };
        let (_, headers) = form(WebhookFormat::Ntfy, &over).unwrap();
        let title = headers[TITLE].to_str().unwrap().to_owned();
        let encoded = title.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), "source down is over: zoé\u{fffd}".as_bytes());
        assert_eq!(
            (&headers[PRIORITY], &headers[TAGS]),
            (&HeaderValue::from_static("2"), &HeaderValue::from_static("white_check_mark,source_down"),)
        );
    }
}
