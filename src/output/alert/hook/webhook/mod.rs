//! A hook that is a request.

mod form;
mod sign;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::super::backoff::{Backoff, chance};
use super::super::super::client::{self, Client, USER_AGENT, chain, line, retry_after};
use super::super::payload::Payload;
use super::{Done, Outcome, readable, stopped};
use crate::clock;
use crate::config::{Hook, WebhookUrl};
use crate::output::store::{hex, random_incident};
use sign::Key;

/// What a server asks to be left alone for is honoured up to this.
const ASKED: Duration = Duration::from_secs(60);
/// The most of an answer's words that is read, bytes, and how long they are waited for.
const ANSWER: usize = 16 << 10;
const WORDS: Duration = Duration::from_secs(1);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A key that is being read. While the disk has that wait, another look would only wait as well.
#[derive(Debug, Default)]
pub(super) struct Reading(Option<JoinHandle<sign::Looked>>);

/// What came of one request.
enum Tried {
    /// That is it.
    Over(Done),
    /// It may be taken another time; how long the server wants to be left alone.
    Again(Done, Option<Duration>),
}

/// What is sent, try by try.
struct Message {
    id: String,
    headers: HeaderMap,
    body: Bytes,
    key: Option<Key>,
}

/// Whether there is a key in that file that can be used, with the file's mode where others can read it; why not.
pub(super) fn check_key(file: &Path) -> Result<Option<u32>, String> {
    sign::read(file).map(|(_, mode)| mode)
}

/// Sends the payload, and sends it again where that may help. Only while a request is under way it holds one of `slots`.
pub(super) async fn run(
    hook: &Hook,
    url: &WebhookUrl,
    payload: &Payload,
    slots: &Semaphore,
    stop: &mut watch::Receiver<bool>,
    reading: &mut Reading,
) -> Done {
    let (message, client) = match prepare(hook, url, payload, reading).await {
        Ok(prepared) => prepared,
        Err(why) => return Done::new(Outcome::Failed, &why),
    };
    let mut backoff = Backoff::new(ASKED);
    let mut tries = 0;
    loop {
        let tried = {
            let Ok(_slot) = slots.acquire().await else { return stopped() };
            send(&client, url.uri(), &message, hook.timeout).await
        };
        tries += 1;
        let (mut done, after) = match tried {
            Tried::Over(done) => return done.after_tries(tries),
            Tried::Again(done, after) => (done, after),
        };
        if tries > hook.retries {
            return done.after_tries(tries);
        }
        tracing::debug!("hook {}: {}; it is sent again", hook.name, done.why);
        tokio::select! {
            () = sleep(backoff.next(after, chance())) => {}
            _ = stop.wait_for(|stop| *stop) => {
                done.why.push_str("; it is not sent again, since the daemon stops");
                return done.after_tries(tries);
            }
        }
    }
}

/// All that the tries have in common.
async fn prepare(
    hook: &Hook,
    url: &WebhookUrl,
    payload: &Payload,
    reading: &mut Reading,
) -> Result<(Message, Client), String> {
    let key = match hook.secret_file.clone() {
        None => None,
        Some(file) => {
            let late = "hooks.secret_file: the disk does not answer";
            if reading.0.as_ref().is_some_and(|read| !read.is_finished()) {
                return Err(late.to_owned());
            }
            let read = reading.0.insert(tokio::task::spawn_blocking(move || sign::read(&file)));
            let (key, mode) = timeout(hook.timeout, read).await.map_err(|_| late)?.map_err(|_| late)??;
            reading.0 = None;
            if let Some(mode) = mode {
                tracing::warn!("{}", readable(hook, mode));
            }
            Some(key)
        }
    };
    let (body, mut headers) = form::form(hook.format, payload).map_err(|error| error.to_string())?;
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    // The user's own win.
    for (name, value) in &hook.headers {
        headers.insert(name, value.value());
    }
    // In the clear nobody is trusted, and the web's authorities are not even unpacked.
    let tls = if url.is_tls() { client::trusting_the_web() } else { client::trusting_nobody() };
    let client = client::http1(tls.map_err(|error| error.to_string())?);
    Ok((Message { id: format!("msg_{}", hex(random_incident())), headers, body, key }, client))
}

async fn send(client: &Client, uri: &Uri, message: &Message, limit: Duration) -> Tried {
    let mut request = Request::new(Full::new(message.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let timestamp = clock::unix_ns() / 1_000_000_000;
    let headers = request.headers_mut();
    headers.clone_from(&message.headers);
    let signature = message.key.as_ref().map(|key| key.sign(&message.id, timestamp, &message.body));
    let standard =
        [(ID, Some(message.id.clone())), (TIMESTAMP, Some(timestamp.to_string())), (SIGNATURE, signature)];
    for (name, value) in standard {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    match timeout(limit, client.request(request)).await {
        Ok(Ok(response)) => {
            let (parts, body) = response.into_parts();
            // What counts is said: words that come too slowly, or are too many, are not waited for.
            let body = timeout(WORDS, Limited::new(body, ANSWER).collect()).await;
            let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
            answered(parts.status, &parts.headers, &body.unwrap_or_default())
        }
        Ok(Err(error)) => failed(&error),
        Err(_) => {
            let why = format!("no answer within {}", crate::config::duration_text(limit));
            Tried::Again(Done::new(Outcome::Timeout, &why), None)
        }
    }
}

/// What an answer means.
fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Tried {
    let words = line(&String::from_utf8_lossy(body));
    let mut why = format!("HTTP {status}");
    if status.is_success() {
        let output = if words.is_empty() { Vec::new() } else { vec![words] };
        return Tried::Over(Done { outcome: Outcome::Ok, why, output });
    }
    if status.is_redirection() {
        let to = headers.get(header::LOCATION).and_then(|to| to.to_str().ok()?.parse::<Uri>().ok());
        let to = to.and_then(|to| Some(format!("{}://{}/", to.scheme_str()?, to.authority()?)));
        why.push_str(&format!(
            ": redirects are not followed (this one leads to {}): correct the URL",
            to.as_deref().unwrap_or("another path of the same host")
        ));
        return Tried::Over(Done::new(Outcome::Refused, &why));
    }
    if !words.is_empty() {
        why.push_str(": ");
        why.push_str(&words);
    }
    let done = Done::new(Outcome::Failed, &why);
    match status.as_u16() {
        408 | 429 | 500..=599 => Tried::Again(done, retry_after(headers)),
        _ => Tried::Over(done),
    }
}

/// What a request that got no answer means: a certificate does not get better by asking again.
fn failed(error: &(dyn Error + 'static)) -> Tried {
    let done = Done::new(Outcome::Failed, &line(&chain(error)));
    if is_distrust(error) { Tried::Over(done) } else { Tried::Again(done, None) }
}

fn is_distrust(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return matches!(error, rustls::Error::InvalidCertificate(_));
        }
        // What an error of the system holds is not its source, but what it is.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        let meaning = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match answered(status, &HeaderMap::new(), b"no\nroom") {
                Tried::Over(done) => (done.outcome, false, done.why),
                Tried::Again(done, _) => (done.outcome, true, done.why),
            }
        };
        for status in [200, 202, 204] {
            assert_eq!((meaning(status).0, meaning(status).1), (Outcome::Ok, false), "{status}");
        }
        for status in [400, 401, 403, 404, 410, 413] {
            assert_eq!((meaning(status).0, meaning(status).1), (Outcome::Failed, false), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!((meaning(status).0, meaning(status).1), (Outcome::Failed, true), "{status}");
        }
        assert_eq!(meaning(503).2, "HTTP 503 Service Unavailable: no room");
    }

    #[test]
    fn a_redirect_is_refused_and_its_path_is_not_shown() {
        let why = |to: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, to.parse().unwrap());
            match answered(StatusCode::FOUND, &headers, b"") {
                Tried::Over(Done { outcome: Outcome::Refused, why, .. }) => why,
                _ => panic!("it was not refused"),
            }
        };
        assert!(why("https://elsewhere.example/hush").contains("leads to https://elsewhere.example/)"));
        assert!(why("/hush").contains("another path of the same host"));
        assert!(!why("https://elsewhere.example/hush").contains("hush"));
    }
}
