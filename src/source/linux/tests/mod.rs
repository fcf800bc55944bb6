//! The source on trees of fixtures that advance between reads, and on this machine.

mod processes;

use std::path::Path;

use super::LinuxSource;
use super::fixture::{Process, Tree};
use crate::sample::{Metrics, Reading, ThermalPressure, TopList};

const TICK: u64 = 100_000_000;

fn start(tree: &Tree) -> LinuxSource {
    let mut source = LinuxSource::with_root(tree.path()).unwrap();
    source.read(TICK);
    source
}

/// Ten ticks: each process' details were read once in them. Gives the last.
fn ten_ticks(source: &mut LinuxSource) -> Reading {
    (0..10).map(|_| source.read(TICK)).last().unwrap()
}

#[test]
fn the_first_reading_has_its_interval_and_no_rates() {
    let tree = Tree::machine();
    tree.process(7, &Process { cpu_ticks: 500, ..Process::named("worker") });
    let mut source = LinuxSource::with_root(tree.path()).unwrap();
    let reading = source.read(TICK);
    assert_eq!(reading.elapsed_ns, TICK);
    assert!(!reading.degraded);
    // Levels, not rates, are known at once.
    let levels = Metrics { gpu_busy_pct: Some(40.0), ..Metrics::default() };
    assert_eq!(Metrics { thermal_pressure: None, ..reading.metrics }, levels);
    assert_eq!(reading.top_cpu, TopList::default());
}

#[test]
fn an_idle_machine_has_rates_of_zero_once_they_are_known() {
    let tree = Tree::machine();
    let metrics = ten_ticks(&mut start(&tree)).metrics;
    for rate in [
        metrics.io_read_per_s,
        metrics.io_write_per_s,
        metrics.pageins_per_s,
        metrics.cpu_ms_per_s,
        metrics.idle_wakeups_per_s,
        metrics.combined_power_mw,
    ] {
        assert_eq!(rate, Some(0.0), "{metrics:?}");
    }
    assert_eq!(metrics.thermal_pressure, Some(ThermalPressure::Nominal));
}

#[test]
fn without_proc_the_source_says_what_to_do() {
    let error = LinuxSource::with_root(Path::new("/nowhere")).err().unwrap().to_string();
    assert!(error.starts_with("can't read /nowhere/proc/stat: "), "{error}");
    assert!(error.ends_with("; mount /proc, or choose another --source"), "{error}");
}

#[test]
fn a_machine_that_has_only_a_proc_reports_only_what_is_there() {
    let tree = Tree::machine();
    tree.remove("sys");
    for file in ["vmstat", "diskstats"] {
        tree.remove(&format!("proc/{file}"));
    }
    let metrics = ten_ticks(&mut start(&tree)).metrics;
    assert_eq!(metrics, Metrics { cpu_ms_per_s: Some(0.0), ..Metrics::default() });
}

#[test]
fn only_whole_physical_disks_count_and_none_twice() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    // Every line rises by 10 sectors read and 20 written; sda, vda and the NVMe path are physical.
    tree.replace("proc/diskstats", " 1 0 1000 0 1 0 1000 ", " 2 0 1010 0 2 0 1020 ");
    let metrics = source.read(TICK).metrics;
    assert_eq!(metrics.io_read_per_s, Some(3.0 * 10.0 * 512.0 * 10.0));
    assert_eq!(metrics.io_write_per_s, Some(3.0 * 20.0 * 512.0 * 10.0));
}

#[test]
fn rates_are_by_the_time_that_was_measured() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    tree.replace("proc/vmstat", "\npgmajfault 1000", "\npgmajfault 1100");
    assert_eq!(source.read(2 * TICK).metrics.pageins_per_s, Some(500.0));
    tree.replace("proc/vmstat", "\npgmajfault 1100", "\npgmajfault 1200");
    assert_eq!(source.read(0).metrics.pageins_per_s, None, "in no time there is no rate");
}

#[test]
fn a_disk_that_comes_or_goes_gives_no_false_rate() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    let line = " 254       0 vda 1 0 1000 0 1 0 1000 0 0 0 0 0 0 0 0 0 0\n";
    let other = " 254      16 vdb 9 0 900000 0 9 0 900000 0 0 0 0 0 0 0 0 0 0\n";
    tree.write("sys/block/vdb/device/status", "15\n");
    tree.replace("proc/diskstats", line, &format!("{other}{line}"));
    assert_eq!(source.read(TICK).metrics.io_read_per_s, Some(0.0));
    tree.replace("proc/diskstats", " vdb 9 0 900000 0", " vdb 9 0 900001 0");
    assert_eq!(source.read(TICK).metrics.io_read_per_s, Some(5120.0));
    tree.replace("proc/diskstats", line, "");
    assert_eq!(source.read(TICK).metrics.io_read_per_s, Some(0.0));
    // Its counter begins anew.
    tree.replace("proc/diskstats", " vdb 9 0 900001 0", " vdb 9 0 5 0");
    assert_eq!(source.read(TICK).metrics.io_read_per_s, Some(0.0));
}

#[test]
fn a_counter_that_could_not_be_read_gives_no_rate_over_two_intervals() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    tree.replace("proc/vmstat", "\npgmajfault", "\ngone");
    assert_eq!(source.read(TICK).metrics.pageins_per_s, None);
    tree.replace("proc/vmstat", "\ngone 1000", "\npgmajfault 1500");
    assert_eq!(source.read(TICK).metrics.pageins_per_s, None);
    assert_eq!(source.read(TICK).metrics.pageins_per_s, Some(0.0));
}

#[test]
fn cpu_time_is_user_nice_and_system() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    tree.replace("proc/stat", "cpu  1000 10 500 90000 100 5 20 7", "cpu  1012 11 507 90050 200 9 29 99");
    let cpu = source.read(TICK).metrics.cpu_ms_per_s.unwrap();
    assert!((cpu - 2_000.0).abs() < 1e-6, "{cpu}");
}

#[test]
fn wakeups_are_those_from_states_in_which_a_cpu_sleeps() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    tree.write("sys/devices/system/cpu/cpu0/cpuidle/state0/usage", "9000\n");
    tree.write("sys/devices/system/cpu/cpu0/cpuidle/state1/usage", "5030\n");
    tree.write("sys/devices/system/cpu/cpu1/cpuidle/state1/usage", "5012\n");
    assert_eq!(source.read(TICK).metrics.idle_wakeups_per_s, Some(420.0));
}

#[test]
fn a_cpu_that_goes_offline_and_comes_back_gives_no_false_wakeups() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    let usage = "sys/devices/system/cpu/cpu1/cpuidle/state1/usage";
    tree.remove(usage);
    tree.write("sys/devices/system/cpu/cpu0/cpuidle/state1/usage", "5001\n");
    assert_eq!(source.read(TICK).metrics.idle_wakeups_per_s, Some(10.0));
    tree.write(usage, "90000\n");
    for _ in 0..super::RESCAN_TICKS {
        assert_eq!(source.read(TICK).metrics.idle_wakeups_per_s, Some(0.0));
    }
    source.read(TICK);
    tree.write(usage, "90002\n");
    assert_eq!(source.read(TICK).metrics.idle_wakeups_per_s, Some(20.0), "it was found again");
}

#[test]
fn a_machine_with_many_cpus_has_the_mean_of_the_last_second() {
    let tree = Tree::machine();
    let usage = |cpu: usize| format!("sys/devices/system/cpu/cpu{cpu}/cpuidle/state1/usage");
    for cpu in 0..200 {
        tree.write(&usage(cpu), "100\n");
    }
    let mut source = start(&tree);
    assert_eq!(ten_ticks(&mut source).metrics.idle_wakeups_per_s, Some(0.0));
    ten_ticks(&mut source);
    for cpu in 0..200 {
        tree.write(&usage(cpu), "105\n");
    }
    assert_eq!(ten_ticks(&mut source).metrics.idle_wakeups_per_s, Some(1_000.0));
    assert_eq!(ten_ticks(&mut source).metrics.idle_wakeups_per_s, Some(0.0));
}

#[test]
fn a_throttle_count_that_rises_means_throttled_for_a_while() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    ten_ticks(&mut source);
    tree.write("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "8\n");
    let levels: Vec<_> = (0..40).map(|_| source.read(TICK).metrics.thermal_pressure).collect();
    let throttled: Vec<usize> =
        (0..40).filter(|&tick| levels[tick] == Some(ThermalPressure::Other)).collect();
    assert!(throttled[0] < 10, "it is seen within a second: {throttled:?}");
    assert_eq!(throttled.len(), 15, "and holds for a second and a half: {throttled:?}");
    assert_eq!(throttled[14] - throttled[0], 14, "without a flicker: {throttled:?}");
    assert_eq!(levels[39], Some(ThermalPressure::Nominal));
}

#[test]
fn throttling_that_goes_on_does_not_flicker() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    ten_ticks(&mut source);
    let mut first = None;
    for tick in 0..50 {
        tree.write(
            "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
            format!("{}\n", 100 + tick),
        );
        let throttled = source.read(TICK).metrics.thermal_pressure == Some(ThermalPressure::Other);
        first = first.or(throttled.then_some(tick));
        assert_eq!(throttled, first.is_some(), "tick {tick}");
    }
    assert!(first.is_some_and(|tick| tick < 10), "{first:?}");
}

#[test]
fn the_busiest_gpu_counts_and_a_suspended_one_is_not_read() {
    let tree = Tree::machine();
    let mut source = start(&tree);
    tree.write("sys/class/drm/card0/device/gpu_busy_percent", "95\n");
    assert_eq!(source.read(TICK).metrics.gpu_busy_pct, Some(95.0));
    tree.write("sys/class/drm/card0/device/power/runtime_status", "suspended\n");
    assert_eq!(source.read(TICK).metrics.gpu_busy_pct, Some(40.0));
    tree.remove("sys/class/drm/card1/device/gpu_busy_percent");
    assert_eq!(source.read(TICK).metrics.gpu_busy_pct, Some(0.0), "a suspended GPU is idle");
    tree.remove("sys/class/drm/card0/device/gpu_busy_percent");
    tree.write("sys/class/drm/card0/device/power/runtime_status", "active\n");
    assert_eq!(source.read(TICK).metrics.gpu_busy_pct, None);
}

#[test]
fn an_idle_gpu_that_may_suspend_itself_is_left_alone() {
    let tree = Tree::machine();
    tree.remove("sys/class/drm/card1");
    let busy = "sys/class/drm/card0/device/gpu_busy_percent";
    tree.write(busy, "0\n");
    let mut source = start(&tree);
    for _ in 0..5 {
        ten_ticks(&mut source);
    }
    tree.write(busy, "80\n");
    let readings: Vec<_> = (0..110).map(|_| source.read(TICK).metrics.gpu_busy_pct.unwrap()).collect();
    assert_eq!(readings[0], 0.0, "not read");
    assert_eq!(readings[109], 80.0, "looked at again within ten seconds");
    tree.write(busy, "81\n");
    assert_eq!(source.read(TICK).metrics.gpu_busy_pct, Some(81.0), "and then at each tick");
}

#[test]
fn power_is_the_rise_of_energy_and_a_counter_that_wraps_goes_on() {
    let tree = Tree::machine();
    let energy = |zone: &str, uj: u64| {
        tree.write(&format!("sys/class/powercap/intel-rapl:{zone}/energy_uj"), format!("{uj}\n"))
    };
    let mut source = start(&tree);
    energy("0", 2_500_000);
    energy("0:0", 1_800_000);
    energy("0:1", 1_100_000);
    energy("1", 9_900_000);
    let metrics = source.read(TICK).metrics;
    assert_eq!(metrics.combined_power_mw, Some(15_000.0));
    assert_eq!(metrics.cpu_power_mw, Some(8_000.0));
    assert_eq!(metrics.gpu_power_mw, Some(1_000.0));
    assert_eq!(metrics.ane_power_mw, None);
    energy("0", 262_143_328_850 - 400_000);
    source.read(TICK);
    energy("0", 600_000);
    assert_eq!(source.read(TICK).metrics.combined_power_mw, Some(10_000.0));
}

#[test]
fn power_that_only_root_may_read_is_not_reported() {
    let tree = Tree::machine();
    for zone in ["0", "0:0", "0:1"] {
        // Root reads everything: a directory is unreadable even for root.
        let energy = format!("sys/class/powercap/intel-rapl:{zone}/energy_uj");
        tree.remove(&energy);
        tree.write(&format!("{energy}/denied"), "");
    }
    let metrics = ten_ticks(&mut start(&tree)).metrics;
    assert_eq!((metrics.combined_power_mw, metrics.cpu_power_mw, metrics.gpu_power_mw), (None, None, None));
}
