//! Any bytes at all as a file of /proc or /sys, read by the Linux source, the fast path and the kernel's witness.
//!
//! - Nothing panics; every reading is in range ([`reading`]), every count of the witness at most what is written.
//! - Figures are those of a reader that takes its time ([`by_the_book`]): rates of counters that rise, by the time that
//!   passed; nothing where a file lacks them, where they step back, or where they are no numbers.
//! - A file that is damaged spoils no other: what the rest of the machine says is read as before.
//!
//! The first byte chooses the file. What stands before the first 0xFF is its text at first, what stands behind it its
//! text later; without one the text is the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pause_monitor::clock::Stamp;
use pause_monitor::sample::{
    Activity, MEASURED_MAX, Metrics, Name, Reading, SourceInfo, ThermalPressure, TopList,
};
use pause_monitor::source::host::Host;
use pause_monitor::source::linux::{ActivityReader, LinuxSource};

use super::{fixtures, reading};

/// Files that are read.
const FILES: [&str; 17] = [
    "proc/stat",
    "proc/vmstat",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/pressure/cpu",
    "proc/pressure/memory",
    "sys/devices/system/cpu/online",
    "proc/501/stat",
    "proc/501/status",
    "proc/501/io",
    "sys/devices/system/cpu/cpu0/cpuidle/state1/usage",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
    "sys/class/drm/card0/device/gpu_busy_percent",
    "sys/class/powercap/intel-rapl:0/energy_uj",
    "sys/class/powercap/intel-rapl:0/name",
    "sys/class/dmi/id/product_name",
];

/// Time from one reading to the next, ns.
const TICK_NS: u64 = 100_000_000;
/// After so many readings everything was read once.
const TICKS: usize = 10;
/// The files of the only process.
const PROCESS: [(&str, &str); 3] = [
    (
        "proc/501/stat",
        "501 (mds_stores) S 1 501 501 0 -1 4194304 102 0 7 0 30 12 0 0 20 0 1 0 4242 3133440 416 18446744073709551615\n",
    ),
    ("proc/501/status", "Name:\tmds_stores\nvoluntary_ctxt_switches:\t50\nnonvoluntary_ctxt_switches:\t9\n"),
    ("proc/501/io", "rchar: 1\nread_bytes: 4096\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"),
];

/// A machine in a directory: that of the fixtures.
struct Machine {
    directory: tempfile::TempDir,
    files: Vec<(String, Vec<u8>)>,
    /// What it says when nothing is damaged.
    whole: Option<Said>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::new());
}

/// What is read.
#[derive(Clone, Debug)]
struct Said {
    info: SourceInfo,
    /// By the first reading after the change.
    first: Reading,
    activity: Option<Activity>,
    /// By the tenth: what is read a tenth at a time was read again.
    last: Reading,
    host: Metrics,
}

impl Machine {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let tree = std::fs::read_to_string(fixtures::path("linux/machine.tree")).expect("the machine");
        let files = tree.split("== ").filter_map(|file| file.split_once('\n'));
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let process = PROCESS.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let files = files.chain(process).collect();
        let mut machine = Self { directory: directory.expect("a directory"), files, whole: None };
        for (path, text) in &machine.files {
            machine.write(path, text);
        }
        for path in FILES {
            assert!(machine.path(path).is_file(), "there is no {path}");
        }
        machine.whole = Some(machine.said(FILES[0], None));
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, text: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a file is somewhere")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn original(&self, path: &str) -> &[u8] {
        self.files.iter().find(|(known, _)| known == path).map_or(&[], |(_, text)| text)
    }

    /// Reads it all, with these texts for `file` at first and later.
    fn said(&self, file: &str, texts: Option<[&[u8]; 2]>) -> Said {
        let [before, after] = texts.unwrap_or([self.original(file); 2]);
        self.write(file, before);
        let mut source = LinuxSource::with_root(self.directory.path()).expect("there is a /proc/stat");
        let mut host = Host::with_root(self.directory.path());
        let mut witness = ActivityReader::with_root(self.directory.path());
        let mut metrics = Metrics::default();
        let mut at = Stamp::default();
        let mut read = |source: &mut LinuxSource| {
            let reading = source.read(TICK_NS);
            reading::in_range(&reading);
            // Far enough on for nothing to stand any more.
            at.total_ns += 10_000_000_000;
            host.read(&at, &mut metrics);
            reading::in_range(&Reading { elapsed_ns: 1, metrics, ..Reading::default() });
            (reading, metrics)
        };
        for _ in 0..TICKS + 1 {
            read(&mut source);
        }
        witness.read();
        self.write(file, after);
        let (first, _) = read(&mut source);
        let activity = witness.read_all();
        for _ in 0..TICKS - 2 {
            read(&mut source);
        }
        let (last, host) = read(&mut source);
        self.write(file, self.original(file));
        Said { info: source.info(), first, activity, last, host }
    }
}

/// Demands it all.
pub fn check(input: &[u8]) {
    let [which, text @ ..] = input else { return };
    let file = FILES[usize::from(*which) % FILES.len()];
    let mut texts = text.splitn(2, |&byte| byte == 0xff);
    let before = texts.next().unwrap_or_default();
    let after = texts.next().unwrap_or(before);
    MACHINE.with_borrow(|machine| {
        let said = machine.said(file, Some([before, after]));
        let whole = machine.whole.as_ref().expect("it was read");
        for ((name, found), (_, expected)) in figures(&said).into_iter().zip(figures(whole)) {
            assert!(found == expected || in_file(file).contains(&name), "{name} is not in {file}: {found}");
        }
        by_the_book(file, before, after, &said);
    });
}

/// What is told by a file, of [`figures`].
fn in_file(file: &str) -> &'static [&'static str] {
    match file {
        "proc/stat" => &["cpu", "boot"],
        "proc/vmstat" => &["pageins"],
        "proc/diskstats" => &["io"],
        "proc/loadavg" => &["load"],
        "proc/meminfo" => &["memory", "swap"],
        "sys/devices/system/cpu/online" => &["cores"],
        "proc/501/stat" => &["cpu", "lists"],
        "proc/501/status" | "proc/501/io" => &["lists"],
        "sys/class/dmi/id/product_name" => &["model"],
        file if file.ends_with("usage") => &["wakeups"],
        file if file.ends_with("throttle_count") => &["thermal"],
        file if file.ends_with("busy_percent") => &["gpu"],
        file if file.contains("intel-rapl") => &["power"],
        _ => &[],
    }
}

/// All that is said in the end.
fn figures(said: &Said) -> [(&'static str, String); 15] {
    let Said { last, host, info, .. } = said;
    let metrics = &last.metrics;
    let lists =
        (last.top_cpu, last.top_pageins, last.top_idle_wakeups, last.top_intr_wakeups, last.top_diskio);
    [
        ("cpu", format!("{:?}", metrics.cpu_ms_per_s)),
        ("pageins", format!("{:?}", metrics.pageins_per_s)),
        ("io", format!("{:?}", (metrics.io_read_per_s, metrics.io_write_per_s))),
        ("wakeups", format!("{:?}", (metrics.idle_wakeups_per_s, metrics.intr_wakeups_per_s))),
        ("thermal", format!("{:?}", metrics.thermal_pressure)),
        ("gpu", format!("{:?}", metrics.gpu_busy_pct)),
        ("power", format!("{:?}", (metrics.cpu_power_mw, metrics.gpu_power_mw, metrics.combined_power_mw))),
        ("lists", format!("{lists:?}")),
        ("load", format!("{:?}", host.load_avg)),
        ("memory", format!("{:?}", host.memory_available_pct)),
        ("swap", format!("{:?}", host.swap_used_bytes)),
        ("cores", format!("{:?}", host.cores)),
        ("model", format!("{:?}", info.hw_model)),
        ("build", format!("{:?}", info.os_build)),
        ("boot", format!("{:?}", info.boot_time_s)),
    ]
}

/// The number at the beginning of a text.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches(blank);
    text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
}

fn blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

fn words(text: &str) -> Vec<&str> {
    text.split(blank).filter(|word| !word.is_empty()).collect()
}

/// The number behind a word at the beginning of the first such line.
fn after(text: &str, word: &str) -> Option<u64> {
    number(text.split('\n').find_map(|line| line.strip_prefix(word))?)
}

/// By how much a counter rose.
fn rise(before: Option<u64>, after: Option<u64>) -> Option<f64> {
    Some(after?.checked_sub(before?)? as f64)
}

fn close(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        (found, expected) => found == expected,
    }
}

/// The figures of a file, by a reader that takes its time.
fn by_the_book(file: &str, before: &[u8], later: &[u8], said: &Said) {
    // A character for each byte: where it is no ASCII it matters in no number.
    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let (old, new) = (text(before), text(later));
    let (first, last) = (&said.first.metrics, &said.last.metrics);
    let numbers = (number(&old), number(&new));
    match file {
        "proc/stat" => {
            let busy = |text: &str| {
                let times = words(text.strip_prefix("cpu ")?);
                let mut sum = 0_u64;
                for at in 0..3 {
                    sum = sum.checked_add(number(times.get(at)?)?)?;
                }
                Some(sum)
            };
            let ticks = busy(&new).and_then(|now| now.checked_sub(busy(&old)?));
            let ms_per_s = ticks.map(|ticks| ticks.saturating_mul(10_000_000) as f64 / 1e5);
            assert!(close(first.cpu_ms_per_s, ms_per_s), "{:?} for {ms_per_s:?}", first.cpu_ms_per_s);
            let switches = after(&new, "ctxt ");
            assert_eq!(said.activity.is_some(), switches.is_some());
            let most = switches.max(after(&old, "ctxt "));
            assert!(said.activity.is_none_or(|activity| Some(activity.context_switches) <= most));
        }
        "proc/vmstat" => {
            let faults = rise(after(&old, "pgmajfault "), after(&new, "pgmajfault "));
            assert!(close(first.pageins_per_s, faults.map(|faults| faults * 10.0)), "{faults:?}");
        }
        "proc/diskstats" => {
            let (Some(old), Some(new)) = (disks(&old), disks(&new)) else { return };
            if old.keys().ne(new.keys()) {
                return;
            }
            let of = |sectors: fn(&(u64, u64)) -> u64| {
                let counted = ["sda", "vda", "nvme0c0n1"].into_iter().filter(|name| old.contains_key(*name));
                let rises =
                    counted.filter_map(|name| rise(Some(sectors(&old[name])), Some(sectors(&new[name]))));
                rises
                    .reduce(|sum, more| sum + more)
                    .map(|sectors| (sectors * 512.0).min(u64::MAX as f64) * 10.0)
            };
            // Without the path below it the head of an NVMe disk counts.
            if !old.contains_key("nvme0n1") || old.contains_key("nvme0c0n1") {
                let expected = (of(|disk| disk.0), of(|disk| disk.1));
                assert!(close(first.io_read_per_s, expected.0), "{:?}: {expected:?}", first.io_read_per_s);
                assert!(close(first.io_write_per_s, expected.1), "{:?}: {expected:?}", first.io_write_per_s);
            }
        }
        "proc/loadavg" => {
            let load = new.split_once(' ').and_then(|(load, _)| load.parse::<f64>().ok());
            assert_eq!(said.host.load_avg, load.filter(|load| (0.0..=MEASURED_MAX).contains(load)));
        }
        "proc/meminfo" => {
            let total = after(&new, "MemTotal:").filter(|&total| total > 0);
            let pct =
                after(&new, "MemAvailable:").zip(total).map(|(free, all)| free as f64 / all as f64 * 100.0);
            assert!(close(said.host.memory_available_pct, pct.map(|pct| pct.min(100.0))), "{pct:?}");
            let swap = after(&new, "SwapTotal:").zip(after(&new, "SwapFree:"));
            let used = swap.and_then(|(all, free)| all.saturating_sub(free).checked_mul(1024));
            assert_eq!(said.host.swap_used_bytes, used);
        }
        "proc/pressure/cpu" | "proc/pressure/memory" => {
            let some = new.split('\n').next().and_then(|line| line.strip_prefix("some "));
            let total = some.and_then(|line| number(line.split_once("total=")?.1));
            let at = usize::from(file.ends_with("memory"));
            assert_eq!(said.activity.expect("/proc/stat is there").pressure_us[at], Some(total.unwrap_or(0)));
        }
        "proc/501/stat" => process(&old, &new, said),
        "proc/501/status" => {
            let word = "voluntary_ctxt_switches:";
            listed(&said.last.top_idle_wakeups, rise(after(&old, word), after(&new, word)));
        }
        "proc/501/io" => {
            let bytes = |text| after(text, "read_bytes:")?.checked_add(after(text, "write_bytes:")?);
            listed(&said.last.top_diskio, rise(bytes(&old), bytes(&new)));
        }
        "sys/class/dmi/id/product_name" => {
            let name = String::from_utf8_lossy(before);
            let name = name.trim_end_matches('\0').trim();
            assert_eq!(said.info.hw_model, (!name.is_empty()).then(|| Name::new(name)));
        }
        // Files of one number: the last that the kernel would write has 21 bytes.
        _ if before.len() > 60 || later.len() > 60 => {}
        file if file.ends_with("usage") => {
            let woken = rise(numbers.0, numbers.1).unwrap_or(0.0) * 10.0;
            assert!(close(first.idle_wakeups_per_s, Some(woken)), "{:?}", first.idle_wakeups_per_s);
        }
        file if file.ends_with("throttle_count") => {
            let rose = rise(numbers.0, numbers.1).is_some_and(|more| more > 0.0);
            let level = if rose { ThermalPressure::Other } else { ThermalPressure::Nominal };
            assert_eq!(last.thermal_pressure, Some(level));
        }
        file if file.ends_with("busy_percent") => {
            let busy = numbers.1.filter(|_| numbers.0.is_some()).unwrap_or(0).clamp(40, 100);
            assert_eq!(first.gpu_busy_pct, Some(busy as f64));
        }
        file if file.ends_with("energy_uj") => {
            let wrapped = || 262_143_328_850_u64.checked_sub(numbers.0?)?.checked_add(numbers.1?);
            let used = rise(numbers.0, numbers.1).or_else(|| wrapped().map(|used| used as f64));
            assert!(close(first.combined_power_mw, used.map(|uj| uj / 100.0)), "{used:?}");
        }
        _ => {}
    }
}

/// Sectors read and written by disk; `None` where a disk stands twice.
fn disks(text: &str) -> Option<BTreeMap<&str, (u64, u64)>> {
    let mut disks = BTreeMap::new();
    for line in text.split('\n') {
        let words = words(line);
        let sectors = |at: usize| words.get(at).and_then(|word| number(word));
        let (Some(name), Some(read), Some(written)) = (words.get(2), sectors(5), sectors(9)) else {
            continue;
        };
        if disks.insert(*name, (read, written)).is_some() {
            return None;
        }
    }
    Some(disks)
}

/// The rate of the process in a list, over the second that its files are read in.
fn listed(list: &TopList, expected: Option<f64>) {
    let found = list.as_slice().iter().find(|process| process.pid == 501).map(|process| process.value);
    assert!(close(found, expected.filter(|rise| *rise > 0.0)), "{found:?} for {expected:?}");
}

/// `/proc/501/stat`: name, major faults, CPU ticks, start.
fn process(old: &str, new: &str, said: &Said) {
    let read = |text: &str| {
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        let words = words(rest);
        let field = |at: usize| words.get(at - 3).and_then(|word| number(word));
        i32::try_from(field(4)?).ok()?;
        let (faults, started) = (field(12)?, field(22)?);
        Some((name.to_owned(), faults, field(14)?.checked_add(field(15)?)?, started))
    };
    let (Some(old), Some(new)) = (read(old), read(new)) else { return };
    if old.3 != new.3 {
        // Another process under the same pid: it begins anew.
        return;
    }
    listed(&said.last.top_pageins, rise(Some(old.1), Some(new.1)));
    let ticks = new.2.saturating_mul(10_000_000).checked_sub(old.2.saturating_mul(10_000_000));
    listed(&said.first.top_cpu, ticks.map(|ns| ns as f64 / 1e5));
    let bytes: Vec<u8> = new.0.chars().map(|c| c as u8).take(64).collect();
    let name = Name::new(&String::from_utf8_lossy(&bytes));
    for process in said.last.top_pageins.as_slice().iter().chain(said.first.top_cpu.as_slice()) {
        assert!(process.name == name || name == Name::EMPTY, "{:?} for {name:?}", process.name);
    }
}
