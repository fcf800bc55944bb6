//! The simulated machine's processes: who runs, what each costs while nothing happens, and what one of
//! them counts in an interval.

use super::plist::Plist;
use super::random::Random;
use super::scenario::Strain;

/// Which of powermetrics' seven QoS classes a process's CPU time falls into: disabled, maintenance,
/// background, utility, default, user initiated, user interactive. Each row sums to 1.
type Qos = [f64; 7];

const KERNEL: Qos = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
const DAEMON: Qos = [0.0, 0.05, 0.35, 0.45, 0.15, 0.0, 0.0];
const SERVICE: Qos = [0.1, 0.0, 0.05, 0.1, 0.6, 0.15, 0.0];
const APP: Qos = [0.05, 0.0, 0.0, 0.05, 0.1, 0.25, 0.55];

const QOS_KEYS: [(&str, &str); 7] = [
    ("qos_disabled_ns", "qos_disabled_ms_per_s"),
    ("qos_maintenance_ns", "qos_maintenance_ms_per_s"),
    ("qos_background_ns", "qos_background_ms_per_s"),
    ("qos_utility_ns", "qos_utility_ms_per_s"),
    ("qos_default_ns", "qos_default_ms_per_s"),
    ("qos_user_initiated_ns", "qos_user_initiated_ms_per_s"),
    ("qos_user_interactive_ns", "qos_user_interactive_ms_per_s"),
];

/// The row for the processes that ended in the interval.
const DEAD: &str = "DEAD_TASKS";
/// powermetrics itself.
const SAMPLER: &str = "powermetrics";
/// Its own cost, CPU-ms a sample.
const SAMPLER_MS: f64 = 20.0;

/// Name, QoS, CPU in ms per second and interrupt wakeups per second on a calm machine. The first rows are
/// those that every machine has, however few tasks are asked for: among them all culprits.
#[rustfmt::skip]
const CALM: [(&str, Qos, f64, f64); 48] = [
    ("kernel_task", KERNEL, 120.0, 1_150.0),
    (DEAD, SERVICE, 10.0, 0.0),
    (SAMPLER, SERVICE, 0.0, 10.0),
    ("WindowServer", APP, 95.0, 380.0),
    ("mds_stores", DAEMON, 6.0, 8.0),
    ("com.apple.WebKit.GPU", APP, 24.0, 110.0),
    ("backupd", DAEMON, 2.0, 4.0),
    ("mediaanalysisd", DAEMON, 3.0, 5.0),
    ("fileproviderd", DAEMON, 4.0, 9.0),
    ("launchd", KERNEL, 3.0, 12.0),
    ("Safari", APP, 65.0, 160.0),
    ("com.apple.WebKit.WebContent", APP, 140.0, 240.0),
    ("com.apple.WebKit.Networking", SERVICE, 22.0, 60.0),
    ("Terminal", APP, 35.0, 120.0),
    ("Music", APP, 40.0, 210.0),
    ("coreaudiod", APP, 28.0, 190.0),
    ("Mail", APP, 18.0, 40.0),
    ("Finder", APP, 9.0, 14.0),
    ("Dock", APP, 8.0, 6.0),
    ("Notes", APP, 6.0, 11.0),
    ("Calendar", APP, 3.0, 5.0),
    ("Messages", APP, 5.0, 12.0),
    ("Photos", APP, 7.0, 10.0),
    ("logd", DAEMON, 9.0, 35.0),
    ("opendirectoryd", SERVICE, 4.0, 10.0),
    ("mds", DAEMON, 6.0, 20.0),
    ("fseventsd", SERVICE, 3.0, 12.0),
    ("notifyd", SERVICE, 1.5, 14.0),
    ("distnoted", SERVICE, 1.2, 6.0),
    ("cfprefsd", SERVICE, 1.8, 7.0),
    ("bluetoothd", SERVICE, 5.0, 45.0),
    ("airportd", SERVICE, 4.0, 28.0),
    ("configd", SERVICE, 2.0, 8.0),
    ("powerd", SERVICE, 1.5, 5.0),
    ("runningboardd", SERVICE, 5.0, 9.0),
    ("locationd", DAEMON, 2.0, 8.0),
    ("trustd", SERVICE, 1.4, 3.0),
    ("syspolicyd", DAEMON, 1.6, 2.0),
    ("tccd", SERVICE, 1.1, 2.0),
    ("securityd", SERVICE, 1.3, 2.0),
    ("mDNSResponder", SERVICE, 2.5, 16.0),
    ("apsd", DAEMON, 1.0, 5.0),
    ("cloudd", DAEMON, 2.2, 4.0),
    ("bird", DAEMON, 1.7, 3.0),
    ("corespotlightd", DAEMON, 2.4, 4.0),
    ("WindowManager", APP, 5.0, 7.0),
    ("ControlCenter", APP, 4.0, 9.0),
    ("loginwindow", APP, 1.2, 3.0),
];

/// Fewer tasks than this would leave out a culprit.
pub(super) const TASKS_MIN: usize = 10;

/// Those of which a machine runs many: the rest of the tasks, in turn.
const MANY: [&str; 8] = [
    "mdworker_shared",
    "com.apple.WebKit.WebContent",
    "distnoted",
    "cfprefsd",
    "trustd",
    "usernoted",
    "containermanagerd",
    "com.apple.quicklook.ThumbnailsAgent",
];

/// Rows of [`CALM`] that page in and read and write files all the time, a little.
const READERS: [&str; 6] = ["Safari", "com.apple.WebKit.WebContent", "mds", "mds_stores", "logd", "Mail"];

/// One process, the same as long as the simulation runs.
struct Process {
    pid: i64,
    name: &'static str,
    qos: Qos,
    started_abstime_ns: i64,
    userland_ratio: f64,
    cpu_ms_per_s: f64,
    wakeups_per_s: f64,
    files: Files,
}

/// What a process does to files while nothing happens.
#[derive(Clone, Copy)]
struct Files {
    blocks_read_per_s: f64,
    blocks_written_per_s: f64,
    pageins_per_s: f64,
}

const BUSY_WITH_FILES: Files =
    Files { blocks_read_per_s: 4.0, blocks_written_per_s: 9.0, pageins_per_s: 0.4 };
const HARDLY_ANY_FILES: Files =
    Files { blocks_read_per_s: 0.02, blocks_written_per_s: 0.05, pageins_per_s: 0.002 };
const NO_FILES: Files = Files { blocks_read_per_s: 0.0, blocks_written_per_s: 0.0, pageins_per_s: 0.0 };

/// What a process, or all of them together, counted in an interval.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) cpu_ns: u64,
    pub(super) user_ns: u64,
    pub(super) wakeups: u64,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) pageins: u64,
    timer_wakeups: [u64; 2],
    qos_ns: [u64; 7],
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.cpu_ns += other.cpu_ns;
        self.user_ns += other.user_ns;
        self.wakeups += other.wakeups;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.pageins += other.pageins;
        for (sum, part) in self.timer_wakeups.iter_mut().zip(other.timer_wakeups) {
            *sum += part;
        }
        for (sum, part) in self.qos_ns.iter_mut().zip(other.qos_ns) {
            *sum += part;
        }
    }
}

/// All processes of a machine.
pub(super) struct Tasks {
    processes: Vec<Process>,
}

/// The block that macOS writes and reads files in, bytes.
pub(super) const BLOCK: u64 = 4_096;

impl Tasks {
    /// A machine with `count` rows in `tasks`, at least [`TASKS_MIN`].
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let processes = (0..count.max(TASKS_MIN)).map(|slot| {
            let mut random = Random::new(seed, super::STREAM_PROCESSES, slot as u64);
            let (name, qos, cpu_ms_per_s, wakeups_per_s) = CALM.get(slot).copied().unwrap_or_else(|| {
                let name = MANY[(slot - CALM.len()) % MANY.len()];
                (name, DAEMON, random.between(0.05, 0.6), random.between(0.0, 0.6))
            });
            let files = match name {
                // However many tasks there are, a calm machine stays calm.
                _ if slot >= CALM.len() => NO_FILES,
                DEAD => NO_FILES,
                name if READERS.contains(&name) => BUSY_WITH_FILES,
                _ => HARDLY_ANY_FILES,
            };
            let (pid, started_abstime_ns) = match name {
                "kernel_task" => (0, 0),
                DEAD => (-1, 0),
                "launchd" => (1, 1),
                // Rising, and none twice.
                _ => (
                    (310 + slot * 13) as i64 + random.between(0.0, 13.0) as i64,
                    (slot as i64 + 1) * 760_000_000 + random.between(0.0, 7e8) as i64,
                ),
            };
            let userland_ratio = if name == "kernel_task" { 0.0 } else { random.between(0.35, 0.95) };
            Process { pid, name, qos, started_abstime_ns, userland_ratio, cpu_ms_per_s, wakeups_per_s, files }
        });
        Self { processes: processes.collect() }
    }

    /// Writes `tasks` and `all_tasks` for an interval, and returns what all of them counted.
    ///
    /// `bustle` scales what everybody does all the time; `strain` is what one of them does besides.
    pub(super) fn write(
        &self,
        plist: &mut Plist<'_>,
        elapsed_ns: u64,
        bustle: f64,
        strain: &Strain,
        random: &mut Random,
    ) -> Counts {
        let mut all = Counts::default();
        // powermetrics reads the tasks a little after it began: their interval is a little longer.
        let interval_ns = elapsed_ns + random.between(30_000.0, 60_000.0) as u64;
        plist.array("tasks", |plist| {
            let mut blamed = false;
            for process in &self.processes {
                let strain = (!blamed && process.name == strain.culprit).then_some(strain);
                blamed |= strain.is_some();
                let counts = process.count(elapsed_ns, bustle, strain, random);
                all.add(&counts);
                let interval_ns = if process.name == DEAD { elapsed_ns } else { interval_ns };
                plist.item(|plist| process.write(plist, &counts, interval_ns, elapsed_ns));
            }
        });
        plist.dict("all_tasks", |plist| {
            head(plist, -2, "ALL_TASKS", 0, &all, elapsed_ns, elapsed_ns);
            tail(plist, &all, elapsed_ns);
        });
        all
    }
}

impl Process {
    fn count(&self, elapsed_ns: u64, bustle: f64, strain: Option<&Strain>, random: &mut Random) -> Counts {
        let seconds = elapsed_ns as f64 / 1e9;
        let strain = strain.copied().unwrap_or_default();
        let varied = random.between(0.7, 1.3) * bustle;
        let steady = random.between(0.97, 1.03);
        let sampler_ms = if self.name == SAMPLER { SAMPLER_MS * random.between(0.9, 1.1) } else { 0.0 };

        let cpu_ms = (self.cpu_ms_per_s * varied + strain.cpu_ms_per_s * steady) * seconds + sampler_ms;
        let cpu_ns = random.whole(cpu_ms * 1e6);
        let wakeups = random.whole((self.wakeups_per_s * varied + strain.wakeups_per_s * steady) * seconds);
        let mut counts = Counts {
            cpu_ns,
            user_ns: (cpu_ns as f64 * self.userland_ratio) as u64,
            wakeups,
            timer_wakeups: [wakeups / 5, wakeups / 40],
            ..Counts::default()
        };
        if self.name != DEAD {
            let files = &self.files;
            let mut blocks = |calm_per_s: f64, strain_bytes_per_s: f64| {
                let of_strain = strain_bytes_per_s * steady * seconds / BLOCK as f64;
                BLOCK * random.whole(calm_per_s * varied * seconds + of_strain)
            };
            counts.read_bytes = blocks(files.blocks_read_per_s, strain.read_per_s);
            counts.written_bytes = blocks(files.blocks_written_per_s, strain.write_per_s);
            let pageins_per_s = files.pageins_per_s * varied + strain.pageins_per_s * steady;
            counts.pageins = random.whole(pageins_per_s * seconds);
            let mut left = cpu_ns;
            for (part, share) in counts.qos_ns.iter_mut().zip(self.qos) {
                *part = ((cpu_ns as f64 * share) as u64).min(left);
                left -= *part;
            }
        }
        counts
    }

    fn write(&self, plist: &mut Plist<'_>, counts: &Counts, interval_ns: u64, elapsed_ns: u64) {
        head(plist, self.pid, self.name, self.started_abstime_ns, counts, interval_ns, elapsed_ns);
        if self.name != DEAD {
            tail(plist, counts, interval_ns);
        }
    }
}

/// The keys that every row has.
fn head(
    plist: &mut Plist<'_>,
    pid: i64,
    name: &str,
    started_abstime_ns: i64,
    counts: &Counts,
    interval_ns: u64,
    elapsed_ns: u64,
) {
    let cpu_ms = counts.cpu_ns as f64 / 1e6;
    plist.integer("pid", pid);
    plist.string("name", name);
    plist.integer("started_abstime_ns", started_abstime_ns);
    plist.integer("interval_ns", interval_ns as i64);
    plist.integer("cputime_ns", counts.cpu_ns as i64);
    plist.real("cputime_ms_per_s", per_second(cpu_ms, interval_ns));
    plist.real("cputime_sample_ms_per_s", per_second(cpu_ms, elapsed_ns));
    plist.real("cputime_userland_ratio", counts.user_ns as f64 / counts.cpu_ns.max(1) as f64);
    plist.integer("intr_wakeups", counts.wakeups as i64);
    plist.real("intr_wakeups_per_s", per_second(counts.wakeups as f64, interval_ns));
    // An M4 reports none at all.
    plist.integer("idle_wakeups", 0);
    plist.real("idle_wakeups_per_s", 0.0);
    plist.array("timer_wakeups", |plist| {
        for (timer_ns, wakeups) in [2_000_000, 5_000_000].into_iter().zip(counts.timer_wakeups) {
            plist.item(|plist| {
                plist.indented_integer("interval_ns", timer_ns);
                plist.indented_integer("wakeups", wakeups as i64);
                plist.indented_real("wakeups_per_s", per_second(wakeups as f64, interval_ns));
            });
        }
    });
}

/// The keys that every row but [`DEAD`] has.
fn tail(plist: &mut Plist<'_>, counts: &Counts, interval_ns: u64) {
    plist.integer("diskio_bytesread", counts.read_bytes as i64);
    plist.real("diskio_bytesread_per_s", per_second(counts.read_bytes as f64, interval_ns));
    plist.integer("diskio_byteswritten", counts.written_bytes as i64);
    plist.real("diskio_byteswritten_per_s", per_second(counts.written_bytes as f64, interval_ns));
    plist.integer("pageins", counts.pageins as i64);
    plist.real("pageins_per_s", per_second(counts.pageins as f64, interval_ns));
    for ((ns_key, ms_key), ns) in QOS_KEYS.into_iter().zip(counts.qos_ns) {
        plist.integer(ns_key, ns as i64);
        plist.real(ms_key, per_second(ns as f64 / 1e6, interval_ns));
    }
}

/// A count of an interval as a rate.
pub(super) fn per_second(count: f64, interval_ns: u64) -> f64 {
    count * 1e9 / interval_ns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_share_a_pid() {
        let tasks = Tasks::new(500, 3);
        let mut pids: Vec<i64> = tasks.processes.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 500);
    }

    #[test]
    fn every_processs_time_falls_into_some_class_of_quality() {
        for (name, qos, ..) in CALM {
            assert!((qos.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}");
        }
    }
}
