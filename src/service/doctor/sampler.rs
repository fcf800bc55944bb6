//! The source, tried out where no daemon runs: does it start, when does the first sample come, how fast, at what cost?

use std::time::{Duration, Instant};

use super::{Doctor, Finding};
use crate::config::SourceKind;
use crate::source::powermetrics::{News, Powermetrics, explain};

/// How long the first document is waited for, and how long it is measured then.
const FIRST: Duration = Duration::from_secs(10);
const MEASURE: Duration = Duration::from_secs(3);
/// How long each wait for output takes at most, ms.
const LOOK_MS: u64 = 100;

/// Runs the source for a few seconds.
pub(super) fn try_out(doctor: &Doctor<'_>, progress: &mut dyn FnMut(&str)) -> Vec<Finding> {
    match &doctor.config.source {
        SourceKind::Powermetrics => {
            progress("trying powermetrics: up to 10 s for its first sample, then 3 s");
            powermetrics(&doctor.config.powermetrics.command, doctor.config.powermetrics.interval)
        }
        SourceKind::Linux => {
            progress("reading the kernel's counters for a second");
            kernel()
        }
        SourceKind::Replay(_) | SourceKind::Simulate(_) => {
            vec![Finding::unknown("samples", "a recording or a simulation is not tried out")]
        }
    }
}

/// What was measured of the sampler.
#[derive(Default)]
struct Measured {
    first: Option<Duration>,
    intervals_ms: Vec<f64>,
    rejected: u32,
    cpu_ms_per_s: Vec<f64>,
}

fn powermetrics(command: &[String], interval: Duration) -> Vec<Finding> {
    const CHECK: &str = "samples";
    let began = Instant::now();
    let mut source = match Powermetrics::start(command) {
        Ok(source) => source,
        Err(error) => return vec![Finding::unknown(CHECK, format!("no thread to start it with: {error}"))],
    };
    let mut measured = Measured::default();
    let failed = loop {
        match source.news() {
            Some(News::Started) | None => {}
            Some(news) => break Some(explain(command, &news)),
        }
        if source.is_open() {
            source.wait(LOOK_MS);
        } else {
            std::thread::sleep(Duration::from_millis(LOOK_MS / 5));
        }
        let elapsed = began.elapsed();
        source.read(|document, _| match document {
            Ok(document) => {
                measured.first.get_or_insert(elapsed);
                measured.intervals_ms.push(document.reading.elapsed_ns as f64 / 1e6);
                measured.cpu_ms_per_s.extend(document.reading.sampler_cpu_ms_per_s);
            }
            Err(_) => measured.rejected += 1,
        });
        match measured.first {
            Some(first) if elapsed > first + MEASURE => break None,
            None if elapsed > FIRST => break Some(format!("no sample came in {} s", FIRST.as_secs())),
            _ => {}
        }
    };
    // Closed, it ends at its next write.
    source.close();
    if let (Some(why), None) = (failed, measured.first) {
        return vec![Finding::failed(
            CHECK,
            why,
            "see permission and sampler flags above; pause-monitor install",
        )];
    }
    measured.findings(interval)
}

impl Measured {
    fn findings(mut self, interval: Duration) -> Vec<Finding> {
        self.intervals_ms.sort_unstable_by(f64::total_cmp);
        let middle = self.intervals_ms.get(self.intervals_ms.len() / 2).copied().unwrap_or(0.0);
        let first = self.first.unwrap_or_default().as_secs_f64();
        let rejected =
            if self.rejected > 0 { format!(", {} rejected", self.rejected) } else { String::new() };
        let samples = format!(
            "the first after {first:.2} s; interval {middle:.0} ms at the median, {} ms nominal{rejected}",
            interval.as_millis()
        );
        let cost = if self.cpu_ms_per_s.is_empty() {
            Finding::unknown("cost", "powermetrics' own row was not among the tasks")
        } else {
            let mean = self.cpu_ms_per_s.iter().sum::<f64>() / self.cpu_ms_per_s.len() as f64;
            Finding::ok("cost", format!("powermetrics {:.1} % of a core", mean / 10.0))
        };
        vec![Finding::ok("samples", samples), cost]
    }
}

#[cfg(target_os = "linux")]
fn kernel() -> Vec<Finding> {
    use crate::clock;
    use crate::source::linux::LinuxSource;

    const TICKS: u32 = 10;
    const TICK_NS: u64 = 100_000_000;
    let mut source = match LinuxSource::new() {
        Ok(source) => source,
        Err(error) => {
            let fix = "/proc has to be mounted and readable: run it outside of the container or sandbox";
            return vec![Finding::failed("samples", error.to_string(), fix)];
        }
    };
    let cpu_before = cpu_time();
    let began = clock::now();
    source.read(TICK_NS);
    let mut reading = crate::sample::Reading::default();
    for tick in 1..=TICKS {
        clock::sleep_until(began.awake_ns + u64::from(tick) * TICK_NS);
        reading = source.read(TICK_NS);
    }
    let took_s = clock::now().awake_since(&began) as f64 / 1e9;
    let metrics = &reading.metrics;
    let mut missing = Vec::new();
    for (name, is_there) in [
        ("disk", metrics.io_read_per_s.is_some()),
        ("page-ins", metrics.pageins_per_s.is_some()),
        ("idle wakeups", metrics.idle_wakeups_per_s.is_some()),
        ("thermal", metrics.thermal_pressure.is_some()),
        ("gpu", metrics.gpu_busy_pct.is_some()),
        ("power", metrics.combined_power_mw.is_some() || metrics.cpu_power_mw.is_some()),
    ] {
        if !is_there {
            missing.push(name);
        }
    }
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!("; this machine does not report {}", missing.join(", "))
    };
    let used = (cpu_time() - cpu_before) / took_s.max(0.1) * 100.0;
    vec![
        Finding::ok("samples", format!("the kernel's counters are read every 100 ms{missing}")),
        Finding::ok("cost", format!("reading them {used:.1} % of a core")),
    ]
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Vec<Finding> {
    vec![Finding::failed("samples", "the source linux is for Linux", "use --source powermetrics here")]
}

/// CPU time of this process so far, s.
#[cfg(target_os = "linux")]
fn cpu_time() -> f64 {
    // SAFETY: all zeros is a valid rusage: numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage to fill.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
