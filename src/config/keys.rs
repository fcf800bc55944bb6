//! What is valid: every key with its meaning, unit and range, and how it gets into a [`Config`].

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;
use toml::de::DeValue;

use super::otlp::{self, Endpoint};
use super::read::{ADDRESSES, addresses, command, file, found, real, time, times, whole};
use super::values::{Compression, LogFormat, LogLevel, Protocol, duration_text, names};
use super::{Config, ListenAddress, Scenario};

/// One setting.
pub(super) struct Key {
    /// Its section.
    pub(super) section: &'static str,
    /// Its name in the section.
    pub(super) name: &'static str,
    /// Both: `section.name`.
    pub(super) path: &'static str,
    /// What it means, for the commented file.
    pub(super) meaning: &'static str,
    kind: Kind,
}

/// How a setting is written, what it may be, and where it goes.
enum Kind {
    Time {
        range: RangeInclusive<Duration>,
        get: fn(&Config) -> Duration,
        set: fn(&mut Config, Duration),
    },
    Whole {
        unit: &'static str,
        range: RangeInclusive<u32>,
        get: fn(&Config) -> u32,
        set: fn(&mut Config, u32),
    },
    Real {
        range: RangeInclusive<f64>,
        get: fn(&Config) -> f64,
        set: fn(&mut Config, f64),
    },
    Word {
        choices: fn() -> String,
        get: fn(&Config) -> String,
        set: fn(&mut Config, &str) -> Result<(), String>,
    },
    /// Text that is empty by default.
    Text {
        what: &'static str,
        get: fn(&Config) -> String,
        set: fn(&mut Config, &str) -> Result<(), String>,
    },
    /// Names with secret values.
    Headers {
        get: fn(&Config) -> &[(http::HeaderName, otlp::Secret)],
        set: fn(&mut Config, Vec<(http::HeaderName, otlp::Secret)>),
    },
    Command {
        get: fn(&Config) -> &[String],
        set: fn(&mut Config, Vec<String>),
    },
    Addresses {
        get: fn(&Config) -> &[ListenAddress],
        set: fn(&mut Config, Vec<ListenAddress>),
    },
    Switch {
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    },
    /// The path of a file; empty for none.
    File {
        get: fn(&Config) -> Option<&Path>,
        set: fn(&mut Config, Option<PathBuf>),
    },
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A key, so that its path is put together in one place.
macro_rules! key {
    ($section:literal, $name:literal, $meaning:literal, $kind:expr $(,)?) => {
        Key {
            section: $section,
            name: $name,
            path: concat!($section, ".", $name),
            meaning: $meaning,
            kind: $kind,
        }
    };
}

fn word<T: std::str::FromStr>(field: &mut T, text: &str) -> Result<(), String>
where
    T::Err: std::fmt::Display,
{
    *field = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}

/// All settings, section by section, in the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    key!(
        "source",
        "kind",
        "Where readings come from.",
        Kind::Word {
            choices: || format!(
                "powermetrics (macOS), linux, replay:FILE, simulate:SCENARIO ({})",
                names::<Scenario>()
            ),
            get: |config| config.source.to_string(),
            set: |config, text| word(&mut config.source, text),
        },
    ),
    key!(
        "powermetrics",
        "command",
        "The sampler and its arguments. One of your own is run as it is: `interval` is not put into it.",
        Kind::Command {
            get: |config| &config.powermetrics.command,
            set: |config, command| config.powermetrics.command = command,
        },
    ),
    key!(
        "powermetrics",
        "interval",
        "Time from one sample to the next. powermetrics takes 15 to 20 % of a core at 100ms.",
        Kind::Time {
            range: ms(100)..=secs(1),
            get: |config| config.powermetrics.interval,
            set: |config, value| config.powermetrics.interval = value,
        },
    ),
    key!(
        "pause",
        "threshold_ratio",
        "A sample is late when it took more than so many times the expected interval.",
        Kind::Real {
            // Not down to 1.2, where the latency factor begins: it is to rise up to this ratio.
            range: 1.5..=100.0,
            get: |config| config.pause.threshold_ratio,
            set: |config, value| config.pause.threshold_ratio = value,
        },
    ),
    key!(
        "pause",
        "min_duration",
        "The shortest gap, in the machine or in the sampling, that is reported.",
        Kind::Time {
            range: ms(50)..=secs(60),
            get: |config| config.pause.min_duration,
            set: |config, value| config.pause.min_duration = value,
        },
    ),
    key!(
        "tiers",
        "elevated",
        "The tier ELEVATED begins at this stress score; below `critical`.",
        Kind::Whole {
            unit: "points",
            range: 1..=99,
            get: |config| config.tiers.elevated.into(),
            // In range, so it fits.
            set: |config, value| config.tiers.elevated = value as u8,
        },
    ),
    key!(
        "tiers",
        "critical",
        "The tier CRITICAL begins at this stress score.",
        Kind::Whole {
            unit: "points",
            range: 2..=100,
            get: |config| config.tiers.critical.into(),
            // In range, so it fits.
            set: |config, value| config.tiers.critical = value as u8,
        },
    ),
    key!(
        "tiers",
        "deescalation",
        "Time below a tier's threshold before it goes one tier down.",
        Kind::Time {
            range: ms(100)..=secs(600),
            get: |config| config.tiers.deescalation,
            set: |config, value| config.tiers.deescalation = value,
        },
    ),
    key!(
        "tiers",
        "peak_tracking",
        "How often the stored row of an open episode follows a rising peak.",
        Kind::Time {
            range: secs(1)..=secs(3600),
            get: |config| config.tiers.peak_tracking,
            set: |config, value| config.tiers.peak_tracking = value,
        },
    ),
    key!(
        "tiers",
        "max_episode",
        "An episode as long as this is closed, and continued as a new one.",
        Kind::Time {
            range: secs(60)..=secs(86_400),
            get: |config| config.tiers.max_episode,
            set: |config, value| config.tiers.max_episode = value,
        },
    ),
    key!(
        "ring",
        "seconds",
        "How far back the samples go that are kept with a pause.",
        Kind::Whole {
            unit: "seconds",
            range: 5..=300,
            get: |config| config.ring.seconds,
            set: |config, value| config.ring.seconds = value,
        },
    ),
    key!(
        "http",
        "listen",
        "Where metrics and health are served over HTTP; [] turns it off.",
        Kind::Addresses {
            get: |config| &config.http.listen,
            set: |config, addresses| config.http.listen = addresses,
        },
    ),
    key!(
        "http",
        "web_config",
        "TLS and users for it: a file in the format of Prometheus' exporters, relative to this one.",
        Kind::File {
            get: |config| config.http.web_config.as_deref(),
            set: |config, file| config.http.web_config = file,
        },
    ),
    key!(
        "http",
        "culprit_info",
        "The metrics name the process with the largest share in the last pause. Any user of this machine can read them.",
        Kind::Switch {
            get: |config| config.http.culprit_info,
            set: |config, on| config.http.culprit_info = on,
        },
    ),
    key!(
        "otlp",
        "endpoint",
        "OpenTelemetry collector that gets the spans, over http at /v1/traces below it. Empty: none are sent.",
        Kind::Text {
            what: "A URL, like \"http://localhost:4318\" (http/protobuf) or \"http://localhost:4317\" (grpc)",
            get: |config| config.otlp.endpoint.as_ref().map(Endpoint::to_string).unwrap_or_default(),
            set: |config, text| {
                config.otlp.endpoint =
                    if text.is_empty() { None } else { Some(Endpoint::parse(text, false)?) };
                Ok(())
            },
        },
    ),
    key!(
        "otlp",
        "protocol",
        "How the collector is spoken to.",
        Kind::Word {
            choices: names::<Protocol>,
            get: |config| config.otlp.protocol.as_str().to_owned(),
            set: |config, text| word(&mut config.otlp.protocol, text),
        },
    ),
    key!(
        "otlp",
        "headers",
        "Sent along with each request, as for authentication. Values are never shown.",
        Kind::Headers {
            get: |config| &config.otlp.headers,
            set: |config, headers| config.otlp.headers = headers,
        },
    ),
    key!(
        "otlp",
        "timeout",
        "How long one request may take, connecting included.",
        Kind::Time {
            range: otlp::TIMEOUT,
            get: |config| config.otlp.timeout,
            set: |config, value| config.otlp.timeout = value,
        },
    ),
    key!(
        "otlp",
        "compression",
        "How what is sent is compressed.",
        Kind::Word {
            choices: names::<Compression>,
            get: |config| config.otlp.compression.as_str().to_owned(),
            set: |config, text| word(&mut config.otlp.compression, text),
        },
    ),
    key!(
        "otlp",
        "certificate",
        "The authorities that are trusted. Empty: those of the web, which are compiled in.",
        Kind::Text {
            what: otlp::PEM,
            get: |config| otlp::file_text(config.otlp.certificate.as_ref()),
            set: |config, text| otlp::file(&mut config.otlp.certificate, text),
        },
    ),
    key!(
        "otlp",
        "client_certificate",
        "The certificate that this client shows, with what leads up to its authority. Needs `client_key`.",
        Kind::Text {
            what: otlp::PEM,
            get: |config| otlp::file_text(config.otlp.client_certificate.as_ref()),
            set: |config, text| otlp::file(&mut config.otlp.client_certificate, text),
        },
    ),
    key!(
        "otlp",
        "client_key",
        "The private key of `client_certificate`.",
        Kind::Text {
            what: otlp::PEM,
            get: |config| otlp::file_text(config.otlp.client_key.as_ref()),
            set: |config, text| otlp::file(&mut config.otlp.client_key, text),
        },
    ),
    key!(
        "retention",
        "events_days",
        "Reviewed and dismissed events are removed after this.",
        Kind::Whole {
            unit: "days",
            range: 1..=3650,
            get: |config| config.retention.events_days,
            set: |config, value| config.retention.events_days = value,
        },
    ),
    key!(
        "retention",
        "forensics_days",
        "Evidence, and an event's samples away from its peak, are removed after this.",
        Kind::Whole {
            unit: "days",
            range: 1..=3650,
            get: |config| config.retention.forensics_days,
            set: |config, value| config.retention.forensics_days = value,
        },
    ),
    key!(
        "retention",
        "max_db_mb",
        "The database is kept below this size: the oldest samples go first.",
        Kind::Whole {
            unit: "MB",
            range: 10..=100_000,
            get: |config| config.retention.max_db_mb,
            set: |config, value| config.retention.max_db_mb = value,
        },
    ),
    key!(
        "log",
        "level",
        "The least important message that is logged.",
        Kind::Word {
            choices: names::<LogLevel>,
            get: |config| config.log.level.as_str().to_owned(),
            set: |config, text| word(&mut config.log.level, text),
        },
    ),
    key!(
        "log",
        "format",
        "Log lines for people (text) or for programs (json).",
        Kind::Word {
            choices: names::<LogFormat>,
            get: |config| config.log.format.as_str().to_owned(),
            set: |config, text| word(&mut config.log.format, text),
        },
    ),
];

impl Key {
    /// Puts what is written into `config`, or says in one line why not.
    pub(super) fn set(&self, config: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        match &self.kind {
            Kind::Time { range, set, .. } => set(config, time(value, range)?),
            Kind::Whole { range, set, .. } => set(config, whole(value, range)?),
            Kind::Real { range, set, .. } => set(config, real(value, range)?),
            Kind::Word { choices, set, .. } => match value {
                DeValue::String(text) => set(config, text)?,
                other => return Err(format!("{}: write one of {}, in quotes", found(other), choices())),
            },
            Kind::Text { what, set, .. } => match value {
                DeValue::String(text) => set(config, text)?,
                other => {
                    return Err(format!(
                        "{}: write {}{}, in quotes",
                        found(other),
                        what[..1].to_lowercase(),
                        &what[1..]
                    ));
                }
            },
            Kind::Headers { set, .. } => set(config, otlp::read_headers(value)?),
            Kind::Command { set, .. } => set(config, command(value)?),
            Kind::Addresses { set, .. } => set(config, addresses(value)?),
            Kind::Switch { set, .. } => match value {
                DeValue::Boolean(on) => set(config, *on),
                other => return Err(format!("{}: write true or false, without quotes", found(other))),
            },
            Kind::File { set, .. } => set(config, file(value)?),
        }
        Ok(())
    }

    /// The value in force, as it would be written.
    pub(super) fn get(&self, config: &Config) -> Value {
        match &self.kind {
            Kind::Time { get, .. } => Value::String(duration_text(get(config))),
            Kind::Whole { get, .. } => Value::Integer(get(config).into()),
            Kind::Real { get, .. } => Value::Float(get(config)),
            Kind::Word { get, .. } => Value::String(get(config)),
            Kind::Text { get, .. } => Value::String(get(config)),
            Kind::Headers { get, .. } => Value::Table(
                get(config)
                    .iter()
                    .map(|(name, value)| (name.to_string(), Value::String(format!("{value:?}"))))
                    .collect(),
            ),
            Kind::Command { get, .. } => {
                Value::Array(get(config).iter().cloned().map(Value::String).collect())
            }
            Kind::Addresses { get, .. } => {
                Value::Array(get(config).iter().map(|address| Value::String(address.to_string())).collect())
            }
            Kind::Switch { get, .. } => Value::Boolean(get(config)),
            Kind::File { get, .. } => {
                Value::String(get(config).unwrap_or(Path::new("")).to_string_lossy().into_owned())
            }
        }
    }

    /// What the value may be, with its unit, for the commented file.
    pub(super) fn range(&self) -> String {
        match &self.kind {
            Kind::Time { range, .. } => format!("Range {}", times(range)),
            Kind::Whole { unit, range, .. } => format!("Range {}–{} {unit}", range.start(), range.end()),
            Kind::Real { range, .. } => format!("Range {}–{}", range.start(), range.end()),
            Kind::Word { choices, .. } => format!("One of {}", choices()),
            Kind::Text { what, .. } => (*what).to_owned(),
            Kind::Headers { .. } => "A table of texts, like { authorization = \"Bearer …\" }".to_owned(),
            Kind::Command { .. } => "A list of texts, run without a shell".to_owned(),
            Kind::Addresses { .. } => {
                format!("A list of at most {ADDRESSES} addresses with ports; \":9847\" is all addresses")
            }
            Kind::Switch { .. } => "true or false".to_owned(),
            Kind::File { .. } => "A path, or \"\" for none".to_owned(),
        }
    }
}
