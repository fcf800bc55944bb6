//! How this program asks others over HTTP: who it says it is, whom it trusts, and how it tells of what came back.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// What every request says of who sends it.
pub(super) const USER_AGENT: &str = concat!("pause-monitor/", env!("CARGO_PKG_VERSION"));

/// A client of HTTP/1.1, in the clear and through TLS. It follows no redirect and knows no proxy.
pub(super) type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that trusts as `tls` says.
pub(super) fn http1(tls: ClientConfig) -> Client {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    legacy::Client::builder(TokioExecutor::new()).build(connector.enable_http1().build())
}

/// rustls with ring, before it is said who is trusted.
pub(super) fn tls_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// Trusts the authorities of the web, which are compiled in.
pub(super) fn trusting_the_web() -> Result<ClientConfig, rustls::Error> {
    Ok(tls_builder()?.with_webpki_roots().with_no_client_auth())
}

/// Trusts nobody: for a server that is spoken to in the clear.
pub(super) fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    Ok(tls_builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// An error with its causes; what a cause repeats of what is above it is left out.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Somebody else's words as they may stand in a log: one line, not long, nothing that moves a cursor.
pub(super) fn line(words: &str) -> String {
    const MOST: usize = 200;
    let words: Vec<&str> = words.split_whitespace().collect();
    let words = words.join(" ");
    let mut cut: String = words.chars().take(MOST).collect();
    if cut.len() < words.len() {
        cut.push('…');
    }
    crate::sample::printable(&cut)
}

/// Seconds; the other form, a date, needs both clocks to agree, and is read as a wish to wait.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_nanosecond();
    let left = at - i128::from(crate::clock::unix_ns());
    Some(Duration::from_nanos(u64::try_from(left.max(0)).ok()?))
}
