//! The standard OTEL_* variables, which stand above the file.
//!
//! Names and meanings are OpenTelemetry's (specification, "OpenTelemetry Protocol Exporter" and "Environment
//! Variable Specification"): the variable for traces counts before the one for all signals, an empty one counts
//! as unset. Unlike there a bad value is an error, not a warning: an exporter that quietly sends elsewhere, or
//! nothing, is of no use.

use std::ffi::OsString;
use std::time::Duration;

use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_HEADERS,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};
use toml::de::DeValue;

use super::{Endpoint, Otlp, TIMEOUT};
use crate::config::headers;
use crate::config::table::KEYS;
use crate::config::values::quoted;
use crate::config::{Loaded, Origin, Problem};

/// Turns everything off, whatever else is set.
pub(super) const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
pub(super) const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
pub(super) const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

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
pub(in crate::config) fn put_on_top(
    loaded: &mut Loaded,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Problem> {
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
pub(in crate::config) fn half_a_client(loaded: &Loaded) -> Option<(Origin, String)> {
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
            config.otlp.headers =
                headers::of(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::parse;

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
}
