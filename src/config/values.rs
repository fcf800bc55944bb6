//! The types of values that are written as words, and durations as text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};
use serde::{Deserialize, Serialize};

/// A word that is none of those that have a meaning; says which have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSuchValue(pub(super) String);

/// Where readings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The powermetrics child (macOS).
    Powermetrics,
    /// The kernel's own counters (Linux).
    Linux,
    /// A recording; `-` is standard input.
    Replay(PathBuf),
    /// Generated powermetrics documents.
    Simulate(Scenario),
}

impl SourceKind {
    /// The default on this system.
    #[must_use]
    pub fn of_system() -> Self {
        if cfg!(target_os = "macos") { Self::Powermetrics } else { Self::Linux }
    }

    /// The kind without its argument: the name on the wire and in labels.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Powermetrics => "powermetrics",
            Self::Linux => "linux",
            Self::Replay(_) => "replay",
            Self::Simulate(_) => "simulate",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Powermetrics | Self::Linux => f.write_str(self.as_str()),
            Self::Replay(path) => write!(f, "replay:{}", path.display()),
            Self::Simulate(scenario) => write!(f, "simulate:{}", scenario.as_str()),
        }
    }
}

impl FromStr for SourceKind {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        let fail = |message| Err(NoSuchValue(message));
        match text.split_once(':') {
            None if text == "powermetrics" => Ok(Self::Powermetrics),
            None if text == "linux" => Ok(Self::Linux),
            Some(("replay", path)) if !path.is_empty() => Ok(Self::Replay(path.into())),
            Some(("simulate", name)) if !name.is_empty() => Ok(Self::Simulate(name.parse()?)),
            Some(("replay", _)) | None if text.starts_with("replay") => {
                fail("replay needs a recording: write replay:FILE, or replay:- for standard input".to_owned())
            }
            Some(("simulate", _)) | None if text.starts_with("simulate") => fail(format!(
                "simulate needs a scenario: write simulate:NAME with one of {}",
                names::<Scenario>()
            )),
            _ => fail(format!(
                "{} is none of powermetrics, linux, replay:FILE, simulate:SCENARIO",
                quoted(text)
            )),
        }
    }
}

/// A simulated course of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Stays in SENTINEL
    Calm,
    /// Paging builds up to CRITICAL
    Thrash,
    /// One process keeps the GPU busy: ELEVATED
    Gpu,
    /// One process reads and writes all it can: ELEVATED
    Io,
    /// One process takes the cores, the memory and the wakeups: CRITICAL
    Runaway,
    /// Builds up to CRITICAL, then silence for 1 to 3 s
    Freeze,
    /// All of them in turn
    Mixed,
}

impl Scenario {
    /// All scenarios, in the order of every list.
    pub const ALL: [Self; 7] =
        [Self::Calm, Self::Thrash, Self::Gpu, Self::Io, Self::Runaway, Self::Freeze, Self::Mixed];

    /// The scenario's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Thrash => "thrash",
            Self::Gpu => "gpu",
            Self::Io => "io",
            Self::Runaway => "runaway",
            Self::Freeze => "freeze",
            Self::Mixed => "mixed",
        }
    }
}

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Protobuf in HTTP/1.1 requests
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// gRPC
    Grpc,
}

impl Protocol {
    /// The protocol's name, OpenTelemetry's own.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpProtobuf => opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF,
            Self::Grpc => opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_GRPC,
        }
    }
}

impl FromStr for Protocol {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

/// How what is sent is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Not at all
    None,
    /// With gzip
    Gzip,
}

impl Compression {
    /// The name, OpenTelemetry's own.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

impl FromStr for Compression {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

/// What an alert is about: what a hook's `on` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The machine stood still.
    Pause,
    /// The sampler, or this program, stood still while the rest went on.
    Stall,
    /// The machine went down while it was being watched.
    Outage,
    /// CRITICAL was entered for long enough, or with a pause; and left.
    Critical,
    /// SENTINEL was left; and returned to.
    Elevated,
    /// SENTINEL was returned to: the episode is over.
    Recovered,
    /// The source delivers nothing; and delivers again.
    SourceDown,
    /// The source delivers again.
    SourceUp,
    /// The evidence of a pause is gathered.
    Forensics,
}

impl Event {
    /// All events, in the order of every table.
    pub const ALL: [Self; 9] = [
        Self::Pause,
        Self::Stall,
        Self::Outage,
        Self::Critical,
        Self::Elevated,
        Self::Recovered,
        Self::SourceDown,
        Self::SourceUp,
        Self::Forensics,
    ];

    /// The event's name in payloads and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stall => "stall",
            Self::Outage => "outage",
            Self::Critical => "critical",
            Self::Elevated => "elevated",
            Self::Recovered => "recovered",
            Self::SourceDown => "source_down",
            Self::SourceUp => "source_up",
            Self::Forensics => "forensics",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// What a webhook is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WebhookFormat {
    /// The whole payload
    Json,
    /// What Slack and those compatible with it take: the summary
    Slack,
    /// What ntfy takes: the summary, with a title, a priority and tags
    Ntfy,
}

impl WebhookFormat {
    /// The format's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
        }
    }
}

impl FromStr for WebhookFormat {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

/// How important a message must be to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The level's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// For programs: one JSON object a line
    Json,
}

impl LogFormat {
    /// The format's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for Scenario {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

impl FromStr for LogLevel {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

impl FromStr for LogFormat {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(text)
    }
}

fn word<T: ValueEnum>(text: &str) -> Result<T, NoSuchValue> {
    T::from_str(text, false).map_err(|_| NoSuchValue(format!("{} is none of {}", quoted(text), names::<T>())))
}

/// The words that have a meaning, for messages and help.
pub(super) fn names<T: ValueEnum>() -> String {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// `text` as it may stand in a message: printable, in quotes, and not longer than a line has room for.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", clipped(text))
}

/// `text`, printable and not longer than a line has room for.
pub(crate) fn clipped(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    crate::sample::printable(&shown)
}

/// Reads a duration: "250ms", "5s", "1m30s", "1h". `None` where the text is no duration or a negative one.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// A duration as it is written in the configuration: "250ms", "5s", "1m30s", "1h".
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_for_the_wire_the_file_and_the_command_line() {
        let name = |value: Option<clap::builder::PossibleValue>| value.unwrap().get_name().to_owned();
        for scenario in Scenario::ALL {
            assert_eq!(scenario.as_str(), name(scenario.to_possible_value()));
            assert_eq!(scenario.as_str().parse(), Ok(scenario));
        }
        assert_eq!(Scenario::value_variants(), Scenario::ALL);
        for &level in LogLevel::value_variants() {
            assert_eq!(level.as_str(), name(level.to_possible_value()));
        }
        for &protocol in Protocol::value_variants() {
            assert_eq!(protocol.as_str(), name(protocol.to_possible_value()));
        }
        for &format in WebhookFormat::value_variants() {
            assert_eq!(format.as_str(), name(format.to_possible_value()));
        }
        for &compression in Compression::value_variants() {
            assert_eq!(compression.as_str(), name(compression.to_possible_value()));
        }
        for &format in LogFormat::value_variants() {
            assert_eq!(format.as_str(), name(format.to_possible_value()));
        }
    }

    #[test]
    fn a_source_reads_back_as_it_is_written() {
        for text in ["powermetrics", "linux", "replay:-", "replay:a:b.jsonl", "simulate:mixed"] {
            assert_eq!(text.parse::<SourceKind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_source_without_its_argument_says_what_is_missing() {
        let message = |text: &str| text.parse::<SourceKind>().unwrap_err().to_string();
        for text in ["replay", "replay:"] {
            assert!(message(text).contains("replay:FILE"), "{}", message(text));
        }
        for text in ["simulate", "simulate:"] {
            assert!(message(text).contains("calm, thrash"), "{}", message(text));
        }
        assert!(message("simulate:storm").starts_with("\"storm\" is none of calm"));
        for text in ["", "top", "Linux", "linux:", "linux:x"] {
            assert!(message(text).contains("is none of powermetrics"), "{}", message(text));
        }
    }

    #[test]
    fn durations_read_back_as_they_are_written() {
        for text in ["250ms", "5s", "1m30s", "1h"] {
            assert_eq!(duration_text(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("90 seconds"), Some(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in ["", "5", "s", "-5s", "5s ago", "5 parsecs", "1e3s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
