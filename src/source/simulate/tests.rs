use super::*;

use ::plist::{Dictionary, Value};

use crate::source::powermetrics::decode::{OwnPids, decode};

const CAPTURE_BYTES: std::ops::Range<usize> = 247_000..273_000;

/// Documents with fewer tasks and longer intervals, so that a whole cycle is read in a moment.
fn small(interval_ms: u64, seed: u64) -> SimulatorSettings {
    SimulatorSettings {
        interval_ns: interval_ms * 1_000_000,
        tasks: 12,
        seed,
        ..SimulatorSettings::default()
    }
}

fn parsed(document: &[u8]) -> Dictionary {
    Value::from_reader_xml(document).unwrap().into_dictionary().unwrap()
}

fn integer(dict: &Dictionary, key: &str) -> u64 {
    dict.get(key).and_then(Value::as_unsigned_integer).unwrap_or_else(|| panic!("no integer {key}"))
}

fn real(dict: &Dictionary, key: &str) -> f64 {
    dict.get(key).and_then(Value::as_real).unwrap_or_else(|| panic!("no real {key}"))
}

fn dict<'a>(parent: &'a Dictionary, key: &str) -> &'a Dictionary {
    parent.get(key).and_then(Value::as_dictionary).unwrap_or_else(|| panic!("no dict {key}"))
}

fn dicts<'a>(parent: &'a Dictionary, key: &str) -> impl Iterator<Item = &'a Dictionary> {
    let array = parent.get(key).and_then(Value::as_array).unwrap_or_else(|| panic!("no array {key}"));
    array.iter().map(|item| item.as_dictionary().unwrap())
}

/// The sum over tasks; those that lack the key count nothing.
fn sum(document: &Dictionary, key: &str) -> f64 {
    dicts(document, "tasks").filter_map(|task| task.get(key)).filter_map(Value::as_real).sum()
}

/// What the score is made of, of one document.
struct Figures {
    elapsed_s: f64,
    pageins: f64,
    io_mb: f64,
    intr_wakeups: f64,
    gpu_pct: f64,
    throttled: bool,
    busiest: (String, f64),
}

/// The reals of that key. A scan and no parser: thousands of documents are scored here.
fn reals<'a>(text: &'a str, key: &str) -> impl Iterator<Item = f64> + use<'a> {
    let marker = format!("<key>{key}</key><real>");
    text.match_indices(&marker).map(|(at, _)| at + marker.len()).collect::<Vec<_>>().into_iter().map(|at| {
        let end = text[at..].find('<').unwrap();
        text[at..at + end].parse().unwrap()
    })
}

fn figures(document: &[u8]) -> Figures {
    let text = std::str::from_utf8(document).unwrap();
    let elapsed_ns = text.split_once("<key>elapsed_ns</key><integer>").unwrap().1.split_once('<').unwrap().0;
    let (tasks, rest) = text.split_once("<key>all_tasks</key>").unwrap();
    let names = tasks.split("<key>name</key><string>").skip(1).map(|rest| rest.split_once('<').unwrap().0);
    let busiest = names.zip(reals(tasks, "cputime_ms_per_s")).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let only = |text: &str, key: &str| reals(text, key).next().unwrap();
    Figures {
        elapsed_s: elapsed_ns.parse::<f64>().unwrap() / 1e9,
        pageins: reals(tasks, "pageins_per_s").sum(),
        io_mb: (only(rest, "rbytes_per_s") + only(rest, "wbytes_per_s")) / 1_048_576.0,
        intr_wakeups: reals(tasks, "intr_wakeups_per_s").sum(),
        gpu_pct: (1.0 - only(rest.split_once("<key>gpu</key>").unwrap().1, "idle_ratio")) * 100.0,
        throttled: !text.contains("<key>thermal_pressure</key><string>Nominal</string>"),
        busiest: (busiest.0.to_owned(), busiest.1),
    }
}

#[test]
fn the_decoder_reads_what_was_written() {
    for scenario in [Scenario::Calm, Scenario::Runaway] {
        let mut simulator = Simulator::new(scenario, SimulatorSettings::default());
        let mut document = Vec::new();
        simulator.document(14_000_000_000, &mut document);
        let decoded = decode(document.trim_ascii_end(), &OwnPids::default()).unwrap();
        let (written, read) = (figures(&document), decoded.reading);
        let near = |read: Option<f64>, written: f64| (read.unwrap() - written).abs() <= written * 1e-9;
        assert_eq!(read.elapsed_ns, 14_000_000_000);
        assert!(near(read.metrics.pageins_per_s, written.pageins));
        assert!(near(read.metrics.intr_wakeups_per_s, written.intr_wakeups));
        assert!(near(read.metrics.io_per_s(), written.io_mb * 1_048_576.0));
        assert!((read.metrics.gpu_busy_pct.unwrap() - written.gpu_pct).abs() < 1e-6);
        assert_eq!(read.metrics.thermal_pressure.unwrap().throttled(), written.throttled);
        assert_eq!(read.top_cpu.as_slice()[0].name.as_str(), written.busiest.0);
        assert!(read.metrics.cpu_power_mw > Some(1_000.0) && read.metrics.gpu_power_mw > Some(100.0));
        assert_eq!(decoded.timestamp_s, Some(DEFAULT_START_S));
    }
}

/// One cycle of a scenario.
fn cycle(scenario: Scenario, settings: SimulatorSettings) -> Vec<Figures> {
    let mut simulator = Simulator::new(scenario, settings);
    let (mut figures_of, mut document) = (Vec::new(), Vec::new());
    while simulator.time_ns < scenario.cycle_ns() {
        document.clear();
        simulator.document(simulator.interval_ns(), &mut document);
        figures_of.push(figures(&document));
    }
    figures_of
}

/// The mean of the last second, by interval.
fn mean(figures: &[Figures], value: impl Fn(&Figures) -> f64) -> f64 {
    let (mut seconds, mut sum) = (0.0, 0.0);
    for figures in figures.iter().rev() {
        seconds += figures.elapsed_s;
        sum += value(figures) * figures.elapsed_s;
        if seconds >= 1.0 {
            break;
        }
    }
    sum / seconds
}

/// The score of the last of `figures` without latency, by the curves of the specification, written here
/// once more. `wakeups` says whether interrupt wakeups are scored yet.
fn score(figures: &[Figures], wakeups: bool) -> f64 {
    let last = figures.last().unwrap();
    let points = |points: f64, max: f64| points.clamp(0.0, max).floor();
    let thermal = if last.throttled { 10.0 } else { 0.0 };
    let io = points((mean(figures, |figures| figures.io_mb) - 10.0) / 9.0, 10.0);
    let x = last.gpu_pct;
    let gpu = points(if x <= 80.0 { (x - 50.0) / 3.0 } else { 10.0 + (x - 80.0) / 2.0 }, 20.0);
    let intr = points((mean(figures, |figures| figures.intr_wakeups) - 10_000.0) / 4_000.0, 10.0);
    let x = mean(figures, |figures| figures.pageins);
    let pageins = points(if x <= 100.0 { (x - 10.0) / 6.0 } else { 15.0 + (x - 100.0) / 20.0 }, 30.0);
    thermal + io + gpu + pageins + if wakeups { intr } else { 0.0 }
}

/// The scores of one cycle, document by document.
fn scores(figures: &[Figures], wakeups: bool) -> Vec<f64> {
    (1..=figures.len()).map(|end| score(&figures[..end], wakeups)).collect()
}

fn peak(scores: &[f64]) -> f64 {
    scores.iter().copied().fold(0.0, f64::max)
}

/// Seconds at the end of the cycle in which the score stays below `threshold`.
fn calm_at_the_end_s(figures: &[Figures], scores: &[f64], threshold: f64) -> f64 {
    let pairs = figures.iter().zip(scores).rev();
    pairs.take_while(|(_, score)| **score < threshold).map(|(figures, _)| figures.elapsed_s).sum()
}

#[test]
fn calm_scores_nothing_whichever_wakeups_are_scored() {
    for (interval_ms, seed) in [(100, 1), (250, 2), (1_000, 3)] {
        let figures = cycle(Scenario::Calm, small(interval_ms, seed));
        assert_eq!(peak(&scores(&figures, true)), 0.0);
    }
    // With all its tasks, too, and with far more than any machine has.
    for tasks in [DEFAULT_TASKS, 1_000] {
        let settings = SimulatorSettings { tasks, ..small(2_000, 1) };
        assert_eq!(peak(&scores(&cycle(Scenario::Calm, settings), true)), 0.0);
    }
}

#[test]
fn thrash_runaway_and_freeze_become_critical_without_load_memory_latency_and_wakeups() {
    for scenario in [Scenario::Thrash, Scenario::Runaway, Scenario::Freeze] {
        for (interval_ms, seed) in [(200, 1), (1_000, 3)] {
            let peak = peak(&scores(&cycle(scenario, small(interval_ms, seed)), false));
            assert!(peak >= 50.0, "{scenario:?} every {interval_ms} ms: {peak}");
        }
    }
}

#[test]
fn gpu_and_io_become_elevated_and_no_more() {
    for scenario in [Scenario::Gpu, Scenario::Io] {
        for (interval_ms, seed) in [(200, 1), (1_000, 3)] {
            let figures = cycle(scenario, small(interval_ms, seed));
            let (least, most) = (peak(&scores(&figures, false)), peak(&scores(&figures, true)));
            assert!(least >= 15.0 && most < 50.0, "{scenario:?} every {interval_ms} ms: {least} to {most}");
        }
    }
}

#[test]
fn every_scenario_recovers_within_its_cycle() {
    for scenario in [Scenario::Thrash, Scenario::Gpu, Scenario::Io, Scenario::Runaway, Scenario::Freeze] {
        for (interval_ms, seed) in [(500, 2), (1_000, 3)] {
            let figures = cycle(scenario, small(interval_ms, seed));
            let scores = scores(&figures, true);
            // Below ELEVATED for two steps down, and to spare.
            let calm_s = calm_at_the_end_s(&figures, &scores, 15.0);
            assert!(calm_s >= 12.0, "{scenario:?} every {interval_ms} ms: {calm_s} s");
        }
    }
}

#[test]
fn runaway_scores_its_wakeups_once_they_count() {
    let figures = cycle(Scenario::Runaway, small(500, 1));
    assert!(peak(&scores(&figures, true)) >= peak(&scores(&figures, false)) + 10.0);
}

#[test]
fn the_one_to_blame_is_the_busiest_by_far_at_the_height() {
    for (scenario, culprit) in [
        (Scenario::Thrash, "mds_stores"),
        (Scenario::Gpu, "com.apple.WebKit.GPU"),
        (Scenario::Io, "backupd"),
        (Scenario::Runaway, "mediaanalysisd"),
        (Scenario::Freeze, "fileproviderd"),
    ] {
        let figures = cycle(scenario, small(1_000, 1));
        let height = figures.iter().max_by(|a, b| a.busiest.1.total_cmp(&b.busiest.1)).unwrap();
        assert_eq!(height.busiest.0, culprit);
    }
}

#[test]
fn a_freeze_is_silent_once_a_cycle_for_one_to_three_seconds_while_critical() {
    for seed in 0..2 {
        let figures = cycle(Scenario::Freeze, small(100, seed));
        let silent: Vec<usize> = (0..figures.len()).filter(|&index| figures[index].elapsed_s > 0.2).collect();
        assert_eq!(silent.len(), 1);
        let silence_s = figures[silent[0]].elapsed_s;
        assert!((1.0..3.0).contains(&silence_s), "{silence_s} s");
        assert!(score(&figures[..silent[0]], false) >= 50.0);
    }
}

#[test]
fn other_scenarios_are_never_late() {
    for scenario in [Scenario::Calm, Scenario::Thrash, Scenario::Gpu, Scenario::Io, Scenario::Runaway] {
        let mut simulator = Simulator::new(scenario, small(500, 5));
        let mut document = Vec::new();
        while simulator.time_ns < scenario.cycle_ns() {
            let interval_ns = simulator.interval_ns();
            assert!((520_000_000..580_000_000).contains(&interval_ns), "{interval_ns}");
            document.clear();
            simulator.document(interval_ns, &mut document);
        }
    }
}

#[test]
fn a_document_has_the_shape_of_a_real_one() {
    let mut document = Vec::new();
    let mut simulator = Simulator::new(Scenario::Calm, SimulatorSettings::default());
    simulator.document(108_000_000, &mut document);
    assert!(CAPTURE_BYTES.contains(&document.len()), "{} bytes", document.len());
    let document = parsed(&document);
    let keys: Vec<&str> = document.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "is_delta",
            "elapsed_ns",
            "hw_model",
            "kern_osversion",
            "kern_bootargs",
            "kern_boottime",
            "timestamp",
            "tasks",
            "all_tasks",
            "disk",
            "processor",
            "thermal_pressure",
            "gpu"
        ]
    );
    let tasks: Vec<&Dictionary> = dicts(&document, "tasks").collect();
    assert_eq!(tasks.len(), DEFAULT_TASKS);
    for task in tasks {
        let dead = task.get("name").unwrap().as_string().unwrap() == "DEAD_TASKS";
        assert_eq!(task.len(), if dead { 13 } else { 33 });
        assert_eq!(dicts(task, "timer_wakeups").count(), 2);
    }
    let clusters: Vec<usize> = dicts(dict(&document, "processor"), "clusters")
        .map(|cluster| dicts(cluster, "cpus").count())
        .collect();
    assert_eq!(clusters, [4, 6, 6]);
}

#[test]
fn the_totals_are_the_sums_and_the_disk_did_at_least_what_the_tasks_did() {
    for at in [0, 45, 60] {
        let mut simulator = Simulator::new(Scenario::Thrash, small(250, 1));
        let mut document = Vec::new();
        for _ in 0..=at {
            document.clear();
            simulator.document(250_000_000, &mut document);
        }
        let document = parsed(&document);
        let all = dict(&document, "all_tasks");
        for key in ["cputime_ms_per_s", "intr_wakeups_per_s", "pageins_per_s", "diskio_bytesread_per_s"] {
            let (total, sum) = (real(all, key), sum(&document, key));
            assert!((total - sum).abs() <= total * 1e-3, "{key}: {total} of all, {sum} in sum");
        }
        let disk = dict(&document, "disk");
        assert!(real(disk, "rbytes_per_s") >= sum(&document, "diskio_bytesread_per_s"));
        assert!(real(disk, "wbytes_per_s") >= sum(&document, "diskio_byteswritten_per_s"));
    }
}

#[test]
fn every_cores_time_adds_up_to_the_interval() {
    let mut simulator = Simulator::new(Scenario::Runaway, small(100, 1));
    let mut document = Vec::new();
    simulator.document(14_000_000_000, &mut document);
    let document = parsed(&document);
    for cluster in dicts(dict(&document, "processor"), "clusters") {
        for core in dicts(cluster, "cpus").chain([cluster]) {
            let used: u64 = dicts(core, "dvfm_states").map(|state| integer(state, "used_ns")).sum();
            assert_eq!(integer(core, "idle_ns") + integer(core, "down_ns") + used, 14_000_000_000);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let told = |seed| {
        let mut bytes = vec![0; 100_000];
        let mut stream = Simulator::new(Scenario::Mixed, small(100, seed)).into_stream();
        stream.read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn time_of_day_begins_where_it_is_told_to_and_goes_on_with_the_intervals() {
    let settings = SimulatorSettings { start_unix_s: 1_795_338_611, ..small(100, 1) };
    let mut simulator = Simulator::new(Scenario::Calm, settings);
    let mut times = Vec::new();
    for elapsed_ns in [5_000_000_000, 900_000_000, 200_000_000] {
        let mut document = Vec::new();
        simulator.document(elapsed_ns, &mut document);
        times.push(parsed(&document).get("timestamp").unwrap().as_date().unwrap().to_xml_format());
    }
    assert_eq!(times, ["2026-11-22T09:10:11Z", "2026-11-22T09:10:11Z", "2026-11-22T09:10:12Z"]);
}

#[test]
fn absurd_intervals_and_settings_still_make_a_document() {
    for (elapsed_ns, tasks) in [(0, 0), (u64::MAX, 7_000)] {
        let settings = SimulatorSettings { tasks, start_unix_s: i64::MAX, seed: u64::MAX, ..small(100, 1) };
        let mut simulator = Simulator::new(Scenario::Runaway, settings);
        let mut document = Vec::new();
        simulator.document(elapsed_ns, &mut document);
        assert!(document.len() < 16 << 20, "{} bytes", document.len());
        assert!(decode(document.trim_ascii_end(), &OwnPids::default()).is_ok());
        // The time is at its end, and stays there.
        document.clear();
        simulator.document(elapsed_ns, &mut document);
    }
}

#[test]
fn a_stream_separates_documents_by_nul_and_ends_none_with_it() {
    let mut expected = Vec::new();
    let mut simulator = Simulator::new(Scenario::Gpu, small(100, 1));
    for index in 0..3 {
        if index > 0 {
            expected.push(0);
        }
        simulator.document(simulator.interval_ns(), &mut expected);
    }
    // Read in odd pieces: a piece may end anywhere.
    let mut stream = Simulator::new(Scenario::Gpu, small(100, 1)).into_stream();
    let mut read = vec![0; expected.len()];
    for piece in read.chunks_mut(997) {
        stream.read_exact(piece).unwrap();
    }
    assert_eq!(read, expected);
    assert_eq!(expected.iter().filter(|&&byte| byte == 0).count(), 2);
}
