//! `[otlp]`: where spans go, and how.

mod environment;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};
use opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;

use super::headers::Secret;
use super::values::{Compression, Protocol, clipped, quoted};
use environment::{RESOURCE_ATTRIBUTES, SDK_DISABLED, SERVICE_NAME};
pub(super) use environment::{half_a_client, put_on_top};

/// The shortest and the longest time that one request may take.
pub(super) const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// Where spans go, and how. Off without an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The collector. Default: none, nothing is exported.
    pub endpoint: Option<Endpoint>,
    /// How it is spoken to. Default http/protobuf.
    pub protocol: Protocol,
    /// Sent along with each request. Default: none.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How long one request may take, connecting included, 100 ms to 5 min. Default 10 s.
    pub timeout: Duration,
    /// Default none.
    pub compression: Compression,
    /// The only authorities trusted, PEM. Default: those of the web, which are compiled in.
    pub certificate: Option<PathBuf>,
    /// This client's certificate chain, PEM; with [`Otlp::client_key`].
    pub client_certificate: Option<PathBuf>,
    /// This client's private key, PEM.
    pub client_key: Option<PathBuf>,
    /// OTEL_SDK_DISABLED is true: nothing is exported.
    pub disabled: bool,
    /// OTEL_SERVICE_NAME.
    pub service_name: Option<String>,
    /// OTEL_RESOURCE_ATTRIBUTES.
    pub resource_attributes: Vec<(String, String)>,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
            compression: Compression::None,
            certificate: None,
            client_certificate: None,
            client_key: None,
            disabled: false,
            service_name: None,
            resource_attributes: Vec::new(),
        }
    }
}

impl Otlp {
    /// Where spans are sent to; `None` where nothing is to be exported.
    #[must_use]
    pub fn target(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref().filter(|_| !self.disabled)
    }

    /// What of the environment has no key, in a line each, for `config show`.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.disabled {
            notes.push(format!("{SDK_DISABLED} is true: nothing is exported"));
        }
        if let Some(name) = &self.service_name {
            notes.push(format!("service.name is {} ({SERVICE_NAME})", quoted(name)));
        }
        for (key, value) in &self.resource_attributes {
            notes.push(format!("{} is {} ({RESOURCE_ATTRIBUTES})", clipped(key), quoted(value)));
        }
        notes
    }
}

/// A collector's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    /// Of traces alone: the path is the whole path.
    traces: bool,
}

impl Endpoint {
    /// Reads a URL. `traces`: it is that of traces, and not a base to which `/v1/traces` is appended.
    ///
    /// # Errors
    /// What is wrong with it; the text itself may be secret and is not repeated where it holds credentials.
    pub fn parse(text: &str, traces: bool) -> Result<Self, String> {
        const HOW: &str = "write http://HOST:PORT or https://HOST:PORT";
        let no_url = || format!("{} is no URL: {HOW}", quoted(text));
        if text.contains('@') {
            return Err("credentials do not belong into the URL: put them into otlp.headers".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err(format!("{} has a query or a fragment: {HOW}", quoted(text)));
        }
        let uri: Uri = text.parse().map_err(|_| no_url())?;
        let scheme = uri.scheme_str().ok_or_else(no_url)?;
        if !["http", "https"].contains(&scheme) {
            return Err(format!("{} is neither http nor https: {HOW}", quoted(text)));
        }
        if uri.host().is_none_or(str::is_empty) || uri.port().is_some_and(|port| port.as_u16() == 0) {
            return Err(no_url());
        }
        Ok(Self { uri, traces })
    }

    /// Whether it is spoken to through TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Where requests go: for http the URL of traces, for grpc host and port alone.
    ///
    /// # Errors
    /// None for what [`Endpoint::parse`] took.
    pub fn url(&self, protocol: Protocol) -> Result<Uri, http::Error> {
        let path = match protocol {
            Protocol::Grpc => "/".to_owned(),
            Protocol::HttpProtobuf if self.traces => self.uri.path().to_owned(),
            Protocol::HttpProtobuf => format!("{}/v1/traces", self.uri.path().trim_end_matches('/')),
        };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path.parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Uri` writes a path of "/" where none was.
        let text = self.uri.to_string();
        f.write_str(if self.uri.path() == "/" { text.trim_end_matches('/') } else { &text })
    }
}

/// What a certificate's or key's setting may be.
pub(super) const PEM: &str = "An absolute path of a PEM file";

/// A file's name as it is written.
pub(super) fn file_text(file: Option<&PathBuf>) -> String {
    file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Sets a file's name. Relative paths would mean another file wherever the daemon is started.
pub(super) fn file(field: &mut Option<PathBuf>, text: &str) -> Result<(), String> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err(format!(
            "{} is no absolute path: write one, like \"/etc/ssl/collector.pem\"",
            quoted(text)
        ));
    }
    *field = Some(PathBuf::from(text)).filter(|_| !text.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_url_are_refused_without_being_repeated() {
        let problem = Endpoint::parse("http://user:hush@host", false).unwrap_err();
        assert!(problem.contains("otlp.headers") && !problem.contains("hush"), "{problem}");
        for bad in ["", "host", "ftp://h", "http://", "http:///v1", "http://h:0", "http://h?x=1", "/v1"] {
            assert!(Endpoint::parse(bad, false).is_err(), "{bad}");
        }
        for good in ["http://h", "https://h:1/a/b", "http://[::1]:4318"] {
            assert_eq!(Endpoint::parse(good, false).unwrap().to_string(), good);
        }
    }
}
