//! Every setting, section by section: its meaning, unit and range, and its place in a [`Config`](super::Config).

use std::time::Duration;

use super::Scenario;
use super::keys::{Key, Kind};
use super::otlp::{self, Endpoint};
use super::values::{Compression, LogFormat, LogLevel, Protocol, names};

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

/// The longest name of a sound, bytes.
const SOUND: usize = 100;

fn sound(field: &mut String, text: &str) -> Result<(), String> {
    if text.len() > SOUND || text.chars().any(char::is_control) {
        return Err(format!("a sound's name has at most {SOUND} bytes, and no control characters"));
    }
    text.clone_into(field);
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
        "alerts",
        "critical_entered",
        "A notification when the stress score stays CRITICAL.",
        Kind::Switch {
            get: |config| config.alerts.critical_entered,
            set: |config, on| config.alerts.critical_entered = on,
        },
    ),
    key!(
        "alerts",
        "critical_min_duration",
        "How long in CRITICAL before that is told of; with a pause it is at once. Hooks too.",
        Kind::Time {
            range: ms(0)..=secs(600),
            get: |config| config.alerts.critical_min_duration,
            set: |config, value| config.alerts.critical_min_duration = value,
        },
    ),
    key!(
        "alerts",
        "pause_detected",
        "A notification after a pause.",
        Kind::Switch {
            get: |config| config.alerts.pause_detected,
            set: |config, on| config.alerts.pause_detected = on,
        },
    ),
    key!(
        "alerts",
        "pause_min_duration",
        "The shortest pause that is notified, and of which evidence is gathered.",
        Kind::Time {
            range: ms(50)..=secs(600),
            get: |config| config.alerts.pause_min_duration,
            set: |config, value| config.alerts.pause_min_duration = value,
        },
    ),
    key!(
        "alerts",
        "outage",
        "A notification at the start after the machine went down while it was watched.",
        Kind::Switch { get: |config| config.alerts.outage, set: |config, on| config.alerts.outage = on },
    ),
    key!(
        "alerts",
        "elevated_entered",
        "A notification when the stress score becomes ELEVATED.",
        Kind::Switch {
            get: |config| config.alerts.elevated_entered,
            set: |config, on| config.alerts.elevated_entered = on,
        },
    ),
    key!(
        "alerts",
        "forensics_completed",
        "A notification when the evidence of a pause is gathered.",
        Kind::Switch {
            get: |config| config.alerts.forensics_completed,
            set: |config, on| config.alerts.forensics_completed = on,
        },
    ),
    key!(
        "alerts",
        "source_down",
        "A notification when the source has delivered nothing for a while, or can't start.",
        Kind::Switch {
            get: |config| config.alerts.source_down,
            set: |config, on| config.alerts.source_down = on,
        },
    ),
    key!(
        "alerts",
        "sound",
        "The sound of a notification.",
        Kind::Text {
            what: "A sound's name, like \"Basso\" (macOS) or \"dialog-warning\" (Linux); empty for silence",
            get: |config| config.alerts.sound.clone(),
            set: |config, text| sound(&mut config.alerts.sound, text),
        },
    ),
    key!(
        "alerts",
        "cooldown",
        "After a notification, others of its kind are held back for this long; the next one sums them up.",
        Kind::Time {
            range: ms(0)..=secs(86_400),
            get: |config| config.alerts.cooldown,
            set: |config, value| config.alerts.cooldown = value,
        },
    ),
    key!(
        "forensics",
        "enabled",
        "Gather evidence after a pause: the samples before it, and what the system can tell. It stays on this machine.",
        Kind::Switch {
            get: |config| config.forensics.enabled,
            set: |config, on| config.forensics.enabled = on,
        },
    ),
    key!(
        "forensics",
        "spindump",
        "On macOS take a spindump too: 15 to 23 s of CPU time, as root, which can itself cause stalls.",
        Kind::Switch {
            get: |config| config.forensics.spindump,
            set: |config, on| config.forensics.spindump = on,
        },
    ),
    key!(
        "forensics",
        "max_mb",
        "All evidence together is kept below this size: the oldest goes first, pinned events' stays.",
        Kind::Whole {
            unit: "MB",
            range: 10..=100_000,
            get: |config| config.retention.forensics_max_mb,
            set: |config, value| config.retention.forensics_max_mb = value,
        },
    ),
    key!(
        "retention",
        "events_days",
        "Reviewed and dismissed events are removed after this. Episodes and stalls nobody looked at that only were ELEVATED go after 14 days.",
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
