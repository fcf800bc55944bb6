//! What the sampling thread counts: plain totals of its own, `Copy` and of fixed size. Pure.
//!
//! A scrape every 15 s must miss nothing: a rate is added up as rate × the interval it covers, a score as points × the
//! time awake since the sample before. What a degraded sample does not know it does not add.

use super::histogram::Histogram;
use super::peak::Peak;
use crate::engine::Thresholds;
use crate::event::{Gap, Notice, Verdict};
use crate::sample::{Factor, InTiers, Metrics, Name, Reject, Sample, SourceInfo, Stress, Tier};

const PAUSE_BOUNDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0];
const INTERVAL_BOUNDS: [f64; 15] =
    [0.05, 0.1, 0.11, 0.12, 0.135, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 90.0];
const DELAY_BOUNDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Why a source was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It ended by itself, and not well.
    Exited,
    /// It was ended, as it wrote nothing.
    Silent,
    /// It was ended, as it took more and more memory.
    Grown,
    /// It had written all it was asked for.
    Renewal,
}

impl Restart {
    /// All reasons, in the order of every table.
    pub const ALL: [Self; 4] = [Self::Exited, Self::Silent, Self::Grown, Self::Renewal];

    /// The reason's name in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Silent => "silent",
            Self::Grown => "grown",
            Self::Renewal => "renewal",
        }
    }
}

/// The last sample, without its processes.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    /// The score and its factors.
    pub stress: Stress,
    /// The tier after it.
    pub tier: Tier,
    /// Only the fast path answered.
    pub degraded: bool,
    /// Figures for the whole machine.
    pub metrics: Metrics,
    /// When it came, by the clock that the sampling goes by: awake time, in a recording the recording's. ns
    pub at_ns: u64,
}

/// Measured quantities, added up over time; `None` where the source has never reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// GPU busy, s.
    pub gpu_busy_s: Option<f64>,
    /// CPU time of all processes, s.
    pub cpu_s: Option<f64>,
    /// Energy of CPU, GPU and neural engine, J.
    pub energy_j: [Option<f64>; 3],
    /// Energy of the package, J.
    pub package_j: Option<f64>,
    /// Read from disks, bytes.
    pub read_bytes: Option<f64>,
    /// Written to disks, bytes.
    pub written_bytes: Option<f64>,
    /// Page-ins.
    pub pageins: Option<f64>,
    /// Wakeups out of idle.
    pub idle_wakeups: Option<f64>,
    /// Wakeups by interrupt.
    pub interrupt_wakeups: Option<f64>,
    /// CPU time of the sampler's own process, s.
    pub sampler_cpu_s: Option<f64>,
    /// Throttled by heat, s.
    pub throttled_s: Option<f64>,
}

/// The totals. All counts are since this run of the daemon began.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// The last sample.
    pub last: Option<Last>,
    /// When the last complete sample came, by this machine's clock that stops in sleep, ns.
    pub complete_ns: Option<u64>,
    /// When the last sample of either kind came, by the same clock, ns.
    pub sample_ns: Option<u64>,
    /// The real time between the last two complete samples, ns: how often they come at the pace of a recording.
    pub spacing_ns: u64,
    /// The interval expected at the last complete sample, ns.
    pub expected_ns: Option<u64>,
    /// What is known of the machine behind the source.
    pub info: SourceInfo,
    /// Where SENTINEL, ELEVATED and CRITICAL begin, points.
    pub thresholds: [u8; 3],
    /// The highest score and factors of the last minute: the score first.
    pub peak: Peak<9>,
    /// Points × time by factor, points × ns.
    pub factor_ns: [u64; 8],
    /// Time in each tier.
    pub tiers: InTiers,
    /// Tier changes, from × to.
    pub transitions: [[u64; 3]; 3],
    /// Closed episodes by highest tier.
    pub episodes: [u64; 3],
    /// Pauses by duration, s.
    pub pauses: Histogram<10>,
    /// Gaps by verdict.
    pub gaps: [u64; 4],
    /// The end of the last pause of this run, Unix ns, and who is blamed first.
    pub last_pause: Option<(i64, Option<Name>)>,
    /// Time asleep, ns.
    pub asleep_ns: u64,
    /// Complete samples by interval, s.
    pub intervals: Histogram<15>,
    /// Heartbeats by delay, s.
    pub delays: Histogram<13>,
    /// Degraded samples.
    pub degraded: u64,
    /// Rejected documents by reason.
    pub rejected: [u64; 4],
    /// Restarts by reason.
    pub restarts: [u64; 4],
    /// Heartbeats that nobody took for over a minute.
    pub beats_dropped: u64,
    /// What is measured.
    pub measured: Measured,
}

impl Totals {
    /// Totals at nought.
    #[must_use]
    pub fn new(thresholds: &Thresholds) -> Self {
        Self {
            last: None,
            complete_ns: None,
            sample_ns: None,
            spacing_ns: 0,
            expected_ns: None,
            info: SourceInfo::default(),
            thresholds: Tier::ALL.map(|tier| thresholds.begin(tier)),
            peak: Peak::default(),
            factor_ns: [0; 8],
            tiers: InTiers::default(),
            transitions: [[0; 3]; 3],
            episodes: [0; 3],
            pauses: Histogram::new(&PAUSE_BOUNDS),
            gaps: [0; 4],
            last_pause: None,
            asleep_ns: 0,
            intervals: Histogram::new(&INTERVAL_BOUNDS),
            delays: Histogram::new(&DELAY_BOUNDS),
            degraded: 0,
            rejected: [0; 4],
            restarts: [0; 4],
            beats_dropped: 0,
            measured: Measured::default(),
        }
    }

    /// New thresholds.
    pub fn configure(&mut self, thresholds: &Thresholds) {
        self.thresholds = Tier::ALL.map(|tier| thresholds.begin(tier));
    }

    /// A sample: it came at `at_ns` of the clock that the sampling goes by, `now_ns` of this machine's clock that
    /// stops in sleep.
    pub fn sample(&mut self, sample: &Sample, at_ns: u64, now_ns: u64) {
        // Since the sample before, not its interval: the fast path's may overlap the sampler's next, and a sampler's
        // interval may have a sleep in it.
        let passed_ns = match &self.last {
            Some(last) => at_ns.saturating_sub(last.at_ns),
            None => sample.elapsed_ns,
        };
        self.tiers.sample(sample.tier, passed_ns);
        for (total, points) in self.factor_ns.iter_mut().zip(sample.stress.points()) {
            *total = total.saturating_add(passed_ns.saturating_mul(points.into()));
        }
        let mut scores = [0; 9];
        scores[0] = sample.stress.total();
        scores[1..].copy_from_slice(&sample.stress.points());
        self.peak.push(at_ns, scores);
        if sample.degraded {
            self.degraded += 1;
        } else {
            self.intervals.observe(seconds(sample.elapsed_ns));
            self.spacing_ns = self.complete_ns.map_or(0, |before| now_ns.saturating_sub(before));
            self.complete_ns = Some(now_ns);
            self.expected_ns = Some(sample.expected_ns);
            self.measured.add(sample, seconds(sample.elapsed_ns), seconds(passed_ns));
        }
        self.sample_ns = Some(now_ns);
        self.last = Some(Last {
            stress: sample.stress,
            tier: sample.tier,
            degraded: sample.degraded,
            metrics: sample.metrics,
            at_ns: at_ns.max(self.last.map_or(0, |last| last.at_ns)),
        });
    }

    /// What the engine reports besides.
    pub fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Tier(change) => self.transitions[change.from as usize][change.to as usize] += 1,
            Notice::Gap(gap) => self.gap(gap),
            Notice::EpisodeClosed(episode) => self.episodes[episode.peak.tier as usize] += 1,
            Notice::EpisodeOpened(_) | Notice::EpisodeChanged(_) => {}
        }
    }

    fn gap(&mut self, gap: &Gap) {
        self.gaps[gap.verdict as usize] += 1;
        self.asleep_ns = self.asleep_ns.saturating_add(gap.asleep_ns);
        if gap.verdict == Verdict::Pause {
            self.pauses.observe(seconds(gap.duration_ns));
            self.last_pause = Some((gap.ended_ns, gap.culprits.first().map(|culprit| culprit.name)));
        }
    }

    /// The heartbeat woke so late, ns.
    pub fn beat(&mut self, delay_ns: u64) {
        self.delays.observe(seconds(delay_ns));
    }

    /// A document was rejected.
    pub fn rejected(&mut self, reject: Reject) {
        self.rejected[reject as usize] += 1;
    }

    /// The source is started again.
    pub fn restarted(&mut self, why: Restart) {
        self.restarts[why as usize] += 1;
    }

    /// Complete samples so far.
    #[must_use]
    pub fn complete(&self) -> u64 {
        self.intervals.count()
    }

    /// Points × time of a factor, points × s.
    #[must_use]
    pub fn factor_seconds(&self, factor: Factor) -> f64 {
        seconds(self.factor_ns[factor as usize])
    }
}

impl Measured {
    /// Adds a sample: rates over the interval they cover, the thermal state over the time since the sample before.
    fn add(&mut self, sample: &Sample, covered_s: f64, passed_s: f64) {
        let metrics = &sample.metrics;
        let add = |total: &mut Option<f64>, rate: Option<f64>, per_unit: f64| {
            if let Some(rate) = rate {
                *total = Some(total.unwrap_or(0.0) + rate / per_unit * covered_s);
            }
        };
        add(&mut self.gpu_busy_s, metrics.gpu_busy_pct, 100.0);
        add(&mut self.cpu_s, metrics.cpu_ms_per_s, 1e3);
        let powers = [metrics.cpu_power_mw, metrics.gpu_power_mw, metrics.ane_power_mw];
        for (total, power) in self.energy_j.iter_mut().zip(powers) {
            add(total, power, 1e3);
        }
        add(&mut self.package_j, metrics.combined_power_mw, 1e3);
        add(&mut self.read_bytes, metrics.io_read_per_s, 1.0);
        add(&mut self.written_bytes, metrics.io_write_per_s, 1.0);
        add(&mut self.pageins, metrics.pageins_per_s, 1.0);
        add(&mut self.idle_wakeups, metrics.idle_wakeups_per_s, 1.0);
        add(&mut self.interrupt_wakeups, metrics.intr_wakeups_per_s, 1.0);
        add(&mut self.sampler_cpu_s, sample.sampler_cpu_ms_per_s, 1e3);
        if let Some(level) = metrics.thermal_pressure {
            let throttled_s = if level.throttled() { passed_s } else { 0.0 };
            self.throttled_s = Some(self.throttled_s.unwrap_or(0.0) + throttled_s);
        }
    }
}

/// Nanoseconds in seconds.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
