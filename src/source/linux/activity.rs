//! The kernel as a witness: whether the rest of the machine went on while we stood still.

use std::ops::RangeInclusive;
use std::path::Path;

use super::files::{Buffer, Kept, value_of};
use crate::sample::Activity;

/// Reads [`Activity`]: context switches from `/proc/stat`, pressure from `/proc/pressure`.
///
/// Our own switches are taken off, or a machine that does nothing but run us would seem to stop with us. Each
/// of our threads that wakes and sleeps again costs two switches, to us and away, and the kernel counts only the
/// second as ours: `getrusage` twice over. (Measured on an idle machine: 2,000 wakes rose `ctxt` by 4,000
/// more than the 65 a second of the rest.) Where one of our threads follows another directly, that is too much:
/// the figure then stands still for a moment and never steps back.
///
/// Cost: two files, as the three kinds of pressure are asked in turn; on two CPUs 44 µs at 10 Hz, 32 of them `/proc/stat`,
/// which the kernel makes anew from all CPUs and interrupts, whichever part is read: there is no shorter file that has the
/// switches. It grows with the number of CPUs.
pub struct ActivityReader {
    stat: Kept,
    pressure: [Kept; 3],
    /// The kind of pressure that was asked last.
    turn: usize,
    buffer: Buffer,
    own_switches: fn() -> u64,
    switches: u64,
}

impl ActivityReader {
    /// A reader of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_root(Path::new("/"))
    }

    /// A reader of the /proc under `root`, from which our own switches are taken off all the same.
    #[must_use]
    pub fn with_root(root: &Path) -> Self {
        let pressure = root.join("proc/pressure");
        Self {
            stat: Kept::new(root.join("proc/stat")),
            pressure: ["cpu", "memory", "io"].map(|name| Kept::new(pressure.join(name))),
            turn: 0,
            buffer: Buffer::new(),
            own_switches,
            switches: 0,
        }
    }

    /// Reads the switches, and one kind of pressure: each in its turn. `None` where `/proc/stat` can't be read.
    pub fn read(&mut self) -> Option<Activity> {
        self.turn = (self.turn + 1) % self.pressure.len();
        self.read_kinds(self.turn..=self.turn)
    }

    /// Reads all of it: where something has happened that is to be judged by it.
    pub fn read_all(&mut self) -> Option<Activity> {
        self.read_kinds(0..=2)
    }

    fn read_kinds(&mut self, kinds: RangeInclusive<usize>) -> Option<Activity> {
        let switches = value_of(self.stat.text(&mut self.buffer)?, b"ctxt ")?;
        let ours = (self.own_switches)().saturating_mul(2);
        self.switches = self.switches.max(switches.saturating_sub(ours));
        let mut pressure_us = [None; 3];
        for kind in kinds {
            let us = self.pressure[kind].text(&mut self.buffer).and_then(some_total);
            pressure_us[kind] = Some(us.unwrap_or(0));
        }
        Some(Activity { context_switches: self.switches, pressure_us })
    }
}

impl Default for ActivityReader {
    fn default() -> Self {
        Self::new()
    }
}

/// How often our threads were switched away from.
fn own_switches() -> u64 {
    // SAFETY: rusage is plain numbers, for which zero bytes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage for the call to fill.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    u64::try_from(usage.ru_nvcsw).unwrap_or(0) + u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

/// The `total=` of the first line, `some`.
fn some_total(text: &[u8]) -> Option<u64> {
    let line = text.strip_prefix(b"some ")?;
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    let at = memchr::memmem::find(line, b"total=")? + b"total=".len();
    super::files::number(&line[at..])
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    #[test]
    fn the_switches_of_our_own_threads_are_taken_off_twice() {
        let tree = Tree::machine();
        let mut reader = ActivityReader::with_root(tree.path());
        reader.own_switches = || 0;
        tree.write("proc/stat", "cpu  1 0 1 9\nintr 5 1 2\nctxt 10000\nbtime 1700000000\n");
        assert_eq!(reader.read().unwrap().context_switches, 10_000);
        reader.own_switches = || 1_000;
        tree.write("proc/stat", "cpu  1 0 1 9\nintr 5 1 2\nctxt 13000\nbtime 1700000000\n");
        assert_eq!(reader.read().unwrap().context_switches, 11_000);
        reader.own_switches = || 2_000;
        assert_eq!(reader.read().unwrap().context_switches, 11_000, "it never steps back");
    }

    #[test]
    fn pressure_is_the_time_in_which_some_task_waited() {
        let tree = Tree::machine();
        let mut reader = ActivityReader::with_root(tree.path());
        tree.write("proc/pressure/cpu", "some avg10=0.07 avg60=0.40 avg300=1.67 total=61138921\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n");
        tree.write("proc/pressure/memory", "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
        tree.remove("proc/pressure/io");
        assert_eq!(reader.read_all().unwrap().pressure_us, [Some(61_138_921), Some(0), Some(0)]);
    }

    #[test]
    fn each_kind_of_pressure_has_its_turn() {
        let tree = Tree::machine();
        let mut reader = ActivityReader::with_root(tree.path());
        for (kind, us) in [("cpu", 1), ("memory", 2), ("io", 3)] {
            tree.write(&format!("proc/pressure/{kind}"), format!("some avg10=0.00 total={us}\n"));
        }
        let mut turns: Vec<_> = (0..3).map(|_| reader.read().unwrap().pressure_us).collect();
        let again: Vec<_> = (0..3).map(|_| reader.read().unwrap().pressure_us).collect();
        assert_eq!(turns, again);
        turns.sort();
        assert_eq!(turns, [[None, None, Some(3)], [None, Some(2), None], [Some(1), None, None]]);
        assert_eq!(reader.read_all().unwrap().pressure_us, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn without_a_readable_stat_there_is_no_witness() {
        let tree = Tree::machine();
        let mut reader = ActivityReader::with_root(tree.path());
        assert!(reader.read().is_some());
        tree.write("proc/stat", "cpu  1 0 1 9\n");
        assert_eq!(reader.read(), None);
        tree.remove("proc/stat");
        assert_eq!(ActivityReader::with_root(tree.path()).read(), None);
    }

    #[test]
    fn this_machine_is_a_witness_and_our_switches_are_counted() {
        let first = ActivityReader::new().read().unwrap();
        assert!(first.context_switches > 0);
        let before = own_switches();
        // Waiting for a thread is a switch, unless it was there first.
        let waited = (0..100_000).any(|_| {
            std::thread::spawn(|| ()).join().unwrap();
            own_switches() > before
        });
        assert!(waited);
    }
}
