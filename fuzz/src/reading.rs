//! What holds for every reading, whatever it was read from.

use pause_monitor::sample::{Metrics, NAME_MAX, Process, Reading, TOP_LEN, TopList};

/// Demands it.
pub(super) fn in_range(reading: &Reading) {
    assert!(reading.elapsed_ns > 0);
    let metrics = &reading.metrics;
    for value in figures(metrics).into_iter().chain([reading.sampler_cpu_ms_per_s]).flatten() {
        assert!(value.is_finite() && value.is_sign_positive(), "{value}");
    }
    for percent in [metrics.memory_available_pct, metrics.gpu_busy_pct].into_iter().flatten() {
        assert!(percent <= 100.0, "{percent}");
    }
    for list in lists(reading) {
        let list = list.as_slice();
        assert!(list.len() <= TOP_LEN);
        assert!(list.is_sorted_by(|a, b| (-a.value, a.pid) <= (-b.value, b.pid)), "{list:?}");
        for Process { name, value, .. } in list {
            assert!(value.is_finite() && *value > 0.0, "{value}");
            let name = name.as_str();
            assert!(!name.is_empty() && name.len() <= NAME_MAX + '…'.len_utf8(), "{name:?}");
        }
    }
}

fn figures(metrics: &Metrics) -> [Option<f64>; 13] {
    [
        metrics.load_avg,
        metrics.memory_available_pct,
        metrics.cpu_power_mw,
        metrics.gpu_power_mw,
        metrics.ane_power_mw,
        metrics.combined_power_mw,
        metrics.gpu_busy_pct,
        metrics.io_read_per_s,
        metrics.io_write_per_s,
        metrics.cpu_ms_per_s,
        metrics.idle_wakeups_per_s,
        metrics.intr_wakeups_per_s,
        metrics.pageins_per_s,
    ]
}

fn lists(reading: &Reading) -> [&TopList; 5] {
    [
        &reading.top_cpu,
        &reading.top_pageins,
        &reading.top_idle_wakeups,
        &reading.top_intr_wakeups,
        &reading.top_diskio,
    ]
}
