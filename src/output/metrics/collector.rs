//! The one collector: every family of the contract, from a snapshot and the outputs' own counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use super::family::{Families, Family};
use super::totals::seconds;
use super::{Last, Peers, REVISION, Restart, Shared, Snapshot, Totals, process};
use crate::clock;
use crate::event::Verdict;
use crate::output::forensics;
use crate::sample::{Factor, Name, Reject, ThermalPressure, Tier};

/// Puts a scrape together.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Arc<Peers>,
}

impl prometheus::core::Collector for Collector {
    /// None: the registry needs them only to tell several collectors apart.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.shared.snapshot(clock::awake_ns());
        let mut out = Families::default();
        self.identity(&mut out, &snapshot);
        stress(&mut out, &snapshot);
        self.events(&mut out, &snapshot);
        sampling(&mut out, &snapshot.totals);
        machine(&mut out, &snapshot);
        self.outputs(&mut out, &snapshot.totals);
        process::collect(&mut out);
        out.into_vec()
    }
}

/// A count as a sample's value: exact up to 2⁵³.
fn count(number: u64) -> f64 {
    number as f64
}

fn loaded(counter: &AtomicU64) -> f64 {
    count(counter.load(Relaxed))
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn unix_seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// Each name of a closed set with its value.
fn each<T: Copy, const N: usize>(
    all: [T; N],
    name: impl Fn(T) -> &'static str,
    value: impl Fn(T) -> f64,
) -> impl Iterator<Item = (&'static str, f64)> {
    all.map(|item| (name(item), value(item))).into_iter()
}

impl Collector {
    fn identity(&self, out: &mut Families, snapshot: &Snapshot) {
        const BUILD_INFO: Family = Family::gauge(
            "pause_monitor_build_info",
            "The version that runs, and the revision it was built from.",
        );
        const SOURCE_INFO: Family = Family::gauge(
            "pause_monitor_source_info",
            "Where samples come from, and the machine's model and build.",
        );
        const UP: Family = Family::gauge("pause_monitor_up", "Whether complete samples arrive.");
        const RELOAD_OK: Family = Family::gauge(
            "pause_monitor_config_last_reload_successful",
            "Whether the configuration, and the web configuration, were taken when they were last read.",
        );
        const RELOADED: Family = Family::gauge(
            "pause_monitor_config_last_reload_success_timestamp_seconds",
            "When the configuration was last taken.",
        );
        let name = |name: Option<Name>| name.map_or_else(String::new, |name| name.printable());
        let info = &snapshot.totals.info;
        out.info(BUILD_INFO, &[("revision", REVISION), ("version", env!("CARGO_PKG_VERSION"))]);
        out.info(
            SOURCE_INFO,
            &[
                ("hw_model", &name(info.hw_model)),
                ("os_build", &name(info.os_build)),
                ("source", self.peers.source),
            ],
        );
        out.value(UP, flag(snapshot.up));
        out.value(
            RELOAD_OK,
            flag(self.shared.reload_ok.load(Relaxed) && self.shared.web_reload_ok.load(Relaxed)),
        );
        out.value(RELOADED, unix_seconds(self.shared.reloaded_ns.load(Relaxed)));
    }

    fn events(&self, out: &mut Families, snapshot: &Snapshot) {
        const EPISODES: Family = Family::counter(
            "pause_monitor_episodes_total",
            "Closed episodes (times above SENTINEL), by the highest tier reached.",
        );
        const PAUSES: Family = Family::histogram(
            "pause_monitor_pause_duration_seconds",
            "How long the machine stood still, by pause. The sum is the time lost.",
        );
        const GAPS: Family =
            Family::counter("pause_monitor_gaps_total", "Gaps in the sampling, and sleeps, by verdict.");
        const LAST_PAUSE: Family = Family::gauge(
            "pause_monitor_last_pause_timestamp_seconds",
            "When the last pause ended, across restarts.",
        );
        const CULPRIT: Family = Family::gauge(
            "pause_monitor_last_pause_culprit_info",
            "The process with the largest share in the last pause, where one stood out; across restarts.",
        );
        const SLEEP: Family = Family::counter("pause_monitor_sleep_seconds_total", "Time the machine slept.");
        let totals = &snapshot.totals;
        out.by(EPISODES, "peak_tier", {
            let above = [Tier::Elevated, Tier::Critical];
            each(above, Tier::as_str, |tier| count(totals.episodes[tier as usize]))
        });
        out.distribution(PAUSES, &totals.pauses);
        out.by(GAPS, "verdict", {
            each(Verdict::ALL, Verdict::as_str, |verdict| count(totals.gaps[verdict as usize]))
        });
        out.known(LAST_PAUSE, snapshot.last_pause.map(|(at_ns, _)| unix_seconds(at_ns)));
        if self.peers.culprit_info
            && let Some((_, Some(name))) = snapshot.last_pause
        {
            out.info(CULPRIT, &[("name", &name.printable())]);
        }
        out.value(SLEEP, seconds(totals.asleep_ns));
    }

    fn outputs(&self, out: &mut Families, totals: &Totals) {
        const CLIENTS: Family = Family::gauge("pause_monitor_socket_clients", "Clients of the Unix socket.");
        const SOCKET_DROPPED: Family = Family::counter(
            "pause_monitor_socket_messages_dropped_total",
            "Samples that slow clients of the Unix socket did not get.",
        );
        const DROPPED: Family = Family::counter(
            "pause_monitor_output_messages_dropped_total",
            "What a full queue dropped: alerts, handover (to the outputs), heartbeat (to the sampling thread), log, store.",
        );
        const NOTIFICATIONS: Family = Family::counter(
            "pause_monitor_notifications_total",
            "Desktop notifications: taken by the service (ok), refused, unanswered, or held back by the cooldown.",
        );
        const STORED: Family =
            Family::counter("pause_monitor_events_stored_total", "Events committed to the store.");
        const STORE_ERRORS: Family = Family::counter(
            "pause_monitor_store_errors_total",
            "Attempts to open or write the store that failed. What they held is kept and tried again.",
        );
        const STORE_SIZE: Family =
            Family::gauge("pause_monitor_store_size_bytes", "Size of the event database.");
        const EXPORTED: Family =
            Family::counter("pause_monitor_otlp_spans_exported_total", "Spans that the collector took.");
        const REJECTED: Family = Family::counter(
            "pause_monitor_otlp_spans_rejected_total",
            "Spans that the collector refused for good.",
        );
        const FAILURES: Family = Family::counter(
            "pause_monitor_otlp_export_failures_total",
            "Export requests that failed. What they held is sent again.",
        );
        const CAPTURES: Family = Family::counter(
            "pause_monitor_forensics_captures_total",
            "Evidence of pauses: what was to be captured, and what came of it.",
        );
        const OUTBOX: Family =
            Family::gauge("pause_monitor_otlp_outbox_spans", "Spans that wait to be exported.");
        const HOOKS: Family = Family::counter(
            "pause_monitor_hook_runs_total",
            "Runs of the user's hooks, by what came of them; held_back: by the hook's cooldown, dropped: its queue was full.",
        );
        let Peers { socket, store, alerts, otlp, handover_dropped, log, .. } = &*self.peers;
        out.value(CLIENTS, socket.clients.load(Relaxed) as f64);
        out.value(SOCKET_DROPPED, loaded(&socket.dropped));
        let log_dropped = log.as_ref().map_or(0, |log| log.dropped_lines()) as f64;
        out.by(
            DROPPED,
            "output",
            [
                ("alerts", loaded(&alerts.dropped)),
                ("handover", loaded(handover_dropped)),
                ("heartbeat", count(totals.beats_dropped)),
                ("log", log_dropped),
                ("store", loaded(&store.dropped)),
            ],
        );
        let notifications = alerts.notifications.all();
        out.by_two(
            NOTIFICATIONS,
            ["kind", "outcome"],
            notifications.map(|(kind, outcome, number)| ([kind.as_str(), outcome], count(number))),
        );
        out.value(STORED, loaded(&store.events_stored));
        out.value(STORE_ERRORS, loaded(&store.errors));
        // It is looked at now and then; before the first look it is not known.
        out.known(STORE_SIZE, Some(loaded(&store.size_bytes)).filter(|&size| size > 0.0));
        out.value(EXPORTED, loaded(&otlp.spans_exported));
        out.value(REJECTED, loaded(&otlp.spans_rejected));
        out.value(FAILURES, loaded(&otlp.export_failures));
        out.value(OUTBOX, loaded(&otlp.outbox_spans));
        let runs = alerts.hooks.runs();
        out.by_two(
            HOOKS,
            ["hook", "outcome"],
            runs.iter().flat_map(|(hook, runs)| {
                runs.iter().map(move |(outcome, runs)| ([hook.as_str(), outcome.as_str()], count(*runs)))
            }),
        );
        let captures = forensics::Name::here().iter();
        let captures = captures.flat_map(|&name| forensics::Outcome::ALL.map(|outcome| (name, outcome)));
        out.by_two(
            CAPTURES,
            ["name", "outcome"],
            captures.map(|(name, outcome)| {
                ([name.as_str(), outcome.label()], count(self.peers.forensics.get(name, outcome)))
            }),
        );
    }
}

fn stress(out: &mut Families, snapshot: &Snapshot) {
    const SCORE: Family = Family::gauge("pause_monitor_stress_score", "The stress score, 0 to 100.");
    const SCORE_PEAK: Family =
        Family::gauge("pause_monitor_stress_score_peak", "The highest stress score of the last 60 s.");
    const FACTOR: Family =
        Family::gauge("pause_monitor_stress_factor_score", "Points of each factor of stress.");
    const FACTOR_PEAK: Family = Family::gauge(
        "pause_monitor_stress_factor_score_peak",
        "The most points of each factor of stress in the last 60 s.",
    );
    const FACTOR_SECONDS: Family = Family::counter(
        "pause_monitor_stress_factor_score_seconds_total",
        "Points of each factor of stress times the seconds they held: its rate is the mean score.",
    );
    const TIER: Family = Family::gauge("pause_monitor_tier", "1 for the tier the machine is in.");
    const THRESHOLD: Family =
        Family::gauge("pause_monitor_tier_threshold_score", "The stress score from which a tier is entered.");
    const TIER_SECONDS: Family =
        Family::counter("pause_monitor_tier_seconds_total", "Time in each tier, the present one included.");
    const TRANSITIONS: Family =
        Family::counter("pause_monitor_tier_transitions_total", "Changes of the tier.");
    let totals = &snapshot.totals;
    if let Some(last) = present(snapshot) {
        out.value(SCORE, last.stress.total().into());
        out.by(FACTOR, "factor", each(Factor::ALL, Factor::as_str, |factor| last.stress.get(factor).into()));
        out.by(TIER, "tier", each(Tier::ALL, Tier::as_str, |tier| flag(tier == last.tier)));
    }
    if let Some(highest) = totals.peak.highest(snapshot.now_ns) {
        out.value(SCORE_PEAK, highest[0].into());
        out.by(
            FACTOR_PEAK,
            "factor",
            each(Factor::ALL, Factor::as_str, |factor| highest[1 + factor as usize].into()),
        );
    }
    out.by(
        FACTOR_SECONDS,
        "factor",
        each(Factor::ALL, Factor::as_str, |factor| totals.factor_seconds(factor)),
    );
    out.by(THRESHOLD, "tier", each(Tier::ALL, Tier::as_str, |tier| totals.thresholds[tier as usize].into()));
    out.by(
        TIER_SECONDS,
        "tier",
        each(Tier::ALL, Tier::as_str, |tier| seconds(totals.tiers.ns[tier as usize])),
    );
    let changes = Tier::ALL.into_iter().flat_map(|from| Tier::ALL.map(|to| (from, to)));
    out.by_two(
        TRANSITIONS,
        ["from", "to"],
        changes.filter(|(from, to)| from != to).map(|(from, to)| {
            ([from.as_str(), to.as_str()], count(totals.transitions[from as usize][to as usize]))
        }),
    );
}

/// The last sample, where it is the present state.
fn present(snapshot: &Snapshot) -> Option<&Last> {
    snapshot.totals.last.as_ref().filter(|_| snapshot.fresh)
}

fn sampling(out: &mut Families, totals: &Totals) {
    const INTERVALS: Family = Family::histogram(
        "pause_monitor_sample_interval_seconds",
        "Intervals of complete samples, as the sampler measured them.",
    );
    const DELAYS: Family = Family::histogram(
        "pause_monitor_heartbeat_delay_seconds",
        "How late a thread woke that sleeps 20 ms over and over.",
    );
    const EXPECTED: Family = Family::gauge(
        "pause_monitor_expected_interval_seconds",
        "The interval expected of this machine: the median of the last ones.",
    );
    const SAMPLES: Family = Family::counter(
        "pause_monitor_samples_total",
        "Samples: complete ones, and degraded ones that know load, memory and lateness only.",
    );
    const REJECTED: Family =
        Family::counter("pause_monitor_samples_rejected_total", "Documents that could not be taken.");
    const RESTARTS: Family =
        Family::counter("pause_monitor_source_restarts_total", "Restarts of the sampler.");
    out.distribution(INTERVALS, &totals.intervals);
    out.distribution(DELAYS, &totals.delays);
    out.known(EXPECTED, totals.expected_ns.map(seconds));
    out.by(SAMPLES, "state", [("complete", count(totals.complete())), ("degraded", count(totals.degraded))]);
    out.by(
        REJECTED,
        "reason",
        each(Reject::ALL, Reject::as_str, |reason| count(totals.rejected[reason as usize])),
    );
    out.by(
        RESTARTS,
        "reason",
        each(Restart::ALL, Restart::as_str, |reason| count(totals.restarts[reason as usize])),
    );
}

fn machine(out: &mut Families, snapshot: &Snapshot) {
    const LOAD: Family = Family::gauge("pause_monitor_load1", "Load average over one minute.");
    const CORES: Family = Family::gauge("pause_monitor_cpu_cores", "Logical cores.");
    const MEMORY: Family = Family::gauge(
        "pause_monitor_memory_available_ratio",
        "Share of the memory that can be had without swapping.",
    );
    const SWAP: Family = Family::gauge("pause_monitor_swap_used_bytes", "Swap in use.");
    const THROTTLED: Family =
        Family::gauge("pause_monitor_thermal_throttled", "Whether heat holds the machine back.");
    const PRESSURE: Family =
        Family::gauge("pause_monitor_thermal_pressure", "1 for the present thermal level.");
    const GPU: Family = Family::gauge("pause_monitor_gpu_busy_ratio", "Busy share of the busiest GPU.");
    const POWER: Family = Family::gauge("pause_monitor_power_watts", "Power of a part of the chip.");
    const PACKAGE: Family =
        Family::gauge("pause_monitor_package_power_watts", "Power of CPU, GPU and neural engine together.");
    if let Some(Last { metrics, .. }) = present(snapshot) {
        out.known(LOAD, metrics.load_avg);
        out.known(CORES, metrics.cores.map(f64::from));
        out.known(MEMORY, metrics.memory_available_pct.map(|percent| percent / 100.0));
        out.known(SWAP, metrics.swap_used_bytes.map(count));
        if let Some(level) = metrics.thermal_pressure {
            out.value(THROTTLED, flag(level.throttled()));
            let levels = each(ThermalPressure::ALL, ThermalPressure::as_str, |one| flag(one == level));
            out.by(PRESSURE, "level", levels);
        }
        out.known(GPU, metrics.gpu_busy_pct.map(|percent| percent / 100.0));
        let watts = [metrics.cpu_power_mw, metrics.gpu_power_mw, metrics.ane_power_mw];
        out.by(POWER, "domain", by_domain(watts.map(|power| power.map(|mw| mw / 1e3))));
        out.known(PACKAGE, metrics.combined_power_mw.map(|mw| mw / 1e3));
    }
    measured(out, &snapshot.totals);
}

/// The parts of the chip whose figure is known.
fn by_domain(values: [Option<f64>; 3]) -> impl Iterator<Item = (&'static str, f64)> {
    ["cpu", "gpu", "ane"].into_iter().zip(values).filter_map(|(domain, value)| Some((domain, value?)))
}

fn measured(out: &mut Families, totals: &Totals) {
    const THROTTLED: Family = Family::counter(
        "pause_monitor_thermal_throttled_seconds_total",
        "Time in which heat held the machine back.",
    );
    const GPU: Family =
        Family::counter("pause_monitor_gpu_busy_seconds_total", "Time the busiest GPU was busy.");
    const CPU: Family = Family::counter("pause_monitor_cpu_seconds_total", "CPU time of all processes.");
    const ENERGY: Family =
        Family::counter("pause_monitor_energy_joules_total", "Energy of a part of the chip.");
    const PACKAGE: Family = Family::counter(
        "pause_monitor_package_energy_joules_total",
        "Energy of CPU, GPU and neural engine together.",
    );
    const READ: Family = Family::counter("pause_monitor_disk_read_bytes_total", "Read from disks.");
    const WRITTEN: Family = Family::counter("pause_monitor_disk_written_bytes_total", "Written to disks.");
    const PAGEINS: Family = Family::counter(
        "pause_monitor_pageins_total",
        "Page-ins; on macOS mostly from files, on Linux major faults. Not swap.",
    );
    const IDLE: Family = Family::counter("pause_monitor_idle_wakeups_total", "Wakeups out of an idle state.");
    const INTERRUPT: Family =
        Family::counter("pause_monitor_interrupt_wakeups_total", "Wakeups by interrupt.");
    const SAMPLER: Family = Family::counter(
        "pause_monitor_sampler_cpu_seconds_total",
        "CPU time of the sampler's own process: what powermetrics costs.",
    );
    let measured = &totals.measured;
    out.known(THROTTLED, measured.throttled_s);
    out.known(GPU, measured.gpu_busy_s);
    out.known(CPU, measured.cpu_s);
    out.by(ENERGY, "domain", by_domain(measured.energy_j));
    out.known(PACKAGE, measured.package_j);
    out.known(READ, measured.read_bytes);
    out.known(WRITTEN, measured.written_bytes);
    out.known(PAGEINS, measured.pageins);
    out.known(IDLE, measured.idle_wakeups);
    out.known(INTERRUPT, measured.interrupt_wakeups);
    out.known(SAMPLER, measured.sampler_cpu_s);
}
