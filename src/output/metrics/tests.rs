//! Totals on virtual time, and what a scrape makes of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::event::{Gap, Notice, Verdict};
use crate::sample::{Factor, Metrics as Figures, Name, Sample, Stress, ThermalPressure, Tier};

const MS: u64 = 1_000_000;
const THRESHOLDS: Thresholds = Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000 * MS };

fn totals() -> Totals {
    Totals::new(&THRESHOLDS)
}

fn sample(elapsed_ms: u64, tier: Tier, load: u8) -> Sample {
    let metrics = Figures {
        cpu_power_mw: Some(2_000.0),
        io_read_per_s: Some(1_000.0),
        gpu_busy_pct: Some(50.0),
        thermal_pressure: Some(ThermalPressure::Heavy),
        ..Figures::default()
    };
    let stress = Stress::new([load, 0, 0, 0, 0, 0, 0, 0]);
    Sample { elapsed_ns: elapsed_ms * MS, expected_ns: 100 * MS, tier, stress, metrics, ..Sample::default() }
}

fn degraded(elapsed_ms: u64) -> Sample {
    let metrics = Figures { load_avg: Some(1.0), ..Figures::default() };
    Sample { elapsed_ns: elapsed_ms * MS, degraded: true, metrics, ..Sample::default() }
}

fn close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-9)
}

fn gap(verdict: Verdict, duration_ms: u64, asleep_ms: u64) -> Notice {
    Notice::Gap(Gap {
        id: None,
        verdict,
        certain: true,
        started_ns: 0,
        ended_ns: 7_000,
        duration_ns: duration_ms * MS,
        asleep_ns: asleep_ms * MS,
        seq: None,
        episode: None,
        stress: Stress::default(),
        tier: Tier::Sentinel,
        culprits: Vec::new(),
    })
}

#[test]
fn the_copy_of_a_tick_is_small() {
    let size = size_of::<Totals>();
    assert!(size <= 3_072, "{size} bytes are copied ten times a second");
}

#[test]
fn rates_are_added_over_the_interval_they_cover_however_long_it_was() {
    let mut totals = totals();
    totals.sample(&sample(100, Tier::Sentinel, 0), 100 * MS, 100 * MS);
    totals.sample(&sample(1_900, Tier::Sentinel, 0), 2_000 * MS, 2_000 * MS);
    let measured = totals.measured;
    assert!(close(measured.energy_j[0], 4.0), "2 W over 2 s");
    assert!(close(measured.read_bytes, 2_000.0));
    assert!(close(measured.gpu_busy_s, 1.0));
    assert!(close(measured.throttled_s, 2.0));
    assert_eq!((measured.written_bytes, measured.energy_j[1]), (None, None), "never reported");
}

#[test]
fn a_restart_of_the_source_counts_nothing_twice() {
    let mut totals = totals();
    totals.sample(&sample(100, Tier::Sentinel, 10), 100 * MS, 100 * MS);
    // The fast path bridges the gap, and its ticks overlap the next document's interval.
    for at in [200, 300, 400] {
        totals.sample(&degraded(100), at * MS, at * MS);
    }
    totals.sample(&sample(250, Tier::Sentinel, 10), 450 * MS, 450 * MS);
    assert_eq!(totals.tiers.ns, [450 * MS, 0, 0], "the time there was, and no more");
    assert!(close(totals.measured.energy_j[0], 0.7), "2 W over the 350 ms of complete samples");
    assert!((totals.factor_seconds(Factor::Load) - 1.5).abs() < 1e-9, "10 points over 100 ms and over 50 ms");
    assert_eq!((totals.complete(), totals.degraded), (2, 3));
    assert_eq!(totals.expected_ns, Some(100 * MS), "of the sampler's, not of the fast path's");
}

#[test]
fn an_interval_with_a_sleep_in_it_adds_no_time_to_tiers_and_scores() {
    let mut totals = totals();
    totals.sample(&sample(100, Tier::Elevated, 20), 100 * MS, 100 * MS);
    // The sampler says an hour; the clock that stops in sleep says 200 ms.
    totals.sample(&sample(3_600_000, Tier::Elevated, 20), 300 * MS, 300 * MS);
    assert_eq!(totals.tiers.ns, [0, 300 * MS, 0]);
    assert!((totals.factor_seconds(Factor::Load) - 6.0).abs() < 1e-9);
    assert!(close(totals.measured.throttled_s, 0.3));
}

#[test]
fn the_time_up_to_a_sample_belongs_to_the_tier_before_it() {
    let mut totals = totals();
    totals.sample(&sample(100, Tier::Sentinel, 0), 100 * MS, 0);
    totals.sample(&sample(100, Tier::Critical, 60), 200 * MS, 0);
    totals.sample(&sample(100, Tier::Elevated, 0), 500 * MS, 0);
    assert_eq!(totals.tiers.ns, [200 * MS, 0, 300 * MS]);
}

#[test]
fn a_clock_that_steps_back_adds_nothing() {
    let mut totals = totals();
    totals.sample(&sample(100, Tier::Sentinel, 1), 1_000 * MS, 0);
    totals.sample(&sample(100, Tier::Sentinel, 1), 400 * MS, 0);
    totals.sample(&sample(100, Tier::Sentinel, 1), 1_100 * MS, 0);
    assert_eq!(totals.tiers.ns[0], 200 * MS);
}

#[test]
fn sleep_is_counted_and_is_no_pause() {
    let mut totals = totals();
    totals.notice(&gap(Verdict::Sleep, 9_000, 9_000));
    totals.notice(&gap(Verdict::Pause, 500, 1_000));
    totals.notice(&gap(Verdict::Stall, 700, 0));
    assert_eq!(totals.gaps, [1, 1, 0, 1]);
    assert_eq!((totals.pauses.count(), totals.pauses.sum()), (1, 0.5));
    assert_eq!(totals.asleep_ns, 10_000 * MS);
    assert_eq!(totals.last_pause, Some((7_000, None)));
}

fn scrape() -> (Feed, Metrics) {
    let peers = Peers { source: "simulate", ..Peers::default() };
    channel(&THRESHOLDS, peers)
}

#[test]
fn a_scrape_that_copies_holds_the_sampling_thread_up_by_nothing() {
    let (mut feed, metrics) = scrape();
    feed.totals.sample(&sample(100, Tier::Sentinel, 0), 100 * MS, clock::awake_ns());
    let shared = Arc::clone(&metrics.shared);
    let copying = shared.totals.lock().unwrap();
    // It returns, although the lock is held; the next tick hands over.
    feed.publish();
    drop(copying);
    assert_eq!(metrics.snapshot().totals.complete(), 0);
    feed.publish();
    assert_eq!(metrics.snapshot().totals.complete(), 1);
}

#[test]
fn without_samples_the_gauges_of_the_present_go_and_the_counters_stay() {
    let (mut feed, metrics) = scrape();
    let now_ns = clock::awake_ns();
    feed.totals.sample(&sample(100, Tier::Elevated, 20), now_ns, now_ns);
    feed.publish();
    let text = metrics.text();
    assert!(
        text.contains("\npause_monitor_up 1\n") && text.contains("\npause_monitor_stress_score 20\n"),
        "{text}"
    );
    let later = metrics.shared.snapshot(now_ns + 6_000 * MS);
    assert!(!later.up && !later.fresh);
    assert_eq!(later.totals.peak.highest(later.now_ns).map(|highest| highest[0]), Some(20));
    assert_eq!(metrics.shared.snapshot(now_ns + 70_000 * MS).totals.peak.highest(now_ns + 70_000 * MS), None);
    drop(feed);
    let text = metrics.text();
    assert!(metrics.sampling_ended() && text.contains("\npause_monitor_up 0\n"), "{text}");
    assert!(
        !text.contains("\npause_monitor_stress_score ") && !text.contains("\npause_monitor_tier{"),
        "{text}"
    );
    assert!(text.contains("\npause_monitor_samples_total{state=\"complete\"} 1\n"), "{text}");
}

#[test]
fn a_slow_recording_is_not_taken_for_silence_and_degraded_samples_are_not_up() {
    let (mut feed, metrics) = scrape();
    let now_ns = clock::awake_ns();
    feed.totals.sample(&sample(10_000, Tier::Sentinel, 0), 10_000 * MS, now_ns - 10_000 * MS);
    feed.totals.sample(&sample(10_000, Tier::Sentinel, 0), 20_000 * MS, now_ns);
    feed.publish();
    assert!(metrics.shared.snapshot(now_ns + 20_000 * MS).up);
    assert!(!metrics.shared.snapshot(now_ns + 31_000 * MS).up);
    feed.totals.sample(&degraded(100), 20_100 * MS, now_ns);
    feed.publish();
    let snapshot = metrics.shared.snapshot(now_ns);
    assert!(!snapshot.up && snapshot.fresh);
}

#[test]
fn the_last_pause_is_the_later_of_this_run_s_and_the_earlier_ones() {
    let (mut feed, metrics) = scrape();
    assert_eq!(metrics.snapshot().last_pause, None);
    let earlier = (5_000, Some(Name::new("mds_stores")));
    metrics.restore_last_pause(Some(earlier));
    assert_eq!(metrics.snapshot().last_pause, Some(earlier));
    feed.totals.notice(&gap(Verdict::Pause, 500, 0));
    feed.publish();
    assert_eq!(metrics.snapshot().last_pause, Some((7_000, None)), "its own culprit, and none of another's");
}

/// What a scrape says of a family without labels, or of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(&format!("pause_monitor_{series} "))?.parse().ok())
}

#[test]
fn figures_are_told_in_base_units_each_under_its_own_name() {
    let (mut feed, metrics) = scrape();
    let now_ns = clock::awake_ns();
    let figures = Figures {
        load_avg: Some(3.4),
        cores: Some(16),
        memory_available_pct: Some(62.5),
        swap_used_bytes: Some(123_456_789),
        thermal_pressure: Some(ThermalPressure::Heavy),
        gpu_busy_pct: Some(12.5),
        cpu_power_mw: Some(2_500.0),
        combined_power_mw: Some(4_000.0),
        ..Figures::default()
    };
    feed.totals.sample(&Sample { metrics: figures, ..sample(100, Tier::Sentinel, 0) }, now_ns, now_ns);
    feed.publish();
    let text = metrics.text();
    for (series, expected) in [
        ("load1", 3.4),
        ("cpu_cores", 16.0),
        ("memory_available_ratio", 0.625),
        ("swap_used_bytes", 123_456_789.0),
        ("thermal_throttled", 1.0),
        ("thermal_pressure{level=\"heavy\"}", 1.0),
        ("thermal_pressure{level=\"nominal\"}", 0.0),
        ("gpu_busy_ratio", 0.125),
        ("power_watts{domain=\"cpu\"}", 2.5),
        ("package_power_watts", 4.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}");
    }
    let build = text.lines().find_map(|line| line.strip_prefix("pause_monitor_build_info")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let revision = build.strip_prefix("{revision=\"").unwrap();
    let revision = revision.strip_suffix(&format!("\",version=\"{version}\"}} 1")).unwrap();
    assert!(!revision.is_empty() && revision != version, "{build}");
    let cool = Figures { thermal_pressure: Some(ThermalPressure::Nominal), ..figures };
    feed.totals.sample(&Sample { metrics: cool, ..sample(100, Tier::Sentinel, 0) }, now_ns, now_ns);
    feed.publish();
    assert_eq!(value(&metrics.text(), "thermal_throttled"), Some(0.0));
}

#[test]
fn only_a_configuration_that_was_taken_moves_the_time_of_the_last_reload() {
    const SUCCESSFUL: &str = "config_last_reload_successful";
    const TIME: &str = "config_last_reload_success_timestamp_seconds";
    let (_feed, metrics) = scrape();
    let told = || {
        let text = metrics.text();
        (value(&text, SUCCESSFUL).unwrap(), value(&text, TIME).unwrap())
    };
    let now_s = || clock::unix_ns() as f64 / 1e9;
    let (taken, at_s) = told();
    assert!(taken == 1.0 && (now_s() - at_s).abs() < 60.0, "the one that it started with: {at_s}");
    metrics.shared.reloaded_ns.store(5_000_000_000, Relaxed);
    metrics.reloaded(false);
    assert_eq!(told(), (0.0, 5.0));
    metrics.reloaded(true);
    let (taken, at_s) = told();
    assert!(taken == 1.0 && (now_s() - at_s).abs() < 60.0, "{at_s}");
    metrics.shared.reloaded_ns.store(6_000_000_000, Relaxed);
    metrics.web_reloaded(false);
    assert_eq!(told(), (0.0, 6.0));
}

#[test]
fn what_others_count_is_told() {
    let (_feed, metrics) = scrape();
    metrics.peers.store.dropped.store(3, Relaxed);
    metrics.peers.socket.dropped.store(4, Relaxed);
    metrics.peers.otlp.outbox_spans.store(5, Relaxed);
    metrics.peers.otlp.spans_exported.store(7, Relaxed);
    metrics.peers.otlp.spans_rejected.store(8, Relaxed);
    metrics.peers.otlp.export_failures.store(9, Relaxed);
    metrics.peers.handover_dropped.store(6, Relaxed);
    metrics.reloaded(false);
    let text = metrics.text();
    for line in [
        "pause_monitor_output_messages_dropped_total{output=\"store\"} 3",
        "pause_monitor_output_messages_dropped_total{output=\"handover\"} 6",
        "pause_monitor_socket_messages_dropped_total 4",
        "pause_monitor_otlp_outbox_spans 5",
        "pause_monitor_otlp_spans_exported_total 7",
        "pause_monitor_otlp_spans_rejected_total 8",
        "pause_monitor_otlp_export_failures_total 9",
        "pause_monitor_config_last_reload_successful 0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
}
