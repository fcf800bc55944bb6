//! `[otlp]`, and the standard OTEL_* variables, which stand above the file.
//!
//! Names and meanings are OpenTelemetry's (specification, "OpenTelemetry Protocol Exporter" and "Environment
//! Variable Specification"): the variable for traces counts before the one for all signals, an empty one counts
//! as unset. Unlike there a bad value is an error, not a warning: an exporter that quietly sends elsewhere, or
//! nothing, is of no use.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};
use toml::de::DeValue;

use super::keys::KEYS;
use super::values::{Compression, Protocol, clipped, quoted};
use super::{Loaded, Origin, Problem};

/// The most headers, and the most bytes of a value.
const HEADERS: usize = 64;
const VALUE: usize = 8_192;

/// The shortest and the longest time that one request may take.
pub(super) const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// Turns everything off, whatever else is set.
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

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

/// What must not be shown: a header's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(HeaderValue);

impl Secret {
    /// The value, marked as sensitive, for whoever sends it.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A header as it may be sent, or why not. The value is never repeated.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, Secret), String> {
    /// Ours, or the protocol's.
    const TAKEN: [&str; 8] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
        "user-agent",
    ];
    let key: HeaderName = name.parse().map_err(|_| format!("{} is no header's name", quoted(name)))?;
    if TAKEN.contains(&key.as_str()) || key.as_str().starts_with("grpc-") || key.as_str().ends_with("-bin") {
        return Err(format!("the header {} is not yours to set: leave it out", quoted(name)));
    }
    let mut value: HeaderValue = value
        .parse()
        .ok()
        .filter(|value: &HeaderValue| value.len() <= VALUE && value.to_str().is_ok())
        .ok_or_else(|| {
            format!(
                "the value of the header {} is too long, or has characters that none may have",
                quoted(name)
            )
        })?;
    value.set_sensitive(true);
    Ok((key, Secret(value)))
}

/// Headers from names and values.
pub(super) fn headers<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut headers =
        pairs.into_iter().map(|(name, value)| header(name, value)).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > HEADERS {
        return Err(format!("{} headers are more than {HEADERS}", headers.len()));
    }
    // Names that differ in case alone are one.
    headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    match headers.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("the header {} is there twice: keep one", quoted(pair[0].0.as_str()))),
        None => Ok(headers),
    }
}

/// `key=value,key=value`, values percent-encoded. What is wrong is told by its place: values may be secrets.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text.trim()).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    text.split(',')
        .enumerate()
        .filter(|(_, pair)| !pair.trim().is_empty())
        .map(|(at, pair)| {
            pair.split_once('=')
                .and_then(|(key, value)| Some((decoded(key)?, decoded(value)?)))
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| {
                    format!(
                        "entry {} is not KEY=VALUE: write KEY=VALUE,KEY=VALUE, values percent-encoded",
                        at + 1
                    )
                })
        })
        .collect()
}

/// The variables of a key: that of traces, that of all signals.
const VARIABLES: [(&str, [&str; 2]); 8] = [
    ("otlp.endpoint", [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT]),
    ("otlp.protocol", [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL]),
    ("otlp.headers", [OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS]),
    ("otlp.timeout", [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT]),
    ("otlp.compression", [OTEL_EXPORTER_OTLP_TRACES_COMPRESSION, OTEL_EXPORTER_OTLP_COMPRESSION]),
    ("otlp.certificate", ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]),
    (
        "otlp.client_certificate",
        ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"],
    ),
    ("otlp.client_key", ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"]),
];

/// Puts the environment on top of what the file says. Problems are returned only where something is to be
/// exported: without an endpoint other programs' variables are none of our business.
pub(super) fn put_on_top(loaded: &mut Loaded, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let read = |name: &'static str, problems: &mut Vec<Problem>| match variable(name)?.into_string() {
        Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Err(_) => {
            problems.push(Problem { line: None, message: format!("{name}: not UTF-8 text") });
            None
        }
    };
    let mut wanted = loaded.config.otlp.endpoint.is_some();
    for (path, names) in VARIABLES {
        let Some((name, text)) =
            names.iter().find_map(|&name| read(name, &mut problems).map(|text| (name, text)))
        else {
            continue;
        };
        wanted |= path == "otlp.endpoint";
        match set(loaded, path, &text, name == names[0]) {
            Ok(index) => loaded.origins[index] = Origin::Environment(name),
            Err(why) => problems.push(Problem { line: None, message: format!("{name}: {why}") }),
        }
    }
    let otlp = &mut loaded.config.otlp;
    otlp.disabled = read(SDK_DISABLED, &mut problems).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    otlp.service_name = read(SERVICE_NAME, &mut problems);
    match read(RESOURCE_ATTRIBUTES, &mut problems).map(|text| pairs(&text)) {
        None => {}
        Some(Ok(attributes)) => otlp.resource_attributes = attributes,
        Some(Err(why)) => {
            problems.push(Problem { line: None, message: format!("{RESOURCE_ATTRIBUTES}: {why}") });
        }
    }
    if !wanted || otlp.disabled {
        problems.clear();
    }
    problems
}

/// A client's certificate without its key, or the reverse, whoever said so: who, and what is wrong.
pub(super) fn half_a_client(loaded: &Loaded) -> Option<(Origin, String)> {
    let Otlp { client_certificate, client_key, .. } = &loaded.config.otlp;
    let (there, missing) = match (client_certificate, client_key) {
        (Some(_), None) => ("otlp.client_certificate", "otlp.client_key"),
        (None, Some(_)) => ("otlp.client_key", "otlp.client_certificate"),
        _ => return None,
    };
    loaded.config.otlp.target()?;
    Some((loaded.origin(there), format!("{there}: it needs {missing} beside it: set both or none")))
}

/// Sets the key of that path from a variable's text; its place in [`KEYS`].
fn set(loaded: &mut Loaded, path: &str, text: &str, traces: bool) -> Result<usize, String> {
    let index = KEYS.iter().position(|key| key.path == path).ok_or("there is no such key")?;
    let config = &mut loaded.config;
    match path {
        "otlp.endpoint" => config.otlp.endpoint = Some(Endpoint::parse(text, traces)?),
        "otlp.headers" => {
            let pairs = pairs(text)?;
            config.otlp.headers = headers(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
        }
        "otlp.timeout" => {
            let timeout = text.parse().ok().map(Duration::from_millis).filter(|time| TIMEOUT.contains(time));
            config.otlp.timeout = timeout.ok_or_else(|| {
                format!(
                    "{} is no number of milliseconds from {} to {}",
                    quoted(text),
                    TIMEOUT.start().as_millis(),
                    TIMEOUT.end().as_millis()
                )
            })?;
        }
        _ => KEYS[index].set(config, &DeValue::String(text.into()))?,
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn with(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
        let mut loaded = parse(file, false).unwrap();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let problems = put_on_top(&mut loaded, &variable);
        if problems.is_empty() {
            return Ok(loaded);
        }
        Err(problems.into_iter().map(|problem| problem.message).collect())
    }

    fn url(loaded: &Loaded) -> String {
        let otlp = &loaded.config.otlp;
        otlp.endpoint.as_ref().unwrap().url(otlp.protocol).unwrap().to_string()
    }

    const FILE: &str = "[otlp]\nendpoint = \"http://file:4318\"\ntimeout = \"5s\"\n";

    #[test]
    fn the_variable_of_traces_beats_that_of_all_signals_and_both_beat_the_file() {
        let loaded = with(FILE, &[]).unwrap();
        assert_eq!(url(&loaded), "http://file:4318/v1/traces");
        assert_eq!(loaded.origin("otlp.endpoint"), Origin::File { line: 2 });

        let general = (OTEL_EXPORTER_OTLP_ENDPOINT, "http://general:4318/base/");
        let loaded = with(FILE, &[general, (OTEL_EXPORTER_OTLP_TIMEOUT, "2500")]).unwrap();
        assert_eq!(url(&loaded), "http://general:4318/base/v1/traces");
        assert_eq!(loaded.config.otlp.timeout, Duration::from_millis(2_500));
        assert_eq!(loaded.origin("otlp.endpoint"), Origin::Environment(general.0));
        assert_eq!(loaded.origin("otlp.timeout"), Origin::Environment(OTEL_EXPORTER_OTLP_TIMEOUT));

        let traces = (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, "http://traces:4318/own/path");
        let loaded = with(FILE, &[general, traces]).unwrap();
        assert_eq!(url(&loaded), "http://traces:4318/own/path", "it is taken as it is");
        assert_eq!(loaded.origin("otlp.endpoint"), Origin::Environment(traces.0));
        assert_eq!(loaded.origin("otlp.timeout"), Origin::File { line: 3 });
    }

    #[test]
    fn grpc_takes_host_and_port_alone() {
        let variables =
            [(OTEL_EXPORTER_OTLP_ENDPOINT, "https://c:4317/x"), (OTEL_EXPORTER_OTLP_PROTOCOL, "grpc")];
        assert_eq!(url(&with("", &variables).unwrap()), "https://c:4317/");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let loaded =
            with(FILE, &[(OTEL_EXPORTER_OTLP_ENDPOINT, ""), (OTEL_EXPORTER_OTLP_PROTOCOL, " ")]).unwrap();
        assert_eq!(url(&loaded), "http://file:4318/v1/traces");
        assert_eq!(loaded.origin("otlp.protocol"), Origin::Default);
    }

    #[test]
    fn headers_are_percent_decoded_and_never_shown() {
        let variables = [(OTEL_EXPORTER_OTLP_HEADERS, "Authorization=Basic%20c2VjcmV0, x-tenant = one")];
        let loaded = with(FILE, &variables).unwrap();
        let headers: Vec<_> =
            loaded.config.otlp.headers.iter().map(|(name, value)| (name.as_str(), value.value())).collect();
        assert_eq!(
            headers,
            [
                ("authorization", HeaderValue::from_static("Basic c2VjcmV0")),
                ("x-tenant", HeaderValue::from_static("one"))
            ]
        );
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
        let debug = format!("{:?}", loaded.config);
        assert!(debug.contains("authorization") && !debug.contains("c2VjcmV0"), "{debug}");
    }

    #[test]
    fn a_bad_value_is_one_line_that_names_the_variable_and_shows_no_secret() {
        let problems = with(
            FILE,
            &[
                (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, "collector:4317"),
                (OTEL_EXPORTER_OTLP_PROTOCOL, "http/json"),
                (OTEL_EXPORTER_OTLP_HEADERS, "a=1,hush-hush"),
                (OTEL_EXPORTER_OTLP_TIMEOUT, "10s"),
                (OTEL_EXPORTER_OTLP_COMPRESSION, "zstd"),
                (RESOURCE_ATTRIBUTES, "a"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "key.pem"),
            ],
        )
        .unwrap_err();
        assert_eq!(
            problems,
            [
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: \"collector:4317\" is no URL: write http://HOST:PORT or \
                 https://HOST:PORT",
                "OTEL_EXPORTER_OTLP_PROTOCOL: \"http/json\" is none of http/protobuf, grpc",
                "OTEL_EXPORTER_OTLP_HEADERS: entry 2 is not KEY=VALUE: write KEY=VALUE,KEY=VALUE, values \
                 percent-encoded",
                "OTEL_EXPORTER_OTLP_TIMEOUT: \"10s\" is no number of milliseconds from 100 to 300000",
                "OTEL_EXPORTER_OTLP_COMPRESSION: \"zstd\" is none of none, gzip",
                "OTEL_EXPORTER_OTLP_CLIENT_KEY: \"key.pem\" is no absolute path: write one, like \
                 \"/etc/ssl/collector.pem\"",
                "OTEL_RESOURCE_ATTRIBUTES: entry 1 is not KEY=VALUE: write KEY=VALUE,KEY=VALUE, values \
                 percent-encoded",
            ]
        );
    }

    #[test]
    fn a_clients_key_without_its_certificate_is_told_where_it_was_set() {
        let key = ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem");
        let half = half_a_client(&with(FILE, &[key]).unwrap());
        let why = "otlp.client_key: it needs otlp.client_certificate beside it: set both or none".to_owned();
        assert_eq!(half, Some((Origin::Environment(key.0), why)));
        let whole = [key, ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/chain.pem")];
        assert_eq!(half_a_client(&with(FILE, &whole).unwrap()), None);
        assert_eq!(half_a_client(&with("", &[key]).unwrap()), None, "nothing is exported");
    }

    #[test]
    fn what_is_wrong_with_variables_that_nobody_asked_for_is_not_told() {
        let bad = (OTEL_EXPORTER_OTLP_PROTOCOL, "http/json");
        assert!(with("", &[bad]).unwrap().config.otlp.target().is_none());
        let disabled = with(FILE, &[bad, (SDK_DISABLED, "True")]).unwrap();
        assert!(disabled.config.otlp.target().is_none());
        assert_eq!(disabled.config.otlp.notes(), ["OTEL_SDK_DISABLED is true: nothing is exported"]);
    }

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
