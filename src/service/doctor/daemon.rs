//! The daemon, where one runs: does it answer, deliver, how fast, and what does it cost?

use std::time::{Duration, Instant};

use super::{Doctor, Finding, network, permission};
use crate::client::{ClientError, Connection};
use crate::config::SourceKind;
use crate::human;
use crate::output::socket::MAX_CLIENTS;
use crate::wire::{Message, SampleLine};

/// How long it is listened to.
const LISTEN: Duration = Duration::from_secs(3);
/// A machine that delivers less than this of the samples that were asked for is told of.
const SLOW: f64 = 0.5;

/// What was seen.
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    /// A daemon runs.
    pub(super) runs: bool,
}

/// Listens to the daemon for a while.
pub(super) fn look(doctor: &Doctor<'_>, progress: &mut dyn FnMut(&str)) -> Seen {
    const CHECK: &str = "daemon";
    let one = |finding, runs| Seen { findings: vec![finding], runs };
    let mut connection = match Connection::open(&doctor.paths.data_dir) {
        Ok(connection) => connection,
        Err(error @ ClientError::NotRunning(_)) => {
            let found = match &error {
                ClientError::NotRunning(directory) => format!("none runs on {}", directory.display()),
                other => other.to_string(),
            };
            let finding = if doctor.is_left_to_the_system() {
                Finding::unknown(CHECK, "none of yours runs: that is the system's service's")
            } else {
                let fix = format!("{}, or `pause-monitor daemon` in a terminal", doctor.install());
                Finding::failed(CHECK, found, fix)
            };
            return one(finding, false);
        }
        Err(error @ ClientError::NotOurs(_)) => {
            return one(
                Finding::failed(CHECK, error.to_string(), "run this as the data directory's owner"),
                true,
            );
        }
        Err(error) => {
            return one(
                Finding::failed(
                    CHECK,
                    error.to_string(),
                    format!("look at its log; then: {}", doctor.install()),
                ),
                true,
            );
        }
    };
    progress(&format!("listening to the daemon for {} s", LISTEN.as_secs()));
    let before = network::scrape(doctor).ok();
    let (hello, heard) = match listen(&mut connection) {
        Ok(heard) => heard,
        Err(error) => {
            let fix = format!("restart it: {}, or end it and run `pause-monitor daemon`", doctor.install());
            return one(Finding::failed(CHECK, error, fix), true);
        }
    };
    let after = network::scrape(doctor).ok();
    let mut findings = vec![itself(doctor, &hello), rate(doctor, &hello, &heard)];
    findings.push(cost(doctor, before.as_deref(), after.as_deref(), heard.lasted));
    Seen { findings, runs: true }
}

/// What a daemon says of itself.
struct Said {
    version: String,
    source: String,
    interval_ms: f64,
}

/// What came while it was listened to.
#[derive(Default)]
struct Heard {
    complete: u32,
    degraded: u32,
    /// Intervals of complete samples, ms.
    intervals: Vec<f64>,
    lasted: Duration,
}

fn listen(connection: &mut Connection) -> Result<(Said, Heard), String> {
    let mut line = Vec::new();
    if !connection.line(&mut line).map_err(|error| error.to_string())? {
        return Err(format!("it says nothing: it is ending, or has {MAX_CLIENTS} clients"));
    }
    let Ok(Message::Hello(hello)) = serde_json::from_slice(&line) else {
        return Err("what it says can't be read: is it of another version?".to_owned());
    };
    let said = Said {
        version: hello.version.into_owned(),
        source: hello.source.into_owned(),
        interval_ms: hello.interval_ms,
    };
    let mut heard = Heard::default();
    let began = Instant::now();
    while began.elapsed() < LISTEN {
        let left = LISTEN.saturating_sub(began.elapsed());
        match connection.wait_at_most(left).and_then(|()| connection.line(&mut line)) {
            Ok(true) => {
                if let Ok(Message::Sample(sample)) = serde_json::from_slice(&line) {
                    heard.sample(&sample);
                }
            }
            Ok(false) => return Err("it ended just now".to_owned()),
            Err(ClientError::Silent(_)) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    heard.lasted = began.elapsed();
    Ok((said, heard))
}

impl Heard {
    fn sample(&mut self, sample: &SampleLine<'_>) {
        if sample.degraded {
            self.degraded += 1;
        } else {
            self.complete += 1;
            self.intervals.extend(sample.interval_ms);
        }
    }
}

fn itself(doctor: &Doctor<'_>, said: &Said) -> Finding {
    const CHECK: &str = "daemon";
    let found =
        format!("version {} runs with the source {} and answers on its socket", said.version, said.source);
    if said.version != env!("CARGO_PKG_VERSION") {
        return Finding::warning(
            CHECK,
            format!("{found}; this is {}", env!("CARGO_PKG_VERSION")),
            format!("{} starts the new one", doctor.install()),
        );
    }
    Finding::ok(CHECK, found)
}

fn rate(doctor: &Doctor<'_>, said: &Said, heard: &Heard) -> Finding {
    const CHECK: &str = "samples";
    if heard.complete == 0 && heard.degraded > 0 {
        let fix = if permission::is_powermetrics(doctor) || said.source == "powermetrics" {
            "see permission and sampler flags above; it tries again every 30 s by itself"
        } else {
            "its log says why the source does not deliver"
        };
        return Finding::failed(CHECK, "degraded: load, memory and lateness only", fix);
    }
    if heard.complete == 0 {
        return Finding::failed(
            CHECK,
            format!("none came in {} s", LISTEN.as_secs()),
            "the sampler or the machine stands still; look again, then at the daemon's log",
        );
    }
    let mut intervals = heard.intervals.clone();
    intervals.sort_unstable_by(f64::total_cmp);
    let found = match intervals.get(intervals.len() / 2) {
        Some(middle) => format!(
            "{:.1} a second; interval {middle:.0} ms at the median, {:.0} ms nominal",
            1_000.0 / middle.max(1.0),
            said.interval_ms
        ),
        None => format!("{:.1} a second", f64::from(heard.complete) / heard.lasted.as_secs_f64().max(0.1)),
    };
    let slow = intervals.get(intervals.len() / 2).is_some_and(|middle| said.interval_ms / middle < SLOW);
    if slow {
        return Finding::warning(
            CHECK,
            found,
            "the machine can't keep up: a longer [powermetrics] interval costs less",
        );
    }
    Finding::ok(CHECK, found)
}

fn cost(doctor: &Doctor<'_>, before: Option<&str>, after: Option<&str>, lasted: Duration) -> Finding {
    const CHECK: &str = "cost";
    let (Some(before), Some(after)) = (before, after) else {
        return Finding::unknown(
            CHECK,
            "it is told by the metrics, which can't be read from here (see metrics)",
        );
    };
    let share = |name: &str| {
        let used = network::value(after, name)? - network::value(before, name)?;
        Some(used / lasted.as_secs_f64().max(0.1) * 100.0)
    };
    let mut parts = Vec::new();
    parts
        .extend(share("process_cpu_seconds_total").map(|percent| format!("daemon {percent:.1} % of a core")));
    parts.extend(
        network::value(after, "process_resident_memory_bytes")
            .map(|bytes| format!("{} resident", human::bytes(bytes as u64))),
    );
    let sampler = share("pause_monitor_sampler_cpu_seconds_total");
    parts.extend(sampler.map(|percent| format!("powermetrics {percent:.1} % of a core")));
    if parts.is_empty() {
        return Finding::unknown(CHECK, "the metrics do not say");
    }
    let mut finding = Finding::ok(CHECK, parts.join(", "));
    if sampler.is_some_and(|percent| percent > 5.0)
        && matches!(doctor.config.source, SourceKind::Powermetrics)
        && doctor.config.powermetrics.interval < Duration::from_millis(500)
    {
        finding = finding
            .with("[powermetrics] interval = \"500ms\" costs a fifth, and tells less about short pauses");
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::socket::FILE_NAME;

    #[test]
    fn a_daemon_that_hangs_up_is_not_taken_for_one_of_another_version() {
        let directory = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(directory.path().join(FILE_NAME)).unwrap();
        let mut connection = Connection::open(directory.path()).unwrap();
        drop(listener.accept().unwrap());
        let told = listen(&mut connection).err();
        assert_eq!(told.as_deref(), Some("it says nothing: it is ending, or has 256 clients"));
    }
}
