//! The data dictionary as types: what a source reads ([`Reading`]) and what the engine makes of it
//! ([`Sample`]). Units are in the field names; `None` means *not reported*, never zero.
//!
//! Everything here is `Copy` and of fixed size, so that a sample is handed from thread to thread by value
//! and costs no allocation.

use std::fmt;

/// Bytes of a process name that are kept; a longer one ends after them with "…".
pub const NAME_MAX: usize = 128;

/// The largest value that is taken for a measurement: any counter of 64 bits fits. What is beyond is nonsense, and would
/// make every sum that it is in infinite before long.
pub const MEASURED_MAX: f64 = 1e20;

/// A value that may stand in a reading: a number from zero up that can be a measurement.
#[must_use]
pub fn measured(value: f64) -> Option<f64> {
    // The absolute value turns −0 into 0.
    (0.0..=MEASURED_MAX).contains(&value).then_some(value.abs())
}

/// Entries of each list in [`Top`].
pub const TOP_LEN: usize = 5;

const NAME_CAPACITY: usize = NAME_MAX + '…'.len_utf8();

/// A process name: at most [`NAME_MAX`] bytes of UTF-8, and "…" where there were more.
///
/// It holds what the system said, control characters included: JSON escapes them, and [`Name::printable`]
/// is for tables, screens and pages.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_CAPACITY],
}

impl Name {
    /// The empty name.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; NAME_CAPACITY] };

    /// Takes a name, cut at a character boundary at or before [`NAME_MAX`] bytes.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut name = Self::EMPTY;
        for c in text.chars() {
            if !name.push(c) {
                break;
            }
        }
        name
    }

    /// Appends a character. Returns false, and ends the name with "…", where it no longer fits; after that
    /// the name must not be pushed to again.
    pub fn push(&mut self, c: char) -> bool {
        let mut buffer = [0; 4];
        let (encoded, fits) = if usize::from(self.len) + c.len_utf8() <= NAME_MAX {
            (c.encode_utf8(&mut buffer), true)
        } else {
            ('…'.encode_utf8(&mut buffer), false)
        };
        let start = usize::from(self.len);
        self.bytes[start..start + encoded.len()].copy_from_slice(encoded.as_bytes());
        // Cannot overflow: the capacity is below 256.
        self.len += encoded.len() as u8;
        fits
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The name for people: control characters, and those that turn the direction of writing, replaced by
    /// U+FFFD, so that no name can break a line, a table or a screen.
    #[must_use]
    pub fn printable(&self) -> String {
        printable(self.as_str())
    }
}

/// `text` with characters replaced by U+FFFD that are no text: control characters, those that turn the direction of
/// writing, and those that nobody sees, so that two names that look alike are alike. What joins the parts of an emoji or
/// of a script's letters stays.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_text = |c: char| {
        !c.is_control()
            && !matches!(
                c,
                // Direction, and separators of lines.
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                // Without a width: soft hyphen, zero-width space, word joiner and invisible operators, byte order mark,
                // annotations, tags.
                | '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            )
    };
    text.chars().map(|c| if is_text(c) { c } else { '\u{fffd}' }).collect()
}

impl Default for Name {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One entry of a top list: a process and its value of the list's measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Process id; −1 is powermetrics' `DEAD_TASKS`, the processes that ended in the interval.
    pub pid: i32,
    /// Its name.
    pub name: Name,
    /// The measure's value, in the list's unit; finite and above zero.
    pub value: f64,
}

/// The largest processes by one measure: at most [`TOP_LEN`], descending, then by pid; zeros left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopList {
    len: u8,
    items: [Process; TOP_LEN],
}

impl TopList {
    /// Whether [`TopList::offer`] would take this value: lets a caller skip making the name.
    #[must_use]
    pub fn wants(&self, pid: i32, value: f64) -> bool {
        value > 0.0
            && value <= MEASURED_MAX
            && (usize::from(self.len) < TOP_LEN || before(pid, value, &self.items[TOP_LEN - 1]))
    }

    /// Enters a process where it is among the largest so far. Values that are not finite or not above zero
    /// are ignored.
    pub fn offer(&mut self, pid: i32, name: &Name, value: f64) {
        if !self.wants(pid, value) {
            return;
        }
        let end = usize::from(self.len).min(TOP_LEN - 1);
        let at = self.items[..end].iter().position(|item| before(pid, value, item)).unwrap_or(end);
        self.items.copy_within(at..end, at + 1);
        // One without a name would be a hole in every sentence.
        let name = if *name == Name::EMPTY { Name::new("?") } else { *name };
        self.items[at] = Process { pid, name, value };
        self.len = (end + 1) as u8;
    }

    /// The entries, largest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Process] {
        &self.items[..usize::from(self.len)]
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The sum of the entries' values; 0 of none.
    #[must_use]
    pub fn sum(&self) -> f64 {
        // `Iterator::sum` begins at −0, which would be told as the sum of none.
        self.as_slice().iter().fold(0.0, |sum, process| sum + process.value)
    }
}

impl PartialEq for TopList {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

/// The order of a top list: larger values first, then smaller pids.
fn before(pid: i32, value: f64, other: &Process) -> bool {
    value > other.value || (value == other.value && pid < other.pid)
}

/// powermetrics' `thermal_pressure`; the names are Apple's, lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ThermalPressure {
    Nominal,
    Light,
    Moderate,
    Heavy,
    Trapping,
    Sleeping,
    Critical,
    /// Present, and none of those above: throttled, level unknown.
    Other,
}

impl ThermalPressure {
    /// All levels, in rising order.
    pub const ALL: [Self; 8] = [
        Self::Nominal,
        Self::Light,
        Self::Moderate,
        Self::Heavy,
        Self::Trapping,
        Self::Sleeping,
        Self::Critical,
        Self::Other,
    ];

    /// The level's name on the wire and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Light => "light",
            Self::Moderate => "moderate",
            Self::Heavy => "heavy",
            Self::Trapping => "trapping",
            Self::Sleeping => "sleeping",
            Self::Critical => "critical",
            Self::Other => "other",
        }
    }

    /// Reads a level in any case; unknown text is [`ThermalPressure::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        Self::ALL.into_iter().find(|level| text.eq_ignore_ascii_case(level.as_str())).unwrap_or(Self::Other)
    }

    /// Whether the machine is held back by heat: anything but nominal.
    #[must_use]
    pub fn throttled(self) -> bool {
        self != Self::Nominal
    }
}

/// Which wakeups are scored: idle, or interrupt where the machine reports no idle ones (Apple M4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WakeupsKind {
    /// Wakeups out of an idle state.
    #[default]
    Idle,
    /// Wakeups by interrupt.
    Interrupt,
}

impl WakeupsKind {
    /// The kind's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Interrupt => "interrupt",
        }
    }
}

/// One reading's figures for the whole machine. Every number is finite and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Load average over one minute, in runnable tasks.
    pub load_avg: Option<f64>,
    /// Logical cores.
    pub cores: Option<u32>,
    /// Memory that can be had without swapping, percent of all, 0–100.
    pub memory_available_pct: Option<f64>,
    /// Swap in use, bytes.
    pub swap_used_bytes: Option<u64>,
    /// The thermal level.
    pub thermal_pressure: Option<ThermalPressure>,
    /// CPU power, mW.
    pub cpu_power_mw: Option<f64>,
    /// GPU power, mW.
    pub gpu_power_mw: Option<f64>,
    /// Neural engine power, mW.
    pub ane_power_mw: Option<f64>,
    /// Package power, mW.
    pub combined_power_mw: Option<f64>,
    /// The busiest GPU's busy share, percent, 0–100.
    pub gpu_busy_pct: Option<f64>,
    /// Bytes read from disks per second.
    pub io_read_per_s: Option<f64>,
    /// Bytes written to disks per second.
    pub io_write_per_s: Option<f64>,
    /// CPU time of all tasks, ms per second.
    pub cpu_ms_per_s: Option<f64>,
    /// Wakeups out of idle, per second.
    pub idle_wakeups_per_s: Option<f64>,
    /// Wakeups by interrupt, per second.
    pub intr_wakeups_per_s: Option<f64>,
    /// Page-ins per second. On macOS mostly from files, on Linux major faults: not swap.
    pub pageins_per_s: Option<f64>,
}

impl Metrics {
    /// Disk bytes read and written per second; `None` where neither is reported.
    #[must_use]
    pub fn io_per_s(&self) -> Option<f64> {
        match (self.io_read_per_s, self.io_write_per_s) {
            (None, None) => None,
            (read, write) => Some(read.unwrap_or(0.0) + write.unwrap_or(0.0)),
        }
    }
}

/// The largest processes by each measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Top {
    /// CPU, ms per second.
    pub cpu: TopList,
    /// Page-ins per second.
    pub pageins: TopList,
    /// Wakeups per second, of the kind scored.
    pub wakeups: TopList,
    /// Disk bytes read and written per second.
    pub diskio: TopList,
}

impl Top {
    /// Gives every process another name.
    pub fn rename(&mut self, name: impl Fn(&Name) -> Name) {
        for list in [&mut self.cpu, &mut self.pageins, &mut self.wakeups, &mut self.diskio] {
            for process in &mut list.items[..usize::from(list.len)] {
                process.name = name(&process.name);
            }
        }
    }
}

/// One reading of the machine as a source delivers it: what the engine is fed with.
///
/// Our own process and our sampler's are in the sums and in no list: they are never culprits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// The sampler's own interval, ns; above zero.
    pub elapsed_ns: u64,
    /// Only the fast path answered: load, memory and swap, nothing else.
    pub degraded: bool,
    /// Figures for the whole machine.
    pub metrics: Metrics,
    /// Largest by CPU, ms per second.
    pub top_cpu: TopList,
    /// Largest by page-ins per second.
    pub top_pageins: TopList,
    /// Largest by idle wakeups per second.
    pub top_idle_wakeups: TopList,
    /// Largest by interrupt wakeups per second.
    pub top_intr_wakeups: TopList,
    /// Largest by disk bytes per second.
    pub top_diskio: TopList,
    /// Which wakeups were scored when this was recorded; `None` outside recordings.
    pub wakeups_kind: Option<WakeupsKind>,
    /// CPU time that the sampler's own process used, ms per second; where its row is known.
    pub sampler_cpu_ms_per_s: Option<f64>,
}

/// What is known of the machine behind a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The model of the machine, `Mac16,5`.
    pub hw_model: Option<Name>,
    /// The build of the system, `25C56`; on Linux the kernel's release.
    pub os_build: Option<Name>,
    /// When the machine started, Unix time in seconds.
    pub boot_time_s: Option<i64>,
}

/// Why a document, or a line of a recording, was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reject {
    /// It was cut off: another began, or the stream ended, before its end.
    Truncated,
    /// Over 16 MiB.
    Oversized,
    /// Its structure can't be read.
    Malformed,
    /// It has no positive `elapsed_ns`.
    Incomplete,
}

impl Reject {
    /// All reasons, in the order of every table.
    pub const ALL: [Self; 4] = [Self::Truncated, Self::Oversized, Self::Malformed, Self::Incomplete];

    /// The reason's name on the wire and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What the kernel says went on in the whole machine, counted since it started: a witness of whether
/// the rest stood still when we did. Linux only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Context switches of everybody but us (`/proc/stat` `ctxt`, less our own).
    pub context_switches: u64,
    /// Time in which some task waited for cpu, memory, io (PSI `some total`), µs; 0 where the kernel has none.
    pub pressure_us: [u64; 3],
}

/// The eight stress contributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Factor {
    Load,
    Memory,
    Thermal,
    Latency,
    Io,
    Gpu,
    Wakeups,
    Pageins,
}

impl Factor {
    /// All factors, in the order of every table.
    pub const ALL: [Self; 8] = [
        Self::Load,
        Self::Memory,
        Self::Thermal,
        Self::Latency,
        Self::Io,
        Self::Gpu,
        Self::Wakeups,
        Self::Pageins,
    ];

    /// The factor's name on the wire, in columns and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Thermal => "thermal",
            Self::Latency => "latency",
            Self::Io => "io",
            Self::Gpu => "gpu",
            Self::Wakeups => "wakeups",
            Self::Pageins => "pageins",
        }
    }

    /// The most points the factor can give.
    #[must_use]
    pub fn max(self) -> u8 {
        match self {
            Self::Load | Self::Memory | Self::Pageins => 30,
            Self::Latency | Self::Gpu => 20,
            Self::Thermal | Self::Io | Self::Wakeups => 10,
        }
    }
}

/// The stress score and its factors, in points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stress {
    points: [u8; 8],
}

impl Stress {
    /// Takes the points of each factor, in the order of [`Factor::ALL`].
    #[must_use]
    pub fn new(points: [u8; 8]) -> Self {
        Self { points }
    }

    /// The points of one factor, 0 to its [`Factor::max`].
    #[must_use]
    pub fn get(&self, factor: Factor) -> u8 {
        self.points[factor as usize]
    }

    /// The points of all factors, in the order of [`Factor::ALL`].
    #[must_use]
    pub fn points(&self) -> [u8; 8] {
        self.points
    }

    /// The stress score: the sum, at most 100.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.sum().min(100) as u8
    }

    /// The sum of all factors' points, not capped: 0–160.
    #[must_use]
    pub fn sum(&self) -> u16 {
        self.points.iter().map(|&points| u16::from(points)).sum()
    }
}

/// How stressed the machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Below `tiers.elevated`.
    #[default]
    Sentinel,
    /// From `tiers.elevated`.
    Elevated,
    /// From `tiers.critical`.
    Critical,
}

impl Tier {
    /// All tiers, in rising order.
    pub const ALL: [Self; 3] = [Self::Sentinel, Self::Elevated, Self::Critical];

    /// The tier's name on the wire, in columns and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sentinel => "sentinel",
            Self::Elevated => "elevated",
            Self::Critical => "critical",
        }
    }

    /// The tier of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}

/// A reading with what the engine made of it: what every output is fed with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// 1 for the first sample of a run; rises by one.
    pub seq: u64,
    /// When it arrived, Unix time in ns; a label, never used for durations.
    pub time_ns: i64,
    /// Time since the previous sample arrived, ns; `None` on the first and in recordings.
    pub interval_ns: Option<u64>,
    /// The sampler's own interval, ns.
    pub elapsed_ns: u64,
    /// The interval expected of this machine, ns.
    pub expected_ns: u64,
    /// Interval ÷ expected; 1 on the first sample after a start, a restart or a wake.
    pub latency_ratio: f64,
    /// The greatest heartbeat delay since the last sample, ns; `None` without a heartbeat.
    pub heartbeat_ns: Option<u64>,
    /// The tier after this sample.
    pub tier: Tier,
    /// Only the fast path answered.
    pub degraded: bool,
    /// The score and its factors.
    pub stress: Stress,
    /// Figures for the whole machine.
    pub metrics: Metrics,
    /// Which wakeups are scored, and listed in `top.wakeups`.
    pub wakeups_kind: WakeupsKind,
    /// The largest processes by each measure.
    pub top: Top,
    /// CPU time that the sampler's own process used, ms per second; where its row is known.
    pub sampler_cpu_ms_per_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_ends_after_128_bytes_with_an_ellipsis() {
        assert_eq!(Name::new(&"x".repeat(128)).as_str(), "x".repeat(128));
        assert_eq!(Name::new(&"x".repeat(129)).as_str(), format!("{}…", "x".repeat(128)));
        let wide = Name::new(&"漢".repeat(50));
        assert_eq!(wide.as_str(), format!("{}…", "漢".repeat(42)));
    }

    #[test]
    fn a_printable_name_breaks_no_line_and_turns_no_text() {
        assert_eq!(Name::new("a\nb\u{1b}[31m\u{202e}c").printable(), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
    }

    #[test]
    fn what_nobody_sees_is_replaced_and_what_joins_letters_is_kept() {
        assert_eq!(
            printable("a\u{200b}b\u{feff}\u{ad}\u{e0041}\u{2060}"),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
        let joined = "\u{1f469}\u{200d}\u{1f4bb} \u{646}\u{645}\u{6cc}\u{200c}\u{62f}";
        assert_eq!(printable(joined), joined);
    }

    #[test]
    fn a_process_without_a_name_is_listed_with_a_question_mark() {
        let mut list = TopList::default();
        list.offer(1, &Name::EMPTY, 1.0);
        assert_eq!(list.as_slice()[0].name.as_str(), "?");
    }

    #[test]
    fn a_top_list_keeps_the_five_largest_in_order_and_leaves_zeros_out() {
        let mut list = TopList::default();
        for (pid, value) in
            [(9, 1.0), (2, 5.0), (3, 0.0), (4, 5.0), (1, 7.0), (5, f64::NAN), (6, 2.0), (7, 3.0)]
        {
            list.offer(pid, &Name::EMPTY, value);
        }
        let pids: Vec<i32> = list.as_slice().iter().map(|process| process.pid).collect();
        assert_eq!(pids, [1, 2, 4, 7, 6]);
        list.offer(0, &Name::EMPTY, 2.0);
        assert_eq!(list.as_slice()[4].pid, 0, "of equal values the smaller pid stays");
    }

    #[test]
    fn the_sum_of_no_process_is_zero_without_a_sign() {
        assert!(TopList::default().sum().is_sign_positive());
    }

    #[test]
    fn thermal_pressure_is_read_in_any_case_and_anything_else_is_throttled() {
        assert_eq!(ThermalPressure::parse("Nominal"), ThermalPressure::Nominal);
        assert_eq!(ThermalPressure::parse("HEAVY"), ThermalPressure::Heavy);
        assert_eq!(ThermalPressure::parse("Scorching"), ThermalPressure::Other);
        assert!(ThermalPressure::Other.throttled());
        assert!(!ThermalPressure::Nominal.throttled());
    }
}
