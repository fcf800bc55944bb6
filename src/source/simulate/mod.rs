//! A machine that does not exist, telling the story of a [`Scenario`] in powermetrics' words: property lists
//! of the same shape and size as those of an M4 Max. It goes through the real framing and decoding.
//!
//! Pure and deterministic: time comes in as an argument, and the same settings and intervals give the same
//! bytes. Like an M4 it reports no idle wakeups, so that interrupt wakeups are scored after 30 s; calm stays
//! in SENTINEL by either.

use std::io::Read;

mod machine;
mod plist;
mod random;
mod scenario;
mod tasks;

pub use crate::config::Scenario;
use plist::Plist;
use random::Random;
use tasks::Tasks;

/// Rows in `tasks` of a document that is as large as a real one, 260 KB.
pub const DEFAULT_TASKS: usize = 105;

/// Rows in `tasks` that a simulation can have: from there on all culprits are among them; up to there a
/// document stays below the 16 MiB at which it would be rejected.
pub const TASKS_RANGE: std::ops::RangeInclusive<usize> = tasks::TASKS_MIN..=7_000;

/// When a simulation begins unless told otherwise: 2026-01-01T00:00:00Z, Unix time in seconds.
pub const DEFAULT_START_S: i64 = 1_767_225_600;

/// What a simulated machine is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatorSettings {
    /// Nominal interval, ns; above zero.
    pub interval_ns: u64,
    /// Rows in `tasks`, brought into [`TASKS_RANGE`].
    pub tasks: usize,
    /// Another seed tells the same story in other numbers.
    pub seed: u64,
    /// The first document's `timestamp`, Unix time in seconds.
    pub start_unix_s: i64,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self { interval_ns: 100_000_000, tasks: DEFAULT_TASKS, seed: 1, start_unix_s: DEFAULT_START_S }
    }
}

/// What random numbers are drawn for: each purpose has numbers of its own.
const STREAM_PROCESSES: u64 = 1;
const STREAM_DOCUMENTS: u64 = 2;
const STREAM_INTERVALS: u64 = 3;
const STREAM_SILENCES: u64 = 4;
const STREAM_BUSTLE: u64 = 5;

/// Intervals that a float holds exactly, ns: 104 days.
const ELAPSED_MAX_NS: u64 = (1 << 53) - 1;

const SECOND: u64 = 1_000_000_000;

/// A simulated machine and its powermetrics.
pub struct Simulator {
    scenario: Scenario,
    settings: SimulatorSettings,
    tasks: Tasks,
    /// Documents written.
    written: u64,
    /// The sum of their intervals, ns: the story's time.
    time_ns: u64,
    /// That sum at the first document.
    first_ns: u64,
}

impl Simulator {
    /// A machine at the beginning of its story.
    #[must_use]
    pub fn new(scenario: Scenario, settings: SimulatorSettings) -> Self {
        let tasks = settings.tasks.clamp(*TASKS_RANGE.start(), *TASKS_RANGE.end());
        Self {
            scenario,
            settings,
            tasks: Tasks::new(tasks, settings.seed),
            written: 0,
            time_ns: 0,
            first_ns: 0,
        }
    }

    /// How long the machine is silent beyond the coming interval of `interval_ns`: 1 to 3 s where the story
    /// has it freeze there, else 0. ns.
    #[must_use]
    pub fn silence_ns(&self, interval_ns: u64) -> u64 {
        if !self.scenario.freezes_within(self.time_ns, interval_ns) {
            return 0;
        }
        let cycle = self.time_ns / self.scenario.cycle_ns();
        let (low, high) = (scenario::SILENCE_NS.start as f64, scenario::SILENCE_NS.end as f64);
        Random::new(self.settings.seed, STREAM_SILENCES, cycle).between(low, high) as u64
    }

    /// The story's own interval to the next document, ns: 104 to 116 % of the nominal one, as on a real
    /// machine, and the silence where there is one.
    #[must_use]
    pub fn interval_ns(&self) -> u64 {
        let stretch = Random::new(self.settings.seed, STREAM_INTERVALS, self.written).between(1.04, 1.16);
        let interval_ns = (self.settings.interval_ns as f64 * stretch) as u64;
        interval_ns + self.silence_ns(interval_ns)
    }

    /// Appends the document of the next `elapsed_ns` (1 µs to 104 days; others are brought into that range)
    /// to `out`: what happened in them, and no separator.
    pub fn document(&mut self, elapsed_ns: u64, out: &mut Vec<u8>) {
        let elapsed_ns = elapsed_ns.clamp(1_000, ELAPSED_MAX_NS);
        self.time_ns = self.time_ns.saturating_add(elapsed_ns);
        if self.written == 0 {
            self.first_ns = self.time_ns;
        }
        let mut random = Random::new(self.settings.seed, STREAM_DOCUMENTS, self.written);
        self.written += 1;

        let strain = self.scenario.strain(self.time_ns);
        let bustle = self.bustle();
        let calm_gpu_pct = random.between(11.0, 15.0) * bustle;
        // Steady under strain: a wobble there would be a wobble of the score.
        let gpu_busy = (calm_gpu_pct + strain.gpu_busy_pct).min(99.0) / 100.0;

        let mut plist = Plist::begin(out);
        plist.yes("is_delta");
        plist.integer("elapsed_ns", elapsed_ns as i64);
        plist.string("hw_model", "Mac16,5");
        plist.string("kern_osversion", "25C56");
        plist.string("kern_bootargs", "");
        plist.integer("kern_boottime", self.settings.start_unix_s.saturating_sub(UPTIME_S));
        plist.date("timestamp", &self.timestamp());
        let all = self.tasks.write(&mut plist, elapsed_ns, bustle, &strain, &mut random);
        machine::disk(&mut plist, elapsed_ns, &all, &mut random);
        machine::processor(&mut plist, elapsed_ns, &all, gpu_busy, &mut random);
        plist.string("thermal_pressure", strain.thermal_pressure);
        machine::gpu(&mut plist, elapsed_ns, gpu_busy);
        plist.end();
    }

    /// How busy the machine's everyday life is now, around 1: it drifts from second to second.
    fn bustle(&self) -> f64 {
        let at = |second| Random::new(self.settings.seed, STREAM_BUSTLE, second).between(0.8, 1.2);
        let (second, part) = (self.time_ns / SECOND, (self.time_ns % SECOND) as f64 / SECOND as f64);
        at(second) * (1.0 - part) + at(second + 1) * part
    }

    /// The time of day, to the second: powermetrics says no more.
    fn timestamp(&self) -> String {
        let since_first_s = ((self.time_ns - self.first_ns) / SECOND) as i64;
        jiff::Timestamp::from_second(self.settings.start_unix_s.saturating_add(since_first_s))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_string()
    }

    /// The endless stream of documents at the story's own intervals, NUL before each from the second on:
    /// what the in-process source reads, as fast as it is read.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        Stream { simulator: self, document: Vec::new(), read: 0 }
    }
}

/// How long the machine had been up when its story began, s.
const UPTIME_S: i64 = 3 * 86_400;

/// A simulation as a stream of bytes that never ends. Made by [`Simulator::into_stream`].
pub struct Stream {
    simulator: Simulator,
    document: Vec<u8>,
    /// Bytes of `document` that were read.
    read: usize,
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.document.len() {
            self.document.clear();
            if self.simulator.written > 0 {
                self.document.push(0);
            }
            self.simulator.document(self.simulator.interval_ns(), &mut self.document);
            self.read = 0;
        }
        let count = (&self.document[self.read..]).read(space)?;
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
