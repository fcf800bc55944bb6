//! The settings as the program uses them, and every default.

use std::path::PathBuf;
use std::time::Duration;

use super::{Hook, ListenAddress, LogFormat, LogLevel, Otlp, SourceKind};

/// The settings in force. Ranges are those the configuration file is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[source]`, its `kind`: where readings come from. Default: powermetrics on macOS, else linux.
    pub source: SourceKind,
    /// `[powermetrics]`
    pub powermetrics: Powermetrics,
    /// `[pause]`
    pub pause: Pause,
    /// `[tiers]`
    pub tiers: Tiers,
    /// `[ring]`
    pub ring: Ring,
    /// `[otlp]`
    pub otlp: Otlp,
    /// `[http]`
    pub http: Http,
    /// `[alerts]`
    pub alerts: Alerts,
    /// `[forensics]`, but for `max_mb`, which is with what is kept.
    pub forensics: Forensics,
    /// `[retention]`
    pub retention: Retention,
    /// `[log]`
    pub log: Log,
    /// `[[hooks]]`, at most 32.
    pub hooks: Vec<Hook>,
}

/// How powermetrics is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Powermetrics {
    /// The program and its arguments, 1 to 64 of them. Default: [`default_command`].
    pub command: Vec<String>,
    /// How often it is to sample, 100 ms to 1 s, in whole ms. Default 100 ms.
    pub interval: Duration,
}

/// What counts as a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// A sample is late whose interval is more than so many times the expected one, 1.5 to 100. Default 2.
    pub threshold_ratio: f64,
    /// The shortest gap, 50 ms to 60 s. Default 250 ms.
    pub min_duration: Duration,
}

/// Where the tiers begin, and what becomes of episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiers {
    /// ELEVATED from this stress score, points, 1 to 99; below `critical`. Default 15.
    pub elevated: u8,
    /// CRITICAL from this stress score, points, 2 to 100. Default 50.
    pub critical: u8,
    /// Sample time below a tier's threshold before it goes one tier down, 100 ms to 10 min. Default 5 s.
    pub deescalation: Duration,
    /// How often an open episode's row follows its peak, 1 s to 1 h. Default 30 s.
    pub peak_tracking: Duration,
    /// An episode as long as this is closed and continued as a new one, 1 min to 24 h. Default 1 h.
    pub max_episode: Duration,
}

/// The samples held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// How far back they go, s, 5 to 300; each second costs about 32 KiB at 10 Hz. Default 30.
    pub seconds: u32,
}

/// What is served over HTTP, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Addresses to listen on, 16 at most; none turns it off. Default 127.0.0.1:9847.
    pub listen: Vec<ListenAddress>,
    /// The exporter-toolkit's web configuration: TLS and users. Relative to the configuration file. Default none.
    pub web_config: Option<PathBuf>,
    /// The metrics name the first culprit of the last pause. Default false.
    pub culprit_info: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: vec![ListenAddress::DEFAULT], web_config: None, culprit_info: false }
    }
}

/// What is shown on the user's desktop, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// Tell of CRITICAL. Default true.
    pub critical_entered: bool,
    /// How long in CRITICAL before that counts as entered, 0 to 10 min; with a pause it is at once. Default 2 s.
    pub critical_min_duration: Duration,
    /// Tell of a pause. Default true.
    pub pause_detected: bool,
    /// The shortest pause that is notified, and of which evidence is gathered, 50 ms to 10 min. Default 1 s.
    pub pause_min_duration: Duration,
    /// Tell of an outage. Default true.
    pub outage: bool,
    /// Tell of ELEVATED. Default false.
    pub elevated_entered: bool,
    /// Tell of gathered evidence. Default false.
    pub forensics_completed: bool,
    /// Tell of a source that is down. Default true.
    pub source_down: bool,
    /// The name of a sound, 100 bytes at most; empty for silence. Default empty.
    pub sound: String,
    /// After a notification, others of its kind are held back for this long, 0 to 24 h. Default 60 s.
    pub cooldown: Duration,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            critical_entered: true,
            critical_min_duration: Duration::from_secs(2),
            pause_detected: true,
            pause_min_duration: Duration::from_secs(1),
            outage: true,
            elevated_entered: false,
            forensics_completed: false,
            source_down: true,
            sound: String::new(),
            cooldown: Duration::from_secs(60),
        }
    }
}

/// What is gathered after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forensics {
    /// Gather evidence of pauses of at least `alerts.pause_min_duration`. Default true.
    pub enabled: bool,
    /// On macOS take a spindump too: 15 to 23 s of CPU time, as root. Default false.
    pub spindump: bool,
}

impl Default for Forensics {
    fn default() -> Self {
        Self { enabled: true, spindump: false }
    }
}

/// How long events are kept. Pinned ones stay, with all that belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Reviewed and dismissed events, days, 1 to 3650. Default 90.
    pub events_days: u32,
    /// Forensics, and an event's samples away from its peak, days, 1 to 3650. Default 30.
    pub forensics_days: u32,
    /// All events' evidence together, MB, 10 to 100,000; `[forensics] max_mb`. Default 500.
    pub forensics_max_mb: u32,
    /// The database's size, MB, 10 to 100,000. Default 500.
    pub max_db_mb: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events_days: 90, forensics_days: 30, forensics_max_mb: 500, max_db_mb: 500 }
    }
}

/// The daemon's own log, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important message written. Default info.
    pub level: LogLevel,
    /// Lines for people, or JSON. Default text.
    pub format: LogFormat,
}

impl Default for Config {
    /// Every default, for an ordinary user; root's differ in [`Powermetrics::command`].
    fn default() -> Self {
        let interval = Duration::from_millis(100);
        Self {
            source: SourceKind::of_system(),
            powermetrics: Powermetrics { command: default_command(interval, false), interval },
            pause: Pause { threshold_ratio: 2.0, min_duration: Duration::from_millis(250) },
            tiers: Tiers {
                elevated: 15,
                critical: 50,
                deescalation: Duration::from_secs(5),
                peak_tracking: Duration::from_secs(30),
                max_episode: Duration::from_secs(3600),
            },
            ring: Ring { seconds: 30 },
            otlp: Otlp::default(),
            http: Http::default(),
            alerts: Alerts::default(),
            forensics: Forensics::default(),
            retention: Retention::default(),
            log: Log { level: LogLevel::Info, format: LogFormat::Text },
            hooks: Vec::new(),
        }
    }
}

/// The command that samples every `interval`. It ends by itself after 36,000 samples, the backstop should
/// this program vanish without closing the pipe. All but root run it through sudo, which must not ask.
#[must_use]
pub fn default_command(interval: Duration, root: bool) -> Vec<String> {
    let sudo: &[&str] = if root { &[] } else { &["/usr/bin/sudo", "-n"] };
    let command =
        ["/usr/bin/powermetrics", "--samplers", "cpu_power,gpu_power,thermal,tasks,disk", "-f", "plist"];
    let interval_ms = interval.as_millis().to_string();
    let rest = ["-i", interval_ms.as_str(), "-n", "36000"];
    sudo.iter().chain(&command).chain(&rest).map(|&word| word.to_owned()).collect()
}
